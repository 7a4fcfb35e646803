package amd64

import (
	"runtime"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestTally counts how often each tile of a step runs, with fewer and with more workers than cores, so that some are held up and lend.
func TestTally(t *testing.T) {
	const times, steps = 20, 3
	tally := func(t testing.TB, target spmd.Target) *spmd.Program { return spmdtest.Tally(t, target, times).Program }
	eachLibrary(t, "tally", tally, func(t *testing.T, lib *library) {
		target, err := Target("x86-64-v3")
		if err != nil {
			t.Fatal(err)
		}
		d := spmdtest.Tally(t, target, times)
		for workers := 1; workers <= 8; workers++ {
			for _, spin := range []uint32{0, 20, 2000} {
				if spin == 2000 && workers > runtime.NumCPU() {
					continue // each barrier would wait for time slices to end
				}
				c, got := stepContext(t, d, 0, workers)
				c.u32(abi.Spin, spin)
				for range steps {
					for w, r := range lib.stepAll(c, workers) {
						if r != abi.Fine {
							t.Fatalf("%d workers: worker %d gives %d", workers, w, r)
						}
					}
				}
				if wrong := spmdtest.TallyWrong(got.Work, times*steps); len(wrong) > 0 {
					t.Errorf("%d workers, spin %d:\n%s", workers, spin, strings.Join(wrong, "\n"))
				}
			}
		}
	})
}
