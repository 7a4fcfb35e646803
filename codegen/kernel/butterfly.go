package kernel

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/internal/hadamard"
	"github.com/ssmc/ssmc/ir"
)

// transform is a Hadamard transform of rows of n = blocks * m * 2^k columns, in the order of additions that package hadamard defines: k stages
// (a + b, a - b) at strides 1, 2, ... 2^(k-1), then the small dense matrix on the slow axis. Lanes run over columns: strides below W exchange
// lanes, the others pair whole vectors. A row lives in scratch memory from the first stage to the last.
type transform struct {
	t     *hadamard.Transform
	n     int64
	signs *external   // nil: none
	back  bool        // transposed: the signs come last
	buf   *spmd.Value // of the kernel being built
}

func newTransform(t *task, op *ir.Op) (*transform, error) {
	a := &op.Attrs
	h, err := hadamard.New(a.Blocks, a.M, a.K)
	if err != nil {
		return nil, err
	}
	if a.Transposed {
		h = h.Transpose()
	}
	fmt.Fprintf(&t.shape, "hadamard %d %d %d %v ", a.Blocks, a.M, a.K, a.Transposed)
	x := &transform{t: h, n: int64(h.N()), back: a.Transposed}
	if s := op.Args[1]; s != nil {
		x.signs = t.vector(s)
	}
	return x, nil
}

// run transforms the row whose columns load gives; afterwards column c lies at buf[c], and behind the last column there is room for a vector.
func (x *transform) run(k *code, load func(col *spmd.Value) *spmd.Value) {
	w := int64(k.Target.Lanes)
	x.buf = k.Scratch(spmd.F32, roundUp(x.n, 64)+64)
	length := int64(1) << x.t.K
	masks := x.masks(k, length)
	batches(k.Builder, 0, roundUp(x.n, w), w, func(at *spmd.Value, offs []int64) {
		vs := make([]*spmd.Value, len(offs))
		for i, off := range offs {
			vs[i] = load(k.Add(at, k.I(off)))
		}
		for i, off := range offs {
			x.first(k, k.Add(at, k.I(off)), vs[i], masks)
		}
	})
	for s := w; s < length; s *= 2 {
		x.stage(k, k.I(0), x.n, s)
	}
	if dense, order := x.t.Dense(); order > 1 {
		x.slow(k, dense, int64(order), length)
	}
	if x.signs != nil && x.back {
		k.For(k.I(0), k.I(x.n), w, nil, func(col *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			k.StoreV(x.buf, col, 0, x.flip(k, k.LoadV(x.buf, col, 0), col))
			return nil
		})
	}
}

// masks are the signs that the stages within a vector turn: those of each pair's upper lane.
func (x *transform) masks(k *code, length int64) map[int64]*spmd.Value {
	masks := map[int64]*spmd.Value{}
	for s := int64(1); s < min(int64(k.Target.Lanes), length); s *= 2 {
		masks[s] = k.Shl(k.And(k.Lane(), k.I32(int32(s))), 31-log2(s))
	}
	return masks
}

// first does what happens within a vector of columns, from col on.
func (x *transform) first(k *code, col, v *spmd.Value, masks map[int64]*spmd.Value) {
	if x.signs != nil && !x.back {
		v = x.flip(k, v, col)
	}
	for s := int64(1); masks[s] != nil; s *= 2 {
		v = k.Add(k.Swap(v, s), k.Bitcast(k.Xor(k.Bitcast(v), masks[s])))
	}
	k.StoreV(x.buf, col, 0, v)
}

// flip gives the columns from col on their signs.
func (x *transform) flip(k *code, v, col *spmd.Value) *spmd.Value {
	sign := k.And(k.Bitcast(k.LoadV(x.signs.ptr, col, 0)), k.I32(math.MinInt32))
	return k.Bitcast(k.Xor(k.Bitcast(v), sign))
}

// slow multiplies the slow axis of every block by the dense matrix.
func (x *transform) slow(k *code, dense []int8, order, length int64) {
	part := order * length
	k.For(k.I(0), k.I(x.n), part, nil, func(from *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		x.mix(k, dense, order, length, from)
		return nil
	})
	if order < int64(x.t.M) { // 40 = 2 x 20
		k.For(k.I(0), k.I(x.n), 2*part, nil, func(from *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			x.stage(k, from, 2*part, part)
			return nil
		})
	}
}

// stage makes (a + b, a - b) of the elements that lie s apart, in n elements from from on.
func (x *transform) stage(k *code, from *spmd.Value, n, s int64) {
	w := int64(k.Target.Lanes)
	k.For(from, k.Add(from, k.I(n)), 2*s, nil, func(base *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		pair := func(at *spmd.Value, put func(off int64, v *spmd.Value)) {
			a, b := k.LoadV(x.buf, at, 0), k.LoadV(x.buf, at, s)
			put(0, k.Add(a, b))
			put(s, k.Sub(a, b))
		}
		whole := s / w * w
		k.For(base, k.Add(base, k.I(whole)), w, nil, func(at *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			pair(at, func(off int64, v *spmd.Value) { k.StoreV(x.buf, at, off, v) })
			return nil
		})
		if whole < s {
			at := k.Add(base, k.I(whole))
			pair(at, func(off int64, v *spmd.Value) { k.StoreVN(x.buf, at, off, k.I(s-whole), v) })
		}
		return nil
	})
}

// mix multiplies by the dense matrix: element i of the slow axis becomes the signed sum of the elements in row i, from left to right.
func (x *transform) mix(k *code, dense []int8, order, length int64, from *spmd.Value) {
	w := int64(k.Target.Lanes)
	whole := length / w * w
	k.For(from, k.Add(from, k.I(whole)), w, nil, func(at *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		x.mixColumn(k, dense, order, length, at, func(off int64, v *spmd.Value) { k.StoreV(x.buf, at, off, v) })
		return nil
	})
	if whole < length {
		at := k.Add(from, k.I(whole))
		x.mixColumn(k, dense, order, length, at, func(off int64, v *spmd.Value) { k.StoreVN(x.buf, at, off, k.I(length-whole), v) })
	}
}

// mixColumn does W neighbouring columns of the slow axis.
func (x *transform) mixColumn(k *code, dense []int8, order, length int64, at *spmd.Value, put func(off int64, v *spmd.Value)) {
	in := make([]*spmd.Value, order)
	for j := range in {
		in[j] = k.LoadV(x.buf, at, int64(j)*length)
	}
	for i := range order {
		row := dense[i*order : (i+1)*order]
		sum := in[0]
		if row[0] < 0 {
			sum = k.Neg(sum)
		}
		for j := range order - 1 {
			if row[j+1] < 0 {
				sum = k.Sub(sum, in[j+1])
			} else {
				sum = k.Add(sum, in[j+1])
			}
		}
		put(i*length, sum)
	}
}
