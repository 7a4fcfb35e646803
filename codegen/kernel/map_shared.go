package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// A step of one row has maps of one tile, and everybody waits for them. On targets with teams a row is a tile that all members share: each has every
// so many vectors of columns. What a norm reads is computed once, into scratch, and then each member makes the norm's sums for itself: they have one order,
// and a second barrier would take as long.

// sharedBatch is how many vectors a member loads before it uses the first one.
const sharedBatch = 4

// buildShared emits the tile of a row.
func (m *rowMap) buildShared(k *code, row *spmd.Value) {
	if m.norm != nil && m.butterfly == nil {
		groups := int64(max(1, m.norm.Attrs.Groups))
		m.buf = k.Scratch(spmd.F32, roundUp(m.cols, k.sixteen())+groups*k.sixteen()) // sums read whole vectors: groups lie a vector apart
	}
	m.row(k, row, m.source(k, row))
}

// shareColumns runs body for the columns lo..lo+n-1, each vector by one member: some vectors at once, and with their number of columns the last that are no
// whole vector.
func (k *code) shareColumns(lo, n int64, body func(col *spmd.Value, offs []int64, count *spmd.Value)) {
	w, members := int64(k.Target.Lanes), int64(k.Target.Members)
	vectors, step := n/w, w*members
	rounds := vectors / members
	first := k.Add(k.I(lo), k.Mul(k.Member(), k.I(w)))
	offs := func(n int64) []int64 {
		list := make([]int64, n)
		for i := range list {
			list[i] = int64(i) * step
		}
		return list
	}
	whole := rounds / sharedBatch * sharedBatch
	if whole > 0 {
		k.For(k.I(0), k.I(whole*step), sharedBatch*step, nil, func(at *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			body(k.Add(first, at), offs(sharedBatch), nil)
			return nil
		})
	}
	if rest := rounds - whole; rest > 0 {
		body(k.Add(first, k.I(whole*step)), offs(rest), nil)
	}
	only := func(c *spmd.Value, do func()) {
		k.If(c, func() []*spmd.Value {
			do()
			return nil
		}, nil)
	}
	if rest := vectors % members; rest > 0 {
		only(k.Cmp(spmd.LT, k.Member(), k.I(rest)), func() { body(k.Add(first, k.I(rounds*step)), []int64{0}, nil) })
	}
	if rest := n % w; rest > 0 {
		only(k.Cmp(spmd.EQ, k.Member(), k.I(members-1)), func() { body(k.I(lo+n-rest), []int64{0}, k.I(rest)) })
	}
}

// normaliseShared is normalise by a team: the columns are made by all, for all.
func (m *rowMap) normaliseShared(k *code, row *spmd.Value, lo, n int64, fetch func(*spmd.Value, int64) *spmd.Value) func(p *point) *spmd.Value {
	columns := n
	if lo+n == m.cols { // whole vectors, into the padding behind the last column
		columns = roundUp(m.cols, k.sixteen()) - lo
	}
	x, buf := m.norm.Args[0], k.Offset(m.buf, k.I(lo/n*k.sixteen()))
	k.shareColumns(lo, columns, func(col *spmd.Value, offs []int64, count *spmd.Value) {
		ps := make([]*point, len(offs))
		for i, off := range offs {
			ps[i] = m.point(k, row, col, off, fetch)
			ps[i].count = count
			for _, v := range append([]*ir.Value{x}, m.first...) {
				k.eval(ps[i], v)
			}
		}
		for _, p := range ps {
			k.putAll(p, m.first)
			if count != nil {
				k.StoreVN(buf, col, p.off, count, p.vals[x])
			} else {
				k.StoreV(buf, col, p.off, p.vals[x])
			}
		}
	})
	if lanes := int64(k.Target.Lanes); lanes > 16 { // the last sixteen columns are read with what lies behind them
		k.If(k.Cmp(spmd.EQ, k.Member(), k.I(0)), func() []*spmd.Value {
			k.StoreV(buf, k.I(lo+columns), 0, k.Splat(k.F(0)))
			return nil
		}, nil)
	}
	k.Barrier()
	size := k.F(float32(n))
	var mean *spmd.Value
	if m.norm.Code == ir.OpLayerNorm {
		mean = k.Div(k.sumShared(buf, lo, n, func(x, acc *spmd.Value) *spmd.Value { return k.Add(acc, x) }), size)
	}
	squares := k.sumShared(buf, lo, n, func(x, acc *spmd.Value) *spmd.Value {
		if mean != nil {
			x = k.Sub(x, mean)
		}
		return k.FMA(x, x, acc)
	})
	r := m.normScale(k, squares, size)
	return func(p *point) *spmd.Value {
		p.vals[x] = k.LoadV(buf, p.col, p.off)
		return m.normed(k, p, mean, r)
	}
}

// sumShared folds the columns lo..lo+n-1 of buf: sixteen at a time into sixteen lanes, in order. What the other lanes hold is not looked at.
func (k *code) sumShared(buf *spmd.Value, lo, n int64, add func(x, acc *spmd.Value) *spmd.Value) *spmd.Value {
	some := func(col *spmd.Value, acc *spmd.Value, count int64) *spmd.Value {
		for at := int64(0); at < count; at += 16 {
			sum := add(k.LoadV(buf, col, at), acc)
			if left := count - at; left < 16 { // lanes behind the last column keep their sum
				sum = k.Select(k.Cmp(spmd.LT, k.Lane(), k.I32(int32(left))), sum, acc)
			}
			acc = sum
		}
		return acc
	}
	const step = 128
	whole := n / step * step
	acc := []*spmd.Value{k.Splat(k.F(0))}
	acc = k.For(k.I(lo), k.I(lo+whole), step, acc, func(col *spmd.Value, c []*spmd.Value) []*spmd.Value {
		return []*spmd.Value{some(col, c[0], step)}
	})
	if rest := n - whole; rest > 0 {
		acc[0] = some(k.I(lo+whole), acc[0], rest)
	}
	return k.ReduceAdd(acc...)
}

// runShared is run by a team, which meets after each stage.
func (x *transform) runShared(k *code, load func(col *spmd.Value) *spmd.Value) {
	w := int64(k.Target.Lanes)
	x.buf = k.Scratch(spmd.F32, roundUp(x.n, 64)+64)
	length := int64(1) << x.t.K
	masks := x.masks(k, length)
	k.shareColumns(0, roundUp(x.n, w), func(col *spmd.Value, offs []int64, _ *spmd.Value) {
		vs := make([]*spmd.Value, len(offs))
		for i, off := range offs {
			vs[i] = load(k.Add(col, k.I(off)))
		}
		for i, off := range offs {
			x.first(k, k.Add(col, k.I(off)), vs[i], masks)
		}
	})
	k.Barrier()
	for s := w; s < length; s *= 2 {
		x.stageShared(k, s)
	}
	if dense, order := x.t.Dense(); order > 1 {
		x.slowShared(k, dense, int64(order), length)
	}
	if x.signs != nil && x.back {
		k.shareColumns(0, roundUp(x.n, w), func(col *spmd.Value, offs []int64, _ *spmd.Value) {
			for _, off := range offs {
				at := k.Add(col, k.I(off))
				k.StoreV(x.buf, at, 0, x.flip(k, k.LoadV(x.buf, at, 0), at))
			}
		})
		k.Barrier()
	}
}

// byFirst lets one member do what does not come in whole vectors, and all wait for it.
func (k *code) byFirst(do func()) {
	k.If(k.Cmp(spmd.EQ, k.Member(), k.I(0)), func() []*spmd.Value {
		do()
		return nil
	}, nil)
	k.Barrier()
}

// share runs body for things 0..n-1, each by one member, and all wait until all are done.
func (k *code) share(n int64, body func(i *spmd.Value)) {
	k.For(k.Member(), k.I(n), int64(k.Target.Members), nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		body(i)
		return nil
	})
	k.Barrier()
}

// stageShared is a stage of the whole row.
func (x *transform) stageShared(k *code, s int64) {
	w := int64(k.Target.Lanes)
	if s%w != 0 {
		k.byFirst(func() { x.stage(k, k.I(0), x.n, s) })
		return
	}
	k.share(x.n/2/w, func(i *spmd.Value) {
		pair := k.Mul(i, k.I(w))
		at := k.Add(k.Mul(k.Div(pair, k.I(s)), k.I(2*s)), k.Rem(pair, k.I(s)))
		a, b := k.LoadV(x.buf, at, 0), k.LoadV(x.buf, at, s)
		k.StoreV(x.buf, at, 0, k.Add(a, b))
		k.StoreV(x.buf, at, s, k.Sub(a, b))
	})
}

// slowShared is slow by a team.
func (x *transform) slowShared(k *code, dense []int8, order, length int64) {
	w, part := int64(k.Target.Lanes), order*length
	if length%w == 0 {
		perPart := length / w
		k.share(x.n/part*perPart, func(i *spmd.Value) {
			at := k.Add(k.Mul(k.Div(i, k.I(perPart)), k.I(part)), k.Mul(k.Rem(i, k.I(perPart)), k.I(w)))
			x.mixColumn(k, dense, order, length, at, func(off int64, v *spmd.Value) { k.StoreV(x.buf, at, off, v) })
		})
		if order < int64(x.t.M) { // 40 = 2 x 20
			x.stageShared(k, part)
		}
		return
	}
	k.byFirst(func() { x.slow(k, dense, order, length) })
}
