package passes

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// tinyModels are the golden checkpoints that schemes are tried on.
var tinyModels = []string{"mamba-tiny", "mamba2-groups", "falcon-mamba-tiny"}

func loadScheme(t *testing.T, name string) *quant.Scheme {
	t.Helper()
	s, err := quant.LoadScheme(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// calibrate observes a float graph on windows of ids, in float64, and makes the scheme's scales.
func calibrate(t *testing.T, m *ir.Module, s *quant.Scheme, windows [][]int32) *Scales {
	t.Helper()
	points, err := Points(m, s)
	if err != nil {
		t.Fatal(err)
	}
	c := quant.NewCalibration()
	grams := map[string]*quant.Gram{}
	byValue := map[string]Point{}
	for _, p := range points {
		byValue[p.Value] = p
		c.Tensors[p.Tensor] = quant.NewStats(p.Keep)
		if p.Gram {
			if grams[p.Tensor], err = quant.NewGram(p.Channels); err != nil {
				t.Fatal(err)
			}
		}
	}
	e, err := ir.NewEvaluator[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	for i, ids := range windows {
		e.Observe = func(name string, _ []int, data []float64) {
			p, ok := byValue[name]
			if !ok {
				return
			}
			x := make([]float32, len(data))
			for k, v := range data {
				x[k] = float32(v)
			}
			if err := c.Tensors[p.Tensor].Add(i, x); err != nil {
				t.Error(err)
			}
			if p.Gram {
				if err := grams[p.Tensor].Add(x); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := e.Step(ir.Inputs[float64]{IDs: ids}); err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Tensors {
			s.End(i)
		}
	}
	scales, err := NewScales(points, c)
	if err != nil {
		t.Fatal(err)
	}
	scales.Gram = func(tensor string) (*quant.Gram, error) { return grams[tensor], nil }
	return scales
}

// prepared is the float graph that calibration of a scheme runs.
func prepared(t *testing.T, model string, s *quant.Scheme) *ir.Module {
	t.Helper()
	m := build(t, model)
	if _, err := Run(m, Options{Scheme: s}); err != nil {
		t.Fatal(err)
	}
	return m
}

// sqnr is how far the logits of got are from those of want, in dB.
func sqnr(want [][]float64, got [][]float64) float64 {
	var signal, noise float64
	for i := range want {
		for k, v := range want[i] {
			signal += v * v
			noise += (v - got[i][k]) * (v - got[i][k])
		}
	}
	return 10 * math.Log10(signal/noise)
}

// logits runs a graph on windows of ids.
func logits[F ir.Float](t *testing.T, m *ir.Module, windows [][]int32) [][]float64 {
	t.Helper()
	e, err := ir.NewEvaluator[F](m)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]float64
	for _, ids := range windows {
		out, err := e.Step(ir.Inputs[F]{IDs: ids})
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float64, len(out.Returns[0].Data))
		for i, v := range out.Returns[0].Data {
			x[i] = float64(v)
		}
		all = append(all, x)
	}
	return all
}

// randomWindows makes windows of ids.
func randomWindows(vocab, n, length int, seed uint64) [][]int32 {
	r := seed
	out := make([][]int32, n)
	for i := range out {
		out[i] = make([]int32, length)
		for k := range out[i] {
			r = r*6364136223846793005 + 1442695040888963407
			out[i][k] = int32(r >> 33 % uint64(vocab))
		}
	}
	return out
}

// Every scheme takes every family: the float graph made ready for it computes the same, and its codes come near. What the scan groups are is
// what the kernels take.
func TestSchemes(t *testing.T) {
	for _, model := range tinyModels {
		m := build(t, model)
		cal, test := randomWindows(m.Vocab, 6, 24, 1), randomWindows(m.Vocab, 1, 24, 2)
		want := logits[float64](t, m, test)
		for _, name := range quant.BuiltinSchemes() {
			s := loadScheme(t, name)
			if t.Setenv("SSMC_CHECK", "0"); name == "w8a8" {
				t.Setenv("SSMC_CHECK", "1")
			}
			float := prepared(t, model, s)
			if db := sqnr(want, logits[float64](t, float, test)); db < 110 { // f32 weights of the fold of A
				t.Errorf("%s %s: the float graph is at %.1f dB", model, name, db)
			}
			scales := calibrate(t, float, s, cal)
			q := build(t, model)
			r, err := Run(q, Options{Scheme: s, Scales: scales})
			if err != nil {
				t.Errorf("%s %s: %v", model, name, err)
				continue
			}
			if err := CheckGroups(q); err != nil {
				t.Errorf("%s %s: %v", model, name, err)
			}
			checkMatches(t, q.Func)
			for _, e := range r.find("fuse-scan").Events {
				if !e.Fired && !strings.Contains(e.What, "projection of dt") && !strings.Contains(e.What, "no gate") {
					t.Errorf("%s %s: %s", model, name, e)
				}
			}
			db := sqnr(want, logits[float32](t, q, test))
			t.Logf("%-18s %-13s %5.1f dB", model, name, db)
		}
	}
}

// Channels in another order give the same logits: everything that belongs to a channel went along. The scan then reads codes with a scale for
// each group of heads and channels.
func TestSortedChannels(t *testing.T) {
	const model = "mamba2-groups"
	s, err := quant.ParseScheme("test.yaml", "", []byte("scheme: test\nextends: w8a8\nvalues:\n  ssm.u: {type: i8, scale: {heads: 2, channels: 2}, scan: i8}\n"+
		"  ssm.B: {type: i8, scale: ssd_group}\n  ssm.C: {type: i8, scale: ssd_group}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := build(t, model)
	cal, test := randomWindows(m.Vocab, 6, 24, 1), randomWindows(m.Vocab, 1, 24, 2)
	want := logits[float64](t, m, test)
	scales := calibrate(t, prepared(t, model, s), s, cal)
	if len(scales.Orders) != 3 {
		t.Fatalf("%d layers are in a new order, want 3", len(scales.Orders))
	}
	moved := false
	for layer, o := range scales.Orders {
		moved = moved || !slices.IsSorted(o.Heads)
		if slices.IsSorted(o.Channels) {
			t.Errorf("layer %d: channels are in the order of before: the test shows nothing", layer)
		}
	}
	if !moved {
		t.Error("heads are in the order of before everywhere: the test shows nothing")
	}
	sorted := build(t, model)
	if _, err := Run(sorted, Options{Scheme: s, Scales: scales, StopAfter: "sort-channels"}); err != nil {
		t.Fatal(err)
	}
	if db := sqnr(want, logits[float64](t, sorted, test)); db < 110 {
		t.Errorf("channels in another order change the logits: %.1f dB", db)
	}
	q := build(t, model)
	if _, err := Run(q, Options{Scheme: s, Scales: scales}); err != nil {
		t.Fatal(err)
	}
	groups := map[int]bool{} // how many different scales u has
	for _, g := range Groups(q.Func) {
		if g.Kind != ir.GroupScan {
			continue
		}
		p, err := MatchScan(q.Func, g)
		if err != nil {
			t.Fatal(err)
		}
		for role, v := range map[string]*ir.Value{"u": p.UScale, "B": p.BScale, "C": p.CScale} {
			if v == nil || v.Weight == nil {
				t.Errorf("layer %d: %s has no scales by channel", layerOf(p.Scan.Result()), role)
			}
		}
		x, err := ir.LoadWeight[float64](p.UScale.Weight)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(x.Data)
		groups[len(slices.Compact(x.Data))] = true
	}
	if !groups[8] {
		t.Errorf("no layer has 2 x 2 scales in each of two groups: %v", groups)
	}
	db := sqnr(want, logits[float32](t, q, test))
	t.Logf("%.1f dB", db)
	if db < 20 {
		t.Errorf("codes with scales by groups are at %.1f dB", db)
	}
}
