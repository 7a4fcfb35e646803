package passes

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// TestRows takes a table through two changes, by rows and as a whole, and stores it: nothing may depend on how many rows are read at a time.
func TestRows(t *testing.T) {
	const n, k = 70, 24
	x := make([]float64, n*k)
	for i := range x {
		x[i] = math.Sin(float64(i))
	}
	w, err := ir.NewWeight("w", ir.F32, []int{n, k}, x)
	if err != nil {
		t.Fatal(err)
	}
	released := 0
	w.Release = func() { released++ }
	g, err := ir.NewWeight("g", ir.F32, []int{k}, x[100:100+k])
	if err != nil {
		t.Fatal(err)
	}
	h, err := quant.NewHadamard(k)
	if err != nil {
		t.Fatal(err)
	}
	c := changedRows(changedRows(w, "folded", func(x []float64) error { return scaleColumns(x, g) }), "rotated", h.FoldInput)
	whole, err := elements(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{1, 7, n} {
		var parts []float64
		for lo := 0; lo < n; lo += step {
			part, err := ir.LoadRows(c, lo, min(lo+step, n))
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part...)
		}
		if d := cmp.Diff(whole, parts); d != "" {
			t.Errorf("%d rows at a time: %s", step, d)
		}
	}
	released = 0
	half := narrowed("half", ir.BF16, c)
	got, err := half.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	want, err := ir.Encode(ir.BF16, whole)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if released == 0 {
		t.Error("what was read is not released")
	}
}
