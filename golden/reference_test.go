package golden

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpen(t *testing.T) {
	for _, name := range append(append([]string(nil), Tiny...), Trained...) {
		r, err := Open(filepath.Join("testdata", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(r.IDs) != r.Logits.Shape[0] || len(r.Generated) == 0 {
			t.Errorf("%s: %d ids, logits %v, %d generated", name, len(r.IDs), r.Logits.Shape, len(r.Generated))
		}
	}
	for _, name := range Tiny {
		r, err := Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if r.Truth() != r.LogitsF64 || len(r.Hidden) != len(r.States)+1 || r.FinalNorm == nil || r.ToleranceLogits == 0 || r.ToleranceHidden == 0 {
			t.Errorf("%s: something is missing: %d hidden, %d states, tolerances %g %g", name, len(r.Hidden), len(r.States), r.ToleranceLogits, r.ToleranceHidden)
		}
	}
	if _, err := Open("testdata"); err == nil {
		t.Error("a folder without a reference opens")
	}
}

func TestMaxDifference(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		got, want []float64
		shape     []int
		max       float64
		at        []int
	}{
		{[]float64{1, 2, 3, 4, 5, 6}, []float64{1, 2, 3, 4, 5.5, 6}, []int{2, 3}, 0.5, []int{1, 1}},
		{[]float64{1, 2}, []float64{1, 2}, []int{2}, 0, []int{0}},
		{[]float64{1, nan}, []float64{0, nan}, []int{2}, 1, []int{0}},
		{[]float64{1, nan}, []float64{0, 2}, []int{2}, math.Inf(1), []int{1}},
		{[]float64{1, 2}, []float64{0, nan}, []int{2}, math.Inf(1), []int{1}},
		{nil, nil, []int{0, 3}, 0, nil},
	} {
		d, err := MaxDifference(c.got, &Array{c.shape, c.want})
		if err != nil || d.Max != c.max || cmp.Diff(c.at, d.At) != "" {
			t.Errorf("%v against %v: %v, %v", c.got, c.want, d, err)
		}
	}
	if _, err := MaxDifference([]float32{1}, &Array{[]int{2}, []float64{1, 2}}); err == nil {
		t.Error("different numbers of elements are compared")
	}
	d, err := MaxDifference([]float32{1, -3}, &Array{[]int{2}, []float64{1, -4}})
	if err != nil || d.Relative() != 0.25 {
		t.Errorf("relative %v, %v", d.Relative(), err)
	}
}

func TestSmallHelpers(t *testing.T) {
	negative := float32(math.Copysign(0, -1))
	for _, c := range []struct {
		a, b []float32
		want int
	}{{[]float32{1, 2}, []float32{1, 2}, -1}, {[]float32{1, 0}, []float32{1, negative}, 1}, {[]float32{1}, []float32{1, 2}, 1}, {nil, nil, -1}} {
		if got := SameBits(c.a, c.b); got != c.want {
			t.Errorf("SameBits(%v, %v) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if got := Argmax([]float64{-1, 5, 5, 2}); got != 1 {
		t.Errorf("Argmax = %d", got)
	}
	a := &Array{[]int{3, 2}, []float64{1, 2, 3, 4, 5, 6}}
	if d := cmp.Diff(&Array{[]int{2, 2}, []float64{3, 4, 5, 6}}, a.Rows(1, 3)); d != "" {
		t.Error(d)
	}
}
