package quant

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/internal/hadamard"
)

func TestSmallMatrices(t *testing.T) {
	r := openReference(t, "hadamard")
	for _, m := range []int{12, 20, 28, 36, 40, 44} {
		got, err := hadamard.Matrix(m)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("matrix %d", m), got, r.i8(fmt.Sprintf("matrix.%d", m)))
	}
}

// referenceHadamard is the rotation of a key of the reference file: 2560, or 2560.m20 for other factors.
func referenceHadamard(t *testing.T, key string) *Hadamard {
	t.Helper()
	size, small, other := strings.Cut(key, ".m")
	n, err := strconv.Atoi(size)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHadamard(n)
	if other {
		m, _ := strconv.Atoi(small)
		h, err = NewHadamardOf(1, m, int(math.Log2(float64(n/m))))
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHadamardReference(t *testing.T) {
	r := openReference(t, "hadamard")
	for _, key := range []string{"64", "128", "96", "768", "1536", "2560", "5120", "2560.m20", "5120.m20", "144", "224", "200"} {
		h := referenceHadamard(t, key)
		same(t, "factors of "+key, []int64{int64(h.Blocks), int64(h.M), int64(h.K)}, r.ints("factor."+key))
		x, sum, y := r.f32("x."+key), r.f32("sum."+key), r.f32("y."+key)
		for i := 0; i < len(x); i += h.N {
			row, exact := append([]float32(nil), x[i:i+h.N]...), wide(x[i:i+h.N])
			h.Sum(row)
			sameBits(t, "sum of "+key, row, sum[i:i+h.N])
			h.Apply(exact)
			var norm float64
			for _, v := range exact {
				norm += v * v
			}
			for j, v := range exact {
				if math.Abs(v-float64(y[i+j])) > 4e-7*math.Sqrt(norm) {
					t.Fatalf("y of %s: element %d is %v, want %v", key, i+j, v, y[i+j])
				}
			}
		}
	}
}

func TestFactor(t *testing.T) {
	for _, c := range []struct{ n, blocks, m, k int }{
		{1, 1, 1, 0}, {2, 1, 1, 1}, {4096, 1, 1, 12}, {12, 1, 12, 0}, {24, 1, 12, 1}, {768, 1, 12, 6}, {40, 1, 40, 0}, {2560, 1, 40, 6}, {20, 1, 20, 0},
		{28, 1, 28, 0}, {56, 1, 28, 1}, {36, 1, 36, 0}, {44, 1, 44, 0}, {60, 1, 60, 0}, {960, 1, 60, 4}, {200, 25, 1, 3}, {104, 13, 1, 3}, {416, 13, 1, 5},
		{100, 100, 1, 0}, {7, 7, 1, 0}, {17, 17, 1, 0}, {52, 52, 1, 0}, {0, 0, 1, 0}, {-8, -8, 1, 0}, {3072, 1, 12, 8}, {5120, 1, 40, 7},
	} {
		if b, m, k := Factor(c.n); b != c.blocks || m != c.m || k != c.k {
			t.Errorf("Factor(%d) = %d, %d, %d, want %d, %d, %d", c.n, b, m, k, c.blocks, c.m, c.k)
		}
		_, err := NewHadamard(c.n)
		if refused := c.blocks == c.n && c.n != 1; (err != nil) != refused {
			t.Errorf("NewHadamard(%d): error %v", c.n, err)
		}
	}
	for _, f := range [][3]int{{0, 1, 3}, {1, 52, 0}, {1, 1, 31}, {1, 0, 2}, {1 << 20, 64, 20}, {1, 1, -1}} {
		if _, err := NewHadamardOf(f[0], f[1], f[2]); err == nil {
			t.Errorf("factors %v are accepted", f)
		}
	}
}

// TestInverse rotates there and back, with and without signs, in all kinds of widths.
func TestInverse(t *testing.T) {
	r := random(3)
	for _, n := range []int{1, 2, 16, 24, 40, 80, 36, 44, 60, 200, 768} {
		plain, err := NewHadamard(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []*Hadamard{plain, plain.WithSigns(42)} {
			x := wide(normal32(r, n))
			y := append([]float64(nil), x...)
			h.Apply(y)
			h.Transpose().Apply(y)
			for i := range x {
				if math.Abs(x[i]-y[i]) > 1e-14*float64(n) {
					t.Fatalf("width %d, signs %v: element %d comes back as %v, was %v", n, h.flip != nil, i, y[i], x[i])
				}
			}
		}
	}
}

// TestFold checks that a folded reader and writer of a rotated vector compute what the plain ones do.
func TestFold(t *testing.T) {
	const rows = 17
	r := random(5)
	for _, n := range []int{16, 24, 40, 200} {
		plain, err := NewHadamard(n)
		if err != nil {
			t.Fatal(err)
		}
		h := plain.WithSigns(9)
		x, w := wide(normal32(r, n)), wide(normal32(r, rows*n))
		want := times(w, x)
		rotated, folded := append([]float64(nil), x...), append([]float64(nil), w...)
		h.Apply(rotated)
		if err := h.FoldInput(folded); err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("reader of width %d", n), times(folded, rotated), want, 1e-12)

		out, z := wide(normal32(r, n*rows)), wide(normal32(r, rows))
		want = times(out, z)
		h.Apply(want)
		if err := h.FoldOutput(out, rows); err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("writer of width %d", n), times(out, z), want, 1e-12)
	}
	h, _ := NewHadamard(16)
	if h.FoldInput(make([]float64, 17)) == nil || h.FoldOutput(make([]float64, 17), 1) == nil || h.FoldOutput(nil, 0) == nil {
		t.Error("weights of a wrong size are folded")
	}
}

// times is a matrix, row-major, times a vector.
func times(w, x []float64) []float64 {
	y := make([]float64, len(w)/len(x))
	for i, v := range w {
		y[i/len(x)] += v * x[i%len(x)]
	}
	return y
}

func near(t *testing.T, what string, got, want []float64, relative float64) {
	t.Helper()
	var norm float64
	for _, v := range want {
		norm += v * v
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= relative*math.Sqrt(norm)) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestSigns(t *testing.T) {
	s := Signs(1, 4096)
	negative := 0
	for _, f := range s {
		if f {
			negative++
		}
	}
	if negative < 1900 || negative > 2200 {
		t.Errorf("%d of 4096 signs are negative", negative)
	}
	same(t, "a prefix", Signs(1, 17), s[:17])
	var first uint64
	for i := range 64 {
		if s[i] {
			first |= 1 << i
		}
	}
	if first != signsOfSeed1 {
		t.Errorf("the first signs of seed 1 are %#x: artefacts that were rotated with a seed would no longer load right", first)
	}
}

func BenchmarkHadamard(b *testing.B) {
	for _, n := range []int{1536, 5120} {
		h, _ := NewHadamard(n)
		x := make([]float32, n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				h.Sum(x)
			}
		})
	}
}

// signsOfSeed1 is what splitmix64 gives: its published first output for seed 1 is 0x910a2dec89025cc1, an odd number.
const signsOfSeed1 = 0xa1c916351f4384db
