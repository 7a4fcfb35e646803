package quant

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"sync"
)

// Hadamard is the rotation of vectors of N elements by H_N / sqrt(N), H_N = H_M (x) S_K: Sylvester's matrix of order 2^K on the fast axis, a small
// dense matrix on the slow one. Where N has no such form it is block-diagonal, Blocks equal blocks with a rotation each.
//
// The order of additions is part of the definition, as it decides the roundings of float32: stages (a + b, a - b) at stride 1, 2, ... 2^(K-1), then the
// rows of H_M summed from left to right (H_40 as two H_20 and one more stage). H_M need not be symmetric: it always stands left of the vector.
// A Hadamard is never changed after it is made; any number of goroutines may use it.
type Hadamard struct {
	N, Blocks, M, K int

	part  int    // order of the dense matrix: M, or 20 of 40
	dense matrix // transposed if the rotation is
	flip  []bool // elements whose sign changes first (last if transposed); nil for none

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
	if odd <= maxDense/4 {
		for m := 4 * odd; m <= min(n, maxDense); m *= 2 {
			if _, err := smallMatrix(m); err == nil {
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
	if blocks < 1 || m < 1 || k < 0 || k > 30 || m > maxDense || blocks > math.MaxInt32 || int64(blocks)*int64(m)<<k > math.MaxInt32 {
		return nil, fmt.Errorf("Hadamard factors %d x %d x 2^%d are out of bounds", blocks, m, k)
	}
	h := &Hadamard{N: blocks * m << k, Blocks: blocks, M: m, K: k, part: m}
	if m == 40 {
		h.part = 20
	}
	dense, err := smallMatrix(h.part)
	if err != nil {
		return nil, err
	}
	h.dense = dense
	return h, nil
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
	t.dense, t.transposed = h.dense.transpose(), !h.transposed
	return &t
}

// Block is the number of elements that are mixed with each other; its root is the norm of H.
func (h *Hadamard) Block() int { return h.N / h.Blocks }

// Dense is the matrix of the slow axis, row-major, and its order: 20 for M = 40. It must not be written.
func (h *Hadamard) Dense() (elements []int8, order int) { return h.dense.e, h.part }

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
	for stride := 1; stride < 1<<h.K; stride *= 2 {
		stage(x, stride)
	}
	if h.part > 1 {
		for lo := 0; lo < h.N; lo += h.part << h.K {
			mixDense(h, x[lo:lo+h.part<<h.K])
		}
	}
	if h.part < h.M { // 40 = 2 x 20
		for lo := 0; lo < h.N; lo += h.Block() {
			stage(x[lo:lo+h.Block()], h.part<<h.K)
		}
	}
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

// stage replaces each a and the b that is stride behind it by a + b and a - b.
func stage[F float32 | float64](x []F, stride int) {
	for lo := 0; lo+2*stride <= len(x); lo += 2 * stride {
		a, b := x[lo:lo+stride], x[lo+stride:lo+2*stride]
		for i, v := range a {
			w := b[i]
			a[i], b[i] = v+w, v-w
		}
	}
}

// mixDense multiplies the dense matrix and the vectors of one position of the fast axis.
func mixDense[F float32 | float64](h *Hadamard, x []F) {
	var in [maxDense]F
	n, width := h.part, 1<<h.K
	for c := range width {
		for j := range n {
			in[j] = x[j*width+c]
		}
		for i := range n {
			row := h.dense.e[i*n : (i+1)*n]
			sum := in[0]
			if row[0] < 0 {
				sum = -sum
			}
			for j := 1; j < n; j++ {
				if row[j] < 0 {
					sum -= in[j]
				} else {
					sum += in[j]
				}
			}
			x[i*width+c] = sum
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
