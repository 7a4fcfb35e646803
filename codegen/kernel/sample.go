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
	most, sums        *spmd.Value // scratch: of each block the largest weight, and the sum of the kept ones
}

// cut is what is kept of a row: weights above a key, and those equal to it up to an id. Both are i32.
type cut struct{ key, last *spmd.Value }

func (s *sampler) build(stride int64) {
	row := s.block
	at := s.Mul(row, s.I(stride))
	s.logits, s.odds = s.Offset(s.t.find(useLogits, nil).ptr, at), s.Offset(s.t.find(useOdds, nil).ptr, at)
	s.params = s.Offset(s.t.find(useSampling, nil).ptr, s.Mul(row, s.I(spmd.SamplingWords)))
	s.most, s.sums = s.Scratch(spmd.F32, s.blocks), s.Scratch(spmd.F32, s.blocks)

	largest, best := s.greedy()
	temperature := s.float(wordTemperature)
	drawn := s.And(s.Cmp(spmd.GT, temperature, s.F(0)), s.Cmp(spmd.NE, s.Load(s.params, nil, wordTopK), s.I32(1)))
	drawn = s.And(drawn, s.Cmp(spmd.GE, best, s.I32(0)))
	id := s.If(drawn, func() []*spmd.Value {
		s.weigh(largest, s.Min(s.Div(s.F(1), temperature), s.F(math.MaxFloat32)))
		return []*spmd.Value{s.draw(s.keep())}
	}, func() []*spmd.Value { return []*spmd.Value{best} })
	s.Store(s.t.find(useChosen, nil).ptr, row, 0, id[0])
}

func (s *sampler) float(word int64) *spmd.Value { return s.Bitcast(s.Load(s.params, nil, word)) }

// ids are the columns of the lanes from col+off on.
func (s *sampler) ids(col *spmd.Value, off int64) *spmd.Value {
	return s.Add(s.Truncate(s.Add(col, s.I(off))), s.Lane())
}

// chunks runs body for lo, lo+step, ... below hi with the largest of some steps that fits, then with the next; the last one divides hi - lo.
func (s *sampler) chunks(lo, hi *spmd.Value, carry []*spmd.Value, body func(col *spmd.Value, n int64, c []*spmd.Value) []*spmd.Value) []*spmd.Value {
	sizes := []int64{32}
	if roomy(s.Target) {
		sizes = []int64{128, 32}
	}
	for i, n := range sizes {
		end := hi
		if i+1 < len(sizes) {
			end = s.Add(lo, s.Mul(s.Div(s.Max(s.Sub(hi, lo), s.I(0)), s.I(n)), s.I(n)))
		}
		carry = s.For(lo, end, n, carry, func(col *spmd.Value, c []*spmd.Value) []*spmd.Value { return body(col, n, c) })
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
	best := s.chunks(s.I(0), s.I(whole), start, func(col *spmd.Value, n int64, c []*spmd.Value) []*spmd.Value {
		c = append([]*spmd.Value(nil), c...)
		var xs []*spmd.Value
		for off := int64(0); off < n; off += w {
			xs = append(xs, s.LoadV(s.logits, col, off))
		}
		for i, x := range xs {
			better(x, s.ids(col, int64(i)*w), c, i%g)
		}
		return c
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
	finite := s.Cmp(spmd.LE, s.Abs(largest), s.F(math.MaxFloat32))
	at := s.Neg(s.reduceMax(first))
	return largest, s.Round(s.Select(finite, at, s.F(-1)))
}

// weigh makes the weights of a row, and notes the largest of each block. Behind the last column they are 0.
func (s *sampler) weigh(largest, r *spmd.Value) {
	g, w := s.groups(), int64(s.Target.Lanes)
	weights := func(xs []*spmd.Value) []*spmd.Value {
		xs = each(xs, func(i int) *spmd.Value { return s.Mul(s.Sub(xs[i], largest), r) })
		e := expsBelow(s.Builder, each(xs, func(i int) *spmd.Value { return s.Max(xs[i], s.F(-87)) }))
		return each(xs, func(i int) *spmd.Value { return s.Select(s.Cmp(spmd.GE, xs[i], s.F(-87)), e[i], s.F(0)) })
	}
	whole := s.n / 32 * 32
	s.For(s.I(0), s.I(s.blocks), 1, nil, func(b *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		lo := s.Mul(b, s.I(sampleBlock))
		hi := s.Min(s.Add(lo, s.I(sampleBlock)), s.I(whole))
		most := s.chunks(lo, hi, s.splats(g, s.F(0)), func(col *spmd.Value, n int64, c []*spmd.Value) []*spmd.Value {
			c = append([]*spmd.Value(nil), c...)
			var xs []*spmd.Value
			for off := int64(0); off < n; off += w {
				xs = append(xs, s.LoadV(s.logits, col, off))
			}
			for i, x := range weights(xs) {
				s.StoreV(s.odds, col, int64(i)*w, x)
				c[i%g] = s.Max(x, c[i%g])
			}
			return c
		})
		s.Store(s.most, b, 0, s.reduceMax(most))
		return nil
	})
	if whole == s.n {
		return
	}
	most := s.splats(g, s.F(0))
	for at := whole; at < s.padded; at += w {
		x := weights([]*spmd.Value{s.LoadV(s.logits, s.I(at), 0)})[0]
		x = s.Select(s.Cmp(spmd.LT, s.ids(s.I(at), 0), s.I32(int32(s.n))), x, s.F(0))
		s.StoreV(s.odds, s.I(at), 0, x)
		i := int((at-whole)/w) % g
		most[i] = s.Max(x, most[i])
	}
	last := s.I(s.blocks - 1)
	s.Store(s.most, last, 0, s.Max(s.Load(s.most, last, 0), s.reduceMax(most)))
}

// sweep carries values over the columns of the blocks that have a weight of least or more, sixteen columns at a time.
func (s *sampler) sweep(least *spmd.Value, carry []*spmd.Value, add func(x, ids func(i int) *spmd.Value, c []*spmd.Value)) []*spmd.Value {
	return s.For(s.I(0), s.I(s.blocks), 1, carry, func(b *spmd.Value, c []*spmd.Value) []*spmd.Value {
		some := s.Cmp(spmd.GE, s.Load(s.most, b, 0), least)
		return s.If(some, func() []*spmd.Value { return s.inBlock(b, c, add) }, func() []*spmd.Value { return c })
	})
}

// inBlock carries values over the columns of one block.
func (s *sampler) inBlock(b *spmd.Value, carry []*spmd.Value, add func(x, ids func(i int) *spmd.Value, c []*spmd.Value)) []*spmd.Value {
	lo := s.Mul(b, s.I(sampleBlock))
	return s.chunks(lo, s.Min(s.Add(lo, s.I(sampleBlock)), s.I(s.padded)), carry, func(col *spmd.Value, n int64, c []*spmd.Value) []*spmd.Value {
		c = append([]*spmd.Value(nil), c...)
		var xs [][]*spmd.Value
		for off := int64(0); off < n; off += 16 {
			xs = append(xs, s.sixteen(col, off))
		}
		for j, x := range xs {
			add(func(i int) *spmd.Value { return x[i] }, func(i int) *spmd.Value { return s.ids(col, int64(16*j+i*s.Target.Lanes)) }, c)
		}
		return c
	})
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

// sum adds what is kept of a row.
func (s *sampler) sum(k cut) *spmd.Value {
	g := s.groups()
	return s.ReduceAdd(s.sweep(s.Bitcast(k.key), s.splats(g, s.F(0)), func(x, ids func(i int) *spmd.Value, c []*spmd.Value) {
		for i := range c {
			c[i] = s.Add(c[i], s.kept(k, x(i), ids(i)))
		}
	})...)
}

// keep finds what is kept: first by number, then by sum.
func (s *sampler) keep() cut {
	k, p := s.Load(s.params, nil, wordTopK), s.float(wordTopP)
	byNumber := s.And(s.Cmp(spmd.GT, k, s.I32(0)), s.Cmp(spmd.LT, k, s.I32(int32(s.n))))
	bySum := s.And(s.Cmp(spmd.GT, p, s.F(0)), s.Cmp(spmd.LT, p, s.F(1)))
	all := []*spmd.Value{s.I32(0), s.I32(int32(s.n))}
	c := s.For(s.I(0), s.I(2), 1, all, func(round *spmd.Value, c []*spmd.Value) []*spmd.Value {
		first := s.Cmp(spmd.EQ, round, s.I(0))
		return s.If(s.Select(first, byNumber, bySum), func() []*spmd.Value {
			now := cut{c[0], c[1]}
			goal := s.If(first, func() []*spmd.Value { return []*spmd.Value{s.ToF32(k)} }, func() []*spmd.Value {
				return []*spmd.Value{s.Max(s.Mul(p, s.sum(now)), s.F(1))} // the largest weight is 1, and always kept
			})
			next := s.shorten(now, goal[0], s.Select(first, s.F(0), s.F(1)), s.Select(first, s.F(1), s.F(0)))
			return []*spmd.Value{next.key, next.last}
		}, func() []*spmd.Value { return c })
	})
	return cut{c[0], c[1]}
}

// shorten gives the smallest set of what is kept, the largest weights first, whose sum of a*weight + b reaches the goal.
func (s *sampler) shorten(now cut, goal, a, b *spmd.Value) cut {
	g := s.groups()
	// sums adds, for three candidates, what is in their sets.
	sums := func(least *spmd.Value, in func(t int, x, id *spmd.Value) *spmd.Value) []*spmd.Value {
		c := s.sweep(least, s.splats(3*g, s.F(0)), func(x, ids func(i int) *spmd.Value, c []*spmd.Value) {
			for i := range g {
				value, id := s.FMA(x(i), a, b), ids(i)
				for t := range 3 {
					c[t*g+i] = s.Add(c[t*g+i], s.Select(in(t, x(i), id), value, s.F(0)))
				}
			}
		})
		return each(make([]*spmd.Value, 3), func(t int) *spmd.Value { return s.ReduceAdd(c[t*g : (t+1)*g]...) })
	}
	key := s.digits(keyDigits, func(candidates []*spmd.Value) []*spmd.Value {
		floats := each(candidates, func(t int) *spmd.Value { return s.Bitcast(candidates[t]) })
		least := s.Bitcast(s.Max(candidates[0], now.key))
		sum := sums(least, func(t int, x, _ *spmd.Value) *spmd.Value { return s.Cmp(spmd.GE, x, floats[t]) })
		return each(sum, func(t int) *spmd.Value { // down to the key that holds now, the goal is reached
			return s.Or(s.Cmp(spmd.LE, candidates[t], now.key), s.Cmp(spmd.GE, sum[t], goal))
		})
	})
	least, same := s.Bitcast(key), s.Cmp(spmd.EQ, key, now.key)
	last := s.Select(same, now.last, s.I32(int32(s.n)))
	ties := s.If(s.several(least), func() []*spmd.Value {
		id := s.digits(int64(bits.Len64(uint64(s.n))+1)/2, func(candidates []*spmd.Value) []*spmd.Value {
			sum := sums(least, func(t int, x, id *spmd.Value) *spmd.Value {
				tie := s.And(s.Cmp(spmd.EQ, x, least), s.Cmp(spmd.LT, id, candidates[t]))
				return s.Or(s.Cmp(spmd.GT, x, least), tie)
			})
			return each(sum, func(t int) *spmd.Value { return s.Cmp(spmd.LT, sum[t], goal) })
		})
		return []*spmd.Value{s.Min(id, last)}
	}, func() []*spmd.Value { return []*spmd.Value{last} })
	return cut{key, ties[0]}
}

// digits finds the largest number of so many digits of two bits of which holds says yes; 0 needs no asking, and what holds for a number holds for all below.
func (s *sampler) digits(n int64, holds func(candidates []*spmd.Value) []*spmd.Value) *spmd.Value {
	start := []*spmd.Value{s.I32(0), s.I32(1 << (2 * (n - 1)))}
	return s.For(s.I(0), s.I(n), 1, start, func(_ *spmd.Value, c []*spmd.Value) []*spmd.Value {
		x, step := c[0], c[1]
		candidates := []*spmd.Value{s.Add(x, step), s.Add(x, s.Shl(step, 1)), s.Add(x, s.Add(step, s.Shl(step, 1)))}
		for t, yes := range holds(candidates) {
			x = s.Select(yes, candidates[t], x)
		}
		return []*spmd.Value{x, s.Shrl(step, 2)}
	})[0]
}

// several says whether more than one weight is equal to x, which is not 0.
func (s *sampler) several(x *spmd.Value) *spmd.Value {
	count := s.sweep(x, s.splats(s.groups(), s.F(0)), func(w, _ func(i int) *spmd.Value, c []*spmd.Value) {
		for i := range c {
			c[i] = s.Add(c[i], s.Select(s.Cmp(spmd.EQ, w(i), x), s.F(1), s.F(0)))
		}
	})
	return s.And(s.Cmp(spmd.GT, s.ReduceAdd(count...), s.F(1)), s.Cmp(spmd.GT, x, s.F(0)))
}

// draw gives the id at which the running sum of what is kept passes u times the sum.
func (s *sampler) draw(k cut) *spmd.Value {
	g, least := s.groups(), s.Bitcast(k.key)
	zero := s.F(0)
	total := s.For(s.I(0), s.I(s.blocks), 1, []*spmd.Value{zero}, func(b *spmd.Value, c []*spmd.Value) []*spmd.Value {
		sum := s.If(s.Cmp(spmd.GE, s.Load(s.most, b, 0), least), func() []*spmd.Value {
			parts := s.inBlock(b, s.splats(g, zero), func(x, ids func(i int) *spmd.Value, c []*spmd.Value) {
				for i := range c {
					c[i] = s.Add(c[i], s.kept(k, x(i), ids(i)))
				}
			})
			return []*spmd.Value{s.ReduceAdd(parts...)}
		}, func() []*spmd.Value { return []*spmd.Value{zero} })
		s.Store(s.sums, b, 0, sum[0])
		return []*spmd.Value{s.Add(c[0], sum[0])}
	})
	target := s.Mul(s.Max(s.float(wordU), zero), total[0])
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
