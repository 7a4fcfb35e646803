package calibrate_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader/family/familytest"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// prepared is a golden model compiled for calibration, and the graph that was.
type prepared struct {
	*compile.Temporary
	graph *ir.Module
	watch []calibrate.Watch
}

func scheme(t *testing.T, name string) *quant.Scheme {
	t.Helper()
	s, err := quant.LoadScheme(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func build(t *testing.T, model string) *ir.Module {
	t.Helper()
	return familytest.Build(t, filepath.Join("..", "golden", "testdata", model))
}

func prepare(t *testing.T, model, schemeName string) *prepared {
	t.Helper()
	t.Setenv("SSMC_CHECK", "")
	m := build(t, model)
	points, err := calibrate.Prepare(m, scheme(t, schemeName))
	if err != nil {
		t.Fatal(err)
	}
	p := &prepared{graph: m}
	if p.Temporary, err = compile.OpenGraph(context.Background(), m, compile.TemporaryOptions{Threads: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if p.watch, err = calibrate.Watches(points, p.Kept); err != nil {
		t.Fatal(err)
	}
	return p
}

// ids makes tokens.
func ids(n, vocab int) []int32 {
	r := uint64(1)
	list := make([]int32, n)
	for i := range list {
		r = r*6364136223846793005 + 1442695040888963407
		list[i] = int32(r >> 33 % uint64(vocab))
	}
	return list
}

func data(t *testing.T, samples, length int) *calibrate.Data {
	t.Helper()
	d, err := calibrate.Cut(ids(samples*length+17, 256), samples, length, false)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func run(t *testing.T, p *prepared, d *calibrate.Data, o calibrate.Options) *quant.Calibration {
	t.Helper()
	c := quant.NewCalibration()
	c.Meta = calibrate.Meta("model", "rotation", d)
	if err := calibrate.Run(context.Background(), p.Model, p.watch, d, c, o); err != nil {
		t.Fatal(err)
	}
	return c
}

func encode(t *testing.T, c *quant.Calibration) []byte {
	t.Helper()
	raw, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What is observed is what the graph's evaluator gives, in every family.
func TestSeesWhatTheEvaluatorGives(t *testing.T) {
	for _, model := range []string{"mamba-tiny", "mamba2-tiny", "falcon-mamba-tiny", "mamba2-groups"} {
		p := prepare(t, model, "quamba-w8a8")
		const samples, length = 3, 23
		d := data(t, samples, length)
		got := run(t, p, d, calibrate.Options{})
		e, err := ir.NewEvaluator[float32](p.graph)
		if err != nil {
			t.Fatal(err)
		}
		want := quant.NewCalibration()
		want.Meta, want.Samples = got.Meta, samples
		byName := map[string]calibrate.Watch{}
		for _, w := range p.watch {
			want.Tensors[w.Tensor] = quant.NewStats(w.Keep)
			byName[w.Value] = w
		}
		if len(byName) < 8 {
			t.Errorf("%s: only %d values are observed", model, len(byName))
		}
		for i, window := range d.Windows {
			var outs []int32
			for k := 0; k < len(window); k += 4 {
				outs = append(outs, int32(k))
			}
			e.Observe = func(name string, _ []int, x []float32) {
				if w, ok := byName[name]; ok {
					if err := want.Tensors[w.Tensor].Add(i, x); err != nil {
						t.Error(err)
					}
				}
			}
			out, err := e.Step(ir.Inputs[float32]{IDs: window, Outs: outs})
			if err != nil {
				t.Fatal(err)
			}
			states := 0
			for k, v := range p.graph.Func.States { // as the step leaves them
				if w, ok := byName[v.Name]; ok {
					states++
					if err := want.Tensors[w.Tensor].Add(i, out.NextStates[k].Data); err != nil {
						t.Error(err)
					}
				}
			}
			if states == 0 {
				t.Errorf("%s: no state is observed", model)
			}
			for _, s := range want.Tensors {
				s.End(i)
			}
		}
		for name, w := range want.Tensors {
			g := got.Tensors[name]
			a, b := w.Histogram(), g.Histogram()
			if a.Count() != b.Count() || a.Count() == 0 || math.Abs(a.Max()-b.Max()) > 1e-4*a.Max() || math.Abs(a.RMS()-b.RMS()) > 1e-4*a.RMS() {
				t.Errorf("%s %s: %d values up to %v, RMS %v; the evaluator has %d up to %v, RMS %v", model, name, b.Count(), b.Max(), b.RMS(), a.Count(), a.Max(), a.RMS())
			}
			for c, m := range w.ChannelMax() {
				if math.Abs(float64(m-g.ChannelMax()[c])) > 1e-4*a.Max() {
					t.Errorf("%s %s: channel %d up to %v, want %v", model, name, c, g.ChannelMax()[c], m)
					break
				}
			}
		}
	}
}

// The same run gives the same bytes with any number of threads, and after interruptions at any step.
func TestSameBytes(t *testing.T) {
	p := prepare(t, "mamba-tiny", "quamba-w8a8")
	d := data(t, 13, 130) // three sequences a step
	want := encode(t, run(t, p, d, calibrate.Options{Threads: 1}))
	for _, threads := range []int{2, 7} {
		if !bytes.Equal(want, encode(t, run(t, p, d, calibrate.Options{Threads: threads}))) {
			t.Errorf("%d threads give other bytes", threads)
		}
	}
	path := filepath.Join(t.TempDir(), "c.calib")
	c := quant.NewCalibration()
	c.Meta = calibrate.Meta("model", "rotation", d)
	interruptions := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		o := calibrate.Options{Save: path, Every: time.Nanosecond, Progress: func(done, total int) {
			if done < total && interruptions < 3 {
				interruptions++
				cancel()
			}
		}}
		err := calibrate.Run(ctx, p.Model, p.watch, d, c, o)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if c, err = quant.ReadCalibration(path); err != nil {
			t.Fatal(err)
		}
		if c.Samples == 0 || c.Samples == len(d.Windows) {
			t.Errorf("%d samples were saved", c.Samples)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if interruptions != 3 || !bytes.Equal(want, got) {
		t.Errorf("after %d interruptions the file has other bytes", interruptions)
	}
	if got := len(want); got > 1<<20 {
		t.Errorf("a calibration of a tiny model has %d bytes", got)
	}
}

// With carry the state goes on from window to window, also after an interruption.
func TestCarry(t *testing.T) {
	p := prepare(t, "mamba-tiny", "w8a8")
	list := ids(200, 256)
	whole, err := calibrate.Cut(list, 1, 200, true)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := calibrate.Cut(list, 5, 40, true)
	if err != nil {
		t.Fatal(err)
	}
	a, b := run(t, p, whole, calibrate.Options{}), run(t, p, parts, calibrate.Options{})
	for name, s := range a.Tensors {
		if strings.HasSuffix(name, string(quant.SSMState)) { // five windows have five ends
			if one, five := s.Histogram(), b.Tensors[name].Histogram(); 5*one.Count() != five.Count() {
				t.Errorf("%s: %d values at the end of one window, %d at those of five", name, one.Count(), five.Count())
			}
			continue
		}
		if diff := cmp.Diff(s.Histogram().Bins(), b.Tensors[name].Histogram().Bins()); diff != "" {
			t.Errorf("%s: (-one window +five)\n%.300s", name, diff)
		}
	}
	c := quant.NewCalibration()
	ctx, cancel := context.WithCancel(context.Background())
	err = calibrate.Run(ctx, p.Model, p.watch, parts, c, calibrate.Options{Progress: func(done, _ int) {
		if done == 2 {
			cancel()
		}
	}})
	if err == nil || c.Samples != 2 {
		t.Fatalf("%v after %d samples", err, c.Samples)
	}
	if err := calibrate.Run(context.Background(), p.Model, p.watch, parts, c, calibrate.Options{}); err != nil {
		t.Fatal(err)
	}
	c.Meta = b.Meta
	if !bytes.Equal(encode(t, b), encode(t, c)) {
		t.Error("going on gives other bytes")
	}
}

// One calibration serves every scheme with its rotations.
func TestEverySchemeOfARotation(t *testing.T) {
	for _, group := range [][]string{{"w8a8", "quamba-w8a8", "quamba2-w4a8"}, {"naive-w8a8", "w8a16"}} {
		for _, model := range []string{"mamba-tiny", "mamba2-groups"} {
			p := prepare(t, model, group[0])
			c := run(t, p, data(t, 4, 40), calibrate.Options{})
			for _, name := range group {
				points, err := calibrate.Rotate(build(t, model), scheme(t, name))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := passes.NewScales(points, c); err != nil {
					t.Errorf("%s %s: %v", model, name, err)
				}
			}
		}
	}
}

func TestRotation(t *testing.T) {
	tests := []struct{ model, scheme, want string }{
		{"mamba-tiny", "w8a8", "stream, head tied, ssm.y"},
		{"mamba-tiny", "quamba-w8a8", "stream, ssm.y"},
		{"trained/mamba-en", "w8a8", "stream, ssm.y"}, // it has a head of its own
		{"mamba-tiny", "naive-w8a8", "none"},
		{"mamba-tiny", "w8a16", "none"},
	}
	for _, test := range tests {
		if got := calibrate.Rotation(scheme(t, test.scheme), build(t, test.model)); got != test.want {
			t.Errorf("%s %s: %q, want %q", test.model, test.scheme, got, test.want)
		}
	}
}

// Second moments are summed whichever is asked for first, and in as many runs as their memory needs.
func TestGrams(t *testing.T) {
	p := prepare(t, "mamba-tiny", "quamba2-w4a8")
	d := data(t, 5, 30)
	var wanted []string
	for _, w := range p.watch {
		if w.Gram {
			wanted = append(wanted, w.Tensor)
		}
	}
	if len(wanted) < 8 {
		t.Fatalf("second moments of %v", wanted)
	}
	all := calibrate.NewGrams(context.Background(), p.Model, p.watch, d)
	one := calibrate.NewGrams(context.Background(), p.Model, p.watch, d)
	one.Budget = 1
	slices.Reverse(wanted)
	for _, name := range wanted {
		a, err := all.Of(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := one.Of(name)
		if err != nil {
			t.Fatal(err)
		}
		if a.Rows != b.Rows || a.Rows == 0 || a.At(0, 1) != b.At(0, 1) || a.At(3, 3) <= 0 {
			t.Errorf("%s: %d and %d rows, %v and %v", name, a.Rows, b.Rows, a.At(0, 1), b.At(0, 1))
		}
	}
	if _, err := all.Of("layers.9.ssm.u"); err == nil {
		t.Error("second moments of a layer that is not there")
	}
}

func TestCut(t *testing.T) {
	list := ids(1000, 256)
	tests := []struct {
		n, samples, length int
		carry              bool
		windows, first     int // and where the second begins
	}{
		{1000, 4, 100, false, 4, 299},
		{1000, 4, 100, true, 4, 100},
		{1000, 99, 100, false, 10, 100},
		{50, 4, 100, false, 1, -1},
		{100, 1, 100, false, 1, -1},
		{1, 1, 1, false, 1, -1},
		{1000, 10, 100, false, 10, 100},
	}
	for _, test := range tests {
		d, err := calibrate.Cut(list[:test.n], test.samples, test.length, test.carry)
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		if len(d.Windows) != test.windows {
			t.Errorf("%+v: %d windows", test, len(d.Windows))
		}
		if test.first >= 0 && !slices.Equal(d.Windows[1], list[test.first:test.first+test.length]) {
			t.Errorf("%+v: the second window is not there", test)
		}
	}
	for _, bad := range [][3]int{{0, 1, 1}, {5, 0, 1}, {5, 1, 0}} {
		if _, err := calibrate.Cut(list[:bad[0]], bad[1], bad[2], false); err == nil {
			t.Errorf("%v is cut", bad)
		}
	}
}

func TestRefusesAnotherRun(t *testing.T) {
	a := calibrate.Meta("model a", "stream", data(t, 2, 20))
	b := calibrate.Meta("model b", "stream", data(t, 3, 20))
	got := strings.Join(calibrate.Differences(a, b), "\n")
	for _, want := range []string{"model: model a in the file, here model b", "samples: 2", "windows: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "rotation") {
		t.Error(got)
	}
}
