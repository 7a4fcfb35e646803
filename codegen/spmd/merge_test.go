package spmd_test

import (
	"slices"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// scales makes three kernels that differ in constants alone; what a target has of these, and in which order, is up to it.
func scales(t *testing.T, lanes int) *spmd.Program {
	d := spmdtest.New(t, spmd.Target{Name: "test", Lanes: lanes, Registers: 16, Members: 1})
	for i, c := range [][3]float32{{2, 0.5, 3}, {5, 0.25, 3}, {7, -1.5, 3}} {
		d.Kernel([]string{"a", "b", "c"}[i], spmdtest.One, func(k *spmdtest.Body) {
			if lanes == 16 {
				slices.Reverse(c[:])
			}
			y := k.Output(spmd.F32, 4)
			for j, x := range c {
				k.Store(y, nil, int64(j), k.F(x))
			}
			if lanes == 8 {
				k.Store(y, nil, 3, k.Add(k.F(c[0]), k.F(float32(i))))
			}
		})
	}
	return d.Done().Program
}

// TestMergeTogether merges programs of two targets: their launches must come out the same.
func TestMergeTogether(t *testing.T) {
	a, b := scales(t, 8), scales(t, 16)
	merged := spmd.Merge(a, b)
	for i, varies := range []int{3, 2} { // the first one has the kernel's number too
		if m := merged[i]; len(m.Kernels) != 1 || len(m.Varies) != varies {
			t.Errorf("program %d: %d kernels with %d constants that vary; want 1 and %d", i, len(m.Kernels), len(m.Varies), varies)
		}
	}
	for i := range a.Phases {
		x, y := merged[0].Phases[i].Launches[0], merged[1].Phases[i].Launches[0]
		if !slices.Equal(x.Args, y.Args) || len(x.Args) != 4 || x.Kernel != 0 {
			t.Errorf("launch %d: %v and %v; want the same, with 4 arguments", i, x, y)
		}
		if got := len(a.Phases[i].Launches[0].Args); got != 1 {
			t.Errorf("launch %d: the program itself was changed, it has %d arguments", i, got)
		}
	}
}
