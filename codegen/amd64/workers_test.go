package amd64

import (
	"strings"
	"testing"

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
		eachCrowd(t, lib, d, steps, func(workers string, _ *modelContext, got spmdtest.Result) {
			if wrong := spmdtest.TallyWrong(got.Work, times*steps); len(wrong) > 0 {
				t.Errorf("%s:\n%s", workers, strings.Join(wrong, "\n"))
			}
		})
	})
}
