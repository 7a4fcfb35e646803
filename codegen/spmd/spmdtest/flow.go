package spmdtest

import (
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Flow runs loops and branches: no trips, steps, carried values that change places, values of every kind carried and yielded, nesting.
func Flow(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	bounds := d.Data(spmd.I64, []uint64{0, 1, 2, 3, 5, 8, 13, ^uint64(0), 1<<64 - 7})
	d.Kernel("trips", One, trips(bounds))
	d.Kernel("carried", One, carriedKinds)
	d.Kernel("swap", One, swap)
	d.Kernel("nested", One, nested)
	d.Kernel("branches", spmd.Grid{Panels: 5}, branches)
	d.Kernel("reduce", One, reductions)
	d.Kernel("scratch", spmd.Grid{Panels: 7}, ScratchUse)
	return d.Done()
}

// trips counts the trips of loops between all pairs of bounds, known and not.
func trips(bounds int64) func(k *Body) {
	return func(k *Body) {
		b, y := k.Arg(spmd.I64, spmd.Work, bounds), k.Output(spmd.I64, 9*9*2)
		at := int64(0)
		for lo := range int64(9) {
			for hi := range int64(9) {
				end := k.For(k.Load(b, nil, lo), k.Load(b, nil, hi), 1+lo%3, []*val{k.I(100)}, func(i *val, c []*val) []*val {
					return []*val{k.Add(k.Mul(c[0], k.I(3)), i)}
				})
				k.Store(y, nil, at, end[0])
				known := k.For(k.I(lo-4), k.I(hi-4), 1+hi%3, []*val{k.I(7)}, func(i *val, c []*val) []*val {
					return []*val{k.Add(k.Mul(c[0], k.I(5)), i)}
				})
				k.Store(y, nil, at+1, known[0])
				at += 2
			}
		}
	}
}

// carriedKinds carries a value of each type at once, a pointer among them.
func carriedKinds(k *Body) {
	x := k.Input(spmd.F32, Edges(spmd.F32))
	f, n, l := k.Output(spmd.F32, 64), k.Output(spmd.I32, 96), k.Output(spmd.I64, 4)
	init := []*val{
		k.F(1), k.I32(3), k.I(1), k.Cmp(spmd.LT, k.Rows(), k.I(3)), k.Splat(k.F(0.5)), k.Lane(),
		k.Cmp(spmd.GT, k.Lane(), k.I32(4)), k.Offset(x, k.I(2)),
	}
	end := k.For(k.I(0), k.Rows(), 1, init, func(i *val, c []*val) []*val {
		return []*val{
			k.FMA(c[0], k.F(1.5), k.Load(c[7], nil, 0)),
			k.Add(c[1], k.Truncate(i)),
			k.Mul(c[2], k.I(7)),
			k.Xor(c[3], k.Cmp(spmd.GT, i, k.I(1))),
			k.Select(c[6], k.Mul(c[4], k.F(3)), k.Add(c[4], k.F(1))),
			k.Select(c[3], k.Shl(c[5], 1), k.Sub(c[5], k.I32(1))),
			k.Xor(c[6], k.Cmp(spmd.LT, c[5], k.I32(9))),
			k.Offset(c[7], k.I(3)),
		}
	})
	k.Store(f, nil, 0, end[0])
	k.Store(n, nil, 0, end[1])
	k.Store(l, nil, 0, end[2])
	k.Store(n, nil, 1, k.Select(end[3], k.I32(1), k.I32(0)))
	k.StoreV(f, nil, 32, end[4])
	k.StoreV(n, nil, 32, end[5])
	k.StoreV(n, nil, 64, k.Select(end[6], k.I32(1), k.I32(0)))
	k.Store(f, nil, 1, k.Load(end[7], nil, 1))
}

// swap turns three carried values round: all are read before any is written.
func swap(k *Body) {
	y := k.Output(spmd.F32, 3*Lanes)
	end := k.For(k.I(0), k.Add(k.Rows(), k.I(2)), 1, []*val{k.Splat(k.F(1)), k.Splat(k.F(2)), k.Splat(k.F(3))}, func(i *val, c []*val) []*val {
		return []*val{c[1], c[2], c[0]}
	})
	for i, v := range end {
		k.StoreV(y, nil, int64(Lanes*i), v)
	}
}

func nested(k *Body) {
	y := k.Output(spmd.I64, 2)
	end := k.For(k.I(0), k.Rows(), 1, []*val{k.I(0), k.I(1)}, func(i *val, c []*val) []*val {
		inner := k.For(i, k.I(4), 2, c, func(j *val, c []*val) []*val {
			return k.If(k.Cmp(spmd.EQ, k.Rem(k.Add(i, j), k.I(3)), k.I(0)), func() []*val {
				return k.For(k.I(0), j, 1, c, func(m *val, c []*val) []*val {
					return []*val{c[1], k.Add(k.Mul(c[0], k.I(2)), m)}
				})
			}, func() []*val {
				return []*val{k.Add(c[0], k.I(1)), k.Sub(c[1], j)}
			})
		})
		return []*val{inner[1], k.Add(inner[0], i)}
	})
	k.Store(y, nil, 0, end[0])
	k.Store(y, nil, 1, end[1])
}

// branches yields each kind of value, and nothing, by the tile.
func branches(k *Body) {
	x := k.Input(spmd.F32, Edges(spmd.F32))
	f, n := k.Output(spmd.F32, 5*128), k.Output(spmd.I32, 5*128)
	t := k.Tile()
	odd := k.Cmp(spmd.EQ, k.And(t, k.I(1)), k.I(1))
	got := k.If(odd, func() []*val {
		return []*val{k.F(2), k.Splat(k.F(4)), k.Offset(x, t), k.Lane(), k.Cmp(spmd.LT, k.Lane(), k.I32(3)), t}
	}, func() []*val {
		return []*val{k.Load(x, t, 3), k.LoadV(x, t, 1), k.Offset(x, k.I(9)), k.Neg(k.Lane()), k.Cmp(spmd.GE, k.Lane(), k.I32(2)), k.I(11)}
	})
	at := k.Mul(t, k.I(128))
	k.Store(f, at, 0, got[0])
	k.StoreV(f, at, 32, got[1])
	k.StoreV(f, at, 64, k.LoadV(got[2], nil, 0))
	k.StoreV(n, at, 0, got[3])
	k.StoreV(n, at, 32, k.Select(got[4], k.I32(1), k.I32(0)))
	k.Store(n, at, 80, k.Truncate(got[5]))
	k.If(k.Cmp(spmd.GT, t, k.I(2)), func() []*val {
		k.Store(n, at, 81, k.I32(77))
		return nil
	}, nil)
}

// reductions sums and compares sixteen lanes with values that show the order.
func reductions(k *Body) {
	bits := Edges(spmd.F32)
	x, y := k.Input(spmd.F32, append(bits, make([]uint64, Lanes)...)), k.Output(spmd.F32, int64(2*len(bits)))
	k.For(k.I(0), k.I(int64(len(bits)-15)), 1, nil, func(i *val, _ []*val) []*val {
		var vs []*val
		for l := 0; l < 16; l += k.Bed.Target.Lanes {
			vs = append(vs, k.LoadV(x, i, int64(l)))
		}
		k.Store(y, k.Mul(i, k.I(2)), 0, k.ReduceAdd(vs...))
		k.Store(y, k.Mul(i, k.I(2)), 1, k.ReduceMax(vs...))
		return nil
	})
}

// ScratchUse is a kernel that keeps values of a tile in the team's memory.
func ScratchUse(k *Body) {
	a, b := k.Scratch(spmd.F32, 20), k.Scratch(spmd.BF16, 33)
	y := k.Output(spmd.F32, 7*32)
	k.For(k.I(0), k.I(17), 1, nil, func(i *val, _ []*val) []*val {
		k.Store(a, i, 0, k.ToF32(k.Truncate(k.Add(i, k.Tile()))))
		k.Store(b, i, 16, k.Load(a, i, 0))
		return nil
	})
	k.Barrier()
	k.For(k.I(0), k.I(17), 1, nil, func(i *val, _ []*val) []*val {
		k.Store(y, k.Mul(k.Tile(), k.I(32)), 0, k.Add(k.Load(b, i, 16), k.ToF32(k.Truncate(k.Add(k.Member(), k.Members())))))
		k.Store(y, k.Add(k.Mul(k.Tile(), k.I(32)), i), 1, k.Load(a, i, 0))
		return nil
	})
}

// Spaces reads and writes through every kind of parameter, over every kind of grid, with any number of workers.
func Spaces(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	for i := range 256 {
		d.Weights = append(d.Weights, byte(i*7))
	}
	for i := range Slots * 64 {
		d.State = append(d.State, byte(i))
	}
	mark := func(k *Body, tiles int64) { // which tile ran
		y := k.Output(spmd.I64, tiles)
		k.Store(y, k.Tile(), 0, k.Add(k.Mul(k.Tile(), k.I(3)), k.I(1)))
	}
	d.Kernel("by_row_blocks", spmd.Grid{Panels: 3, By: spmd.ByRowBlocks, Block: 2}, func(k *Body) { mark(k, 3*3+1) })
	d.Kernel("by_out_blocks", spmd.Grid{Panels: 2, By: spmd.ByOutBlocks, Block: 3}, func(k *Body) { mark(k, 2+1) })
	d.Kernel("by_seqs", spmd.Grid{Panels: 4, By: spmd.BySeqs}, func(k *Body) { mark(k, 8+1) })
	d.Kernel("counts", One, func(k *Body) {
		y := k.Output(spmd.I64, 4)
		k.Store(y, nil, 0, k.Rows())
		k.Store(y, nil, 1, k.Seqs())
		k.Store(y, nil, 2, k.Outs())
	})
	d.Kernel("state", spmd.Grid{Panels: 1, By: spmd.BySeqs}, func(k *Body) {
		h, w := k.Arg(spmd.I32, spmd.State, 16), k.Arg(spmd.I32, spmd.Weights, 64)
		slot := k.Extend(k.Load(k.Arg(spmd.I32, spmd.SeqSlot, 0), k.Tile(), 0))
		first := k.Arg(spmd.I32, spmd.SeqStart, 0)
		at := k.Mul(slot, k.I(16))
		n := k.Sub(k.Load(first, k.Tile(), 1), k.Load(first, k.Tile(), 0))
		k.Store(h, at, 5, k.Add(k.Load(h, at, 0), k.Add(n, k.Load(w, slot, 2))))
	})
	d.Kernel("logits", spmd.Grid{Panels: 1, By: spmd.ByOutBlocks, Block: 1}, func(k *Body) {
		row := k.Extend(k.Load(k.Arg(spmd.I32, spmd.OutRow, 0), k.Tile(), 0))
		id := k.Load(k.Arg(spmd.I32, spmd.IDs, 0), row, 0)
		y := k.Arg(spmd.F32, spmd.Logits, 0)
		k.StoreVN(y, k.Mul(k.Tile(), k.I(32)), 1, k.I(6), k.ToF32(k.Add(k.Lane(), id)))
	})
	d.Kernel("choose", spmd.Grid{Panels: 1, By: spmd.ByOutBlocks, Block: 1}, func(k *Body) {
		words := k.Load(k.Arg(spmd.I32, spmd.Sampling, 4), k.Mul(k.Tile(), k.I(spmd.SamplingWords)), 1)
		k.StoreVN(k.Arg(spmd.F32, spmd.Odds, 0), k.Mul(k.Tile(), k.I(32)), 2, k.I(5), k.ToF32(k.Add(k.Lane(), words)))
		k.Store(k.Arg(spmd.I32, spmd.Chosen, 0), k.Tile(), 0, words)
	})
	d.Program.Phases[len(d.Program.Phases)-1].MinChosen = 3
	skipped := len(d.Program.Phases)
	d.Kernel("skipped", One, func(k *Body) { mark(k, 1) })
	d.Program.Phases[skipped].MinRows = 6
	d.Kernel("not_skipped", One, func(k *Body) { mark(k, 1) })
	d.Program.Phases[skipped+1].MinRows = 5
	// one phase of many launches, of kernels that are there already, of very different sizes
	var all spmd.Phase
	for _, ph := range d.Program.Phases[:skipped] {
		all.Launches = append(all.Launches, ph.Launches...)
	}
	all.Name = "all"
	d.Program.Phases = append(d.Program.Phases, spmd.Phase{Name: "all", Launches: all.Launches[:4]})
	for i := range spmd.SamplingWords * len(d.Input.OutRow) {
		d.Input.Sampling = append(d.Input.Sampling, int32(100+i))
	}
	return d.Done()
}

// Unchosen is Spaces where the step chooses no token.
func Unchosen(t testing.TB, target spmd.Target) *Bed {
	d := Spaces(t, target)
	d.Input.Sampling = nil
	return d
}
