package ptx

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
	"github.com/ssmc/ssmc/ir"
)

// TestFast lets products of many rows be of bf16, or of tf32: of weights that are bf16, and of float32 ones. Logits come close to the evaluator's and are not the same;
// without the option, and with few rows, nothing of the kind is done.
func TestFast(t *testing.T) {
	const target = "ptx:sm_80" // for what is the same on all
	for _, name := range []string{"mamba-bf16", "mamba-tiny", "mamba2-groups"} {
		t.Run(name, func(t *testing.T) {
			g := graph(t, name)
			in := spmd.StepInput{IDs: tokens(141, g.Vocab), SeqStart: []int32{0, 100, 102, 141}, SeqSlot: []int32{1, 2, 0}}
			for i := range int32(70) { // so many that the head's product is one of many rows too
				in.OutRow = append(in.OutRow, 2*i)
			}
			want := evaluate(t, g, in)
			exact := difference(t, g, target, in, want, kernels.Options{MaxRows: 160, MaxSeqs: 4})
			for _, target := range []string{target, "ptx:sm_90a"} {
				fast := difference(t, g, target, in, want, kernels.Options{MaxRows: 160, MaxSeqs: 4, Fast: true})
				t.Logf("%s: logits are off by %.2g fast, %.2g exact", target, fast, exact)
				if fast > 0.02 || fast < 4*exact {
					t.Errorf("%s: fast logits are off by %g, exact ones by %g", target, fast, exact)
				}
			}
			in.IDs, in.SeqStart, in.SeqSlot, in.OutRow = in.IDs[:40], []int32{0, 40}, []int32{0}, []int32{39}
			few := difference(t, g, target, in, evaluate(t, g, in), kernels.Options{MaxRows: 160, MaxSeqs: 4, Fast: true})
			if few > 4*exact {
				t.Errorf("logits of few rows are off by %g", few)
			}
		})
	}
}

// evaluate gives the logits of the graph in float64.
func evaluate(t *testing.T, g *ir.Module, in spmd.StepInput) []float64 {
	t.Helper()
	e, err := ir.NewEvaluator[float64](g)
	if err != nil {
		t.Fatal(err)
	}
	inputs := ir.Inputs[float64]{IDs: in.IDs, Outs: in.OutRow}
	for _, at := range in.SeqStart {
		inputs.SeqStart = append(inputs.SeqStart, int(at))
	}
	out, err := e.Step(inputs)
	if err != nil {
		t.Fatal(err)
	}
	return out.Returns[0].Data
}

// difference is the root of the mean square of what the emulated logits are off, over that of the logits that are wanted.
func difference(t *testing.T, g *ir.Module, target string, in spmd.StepInput, want []float64, o kernels.Options) float64 {
	t.Helper()
	p, weights := program(t, g, target, o)
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := emu.Parse("fast.ptx", string(text))
	if err != nil {
		t.Fatal(err)
	}
	if inexact := len(m.Inexact) > 0; inexact != o.Fast {
		t.Errorf("instructions whose result is not defined to the bit: %v", m.Inexact)
	}
	if a, err := FindAssembler(); err == nil && o.Fast {
		assemble(t, a, text, target)
	}
	d := &spmdtest.Bed{Target: p.Target, Program: p, Weights: weights, Work: make([]byte, p.WorkBytes), State: make([]byte, spmdtest.Slots*p.SlotBytes), Input: in}
	s := shape{3, blockThreads}
	x := device(t, d, m, s)
	if r, err := x.step(t, s); err != nil || r != abi.Fine {
		t.Fatalf("the step gives %d, %v", r, err)
	}
	logits := x.Bytes(x.at[abi.Logits])
	off, all := 0.0, 0.0
	for i := range in.OutRow {
		for c := range p.Vocab {
			w := want[int64(i)*p.Vocab+c]
			got := float64(math.Float32frombits(binary.LittleEndian.Uint32(logits[4*(int64(i)*p.LogitsStride+c):])))
			if math.IsNaN(got) {
				t.Fatalf("logit %d of row %d is no number", c, i)
			}
			off, all = off+(got-w)*(got-w), all+w*w
		}
	}
	return math.Sqrt(off / all)
}
