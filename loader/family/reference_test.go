package family_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/golden"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader/family/familytest"
)

const testdata = "../../golden/testdata"

// trainedTolerance is for the trained models, whose references state none: float32 there against float32 here.
const trainedTolerance = 2e-4

// build opens and builds a model; the checkpoint stays open for the test.
func build(t *testing.T, name string) *ir.Module {
	t.Helper()
	return familytest.Build(t, filepath.Join(testdata, name))
}

func evaluator[F ir.Float](t *testing.T, m *ir.Module) *ir.Evaluator[F] {
	t.Helper()
	e, err := ir.NewEvaluator[F](m)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func step[F ir.Float](t *testing.T, e *ir.Evaluator[F], in ir.Inputs[F]) *ir.Outputs[F] {
	t.Helper()
	out, err := e.Step(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func reference(t *testing.T, name string) *golden.Reference {
	t.Helper()
	ref, err := golden.Open(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// within fails if the largest difference is above the limit, and logs it otherwise, so that a regression inside the limit is seen too.
func within[F ir.Float](t *testing.T, what string, got []F, want *golden.Array, limit float64) {
	t.Helper()
	d, err := golden.MaxDifference(got, want)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if !(d.Max <= limit) {
		t.Errorf("%s: %v, allowed %g", what, d, limit)
	} else {
		t.Logf("%s: %v", what, d)
	}
}

// TestFloat64 compares with the references' float64 logits.
func TestFloat64(t *testing.T) {
	for _, name := range golden.Tiny {
		t.Run(name, func(t *testing.T) {
			ref := reference(t, name)
			out := step(t, evaluator[float64](t, build(t, name)), ir.Inputs[float64]{IDs: ref.IDs})
			within(t, "logits", out.Returns[0].Data, ref.LogitsF64, 1e-6)
		})
	}
}

// TestFloat32 compares logits, every hidden state and every state with the references, within their tolerances.
func TestFloat32(t *testing.T) {
	for _, name := range golden.Tiny {
		t.Run(name, func(t *testing.T) {
			ref := reference(t, name)
			m := build(t, name)
			e := evaluator[float32](t, m)
			hidden := map[string][]float32{}
			e.Observe = func(name string, _ []int, data []float32) {
				if name == "embed" || name == "final_norm" || strings.HasSuffix(name, ".h") {
					hidden[name] = slices.Clone(data)
				}
			}
			out := step(t, e, ir.Inputs[float32]{IDs: ref.IDs})
			within(t, "embed", hidden["embed"], ref.Hidden[0], ref.ToleranceHidden)
			for i, want := range ref.Hidden[1:] {
				role := fmt.Sprintf("layers.%d.h", i)
				within(t, role, hidden[role], want, ref.ToleranceHidden)
			}
			within(t, "final_norm", hidden["final_norm"], ref.FinalNorm, ref.ToleranceHidden)
			within(t, "logits", out.Returns[0].Data, ref.LogitsF64, ref.ToleranceLogits)
			for i, want := range ref.States {
				conv, recurrent := layerState(m, out, i)
				within(t, fmt.Sprintf("state %d recurrent", i), recurrent, want.Recurrent, 1e-4*scale(want.Recurrent))
				newest := newestInputs(want.Conv)
				within(t, fmt.Sprintf("state %d conv", i), conv, newest, 1e-4*scale(newest))
			}
		})
	}
}

func scale(a *golden.Array) float64 {
	d, _ := golden.MaxDifference(a.Data, a)
	return d.Scale
}

// layerState finds a layer's states. The windows of x, B and C one after the other are the published state.
func layerState[F ir.Float](m *ir.Module, out *ir.Outputs[F], layer int) (conv, recurrent []F) {
	prefix := fmt.Sprintf("layers.%d.", layer)
	for i, s := range m.Func.States {
		switch role, ok := strings.CutPrefix(s.Name, prefix); {
		case ok && role == "ssm":
			recurrent = out.NextStates[i].Data
		case ok && strings.HasPrefix(role, "conv"):
			conv = append(conv, out.NextStates[i].Data...)
		}
	}
	return conv, recurrent
}

// newestInputs drops the oldest of the K inputs that a reference stores: going on needs K-1.
func newestInputs(a *golden.Array) *golden.Array {
	k := a.Shape[1]
	out := &golden.Array{Shape: []int{a.Shape[0], k - 1}}
	for c := range a.Shape[0] {
		out.Data = append(out.Data, a.Data[c*k+1:(c+1)*k]...)
	}
	return out
}

// inChunks runs a prompt piece by piece and returns the logits of all rows and the last outputs.
func inChunks[F ir.Float](t *testing.T, e *ir.Evaluator[F], ids []int32, sizes ...int) ([]F, *ir.Outputs[F]) {
	t.Helper()
	var logits []F
	var states [][]F
	var out *ir.Outputs[F]
	for i := 0; len(ids) > 0; i++ {
		n := min(sizes[i%len(sizes)], len(ids))
		out = step(t, e, ir.Inputs[F]{IDs: ids[:n], States: states})
		logits = append(logits, out.Returns[0].Data...)
		states = out.States()
		ids = ids[n:]
	}
	return logits, out
}

// TestChunks runs prompts one token at a time and in uneven chunks: logits and states must be those of one pass, to the last bit,
// because no sum of this evaluator depends on how rows are cut.
func TestChunks(t *testing.T) {
	for _, name := range slices.Concat(golden.Tiny, golden.Trained) {
		t.Run(name, func(t *testing.T) {
			ref := reference(t, name)
			e := evaluator[float32](t, build(t, name))
			want := step(t, e, ir.Inputs[float32]{IDs: ref.IDs})
			for _, sizes := range [][]int{{1}, {1, 5, 17}, {15, 16}} {
				logits, out := inChunks(t, e, ref.IDs, sizes...)
				if i := golden.SameBits(logits, want.Returns[0].Data); i >= 0 {
					t.Errorf("chunks %v: logits differ from one pass at element %d", sizes, i)
				}
				for k, s := range out.NextStates {
					if i := golden.SameBits(s.Data, want.NextStates[k].Data); i >= 0 {
						t.Errorf("chunks %v: state %d differs from one pass at element %d", sizes, k, i)
					}
				}
			}
		})
	}
}

// TestBatch runs sequences of several lengths in one step, an empty one among them: each must give what it gives alone.
func TestBatch(t *testing.T) {
	for _, name := range []string{"mamba-tiny", "mamba2-groups", "falcon-mamba-tiny"} {
		t.Run(name, func(t *testing.T) {
			ref := reference(t, name)
			m := build(t, name)
			e := evaluator[float32](t, m)
			start := []int{0, 17, 17, 18, 48}
			together := step(t, e, ir.Inputs[float32]{IDs: ref.IDs, SeqStart: start, Outs: []int32{47, 0, 17}})
			rows := [][]float32{}
			for s := range len(start) - 1 {
				alone := step(t, e, ir.Inputs[float32]{IDs: ref.IDs[start[s]:start[s+1]]})
				for r := range start[s+1] - start[s] {
					rows = append(rows, alone.Returns[0].Data[r*m.Vocab:(r+1)*m.Vocab])
				}
				for k, state := range alone.NextStates {
					n := len(state.Data)
					if i := golden.SameBits(together.NextStates[k].Data[s*n:(s+1)*n], state.Data); i >= 0 {
						t.Errorf("state %d of sequence %d differs at element %d", k, s, i)
					}
				}
			}
			if i := golden.SameBits(together.Returns[0].Data, slices.Concat(rows[47], rows[0], rows[17])); i >= 0 {
				t.Errorf("logits differ at element %d", i)
			}
		})
	}
}

// TestGreedy continues each prompt with the largest logit.
func TestGreedy(t *testing.T) {
	for _, name := range slices.Concat(golden.Tiny, golden.Trained) {
		t.Run(name, func(t *testing.T) {
			ref := reference(t, name)
			e := evaluator[float32](t, build(t, name))
			in := ir.Inputs[float32]{IDs: ref.IDs, Outs: []int32{int32(len(ref.IDs) - 1)}}
			var got []int32
			for range ref.Generated {
				out := step(t, e, in)
				id := int32(golden.Argmax(out.Returns[0].Data))
				got = append(got, id)
				in = ir.Inputs[float32]{IDs: []int32{id}, States: out.States()}
			}
			if !slices.Equal(got, ref.Generated) {
				t.Errorf("generated %v\nwant      %v", got, ref.Generated)
			}
		})
	}
}

// TestTrained compares the trained models' logits, in both precisions: their references were computed in float32.
func TestTrained(t *testing.T) {
	for _, name := range golden.Trained {
		t.Run(name, func(t *testing.T) {
			ref := reference(t, name)
			m := build(t, name)
			within(t, "float32", step(t, evaluator[float32](t, m), ir.Inputs[float32]{IDs: ref.IDs}).Returns[0].Data, ref.Logits, trainedTolerance)
			within(t, "float64", step(t, evaluator[float64](t, m), ir.Inputs[float64]{IDs: ref.IDs}).Returns[0].Data, ref.Logits, trainedTolerance)
		})
	}
}

// TestTwins compares the checkpoints of the original package with those of the same weights: only names differ.
func TestTwins(t *testing.T) {
	for original, twin := range map[string]string{"mamba-original": "mamba-tiny", "mamba2-original": "mamba2-tiny"} {
		ids := reference(t, twin).IDs
		a := step(t, evaluator[float32](t, build(t, original)), ir.Inputs[float32]{IDs: ids})
		b := step(t, evaluator[float32](t, build(t, twin)), ir.Inputs[float32]{IDs: ids})
		if i := golden.SameBits(a.Returns[0].Data, b.Returns[0].Data); i >= 0 {
			t.Errorf("%s and %s differ at element %d", original, twin, i)
		}
	}
}
