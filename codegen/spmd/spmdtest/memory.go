package spmdtest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// patterns are the bits that loads and stores of a type are tried on: all of them for the narrow ones.
func patterns(e spmd.Elem) []uint64 {
	if e.Bytes() > 2 {
		x := Edges(e)
		for len(x)%Lanes != 0 {
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

// Load widens every element type: one, one a lane, and gathered backwards.
func Load(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	w := int64(target.Lanes)
	for _, e := range memoryElems {
		bits := patterns(e)
		n := int64(len(bits))
		at := d.Data(e, bits)
		d.Kernel(fmt.Sprintf("load_%v", e), One, func(k *Body) {
			from, to := k.Arg(e, spmd.Work, at), k.Output(e.Reg(), n)
			k.Store(to, nil, 0, k.Load(from, nil, 0))
			k.For(k.I(1), k.I(n), 1, nil, func(i *val, _ []*val) []*val {
				k.Store(to, i, 0, k.Load(from, k.Sub(i, k.I(1)), 1))
				return nil
			})
		})
		if !lanesOf(e) {
			continue
		}
		d.Kernel(fmt.Sprintf("loadv_%v", e), One, func(k *Body) {
			from, to := k.Arg(e, spmd.Work, at), k.Output(e.Reg(), n)
			k.StoreV(to, nil, 0, k.LoadV(from, nil, 0))
			k.For(k.I(w), k.I(n), w, nil, func(i *val, _ []*val) []*val {
				k.StoreV(k.Offset(to, k.I(w)), i, -w, k.LoadV(from, k.Sub(i, k.I(3)), 3))
				return nil
			})
		})
		d.Kernel(fmt.Sprintf("gather_%v", e), One, func(k *Body) {
			from, to := k.Arg(e, spmd.Work, at), k.Output(e.Reg(), n)
			k.For(k.I(0), k.I(n), w, nil, func(i *val, _ []*val) []*val {
				back := k.Sub(k.Sub(k.I32(0), k.Truncate(i)), k.Lane()) // 0, -1, -2, ...
				k.StoreV(to, i, 0, k.Gather(from, back, n-1))
				return nil
			})
		})
	}
	return d.Done()
}

// LoadRun loads runs of neighbours, of all lengths that a lane can have, from weights and from work memory and scratch, in the order of lanes and in another one.
func LoadRun(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	w := int64(target.Lanes)
	for i := range 4096 {
		d.Weights = append(d.Weights, byte(i*37+i>>8))
	}
	for _, e := range memoryElems {
		if !lanesOf(e) {
			continue
		}
		for n := int64(1); n*e.Bytes() <= 16; n *= 2 {
			from := []int64{0, d.Data(e, patterns(e)[:2*Lanes])}
			d.Kernel(fmt.Sprintf("run_%v_%d", e, n), One, func(k *Body) {
				store := func(to *val, at *val, xs []*val) {
					for r, x := range xs {
						k.StoreV(to, at, int64(r)*w, x)
					}
				}
				p, to := k.Arg(e, spmd.Weights, from[0]), k.Output(e.Reg(), 3*n*Lanes)
				k.For(k.I(0), k.I(3), 1, nil, func(i *val, _ []*val) []*val {
					at := k.Mul(i, k.I(n*w))
					store(to, at, k.LoadRun(p, at, n, int(n)))
					return nil
				})
				if n <= 2 {
					work, to := k.Arg(e, spmd.Work, from[1]), k.Output(e.Reg(), n*Lanes)
					store(to, nil, k.LoadRun(work, nil, 0, int(n)))
				}
				back := k.Mul(k.Sub(k.I32(int32(w-1)), k.Lane()), k.I32(int32(n)))
				store(k.Output(e.Reg(), n*Lanes), nil, k.GatherRun(p, back, n, int(n)))
				s, all := k.Scratch(e, n*w), k.Output(e.Reg(), n*Lanes)
				for r := range n {
					k.StoreV(s, nil, r*w, k.LoadV(p, nil, r*w+5))
				}
				k.Barrier()
				store(all, nil, k.LoadRun(s, nil, 0, int(n)))
				store(k.Output(e.Reg(), n*Lanes), nil, k.GatherRun(s, back, 0, int(n)))
			})
		}
	}
	return d.Done()
}

// Store narrows: floats half to even, integers to their low bits.
func Store(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	w := int64(target.Lanes)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, e := range memoryElems {
		bits := Edges(e.Reg())
		for len(bits) < 4096 {
			u := rng.Uint64()
			if e == spmd.F16 && len(bits)%2 == 0 { // of half's range, where most ties are
				u = u&0x87ffffff | 0x30000000 + u>>32&0x1fff_f000
			}
			bits = append(bits, u)
		}
		n := int64(len(bits))
		at := d.Data(e.Reg(), bits)
		d.Kernel(fmt.Sprintf("store_%v", e), One, func(k *Body) {
			from, to := k.Arg(e.Reg(), spmd.Work, at), k.Output(e, n)
			k.For(k.I(0), k.I(n), 1, nil, func(i *val, _ []*val) []*val {
				k.Store(to, i, 0, k.Load(from, i, 0))
				return nil
			})
		})
		if !lanesOf(e) {
			continue
		}
		d.Kernel(fmt.Sprintf("storev_%v", e), One, func(k *Body) {
			from, to := k.Arg(e.Reg(), spmd.Work, at), k.Output(e, n)
			k.For(k.I(0), k.I(n), w, nil, func(i *val, _ []*val) []*val {
				k.StoreV(to, i, 0, k.LoadV(from, i, 0))
				return nil
			})
		})
	}
	return d.Done()
}

// counts are what masked loads and stores are tried with.
var counts = []int64{-1 << 40, -1, 0, 1, 2, 3, 5, 7, 8, 9, 11, 13, 15, 16, 17, 31, 32, 33, 1 << 33}

// Masked reads and writes the lanes below n, for n known and not, with the rest of the vector beyond the end of memory.
func Masked(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	const w = Lanes
	var ns []uint64
	for _, n := range counts {
		ns = append(ns, uint64(n))
	}
	nsAt := d.Data(spmd.I64, ns)
	for _, e := range memoryElems {
		if !lanesOf(e) {
			continue
		}
		bits := patterns(e)
		if len(bits) > 256 {
			bits = bits[0x3c00:][:256]
		}
		from := d.Data(e, bits)
		d.Kernel(fmt.Sprintf("masked_%v", e), One, func(k *Body) {
			n, x := k.Arg(spmd.I64, spmd.Work, nsAt), k.Arg(e, spmd.Work, from)
			wide, narrow := k.Output(e.Reg(), w*int64(len(ns))), k.Output(e, 2*w*int64(len(ns)))
			k.For(k.I(0), k.I(int64(len(ns))), 1, nil, func(i *val, _ []*val) []*val {
				v := k.LoadVN(x, i, 2, k.Load(n, i, 0))
				k.StoreV(wide, k.Mul(i, k.I(w)), 0, v)
				k.StoreVN(narrow, k.Mul(i, k.I(2*w)), 3, k.Load(n, i, 0), v)
				return nil
			})
		})
		d.Kernel(fmt.Sprintf("known_%v", e), One, func(k *Body) {
			x := k.Arg(e, spmd.Work, from)
			wide, narrow := k.Output(e.Reg(), w*int64(len(ns))), k.Output(e, 2*w*int64(len(ns)))
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
		d.Kernel(fmt.Sprintf("end_%v", e), One, func(k *Body) {
			n := 4 * w / e.Bytes()
			x, y := k.Arg(e, spmd.Weights, 0), k.Output(e, w*(w+1))
			k.For(k.I(0), k.I(w+1), 1, nil, func(i *val, _ []*val) []*val {
				k.StoreV(y, k.Mul(i, k.I(w)), 0, k.LoadVN(x, k.Sub(k.I(n), i), 0, i))
				k.Prefetch(x, i, 1<<30)
				k.PrefetchFar(x, i, 1<<30)
				return nil
			})
		})
	}
	for i := range 4 * w {
		d.Weights = append(d.Weights, byte(i*3))
	}
	d.Kernel("end_store", One, func(k *Body) {
		y := k.Output(spmd.F32, w)
		k.For(k.I(0), k.I(w+1), 1, nil, func(i *val, _ []*val) []*val {
			k.StoreVN(y, k.Sub(k.I(w), i), 0, i, k.ToF32(k.Add(k.Lane(), k.Truncate(i))))
			return nil
		})
	})
	return d.Done()
}
