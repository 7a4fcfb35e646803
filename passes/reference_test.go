package passes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/loader/family/familytest"
	"github.com/ssmc/ssmc/quant"
)

// referenceLayers are the layers of which the reference has every number, under the two schemes.
var referenceLayers = []struct {
	name, layer   string
	scheme        string
	split         bool // x, z and so on have their own scales; dt, B and C are f32
	rank, n, taps int
}{
	{"layer-ssmc", "layer", "extends: w8a8", true, 4, 16, 4},
	{"layer-quamba", "layer", quambaFull, false, 4, 16, 4},
	{"layer-odd-ssmc", "layer-odd", "extends: w8a8", true, 3, 5, 3},
	{"layer-odd-quamba", "layer-odd", quambaFull, false, 3, 5, 3},
}

// quambaFull is the published layout with its range of codes.
const quambaFull = `extends: quamba-w8a8
values:
  norm.out: {range: full}
  ssm.x: {range: full}
  ssm.u: {range: full}
  ssm.dt_in: {range: full}
  ssm.dt: {range: full}
  ssm.y: {range: full}`

// reference reads arrays of one file.
type reference struct {
	t *testing.T
	*loader.File
}

func openReference(t *testing.T, name string) reference {
	t.Helper()
	f, err := loader.OpenFile(filepath.Join("..", "quant", "testdata", "reference", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return reference{t, f}
}

func (r reference) tensor(name string) loader.Tensor {
	r.t.Helper()
	x, ok := r.Tensor(name)
	if !ok {
		r.t.Fatalf("the reference has no %s", name)
	}
	return x
}

func (r reference) floats(name string) []float32 {
	r.t.Helper()
	x, err := r.tensor(name).Float32()
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func (r reference) ints(name string) []int64 {
	r.t.Helper()
	x := r.tensor(name)
	t := map[loader.DType]ir.DType{loader.I8: ir.I8, loader.I32: ir.I32}[x.DType]
	out := make([]int64, x.Elements())
	if err := ir.DecodeInts(out, t, x.Data); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// referenceModel is a model of one reference layer, whose embedding is the layer's input and whose head has no meaning.
func referenceModel(t *testing.T, layer string, n, rank, taps int) *ir.Module {
	t.Helper()
	r := openReference(t, layer)
	input, out := r.tensor("input"), r.tensor("mixer.out_proj.weight")
	d, e := out.Shape[0], out.Shape[1]
	config, err := json.Marshal(map[string]any{"model_type": "mamba", "vocab_size": input.Shape[0], "hidden_size": d, "intermediate_size": e, "num_hidden_layers": 1,
		"state_size": n, "time_step_rank": rank, "conv_kernel": taps, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": false})
	if err != nil {
		t.Fatal(err)
	}
	ones := make([]float32, d)
	for i := range ones {
		ones[i] = 1
	}
	norm := loader.Tensor{Name: "backbone.norm_f.weight", DType: loader.F32, Shape: []int{d}, Data: make([]byte, 4*d)}
	if err := loader.Narrow(norm.Data, loader.F32, ones); err != nil {
		t.Fatal(err)
	}
	list := []loader.Tensor{norm}
	for _, x := range r.Tensors() {
		switch x.Name {
		case "calib":
			continue
		case "input":
			x.Name = "lm_head.weight"
			list = append(list, x)
			x.Name = "backbone.embeddings.weight"
		default:
			x.Name = "backbone.layers.0." + x.Name
		}
		list = append(list, x)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := loader.Write(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	return familytest.Build(t, dir)
}

// TestReferenceLayers quantizes the layers with the reference's scales and runs them: every code, constant and intermediate must be the
// reference's, bit for bit.
func TestReferenceLayers(t *testing.T) {
	for _, l := range referenceLayers {
		t.Run(l.name, func(t *testing.T) {
			want := openReference(t, l.name)
			s, err := quant.ParseScheme("test.yaml", "", []byte("scheme: test\n"+l.scheme+"\nhead: untied\noverrides:\n- {roles: [embed, head], weights: {type: f32}}\n"))
			if err != nil {
				t.Fatal(err)
			}
			scales := &Scales{Values: map[string][]float32{"head.in": {1}}}
			for tensor, name := range map[string]string{"norm.out": "norm_out", "ssm.x": "x", "ssm.z": "z", "ssm.u": "u", "ssm.dt_in": "dt_in", "ssm.B": "B", "ssm.C": "C", "ssm.dt": "dt", "ssm.y": "y"} {
				scales.Values["layers.0."+tensor] = want.floats("scale." + name)
			}
			m := referenceModel(t, l.layer, l.n, l.rank, l.taps)
			if _, err := Run(m, Options{Scheme: s, Scales: scales}); err != nil {
				t.Fatal(err)
			}
			checkReferenceWeights(t, m, want, l.split, l.rank, l.n)
			checkReferenceTaps(t, m, want, l.split, l.rank, l.n)
		})
	}
}

// weightOf finds a weight value.
func weightOf(t *testing.T, m *ir.Module, name string) *ir.Tensor[float32] {
	t.Helper()
	for _, v := range m.Func.Weights {
		if v.Name == name {
			x, err := ir.LoadWeight[float32](v.Weight)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
	}
	t.Fatalf("no weight is named %s", name)
	return nil
}

// same compares bit for bit.
func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	bad, first := 0, -1
	for i, v := range got {
		if v != want[i] {
			if bad++; first < 0 {
				first = i
			}
		}
	}
	if bad > 0 {
		t.Errorf("%s: %d of %d differ, the first is %d: %v, want %v", what, bad, len(got), first, got[first], want[first])
	}
}

// checkReferenceWeights compares codes and constants.
func checkReferenceWeights(t *testing.T, m *ir.Module, want reference, split bool, rank, n int) {
	t.Helper()
	e := len(want.floats("D"))
	type part struct {
		value, weight, tensor string
		lo, hi                int
	}
	parts := []part{
		{"x", fmt.Sprintf("in_proj[0:%d]", e), "in_proj", 0, e}, {"z", fmt.Sprintf("in_proj[%d:%d]", e, 2*e), "in_proj", e, 2 * e},
		{"x_conv", "conv1d.taps", "conv1d", 0, e}, {"r", fmt.Sprintf("x_proj[0:%d]", rank), "x_proj", 0, rank},
		{"B", fmt.Sprintf("x_proj[%d:%d]", rank, rank+n), "x_proj", rank, rank + n}, {"C", fmt.Sprintf("x_proj[%d:%d]", rank+n, rank+2*n), "x_proj", rank + n, rank + 2*n},
		{"dt_in", "dt_proj", "dt_proj", 0, e}, {"out", "out_proj", "out_proj", 0, -1},
	}
	for _, p := range parts {
		codes, scales := want.ints("w."+p.tensor), want.floats("m."+p.tensor)
		if p.hi < 0 {
			p.hi = len(scales)
		}
		k := len(codes) / len(scales)
		same(t, "codes of "+p.weight, weightOf(t, m, "layers.0."+p.weight+".i8").Ints, codes[p.lo*k:p.hi*k])
		same(t, "constants of "+p.value, weightOf(t, m, "layers.0."+p.value+".scales").Data, scales[p.lo:p.hi])
	}
	for name, tensor := range map[string]string{"A": "A", "D": "D", "dt_proj.bias": "dt_bias", "conv1d.bias": "conv_bias"} {
		same(t, name, weightOf(t, m, "layers.0."+name).Data, want.floats(tensor))
	}
	for _, op := range m.Func.Ops {
		for value, inv := range map[string]string{"n": "norm_out", "u": "u", "gated.rotated": "y"} {
			if op.Code == ir.OpQuantize && op.Result().Name == "layers.0."+value+".q" {
				same(t, "inv."+inv, []float32{op.Attrs.Inv}, want.floats("inv."+inv))
			}
		}
	}
}

// checkReferenceTaps runs the layer, all rows at once and one after the other, and compares what it computes on the way.
func checkReferenceTaps(t *testing.T, m *ir.Module, want reference, split bool, rank, n int) {
	t.Helper()
	e, err := ir.NewEvaluator[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	floats, codes := map[string][]float32{}, map[string][]int64{}
	e.Observe = func(name string, _ []int, x []float32) { floats[name] = append(floats[name], x...) }
	e.ObserveInts = func(name string, _ []int, x []int64) { codes[name] = append(codes[name], x...) }
	rows := len(want.floats("tap.u")) / len(want.floats("D"))
	compare := func(how string, ends []*ir.Tensor[float32]) {
		for value, tap := range map[string]string{"embed": "input_rotated", "u": "tap.u", "gated": "tap.y", "gated.sums": "tap.y_rotated", "h": "tap.out", "dt": "tap.dt"} {
			same(t, how+value, floats[strings.Replace("layers.0."+value, "layers.0.embed", "embed", 1)], want.floats(tap))
		}
		taps := map[string]string{"n.q": "q.norm_out", "x.q": "q.x", "z.q": "q.z", "u.q": "q.u", "gated.rotated.q": "q.y", "x_conv.acc": "acc.conv1d", "out.acc": "acc.out_proj"}
		if split {
			same(t, how+"r", floats["layers.0.r"], want.floats("tap.dt_in"))
			same(t, how+"B", floats["layers.0.B"], want.floats("tap.B"))
			same(t, how+"C", floats["layers.0.C"], want.floats("tap.C"))
		} else {
			for value, tap := range map[string]string{"r.q": "q.dt_in", "B.q": "q.B", "C.q": "q.C", "dt_in.acc": "acc.dt_proj", "dt_in.q": "q.dt"} {
				taps[value] = tap
			}
		}
		for value, tap := range taps {
			same(t, how+value, codes["layers.0."+value], want.ints("tap."+tap))
		}
		for i, v := range m.Func.States {
			if roleOf(v) == quant.SSMState {
				same(t, how+"state", ends[i].Data, want.floats("end.state"))
			} else {
				same(t, how+"window", ends[i].Ints, transposed(want.ints("end.conv"), len(want.floats("D"))))
			}
		}
	}
	ids := make([]int32, rows)
	for i := range ids {
		ids[i] = int32(i)
	}
	out, err := e.Step(ir.Inputs[float32]{IDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	compare("", out.NextStates)
	clear(floats)
	clear(codes)
	var states [][]float32
	for _, id := range ids {
		if out, err = e.Step(ir.Inputs[float32]{IDs: []int32{id}, States: states}); err != nil {
			t.Fatal(err)
		}
		states = out.States()
	}
	compare("row by row: ", out.NextStates)
}

// transposed turns [K, C] into [C, K].
func transposed(x []int64, c int) []int64 {
	out := make([]int64, len(x))
	k := len(x) / c
	for i, v := range x {
		out[i%c*k+i/c] = v
	}
	return out
}
