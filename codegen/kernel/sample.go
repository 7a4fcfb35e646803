package kernel

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// This file is the last phase of a step: a tile chooses the next token from one row of the logits. internal/sample says what is chosen, by sorting; here the
// rows are not sorted. The weights are from 0 to 1, so their bits are whole numbers from 0 to 2^30 in the same order, and the smallest weight that is kept is found by
// its digits: how many weights are as large as a candidate, or what their sum is, takes one sweep over the row, for three candidates at once. A block whose largest
// weight is below all of them is passed over.

const (
	sampleBlock = 512     // columns of a block; the draw sums by blocks
	keyDigits   = 15      // of two bits: weights are at most 1, 0x3f800000
	mostVocab   = 1 << 24 // counts are floats
)

// words of a row's parameters; sample.Params.
const (
	wordTemperature = iota
	wordTopK
	wordTopP
	wordU
)

// newSampler makes the task that chooses tokens.
func newSampler(vocab, stride int64) (*task, error) {
	if vocab >= mostVocab {
		return nil, fmt.Errorf("a vocabulary of %d: the sampler counts to %d", vocab, mostVocab)
	}
	t := newTask(nil, "sample")
	fmt.Fprintf(&t.shape, "sample %d: stride %d", vocab, stride)
	for _, u := range []use{useLogits, useSampling, useOdds, useChosen} {
		t.input(u)
	}
	t.grid = spmd.Grid{Panels: 1, By: spmd.ByOutBlocks, Block: 1}
	t.needs.MinChosen = 1
	t.build = func(k *code) {
		s := &sampler{code: k, n: vocab, padded: roundUp(vocab, 32), blocks: (vocab + sampleBlock - 1) / sampleBlock}
		s.build(stride)
	}
	return t, nil
}

// Sampler is the kernel that chooses tokens, by itself, for logits of so many columns and stride. Its parameters are logits, sampling, odds and chosen.
func Sampler(target spmd.Target, vocab, stride int64) (*spmd.Kernel, error) {
	t, err := newSampler(vocab, stride)
	if err != nil {
		return nil, err
	}
	return t.emit(nil, "sample", target)
}

// sampler is the kernel in the making.
type sampler struct {
	*code
	n, padded, blocks int64
	logits, odds      *spmd.Value // the row's
	params            *spmd.Value
	most, sums        *spmd.Value // scratch: of each block the largest weight, and what sweep adds, up to three sums
}

// cut is what is kept of a row: weights above a key, and those equal to it up to an id. Both are i32.
type cut struct{ key, last *spmd.Value }

func (s *sampler) build(stride int64) {
	row := s.block
	at := s.Mul(row, s.I(stride))
	s.logits, s.odds = s.Offset(s.t.find(useLogits, nil).ptr, at), s.Offset(s.t.find(useOdds, nil).ptr, at)
	s.params = s.Offset(s.t.find(useSampling, nil).ptr, s.Mul(row, s.I(spmd.SamplingWords)))
	s.most, s.sums = s.Scratch(spmd.F32, s.blocks), s.Scratch(spmd.F32, 3*s.blocks)

	largest, best := s.greedy()
	temperature := s.float(wordTemperature)
	drawn := s.And(s.Cmp(spmd.GT, temperature, s.F(0)), s.Cmp(spmd.NE, s.Load(s.params, nil, wordTopK), s.I32(1)))
	drawn = s.And(drawn, s.Cmp(spmd.GE, best, s.I32(0)))
	id := s.If(drawn, func() []*spmd.Value {
		s.weigh(largest, s.Min(s.Div(s.F(1), temperature), s.F(math.MaxFloat32)))
		return []*spmd.Value{s.draw(s.keep())}
	}, func() []*spmd.Value { return []*spmd.Value{best} })
	s.If(s.Cmp(spmd.EQ, s.Member(), s.I(0)), func() []*spmd.Value {
		s.Store(s.t.find(useChosen, nil).ptr, row, 0, id[0])
		return nil
	}, nil)
}

// mine runs body for this member's share of the blocks, with their first column and the one behind the last of those below end.
func (s *sampler) mine(end int64, carry []*spmd.Value, body func(b, lo, hi *spmd.Value, c []*spmd.Value) []*spmd.Value) []*spmd.Value {
	return s.For(s.Member(), s.I(s.blocks), int64(s.Target.Members), carry, func(b *spmd.Value, c []*spmd.Value) []*spmd.Value {
		lo := s.Mul(b, s.I(sampleBlock))
		return body(b, lo, s.Min(s.Add(lo, s.I(sampleBlock)), s.I(end)), c)
	})
}

// meet lets the members see what each has put into memory.
func (s *sampler) meet() {
	if s.Target.Members > 1 {
		s.Barrier()
	}
}

func (s *sampler) float(word int64) *spmd.Value { return s.Bitcast(s.Load(s.params, nil, word)) }

// ids are the columns of the lanes from col+off on.
func (s *sampler) ids(col *spmd.Value, off int64) *spmd.Value {
	return s.Add(s.Truncate(s.Add(col, s.I(off))), s.Lane())
}

// chunks runs body for lo, lo+step, ... below hi, where 32 divides hi - lo: in steps of 32, or if wide on a roomy target first in larger ones, as many as fit.
func (s *sampler) chunks(wide bool, lo, hi *spmd.Value, carry []*spmd.Value, body func(col *spmd.Value, n int64, c []*spmd.Value)) []*spmd.Value {
	sizes := []int64{32}
	if wide && roomy(s.Target) {
		sizes = []int64{64, 32}
	}
	for i, n := range sizes {
		end := hi
		if i+1 < len(sizes) {
			end = s.Add(lo, s.Mul(s.Div(s.Max(s.Sub(hi, lo), s.I(0)), s.I(n)), s.I(n)))
		}
		carry = s.For(lo, end, n, carry, func(col *spmd.Value, c []*spmd.Value) []*spmd.Value {
			c = append([]*spmd.Value(nil), c...)
			body(col, n, c)
			return c
		})
		lo = end
	}
	return carry
}

// groups is how many varying values sixteen lanes are.
func (s *sampler) groups() int { return max(1, 16/s.Target.Lanes) }

// splats are n varying values of one number.
func (s *sampler) splats(n int, x *spmd.Value) []*spmd.Value {
	list := make([]*spmd.Value, n)
	for i := range list {
		list[i] = s.Splat(x)
	}
	return list
}

// reduceMax is the largest of all lanes.
func (s *sampler) reduceMax(xs []*spmd.Value) *spmd.Value {
	if s.Target.Lanes == 32 {
		xs = []*spmd.Value{s.Max(xs[0], s.Swap(xs[0], 16))}
	}
	return s.ReduceMax(xs...)
}

// greedy gives the largest logit and its id, or -1 where the logits are not finite.
func (s *sampler) greedy() (largest, id *spmd.Value) {
	g, w := s.groups(), int64(s.Target.Lanes)
	infinite := s.F(float32(math.Inf(1)))
	better := func(x, ids *spmd.Value, c []*spmd.Value, i int) {
		x = s.Select(s.Cmp(spmd.LE, x, s.F(math.MaxFloat32)), x, infinite) // NaN is infinite too
		above := s.Cmp(spmd.GT, x, c[i])
		c[i], c[g+i] = s.Select(above, x, c[i]), s.Select(above, ids, c[g+i])
	}
	start := append(s.splats(g, s.F(float32(math.Inf(-1)))), s.splats(g, s.I32(0))...)
	whole := s.n / 32 * 32
	best := s.mine(whole, start, func(_, lo, hi *spmd.Value, c []*spmd.Value) []*spmd.Value {
		return s.chunks(true, lo, hi, c, func(col *spmd.Value, n int64, c []*spmd.Value) {
			var xs []*spmd.Value
			for off := int64(0); off < n; off += w {
				xs = append(xs, s.LoadV(s.logits, col, off))
			}
			for i, x := range xs {
				better(x, s.ids(col, int64(i)*w), c, i%g)
			}
		})
	})
	for at := whole; at < s.n; at += w { // what lies behind the last column means nothing
		ids := s.ids(s.I(at), 0)
		x := s.Select(s.Cmp(spmd.LT, ids, s.I32(int32(s.n))), s.LoadV(s.logits, s.I(at), 0), s.F(float32(math.Inf(-1))))
		better(x, ids, best, int((at-whole)/w)%g)
	}
	largest = s.reduceMax(best[:g])
	first := make([]*spmd.Value, g)
	for i := range first {
		first[i] = s.Select(s.Cmp(spmd.EQ, best[i], largest), s.Neg(s.ToF32(best[g+i])), s.F(float32(math.Inf(-1))))
	}
	largest, at := s.best(largest, s.Neg(s.reduceMax(first)))
	finite := s.Cmp(spmd.LE, s.Abs(largest), s.F(math.MaxFloat32))
	return largest, s.Round(s.Select(finite, at, s.F(-1)))
}

// best is the best that a member has found: the largest logit, at the lowest id.
func (s *sampler) best(largest, at *spmd.Value) (*spmd.Value, *spmd.Value) {
	members := int64(s.Target.Members)
	if members == 1 {
		return largest, at
	}
	found := s.Scratch(spmd.F32, 2*members)
	s.Store(found, s.Member(), 0, largest)
	s.Store(found, s.Member(), members, at)
	s.Barrier()
	largest, at = s.Load(found, nil, 0), s.Load(found, nil, members)
	for m := int64(1); m < members; m++ {
		l, i := s.Load(found, nil, m), s.Load(found, nil, members+m)
		above := s.Or(s.Cmp(spmd.GT, l, largest), s.And(s.Cmp(spmd.EQ, l, largest), s.Cmp(spmd.LT, i, at)))
		largest, at = s.Select(above, l, largest), s.Select(above, i, at)
	}
	return largest, at
}

// weigh makes the weights of a row, and notes the largest of each block. Behind the last column they are 0.
func (s *sampler) weigh(largest, r *spmd.Value) {
	g, w := s.groups(), int64(s.Target.Lanes)
	s.mine(s.padded, nil, func(b, lo, hi *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		most := s.chunks(false, lo, hi, s.splats(g, s.F(0)), func(col *spmd.Value, n int64, c []*spmd.Value) {
			var xs []*spmd.Value
			for off := int64(0); off < n; off += w {
				xs = append(xs, s.Mul(s.Sub(s.LoadV(s.logits, col, off), largest), r))
			}
			e := expsBelow(s.Builder, each(xs, func(i int) *spmd.Value { return s.Max(xs[i], s.F(-87)) }))
			for i, x := range xs {
				off := int64(i) * w
				some := s.Cmp(spmd.GE, x, s.F(-87))
				if s.n < s.padded {
					some = s.And(some, s.Cmp(spmd.LT, s.ids(col, off), s.I32(int32(s.n))))
				}
				x = s.Select(some, e[i], s.F(0))
				s.StoreV(s.odds, col, off, x)
				c[i%g] = s.Max(x, c[i%g])
			}
		})
		s.Store(s.most, b, 0, s.reduceMax(most))
		return nil
	})
	s.meet()
}

// term adds what sixteen columns have to the partial sums c of some sums: c[t*g+i] belongs to sum t and varying value i of g.
type term func(x, ids func(i int) *spmd.Value, c []*spmd.Value)

// sweep makes n sums over a row: those of its blocks, in sixteen partial sums, one after the other. Blocks that have no weight of least or more add nothing.
func (s *sampler) sweep(least *spmd.Value, n int, wide bool, add term) []*spmd.Value {
	zero := make([]*spmd.Value, n)
	for t := range zero {
		zero[t] = s.F(0)
	}
	s.mine(s.padded, nil, func(b, lo, hi *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		some := s.Cmp(spmd.GE, s.Load(s.most, b, 0), least)
		sums := s.If(some, func() []*spmd.Value { return s.inBlock(lo, hi, n, wide, add) }, func() []*spmd.Value { return zero })
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
func (s *sampler) inBlock(lo, hi *spmd.Value, n int, wide bool, add term) []*spmd.Value {
	g := s.groups()
	parts := s.chunks(wide, lo, hi, s.splats(n*g, s.F(0)), func(col *spmd.Value, count int64, c []*spmd.Value) {
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
	return s.sweep(s.Bitcast(k.key), 1, false, func(x, ids func(i int) *spmd.Value, c []*spmd.Value) {
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
	// sums adds what is in the sets of some candidates.
	sums := func(least *spmd.Value, candidates []*spmd.Value, in func(x, id, candidate *spmd.Value) *spmd.Value) []*spmd.Value {
		return s.sweep(least, len(candidates), len(candidates) > 1, func(x, ids func(i int) *spmd.Value, c []*spmd.Value) {
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
	count := s.sweep(x, 1, false, func(w, _ func(i int) *spmd.Value, c []*spmd.Value) {
		for i := range c {
			c[i] = s.Add(c[i], s.Select(s.Cmp(spmd.EQ, w(i), x), s.F(1), s.F(0)))
		}
	})
	return s.And(s.Cmp(spmd.GT, count[0], s.F(1)), s.Cmp(spmd.GT, x, s.F(0)))
}

// draw gives the id at which the running sum of what is kept passes u times the total.
func (s *sampler) draw(k cut, total *spmd.Value) *spmd.Value {
	zero := s.F(0)
	target := s.Mul(s.Max(s.float(wordU), zero), total)
	block, before := s.pass(s.I(s.blocks), zero, target, func(i *spmd.Value) *spmd.Value { return s.Load(s.sums, i, 0) })
	lo := s.Mul(block, s.I(sampleBlock))
	few := s.Div(s.Min(s.I(sampleBlock), s.Sub(s.I(s.padded), lo)), s.I(16))
	in, before := s.pass(few, before, target, func(i *spmd.Value) *spmd.Value {
		col := s.Add(lo, s.Mul(i, s.I(16)))
		xs := s.sixteen(col, 0)
		return s.ReduceAdd(each(xs, func(j int) *spmd.Value { return s.kept(k, xs[j], s.ids(col, int64(j*s.Target.Lanes))) })...)
	})
	lo = s.Add(lo, s.Mul(in, s.I(16)))
	one, _ := s.pass(s.I(16), before, target, func(i *spmd.Value) *spmd.Value {
		col := s.Add(lo, i)
		return s.kept(k, s.Load(s.odds, col, 0), s.Truncate(col))
	})
	return s.Truncate(s.Add(lo, one))
}

// pass is sample.pass: the place by whose weight the running sum passes the target, and the sum before it.
func (s *sampler) pass(n, before, target *spmd.Value, weight func(i *spmd.Value) *spmd.Value) (at, sum *spmd.Value) {
	c := s.For(s.I(0), n, 1, []*spmd.Value{before, s.I(0), before}, func(i *spmd.Value, c []*spmd.Value) []*spmd.Value {
		w := weight(i)
		here := s.And(s.Cmp(spmd.LE, c[0], target), s.Cmp(spmd.GT, w, s.F(0)))
		return []*spmd.Value{s.Add(c[0], w), s.Select(here, i, c[1]), s.Select(here, c[0], c[2])}
	})
	return c[1], c[2]
}
