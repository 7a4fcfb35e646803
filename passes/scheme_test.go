package passes

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// tinyModels are the golden checkpoints that schemes are tried on.
var tinyModels = []string{"mamba-tiny", "mamba2-groups", "falcon-mamba-tiny"}

// leastSQNR is what the codes of random weights must reach, in dB. Random weights suffer more than trained ones do.
var leastSQNR = map[string]float64{"naive-w8a8": 7, "quamba-w8a8": 14, "quamba2-w4a16": 1.5, "quamba2-w4a8": 1.5, "smooth-w8a8": 8, "w8a16": 24, "w8a8": 16, "w8a8-token": 22}

func loadScheme(t *testing.T, name string) *quant.Scheme {
	t.Helper()
	s, err := quant.LoadScheme(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// schemeOf is a scheme from the lines of a file.
func schemeOf(t *testing.T, text string) *quant.Scheme {
	t.Helper()
	s, err := quant.ParseScheme("test.yaml", "", []byte("scheme: test\n"+text+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// calibrate observes a float graph on windows of ids and makes the scheme's scales.
func calibrate(t *testing.T, m *ir.Module, s *quant.Scheme, windows [][]int32) *Scales {
	t.Helper()
	points := pointsOf(t, m, s)
	c, grams := observe(t, m, points, windows)
	return scalesOf(t, points, c, grams)
}

func pointsOf(t *testing.T, m *ir.Module, s *quant.Scheme) []Point {
	t.Helper()
	points, err := Points(m, s)
	if err != nil {
		t.Fatal(err)
	}
	return points
}

func scalesOf(t *testing.T, points []Point, c *quant.Calibration, grams map[string]*quant.Gram) *Scales {
	t.Helper()
	scales, err := NewScales(points, c)
	if err != nil {
		t.Fatal(err)
	}
	scales.Gram = func(tensor string) (*quant.Gram, error) { return grams[tensor], nil }
	return scales
}

// observe runs a float graph on windows of ids, in float64, and keeps what the points want.
func observe(t *testing.T, m *ir.Module, points []Point, windows [][]int32) (*quant.Calibration, map[string]*quant.Gram) {
	t.Helper()
	c := quant.NewCalibration()
	grams := map[string]*quant.Gram{}
	byValue := map[string]Point{}
	var err error
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
	c.Samples = len(windows)
	return c, grams
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
		cal, test := randomWindows(m.Vocab, 4, 20, 1), randomWindows(m.Vocab, 1, 20, 2)
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
			if least, known := leastSQNR[name]; !known || db < least {
				t.Errorf("%s %s: the logits are at %.1f dB, want %v at least", model, name, db, least)
			}
		}
	}
}

// Channels in another order give the same logits: everything that belongs to a channel went along. The scan then reads codes with a scale for
// each group of heads and channels.
func TestSortedChannels(t *testing.T) {
	const model = "mamba2-groups"
	s := schemeOf(t, "extends: w8a8\nvalues:\n  ssm.u: {type: i8, scale: {heads: 2, channels: 2}, scan: i8}\n"+
		"  ssm.B: {type: i8, scale: ssd_group}\n  ssm.C: {type: i8, scale: ssd_group}")
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

// What the families mark is what schemes speak of.
func TestRolesAreKnown(t *testing.T) {
	for _, model := range []string{"mamba-tiny", "mamba2-groups", "mamba2-original", "falcon-mamba-tiny"} {
		m := build(t, model)
		marked := map[quant.Role]int{}
		for v := range m.Func.Values() {
			role := roleOf(v)
			marked[role]++
			switch {
			case role == "":
			case v.Weight != nil && !quant.IsWeightRole(role), v.Weight == nil && !quant.IsValueRole(role):
				t.Errorf("%s: %%%s is marked %q, of which no scheme knows", model, v.Name, v.Role)
			}
		}
		for _, role := range []quant.Role{quant.Stream, quant.NormOut, quant.SSMX, quant.SSMZ, quant.SSMU, quant.SSMB, quant.SSMC, quant.SSMDt, quant.SSMY,
			quant.SSMState, quant.ConvWindow, quant.HeadIn, quant.Embed, quant.InProj, quant.Conv, quant.OutProj, quant.Params} {
			if marked[role] == 0 {
				t.Errorf("%s: nothing is marked %s", model, role)
			}
		}
	}
}

// Rotations of every kind of width leave the mathematics alone: the runner's check compares in float64, to 1e-9.
func TestRotatedWidths(t *testing.T) {
	const graph = `module "test" {
  weight %%w.embed: f32[5, %[1]d] @embed
  weight %%g: f32[%[1]d]
  weight %%in: f32[%[1]d, %[1]d] @ssm.in_proj
  weight %%out: f32[%[1]d, %[1]d] @ssm.out_proj
  func step(%%ids: i32[T]) -> (f32[T, 5]) {
    %%embed = gather %%w.embed %%ids : f32[T, %[1]d] @stream
    %%layers.0.n = rmsnorm %%embed %%g eps=1e-05 : f32[T, %[1]d] @norm.out
    %%layers.0.z = linear %%layers.0.n %%in : f32[T, %[1]d] @ssm.z
    %%layers.0.y = silu %%layers.0.z : f32[T, %[1]d] @ssm.y
    %%layers.0.out = linear %%layers.0.y %%out : f32[T, %[1]d]
    %%layers.0.h = add %%embed %%layers.0.out : f32[T, %[1]d] @stream
    %%final_norm = rmsnorm %%layers.0.h %%g eps=1e-05 : f32[T, %[1]d] @head.in
    %%logits = linear %%final_norm %%w.embed : f32[T, 5]
    return %%logits
  }
}
`
	for _, d := range []int{1, 2, 8, 12, 20, 24, 28, 36, 40, 44, 60, 72, 80, 88, 136, 160} {
		for _, head := range []string{"tied", "untied"} {
			for _, rotate := range []string{"hadamard", "{kind: hadamard, signs: 9}"} {
				s := schemeOf(t, fmt.Sprintf("extends: w8a8\nhead: %s\nrotate: {stream: %s, ssm.y: %s}", head, rotate, rotate))
				r, err := Run(parse(t, fmt.Sprintf(graph, d)), Options{Scheme: s, Check: true, Seed: 5})
				if err != nil {
					t.Fatalf("width %d, %s, %s: %v", d, head, rotate, err)
				}
				for _, pass := range []string{"rotate-stream", "rotate-hadamard"} {
					if r.find(pass).FiredCount() == 0 {
						t.Errorf("width %d, %s, %s: %s did not fire", d, head, rotate, pass)
					}
				}
			}
		}
	}
}

// Points lists what calibration sees.
//
//	points model=mamba-tiny
//	(the lines of a scheme)
func TestPoints(t *testing.T) {
	t.Setenv("SSMC_CHECK", "0") // TestSchemes checks these graphs
	datadriven.RunTest(t, "testdata/points", func(t *testing.T, d *datadriven.TestData) string {
		var model string
		d.ScanArgs(t, "model", &model)
		s := schemeOf(t, d.Input)
		points, err := Points(prepared(t, model, s), s)
		if err != nil {
			return err.Error() + "\n"
		}
		var b strings.Builder
		for _, p := range points {
			if p.Layer > 0 {
				continue
			}
			fmt.Fprintf(&b, "%s: %%%s, %d channels, %d scales", p.Tensor, p.Value, p.Channels, p.Scales)
			if p.Scales > 0 {
				observer, err := p.Spec.Observe.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, " by %s", observer)
			}
			if len(p.Spec.Share) > 0 {
				fmt.Fprintf(&b, ", shared with %v", p.Spec.Share)
			}
			if p.Groups > 0 {
				fmt.Fprintf(&b, ", %d groups", p.Groups)
			}
			if c := p.Cells; c != nil {
				fmt.Fprintf(&b, ", %d x %d cells of %d heads of %d in each of %d groups", c.HeadGroups, c.ChannelGroups, c.Heads, c.Dim, c.Groups)
			}
			if k := p.Keep; k.Channels > 0 || k.Means || len(k.Moving) > 0 {
				fmt.Fprintf(&b, ", keeps %+v", k)
			}
			if p.Smooth {
				b.WriteString(", smoothed")
			}
			if p.Gram {
				b.WriteString(", second moments")
			}
			b.WriteByte('\n')
		}
		return b.String()
	})
}

// Scales that a calibration cannot give are named, all at once.
func TestScalesOfWrongCalibration(t *testing.T) {
	const model = "mamba2-groups"
	s := schemeOf(t, "extends: w8a8\nvalues: {ssm.B: {type: i8, scale: ssd_group}}")
	points := pointsOf(t, prepared(t, model, s), s)
	c := quant.NewCalibration()
	for _, p := range points {
		switch p.Tensor {
		case "layers.1.ssm.z":
			continue
		case "layers.0.ssm.B":
			p.Keep.Channels = 0
		}
		c.Tensors[p.Tensor] = quant.NewStats(p.Keep)
		x := make([]float32, p.Channels)
		if x[0] = 1; p.Tensor == "layers.2.ssm.x.C" {
			x[0] = float32(math.NaN())
		}
		if err := c.Tensors[p.Tensor].Add(0, x); err != nil {
			t.Fatal(err)
		}
		c.Tensors[p.Tensor].End(0)
	}
	_, err := NewScales(points, c)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"layers.1.ssm.z: the calibration has nothing about it", "layers.0.ssm.B: the calibration has the largest values of 0 channels, not of 32",
		"layers.2.ssm.x.C: 1 values that are not numbers"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}
