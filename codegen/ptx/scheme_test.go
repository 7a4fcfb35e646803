package ptx

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader/family/familytest"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// TestSchemes runs quantized models: products of codes of eight and of four bits, with activations of codes and of floats.
func TestSchemes(t *testing.T) {
	for _, tc := range []struct {
		scheme, model string
		count         bool
	}{
		{scheme: "w8a8", model: "mamba-tiny", count: true},
		{scheme: "quamba-w8a8", model: "mamba2-groups", count: true},
		{scheme: "w8a8", model: "mamba-tiny"},
		{scheme: "quamba-w8a8", model: "mamba-tiny"},
		{scheme: "quamba-w8a8", model: "mamba2-groups"},
		{scheme: "quamba2-w4a8", model: "mamba2-groups"},
		{scheme: "quamba2-w4a8", model: "mamba2-tiny"},
		{scheme: "quamba2-w4a8", model: "falcon-mamba-tiny"},
		{scheme: "quamba2-w4a8", model: "mamba-tiny", count: true},
		{scheme: "extends: quamba2-w4a8\nweights: {'*': {type: i4, scale: {group: 64}}, embed: {type: i8, scale: channel}}", model: "mamba-tiny"},
		{scheme: "extends: quamba2-w4a8\nweights: {'*': {type: i4, scale: {group: 32}}}", model: "mamba-tiny"},
		{scheme: "quamba2-w4a16", model: "mamba2-groups"},
		{scheme: "w8a16", model: "falcon-mamba-tiny"},
		{scheme: "w8a8-token", model: "mamba-tiny"},
		{scheme: "w8a8-token", model: "mamba2-groups"},
		{scheme: "extends: w8a8\nvalues: {ssm.state: {type: i8}}", model: "mamba-tiny", count: true},
		{scheme: "extends: w8a8-token\nvalues: {ssm.state: {type: i8, scale: channel_x_state}}", model: "mamba2-groups"},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			g := quantized(t, tc.model, tc.scheme, tc.count)
			checkModel(t, g, "ptx:sm_80", false)
			checkModel(t, g, "ptx:sm_90a", true) // few rows are done in the same way
			if a, err := FindAssembler(); err == nil && strings.HasPrefix(tc.scheme, "quamba") && tc.model == "mamba2-groups" {
				text, err := Emit("model", testSHA, plan(t, g, "ptx:sm_80", kernels.Options{}).Programs[0])
				if err != nil {
					t.Fatal(err)
				}
				assemble(t, a, text, "ptx:sm_80")
			}
		})
	}
}

// quantized is the graph of a model by a scheme that comes with ssmc, calibrated with a few tokens.
func quantized(t *testing.T, model, scheme string, count bool) *ir.Module {
	t.Helper()
	return quantizedIn(t, filepath.Join("..", "..", "golden", "testdata", model), scheme, count)
}

func quantizedIn(t *testing.T, dir, scheme string, count bool) *ir.Module {
	t.Helper()
	load := quant.LoadScheme
	if strings.Contains(scheme, "\n") { // the lines of a file
		load = func(text string) (*quant.Scheme, error) {
			return quant.ParseScheme("test", "", []byte("scheme: test\n"+text))
		}
	}
	s, err := load(scheme)
	if err != nil {
		t.Fatal(err)
	}
	ready := familytest.Build(t, dir)
	if _, err := passes.Run(ready, passes.Options{Scheme: s}); err != nil {
		t.Fatal(err)
	}
	scales := calibrate(t, ready, s)
	g := familytest.Build(t, dir)
	if _, err := passes.Run(g, passes.Options{Scheme: s, Scales: scales, CountSaturation: count}); err != nil {
		t.Fatal(err)
	}
	return g
}

// calibrate lets the evaluator see some tokens.
func calibrate(t *testing.T, g *ir.Module, s *quant.Scheme) *passes.Scales {
	t.Helper()
	points, err := passes.Points(g, s)
	if err != nil {
		t.Fatal(err)
	}
	c := quant.NewCalibration()
	seen := map[string]*quant.Stats{}
	for _, p := range points {
		c.Tensors[p.Tensor] = quant.NewStats(p.Keep)
		seen[p.Value] = c.Tensors[p.Tensor]
	}
	e, err := ir.NewEvaluator[float32](g)
	if err != nil {
		t.Fatal(err)
	}
	e.Observe = func(name string, _ []int, data []float32) {
		if s := seen[name]; s != nil {
			if err := s.Add(0, data); err != nil {
				t.Error(err)
			}
		}
	}
	out, err := e.Step(ir.Inputs[float32]{IDs: tokens(12, g.Vocab)})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range g.Func.States {
		if s := seen[v.Name]; s != nil {
			if err := s.Add(0, out.NextStates[i].Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range seen {
		s.End(0)
	}
	c.Samples = 1
	scales, err := passes.NewScales(points, c)
	if err != nil {
		t.Fatal(err)
	}
	return scales
}
