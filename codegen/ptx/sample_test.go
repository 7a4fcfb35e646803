package ptx

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/kernel/sampletest"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestSampler chooses tokens by the emitted text, for teams of one warp and of several: the same ones as the definition, and the same weights as the interpreter.
func TestSampler(t *testing.T) {
	for n, count := range map[int]int{1: 16, 17: 64, 33: 64, 509: 48, 1031: 32, sampletest.Large: 4} {
		for _, members := range []int{1, 3} {
			t.Run(fmt.Sprintf("%d by %d", n, members), func(t *testing.T) { checkSampler(t, gpuTarget(t, members), sampletest.Rows(n, count, 4)) })
		}
	}
}

func checkSampler(t *testing.T, target spmd.Target, rows []sampletest.Row) {
	team := target.Members * warp
	checkBedOn(t, target, func(t testing.TB, target spmd.Target) *spmdtest.Bed { return sampletest.Bed(t, target, rows) }, shape{2, 2 * team})
	d := sampletest.Bed(t, target, rows)
	s := shape{3, team}
	x := device(t, d, parsed(t, d.Program), s)
	x.u64(abi.Odds, x.at[abi.Logits]) // the weights overwrite the logits
	if r, err := x.step(t, s); err != nil || r != abi.Fine {
		t.Fatal(r, err)
	}
	for i, want := range sampletest.Want(rows) {
		if got := int32(binary.LittleEndian.Uint32(x.Bytes(x.at[abi.Chosen])[4*i:])); got != want {
			t.Errorf("row %d, %+v: the text chooses %d, the definition %d", i, rows[i].Params, got, want)
		}
	}
}

// TestStepsWithoutHost feeds steps the tokens that the steps before them chose, where these lie: nobody looks at them between two launches. The interpreter gets
// them by hand.
func TestStepsWithoutHost(t *testing.T) {
	for _, name := range []string{"mamba-tiny", "mamba2-tiny"} {
		t.Run(name, func(t *testing.T) {
			g := graph(t, name)
			p, weights := program(t, g, "ptx:sm_80", kernels.Options{MaxRows: 64, MaxSeqs: 4})
			rows := sampletest.Rows(p.Target.Lanes, 3*4, 9)
			in := spmd.StepInput{IDs: tokens(40, g.Vocab), SeqStart: []int32{0, 5, 39, 40}, SeqSlot: []int32{2, 0, 3}, OutRow: []int32{4, 38, 39}}
			next := spmd.StepInput{SeqStart: []int32{0, 1, 2, 3}, SeqSlot: in.SeqSlot, OutRow: []int32{0, 1, 2}}
			d := &spmdtest.Bed{Target: p.Target, Program: p, Weights: weights, Work: make([]byte, p.WorkBytes), State: make([]byte, spmdtest.Slots*p.SlotBytes), Input: in}
			machine, err := spmd.NewMachine(p, weights, spmdtest.Slots)
			if err != nil {
				t.Fatal(err)
			}
			d.Input.Sampling = samplingOf(rows[:3])
			s := shape{2, 8 * warp}
			x := device(t, d, parsed(t, p), s)
			for step := range 4 {
				in.Sampling = samplingOf(rows[3*step:][:3])
				if err := machine.Step(p, in); err != nil {
					t.Fatal(err)
				}
				if step == 1 {
					for field, xs := range map[int64][]int32{abi.SeqStart: next.SeqStart, abi.OutRow: next.OutRow} {
						for i, n := range xs {
							binary.LittleEndian.PutUint32(x.Bytes(x.at[field])[4*i:], uint32(n))
						}
					}
					x.u64(abi.Rows, 3)
					x.u64(abi.IDs, x.at[abi.Chosen])
				}
				for i, word := range in.Sampling {
					binary.LittleEndian.PutUint32(x.Bytes(x.at[abi.Sampling])[4*i:], uint32(word))
				}
				if r, err := x.step(t, s); err != nil || r != abi.Fine {
					t.Fatal(r, err)
				}
				next.IDs = machine.Chosen()
				in = next
				for i, want := range machine.Chosen() {
					if got := int32(binary.LittleEndian.Uint32(x.Bytes(x.at[abi.Chosen])[4*i:])); got != want {
						t.Errorf("step %d, sequence %d: the text chooses %d, the interpreter %d", step, i, got, want)
					}
				}
			}
		})
	}
}

func samplingOf(rows []sampletest.Row) (words []int32) {
	for _, r := range rows {
		w := r.Words()
		words = append(words, w[:]...)
	}
	return words
}
