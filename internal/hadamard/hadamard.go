// Package hadamard is the transform by H_n = H_m (x) S_k, n = m 2^k: Sylvester's matrix of order 2^k on the fast axis, a small dense matrix on the
// slow one. The graph evaluator, the quantizer and the kernels share it, because the order of its additions decides the roundings of float32:
//
//	stages (a + b, a - b) at stride 1, 2, ... 2^(k-1)
//	then the rows of H_m summed from left to right; H_40 is two H_20 and one more stage (a + b, a - b)
//
// With more than one block, the vector is so many equal parts with a transform each. H_m need not be symmetric: it always stands left of the
// vector. Nothing is divided: the transform is orthonormal after a multiplication by 1/sqrt(n).
package hadamard

import "fmt"

// MaxDense is the largest small matrix: its product is dense, m additions an element.
const MaxDense = 64

// Transform is one way to write n = Blocks * M * 2^K. It is not changed after New; any number of goroutines may use it.
type Transform struct {
	Blocks, M, K int

	order int    // of the dense matrix: M, or 20 of 40
	dense []int8 // row-major
}

// New checks the factors and prepares the dense matrix.
func New(blocks, m, k int) (*Transform, error) {
	if blocks < 1 || m < 1 || m > MaxDense || k < 0 || k > 30 || blocks > (1<<40)/(m<<k) {
		return nil, fmt.Errorf("Hadamard factors %d x %d x 2^%d are out of bounds", blocks, m, k)
	}
	t := &Transform{Blocks: blocks, M: m, K: k, order: m}
	if m == 40 {
		t.order = 20
	}
	var err error
	t.dense, err = Matrix(t.order)
	return t, err
}

// Transpose is the transform by H transposed, in the same order of stages: H^T H = 2^K M.
func (t *Transform) Transpose() *Transform {
	u := *t
	u.dense = make([]int8, len(t.dense))
	for i := range t.order {
		for j := range t.order {
			u.dense[i*t.order+j] = t.dense[j*t.order+i]
		}
	}
	return &u
}

// N is the number of elements.
func (t *Transform) N() int { return t.Blocks * t.M << t.K }

// Dense is the matrix of the slow axis, row-major, and its order: 20 for M = 40, whose last stage comes behind it. It must not be written.
func (t *Transform) Dense() (elements []int8, order int) { return t.dense, t.order }

// Sum transforms x, of N elements, in place, in the defined order.
func Sum[F float32 | float64](t *Transform, x []F) {
	for stride := 1; stride < 1<<t.K; stride *= 2 {
		stage(x, stride)
	}
	if t.order > 1 {
		for part := t.order << t.K; len(x) >= part; x = x[part:] {
			mix(t, x[:part])
			if t.order < t.M { // 40 = 2 x 20
				mix(t, x[part:2*part])
				stage(x[:2*part], part)
				x = x[part:]
			}
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

// mix multiplies the dense matrix and the vector of each position of the fast axis.
func mix[F float32 | float64](t *Transform, x []F) {
	var in [MaxDense]F
	n, width := t.order, 1<<t.K
	for c := range width {
		for j := range n {
			in[j] = x[j*width+c]
		}
		for i := range n {
			row := t.dense[i*n : (i+1)*n]
			var sum F
			for j, sign := range row {
				v := in[j]
				if sign < 0 {
					v = -v
				}
				if j == 0 {
					sum = v
				} else {
					sum += v
				}
			}
			x[i*width+c] = sum
		}
	}
}
