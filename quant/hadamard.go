package quant

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"sync"

	"github.com/ssmc/ssmc/internal/hadamard"
)

// Hadamard is the rotation of vectors of N elements by H_N / sqrt(N), H_N = H_M (x) S_K: Sylvester's matrix of order 2^K on the fast axis, a small
// dense matrix on the slow one. Where N has no such form it is block-diagonal, Blocks equal blocks with a rotation each.
//
// The order of additions is part of the definition, as it decides the roundings of float32: stages (a + b, a - b) at stride 1, 2, ... 2^(K-1), then the
// rows of H_M summed from left to right (H_40 as two H_20 and one more stage). H_M need not be symmetric: it always stands left of the vector.
// A Hadamard is never changed after it is made; any number of goroutines may use it.
type Hadamard struct {
	N, Blocks, M, K int

	sums *hadamard.Transform // by H, or by H transposed
	flip []bool              // elements whose sign changes first (last if transposed); nil for none

	transposed bool
}

// Factor is the rule for N = blocks * m * 2^k. Blocks above 1 is the last resort, a block-diagonal rotation; (n, 1, 0) says that there is none worth
// having, as a block would have fewer than 8 elements.
func Factor(n int) (blocks, m, k int) {
	if n <= 0 {
		return n, 1, 0
	}
	log := func(v int) int { return bits.TrailingZeros(uint(v)) }
	isPower := func(v int) bool { return v&(v-1) == 0 }
	if isPower(n) {
		return 1, 1, log(n)
	}
	for _, m := range [...]int{12, 40} {
		if n%m == 0 && isPower(n/m) {
			return 1, m, log(n / m)
		}
	}
	two := n & -n
	odd := n / two
	if odd <= hadamard.MaxDense/4 {
		for m := 4 * odd; m <= min(n, hadamard.MaxDense); m *= 2 {
			if _, err := hadamard.Matrix(m); err == nil {
				return 1, m, log(n / m)
			}
		}
	}
	if two >= 8 {
		return odd, 1, log(two)
	}
	return n, 1, 0
}

// NewHadamard is the rotation of width n by the rule of Factor.
func NewHadamard(n int) (*Hadamard, error) {
	blocks, m, k := Factor(n)
	if n <= 0 || blocks == n && n > 1 {
		return nil, fmt.Errorf("no Hadamard rotation has width %d: it is neither a small Hadamard order times a power of two nor divisible by 8", n)
	}
	return NewHadamardOf(blocks, m, k)
}

// NewHadamardOf is the rotation of blocks * m * 2^k elements with just these factors, for a checkpoint that was rotated by another rule.
func NewHadamardOf(blocks, m, k int) (*Hadamard, error) {
	sums, err := hadamard.New(blocks, m, k)
	if err != nil {
		return nil, err
	}
	if sums.N() > math.MaxInt32 {
		return nil, fmt.Errorf("Hadamard factors %d x %d x 2^%d are out of bounds", blocks, m, k)
	}
	return &Hadamard{N: sums.N(), Blocks: blocks, M: m, K: k, sums: sums}, nil
}

// WithSigns is the rotation with random signs in front: y = H (sigma * x). Where activations have a mean, a plain H turns it into one spike.
func (h *Hadamard) WithSigns(seed uint64) *Hadamard {
	s := *h
	s.flip = Signs(seed, h.N)
	return &s
}

// Transpose is the inverse rotation: the transform with H transposed, in the same order of stages.
func (h *Hadamard) Transpose() *Hadamard {
	t := *h
	t.sums, t.transposed = h.sums.Transpose(), !h.transposed
	return &t
}

// Block is the number of elements that are mixed with each other; its root is the norm of H.
func (h *Hadamard) Block() int { return h.N / h.Blocks }

// Dense is the matrix of the slow axis, row-major, and its order: 20 for M = 40. It must not be written.
func (h *Hadamard) Dense() (elements []int8, order int) { return h.sums.Dense() }

// Signs says which of n elements are negated under a seed: the lowest bits of splitmix64's first n numbers.
func Signs(seed uint64, n int) []bool {
	s := make([]bool, n)
	for i := range s {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		s[i] = (z^z>>31)&1 == 1
	}
	return s
}

// Sum transforms x, of N elements, in place and without the division by sqrt(Block): what runs for every token, to the bit.
func (h *Hadamard) Sum(x []float32) { hadamardSum(h, x) }

// Apply rotates x, of N elements, in place: orthonormal, in float64.
func (h *Hadamard) Apply(x []float64) {
	hadamardSum(h, x)
	f := 1 / math.Sqrt(float64(h.Block()))
	for i := range x {
		x[i] *= f
	}
}

func hadamardSum[F float32 | float64](h *Hadamard, x []F) {
	if !h.transposed {
		flip(h, x)
	}
	hadamard.Sum(h.sums, x)
	if h.transposed {
		flip(h, x)
	}
}

func flip[F float32 | float64](h *Hadamard, x []F) {
	for i, f := range h.flip {
		if f {
			x[i] = -x[i]
		}
	}
}

// FoldInput gives weights [rows, N] that read a rotated vector what they need: W <- W H^T / sqrt(N), each row rotated.
func (h *Hadamard) FoldInput(w []float64) error {
	if len(w)%h.N != 0 {
		return fmt.Errorf("a weight of %d elements has no rows of %d to rotate", len(w), h.N)
	}
	parallel(len(w)/h.N, 16, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			h.Apply(w[r*h.N : (r+1)*h.N])
		}
	})
	return nil
}

// FoldOutput makes weights [N, cols] write a rotated vector: W <- H W / sqrt(N), each column rotated.
func (h *Hadamard) FoldOutput(w []float64, cols int) error {
	if cols <= 0 || len(w) != h.N*cols {
		return fmt.Errorf("a weight of %d elements is not [%d, %d]: its columns cannot be rotated", len(w), h.N, cols)
	}
	parallel(cols, 8, func(lo, hi int) {
		column := make([]float64, h.N)
		for c := lo; c < hi; c++ {
			for i := range column {
				column[i] = w[i*cols+c]
			}
			h.Apply(column)
			for i, v := range column {
				w[i*cols+c] = v
			}
		}
	})
	return nil
}

// parallel calls work for pieces of 0..n, each of at most size, on all processors. Pieces share nothing, so the result does not depend on their order.
func parallel(n, size int, work func(lo, hi int)) {
	workers := min(runtime.GOMAXPROCS(0), (n+size-1)/size)
	if workers <= 1 {
		for lo := 0; lo < n; lo += size {
			work(lo, min(lo+size, n))
		}
		return
	}
	pieces := make(chan int)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for lo := range pieces {
				work(lo, min(lo+size, n))
			}
		})
	}
	for lo := 0; lo < n; lo += size {
		pieces <- lo
	}
	close(pieces)
	wait.Wait()
}
