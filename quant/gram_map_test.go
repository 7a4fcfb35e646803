package quant

import (
	"math"
	"testing"
)

// Moments of rotated rows are those of the rows, mapped.
func TestGramMap(t *testing.T) {
	for _, k := range []int{1, 8, 12, 20} {
		h, err := NewHadamard(k)
		if err != nil {
			t.Fatal(err)
		}
		plain, turned := newGram(t, k), newGram(t, k)
		r := uint64(7)
		for range 9 {
			x, y := make([]float32, k), make([]float64, k)
			for i := range x {
				r = r*6364136223846793005 + 1442695040888963407
				x[i] = float32(r>>40) / (1 << 24)
				y[i] = float64(x[i])
			}
			h.Apply(y)
			if err := plain.Add(x); err != nil {
				t.Fatal(err)
			}
			for i, v := range y {
				x[i] = float32(v)
			}
			if err := turned.Add(x); err != nil {
				t.Fatal(err)
			}
		}
		got, err := plain.Map(func(x []float64) error { h.Apply(x); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for i := range k {
			for j := range k {
				if d := math.Abs(got.At(i, j) - turned.At(i, j)); d > 1e-5 || got.Rows != 9 {
					t.Errorf("width %d, %d rows: (%d, %d) is %v, want %v", k, got.Rows, i, j, got.At(i, j), turned.At(i, j))
				}
			}
		}
	}
}

func newGram(t *testing.T, k int) *Gram {
	t.Helper()
	g, err := NewGram(k)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
