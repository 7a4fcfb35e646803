package ptx

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
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
