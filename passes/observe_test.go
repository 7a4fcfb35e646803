package passes

import (
	"math"
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

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
