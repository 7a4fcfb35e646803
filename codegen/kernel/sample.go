package kernel

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// This file is the last phase of a step: a tile chooses the next token from one row of the logits. internal/sample says what is chosen.

const (
	sampleBlock = 512     // columns of a block; the draw sums by blocks
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
	t.shared = true
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

// chunks runs body for lo, lo+step, ... below hi, where 32 divides hi - lo: in steps of 32, but on a roomy target first in larger ones, as many as fit.
func (s *sampler) chunks(large int64, lo, hi *spmd.Value, carry []*spmd.Value, body func(col *spmd.Value, n int64, c []*spmd.Value)) []*spmd.Value {
	sizes := []int64{32}
	if large > 32 && roomy(s.Target) {
		sizes = []int64{large, 32}
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
	better := func(x, col *spmd.Value, c []*spmd.Value, i int) { // c: the largest, and the column of lane 0
		x = s.Select(s.Cmp(spmd.LE, x, s.F(math.MaxFloat32)), x, infinite) // NaN is infinite too
		above := s.Cmp(spmd.GT, x, c[i])
		c[i], c[g+i] = s.Select(above, x, c[i]), s.Select(above, col, c[g+i])
	}
	start := append(s.splats(g, s.F(float32(math.Inf(-1)))), s.splats(g, s.I32(0))...)
	whole := s.n / 32 * 32
	best := s.mine(whole, start, func(_, lo, hi *spmd.Value, c []*spmd.Value) []*spmd.Value {
		return s.chunks(256, lo, hi, c, func(col *spmd.Value, n int64, c []*spmd.Value) {
			var xs []*spmd.Value
			for off := int64(0); off < n; off += w {
				xs = append(xs, s.LoadV(s.logits, col, off))
			}
			for i, x := range xs {
				better(x, s.Truncate(s.Add(col, s.I(int64(i)*w))), c, i%g)
			}
		})
	})
	for at := whole; at < s.n; at += w { // what lies behind the last column means nothing
		x := s.Select(s.Cmp(spmd.LT, s.ids(s.I(at), 0), s.I32(int32(s.n))), s.LoadV(s.logits, s.I(at), 0), s.F(float32(math.Inf(-1))))
		better(x, s.I32(int32(at)), best, int((at-whole)/w)%g)
	}
	largest = s.reduceMax(best[:g])
	first := make([]*spmd.Value, g)
	for i := range first {
		first[i] = s.Select(s.Cmp(spmd.EQ, best[i], largest), s.Neg(s.ToF32(s.Add(best[g+i], s.Lane()))), s.F(float32(math.Inf(-1))))
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
		most := s.chunks(32, lo, hi, s.splats(g, s.F(0)), func(col *spmd.Value, n int64, c []*spmd.Value) {
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
