package hadamard

import (
	"math/rand/v2"
	"testing"
)

// TestMatrix: every matrix has orthogonal rows, and orders without one are refused.
func TestMatrix(t *testing.T) {
	for m := -1; m <= 72; m++ {
		h, err := Matrix(m)
		want := map[int]bool{1: true, 4: true, 8: true, 12: true, 20: true, 24: true, 28: true, 32: true, 36: true, 40: true, 44: true, 48: true, 60: true}[m]
		if (err == nil) != want {
			t.Errorf("order %d: %v", m, err)
		}
		if err != nil {
			continue
		}
		for i := range m {
			for j := range m {
				dot := 0
				for k := range m {
					dot += int(h[i*m+k]) * int(h[j*m+k])
				}
				if dot != 0 && i != j || i == j && dot != m {
					t.Fatalf("order %d: rows %d and %d have product %d", m, i, j, dot)
				}
			}
		}
	}
}

// TestSum compares with the matrix itself, on whole numbers, which have no roundings.
func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, z := range [][3]int{{1, 1, 0}, {1, 1, 5}, {1, 12, 0}, {1, 12, 3}, {1, 40, 0}, {1, 40, 2}, {2, 40, 1}, {3, 1, 3}, {5, 20, 1}, {2, 60, 0}} {
		tr, err := New(z[0], z[1], z[2])
		if err != nil {
			t.Fatal(err)
		}
		h, err := Matrix(tr.M)
		if err != nil {
			t.Fatal(err)
		}
		n := tr.M << tr.K
		sylvester := []int8{1}
		for k := range tr.K {
			sylvester = kron([]int8{1, 1, 1, -1}, 2, sylvester, 1<<k)
		}
		full := kron(h, tr.M, sylvester, 1<<tr.K)
		x := make([]float32, tr.N())
		wide := make([]float64, tr.N())
		for i := range x {
			x[i] = float32(r.IntN(21) - 10)
			wide[i] = float64(x[i])
		}
		var want []float32
		for b := range tr.Blocks {
			for i := range n {
				var sum float32
				for j := range n {
					sum += float32(full[i*n+j]) * x[b*n+j]
				}
				want = append(want, sum)
			}
		}
		original := append([]float32(nil), x...)
		Sum(tr, x)
		back := append([]float32(nil), x...)
		Sum(tr.Transpose(), back)
		for i, v := range back {
			if v != original[i]*float32(n) {
				t.Fatalf("%v: back element %d is %v, want %d times %v", z, i, v, n, original[i])
			}
		}
		Sum(tr, wide)
		for i := range want {
			if x[i] != want[i] || wide[i] != float64(want[i]) {
				t.Fatalf("%v: element %d is %v and %v, want %v", z, i, x[i], wide[i], want[i])
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, z := range [][3]int{{0, 1, 1}, {1, 0, 1}, {1, 1, -1}, {1, 1, 31}, {1, 16, 1}, {1, 100, 1}, {1 << 40, 1, 1}, {1, 2, 1}} {
		if _, err := New(z[0], z[1], z[2]); err == nil {
			t.Errorf("%v is accepted", z)
		}
	}
	if tr, err := New(2, 12, 3); err != nil || tr.N() != 192 {
		t.Errorf("%v", err)
	}
}
