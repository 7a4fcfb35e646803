package kernel_test

import (
	"fmt"
	"testing"

	"github.com/ssmc/ssmc/codegen/kernel/sampletest"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// TestSampler holds the kernel against the definition, in the interpreter, for each number of lanes.
func TestSampler(t *testing.T) {
	rows := map[int][]sampletest.Row{sampletest.Large: sampletest.Rows(sampletest.Large, 16, 3)}
	for _, n := range sampletest.Sizes {
		rows[n] = sampletest.Rows(n, 240, 1)
	}
	for _, target := range []spmd.Target{
		{Name: "8 lanes", Lanes: 8, Registers: 16, L1: 32 << 10, L2: 512 << 10, Members: 1},
		{Name: "16 lanes", Lanes: 16, Registers: 32, L1: 32 << 10, L2: 1 << 20, Members: 1},
		{Name: "32 lanes", Lanes: 32, Registers: 255, L1: 32 << 10, L2: 1 << 20, Members: 1},
		{Name: "4 members", Lanes: 32, Registers: 255, L1: 32 << 10, L2: 1 << 20, Members: 4},
	} {
		for n, rows := range rows {
			t.Run(fmt.Sprintf("%s/%d", target.Name, n), func(t *testing.T) { checkSampler(t, target, rows) })
		}
	}
}

func checkSampler(t *testing.T, target spmd.Target, rows []sampletest.Row) {
	d := sampletest.Bed(t, target, rows)
	m, err := spmd.NewMachine(d.Program, d.Weights, 2)
	if err != nil {
		t.Fatal(err)
	}
	m.Races, m.Seed = true, 7
	if err := m.Step(d.Program, d.Input); err != nil {
		t.Fatal(err)
	}
	want := sampletest.Want(rows)
	for i, id := range m.Chosen() {
		if id != want[i] {
			t.Errorf("row %d, %+v: the kernel chooses %d, the definition %d", i, rows[i].Params, id, want[i])
		}
	}
}
