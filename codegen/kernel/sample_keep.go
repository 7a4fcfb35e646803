package kernel

import (
	"math/bits"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// What is kept of a row is defined by its sorted weights, and found here without sorting. The weights are from 0 to 1, so their bits are whole numbers below 2^30 in
// the same order, and the smallest weight that is kept is found by its digits: how many weights are as large as a candidate, or what their sum is, takes one sweep
// over the row, for three candidates at once. A block whose largest weight is below all of them is passed over.

// keyDigits are digits of two bits: the largest weight, 1, is 0x3f800000.
const keyDigits = 15

// cut is what is kept of a row: weights above a key, and those equal to it up to an id. Both are i32.
type cut struct{ key, last *spmd.Value }

// term adds what sixteen columns have to the partial sums c of some sums: c[t*g+i] belongs to sum t and varying value i of g.
type term func(x, ids func(i int) *spmd.Value, c []*spmd.Value)

// sweep makes n sums over a row: those of its blocks, in sixteen partial sums, one after the other. Blocks that have no weight of least or more add nothing.
func (s *sampler) sweep(least *spmd.Value, n int, large int64, add term) []*spmd.Value {
	zero := make([]*spmd.Value, n)
	for t := range zero {
		zero[t] = s.F(0)
	}
	s.mine(s.padded, nil, func(b, lo, hi *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		some := s.Cmp(spmd.GE, s.Load(s.most, b, 0), least)
		sums := s.If(some, func() []*spmd.Value { return s.inBlock(lo, hi, n, large, add) }, func() []*spmd.Value { return zero })
		for t, x := range sums {
			s.Store(s.sums, b, int64(t)*s.blocks, x)
		}
		return nil
	})
	s.meet()
	sums := s.For(s.I(0), s.I(s.blocks), 1, zero, func(b *spmd.Value, c []*spmd.Value) []*spmd.Value {
		return each(c, func(t int) *spmd.Value { return s.Add(c[t], s.Load(s.sums, b, int64(t)*s.blocks)) })
	})
	s.meet()
	return sums
}

// inBlock makes n sums over the columns of one block.
func (s *sampler) inBlock(lo, hi *spmd.Value, n int, large int64, add term) []*spmd.Value {
	g := s.groups()
	parts := s.chunks(large, lo, hi, s.splats(n*g, s.F(0)), func(col *spmd.Value, count int64, c []*spmd.Value) {
		var xs [][]*spmd.Value
		for off := int64(0); off < count; off += 16 {
			xs = append(xs, s.sixteen(col, off))
		}
		for j, x := range xs {
			add(func(i int) *spmd.Value { return x[i] }, func(i int) *spmd.Value { return s.ids(col, int64(16*j+i*s.Target.Lanes)) }, c)
		}
	})
	return each(make([]*spmd.Value, n), func(t int) *spmd.Value { return s.ReduceAdd(parts[t*g : (t+1)*g]...) })
}

// sixteen are the weights of sixteen columns. Of 32 lanes the upper ones stay empty: sums have sixteen partial sums.
func (s *sampler) sixteen(col *spmd.Value, off int64) []*spmd.Value {
	if s.Target.Lanes > 16 {
		return []*spmd.Value{s.LoadVN(s.odds, col, off, s.I(16))}
	}
	xs := make([]*spmd.Value, s.groups())
	for i := range xs {
		xs[i] = s.LoadV(s.odds, col, off+int64(i*s.Target.Lanes))
	}
	return xs
}

// kept is x where it is kept, else 0.
func (s *sampler) kept(k cut, x, id *spmd.Value) *spmd.Value {
	least := s.Bitcast(k.key)
	equal := s.And(s.Cmp(spmd.EQ, x, least), s.Cmp(spmd.LE, id, k.last))
	return s.Select(s.Or(s.Cmp(spmd.GT, x, least), equal), x, s.F(0))
}

// total is the sum of what is kept of a row. It leaves the sum of each block.
func (s *sampler) total(k cut) *spmd.Value {
	return s.sweep(s.Bitcast(k.key), 1, 32, func(x, ids func(i int) *spmd.Value, c []*spmd.Value) {
		for i := range c {
			c[i] = s.Add(c[i], s.kept(k, x(i), ids(i)))
		}
	})[0]
}

// keep finds what is kept, first by number, then by sum, and the sum of it. The rounds differ in a few numbers, so that they share their code.
func (s *sampler) keep() (cut, *spmd.Value) {
	k, p := s.Load(s.params, nil, wordTopK), s.float(wordTopP)
	byNumber := s.And(s.Cmp(spmd.GT, k, s.I32(0)), s.Cmp(spmd.LT, k, s.I32(int32(s.n))))
	bySum := s.And(s.Cmp(spmd.GT, p, s.F(0)), s.Cmp(spmd.LT, p, s.F(1)))
	c := s.For(s.I(0), s.I(3), 1, []*spmd.Value{s.I32(0), s.I32(int32(s.n)), s.F(0)}, func(round *spmd.Value, c []*spmd.Value) []*spmd.Value {
		now, first, last := cut{c[0], c[1]}, s.Cmp(spmd.EQ, round, s.I(0)), s.Cmp(spmd.EQ, round, s.I(2))
		second := s.And(bySum, s.Cmp(spmd.EQ, round, s.I(1)))
		total := s.If(s.Or(second, last), func() []*spmd.Value { return []*spmd.Value{s.total(now)} }, func() []*spmd.Value { return c[2:] })[0]
		next := s.If(s.Or(second, s.And(first, byNumber)), func() []*spmd.Value {
			goal := s.Select(first, s.ToF32(k), s.Mul(p, total)) // above 0, so that something is kept
			next := s.shorten(now, goal, s.Select(first, s.F(0), s.F(1)), s.Select(first, s.F(1), s.F(0)))
			return []*spmd.Value{next.key, next.last}
		}, func() []*spmd.Value { return c[:2] })
		return append(next, total)
	})
	return cut{c[0], c[1]}, c[2]
}

// shorten gives the smallest set of what is kept, the largest weights first, whose sum of a*weight + b reaches the goal.
func (s *sampler) shorten(now cut, goal, a, b *spmd.Value) cut {
	g := s.groups()
	// sums adds what is in the sets of some candidates; three of them are the loop that runs most.
	sums := func(least *spmd.Value, candidates []*spmd.Value, in func(x, id, candidate *spmd.Value) *spmd.Value) []*spmd.Value {
		return s.sweep(least, len(candidates), 32*int64(min(2, len(candidates))), func(x, ids func(i int) *spmd.Value, c []*spmd.Value) {
			for i := range g {
				value, id := s.FMA(x(i), a, b), ids(i)
				for t := range candidates {
					c[t*g+i] = s.Add(c[t*g+i], s.Select(in(x(i), id, candidates[t]), value, s.F(0)))
				}
			}
		})
	}
	key := s.digits(keyDigits, 2, func(keys []*spmd.Value) []*spmd.Value {
		weights := each(keys, func(t int) *spmd.Value { return s.Bitcast(keys[t]) })
		sum := sums(s.Bitcast(s.Max(keys[0], now.key)), weights, func(x, _, w *spmd.Value) *spmd.Value { return s.Cmp(spmd.GE, x, w) })
		return each(sum, func(t int) *spmd.Value { // down to the key that holds now, the goal is reached
			return s.Or(s.Cmp(spmd.LE, keys[t], now.key), s.Cmp(spmd.GE, sum[t], goal))
		})
	})
	least := s.Bitcast(key)
	last := s.If(s.several(least), func() []*spmd.Value {
		id := s.digits(int64(bits.Len64(uint64(s.n))), 1, func(ids []*spmd.Value) []*spmd.Value { // rare: one candidate saves code
			sum := sums(least, ids, func(x, id, below *spmd.Value) *spmd.Value {
				return s.Or(s.Cmp(spmd.GT, x, least), s.And(s.Cmp(spmd.EQ, x, least), s.Cmp(spmd.LT, id, below)))
			})
			return []*spmd.Value{s.Cmp(spmd.LT, sum[0], goal)}
		})
		return []*spmd.Value{id} // the last tie that is needed, which was kept: with all that was, the goal is reached
	}, func() []*spmd.Value { return []*spmd.Value{s.I32(int32(s.n))} })[0]
	return cut{key, last}
}

// digits finds the largest number of n digits, of one or two bits each, of which holds says yes. What holds for a number holds for all below; 0 is not asked about.
func (s *sampler) digits(n, size int64, holds func(candidates []*spmd.Value) []*spmd.Value) *spmd.Value {
	start := []*spmd.Value{s.I32(0), s.I32(1 << (size * (n - 1)))}
	return s.For(s.I(0), s.I(n), 1, start, func(_ *spmd.Value, c []*spmd.Value) []*spmd.Value {
		x, step := c[0], c[1]
		candidates := []*spmd.Value{s.Add(x, step)}
		for len(candidates) < 1<<size-1 {
			candidates = append(candidates, s.Add(candidates[len(candidates)-1], step))
		}
		for t, yes := range holds(candidates) {
			x = s.Select(yes, candidates[t], x)
		}
		return []*spmd.Value{x, s.Shrl(step, size)}
	})[0]
}

// several says whether more than one weight is equal to x, which is not 0.
func (s *sampler) several(x *spmd.Value) *spmd.Value {
	count := s.sweep(x, 1, 32, func(w, _ func(i int) *spmd.Value, c []*spmd.Value) {
		for i := range c {
			c[i] = s.Add(c[i], s.Select(s.Cmp(spmd.EQ, w(i), x), s.F(1), s.F(0)))
		}
	})
	return s.And(s.Cmp(spmd.GT, count[0], s.F(1)), s.Cmp(spmd.GT, x, s.F(0)))
}
