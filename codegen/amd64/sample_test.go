package amd64

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/kernel/sampletest"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestSampler chooses tokens by machine code: the same ones as the definition, and the same weights as the interpreter.
func TestSampler(t *testing.T) {
	levels := []string{"x86-64-v3", "x86-64-v4"}
	for _, n := range []int{1, 16, 33, 509, 1031, sampletest.Large} {
		rows := sampletest.Rows(n, 120, 2)
		if n == sampletest.Large {
			rows = rows[:16]
		}
		bed := func(t testing.TB, target spmd.Target) *spmdtest.Bed { return sampletest.Bed(t, target, rows) }
		checkBedOf(t, levels, fmt.Sprint("sample", n), bed, 1, 3)
		program := func(t testing.TB, target spmd.Target) *spmd.Program { return bed(t, target).Program }
		eachLibraryOf(t, levels, fmt.Sprint("sample", n), program, func(t *testing.T, lib *library) {
			levelsHere(t, lib, func(t *testing.T, level int32, target spmd.Target) {
				checkInPlace(t, lib, level, bed(t, target), sampletest.Want(rows))
			})
		})
	}
}

// checkInPlace lets the weights overwrite the logits.
func checkInPlace(t *testing.T, lib *library, level int32, d *spmdtest.Bed, want []int32) {
	c, got := stepContext(t, d, level, 1)
	c.point(abi.Odds, got.Logits)
	if r := lib.stepAll(c, 1)[0]; r != abi.Fine {
		t.Fatalf("model_step gives %d", r)
	}
	for i, id := range unsafe.Slice((*int32)(unsafe.Pointer(&got.Chosen[0])), len(want)) {
		if id != want[i] {
			t.Errorf("row %d: machine code chooses %d, the definition %d", i, id, want[i])
		}
	}
}
