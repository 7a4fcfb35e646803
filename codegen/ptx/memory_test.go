package ptx

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// patterns are the bits that loads and stores of a type are tried on: all of them for the narrow ones.
func patterns(e spmd.Elem) []uint64 {
	if e.Bytes() > 2 {
		x := edges(e)
		for len(x)%warp != 0 {
			x = append(x, 0)
		}
		return x
	}
	out := make([]uint64, 1<<(8*e.Bytes()))
	for i := range out {
		out[i] = uint64(i)
	}
	return out
}

var memoryElems = []spmd.Elem{spmd.I8, spmd.U8, spmd.I32, spmd.I64, spmd.F16, spmd.BF16, spmd.F32}

// lanesOf are the elements that varying values hold.
func lanesOf(e spmd.Elem) bool { return e != spmd.I64 }

// TestLoad widens every element type: one, one a lane, and gathered backwards.
func TestLoad(t *testing.T) {
	checkBed(t, func(t *testing.T, target spmd.Target) *bed {
		d := newBed(t, target)
		w := int64(target.Lanes)
		for _, e := range memoryElems {
			bits := patterns(e)
			n := int64(len(bits))
			at := d.data(e, bits)
			d.kernel(fmt.Sprintf("load_%v", e), one, func(k *body) {
				from, to := k.param(e, spmd.Work, at), k.output(e.Reg(), n)
				k.Store(to, nil, 0, k.Load(from, nil, 0))
				k.For(k.I(1), k.I(n), 1, nil, func(i *val, _ []*val) []*val {
					k.Store(to, i, 0, k.Load(from, k.Sub(i, k.I(1)), 1))
					return nil
				})
			})
			if !lanesOf(e) {
				continue
			}
			d.kernel(fmt.Sprintf("loadv_%v", e), one, func(k *body) {
				from, to := k.param(e, spmd.Work, at), k.output(e.Reg(), n)
				k.StoreV(to, nil, 0, k.LoadV(from, nil, 0))
				k.For(k.I(w), k.I(n), w, nil, func(i *val, _ []*val) []*val {
					k.StoreV(k.Offset(to, k.I(w)), i, -w, k.LoadV(from, k.Sub(i, k.I(3)), 3))
					return nil
				})
			})
			d.kernel(fmt.Sprintf("gather_%v", e), one, func(k *body) {
				from, to := k.param(e, spmd.Work, at), k.output(e.Reg(), n)
				k.For(k.I(0), k.I(n), w, nil, func(i *val, _ []*val) []*val {
					back := k.Sub(k.Sub(k.I32(0), k.Truncate(i)), k.Lane()) // 0, -1, -2, ...
					k.StoreV(to, i, 0, k.Gather(from, back, n-1))
					return nil
				})
			})
		}
		return d.done()
	}, shape{1, warp})
}

// TestStore narrows: floats half to even, integers to their low bits.
func TestStore(t *testing.T) {
	checkBed(t, func(t *testing.T, target spmd.Target) *bed {
		d := newBed(t, target)
		w := int64(target.Lanes)
		rng := rand.New(rand.NewPCG(1, 2))
		for _, e := range memoryElems {
			bits := edges(e.Reg())
			for len(bits) < 4096 {
				u := rng.Uint64()
				if e == spmd.F16 && len(bits)%2 == 0 { // of half's range, where most ties are
					u = u&0x87ffffff | 0x30000000 + u>>32&0x1fff_f000
				}
				bits = append(bits, u)
			}
			n := int64(len(bits))
			at := d.data(e.Reg(), bits)
			d.kernel(fmt.Sprintf("store_%v", e), one, func(k *body) {
				from, to := k.param(e.Reg(), spmd.Work, at), k.output(e, n)
				k.For(k.I(0), k.I(n), 1, nil, func(i *val, _ []*val) []*val {
					k.Store(to, i, 0, k.Load(from, i, 0))
					return nil
				})
			})
			if !lanesOf(e) {
				continue
			}
			d.kernel(fmt.Sprintf("storev_%v", e), one, func(k *body) {
				from, to := k.param(e.Reg(), spmd.Work, at), k.output(e, n)
				k.For(k.I(0), k.I(n), w, nil, func(i *val, _ []*val) []*val {
					k.StoreV(to, i, 0, k.LoadV(from, i, 0))
					return nil
				})
			})
		}
		return d.done()
	}, shape{1, warp})
}

// counts are what masked loads and stores are tried with.
var counts = []int64{-1 << 40, -1, 0, 1, 2, 3, 5, 7, 8, 9, 11, 13, 15, 16, 17, 31, 32, 33, 1 << 33}

// TestMasked reads and writes the lanes below n, for n known and not, with the rest of the warp beyond the end of memory.
func TestMasked(t *testing.T) {
	checkBed(t, func(t *testing.T, target spmd.Target) *bed {
		d := newBed(t, target)
		const w = warp
		var ns []uint64
		for _, n := range counts {
			ns = append(ns, uint64(n))
		}
		nsAt := d.data(spmd.I64, ns)
		for _, e := range memoryElems {
			if !lanesOf(e) {
				continue
			}
			bits := patterns(e)
			if len(bits) > 256 {
				bits = bits[0x3c00:][:256]
			}
			from := d.data(e, bits)
			d.kernel(fmt.Sprintf("masked_%v", e), one, func(k *body) {
				n, x := k.param(spmd.I64, spmd.Work, nsAt), k.param(e, spmd.Work, from)
				wide, narrow := k.output(e.Reg(), w*int64(len(ns))), k.output(e, 2*w*int64(len(ns)))
				k.For(k.I(0), k.I(int64(len(ns))), 1, nil, func(i *val, _ []*val) []*val {
					v := k.LoadVN(x, i, 2, k.Load(n, i, 0))
					k.StoreV(wide, k.Mul(i, k.I(w)), 0, v)
					k.StoreVN(narrow, k.Mul(i, k.I(2*w)), 3, k.Load(n, i, 0), v)
					return nil
				})
			})
			d.kernel(fmt.Sprintf("known_%v", e), one, func(k *body) {
				x := k.param(e, spmd.Work, from)
				wide, narrow := k.output(e.Reg(), w*int64(len(ns))), k.output(e, 2*w*int64(len(ns)))
				for i, n := range counts {
					v := k.LoadVN(x, nil, int64(i), k.I(n))
					k.StoreV(wide, nil, int64(i)*w, v)
					k.StoreVN(narrow, nil, 2*int64(i)*w+1, k.I(n), v)
				}
			})
		}
		for _, e := range memoryElems { // the last room ends where memory ends
			if !lanesOf(e) {
				continue
			}
			d.kernel(fmt.Sprintf("end_%v", e), one, func(k *body) {
				n := 4 * w / e.Bytes()
				x, y := k.param(e, spmd.Weights, 0), k.output(e, w*(w+1))
				k.For(k.I(0), k.I(w+1), 1, nil, func(i *val, _ []*val) []*val {
					k.StoreV(y, k.Mul(i, k.I(w)), 0, k.LoadVN(x, k.Sub(k.I(n), i), 0, i))
					k.Prefetch(x, i, 1<<30)
					return nil
				})
			})
		}
		for i := range 4 * w {
			d.weights = append(d.weights, byte(i*3))
		}
		d.kernel("end_store", one, func(k *body) {
			y := k.output(spmd.F32, w)
			k.For(k.I(0), k.I(w+1), 1, nil, func(i *val, _ []*val) []*val {
				k.StoreVN(y, k.Sub(k.I(w), i), 0, i, k.ToF32(k.Add(k.Lane(), k.Truncate(i))))
				return nil
			})
		})
		return d.done()
	}, shape{1, warp})
}
