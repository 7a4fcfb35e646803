package kernel

import "github.com/ssmc/ssmc/codegen/spmd"

// Products of codes by codes of eight bits: exact 32-bit sums, so every target may go about them in its own way.

// codes sums products of codes exactly, four to a lane.
func (t *tile) codes(k *code) [][]*spmd.Value {
	unsigned := k.Target.Dot == spmd.DotUnsigned
	acc := t.block(k, func(j int) *spmd.Value {
		if unsigned {
			return k.LoadV(t.m.sums.ptr, t.col, int64(t.first+j)*int64(k.Target.Lanes))
		}
		return k.Splat(k.I32(0))
	})
	if t.planes != nil {
		t.halves(k, acc)
		return acc
	}
	mac := func(a, v, acc *spmd.Value) *spmd.Value { return k.Dot4(acc, a, v) }
	if unsigned {
		mac = func(a, v, acc *spmd.Value) *spmd.Value { return k.Dot4U(acc, a, v, 255) }
	}
	outer(k.Builder, acc, k.I(0), k.I(t.m.units), t.unroll(k.Target), mac,
		func(i int, kk *spmd.Value, u int64) *spmd.Value {
			a := k.Load(t.at[i], kk, u)
			if unsigned {
				a = k.Xor(k.Splat(a), k.Splat(k.I32(-0x7f7f7f80))) // code + 128
			}
			return a
		},
		func(j int, kk *spmd.Value, u int64) *spmd.Value { return t.weight(k, j, kk, u) })
	return acc
}

// halves is the sum of codes by their 16-bit halves.
func (t *tile) halves(k *code, acc [][]*spmd.Value) {
	units := roundUp(t.m.units, 32)
	steps(k.Builder, acc, k.I(0), k.I(t.m.units), t.unroll(k.Target), func(unit *spmd.Value, c [][]*spmd.Value, u int64) {
		w := each(c[0], func(j int) *spmd.Value { return t.weight(k, j, unit, u) })
		low := each(w, func(j int) *spmd.Value { return k.Byte16(w[j], 0) })
		high := each(w, func(j int) *spmd.Value { return k.Byte16(w[j], 1) })
		for i := range c {
			at := u + 2*int64(i)*units
			a, b := k.Splat(k.Load(t.planes, unit, at)), k.Splat(k.Load(t.planes, unit, at+units))
			for j := range w { // both halves of a sum one behind the other: else a compiler gathers products, for which there are no registers
				c[i][j] = k.Dot2(k.Dot2(c[i][j], a, low[j]), b, high[j])
			}
		}
	})
}

// split says whether a block of so many rows multiplies narrow forms, or 16-bit halves where it has none: without a product of unsigned bytes both are faster
// than to move signs, once rows are taken apart for them.
func (m *matrix) split(t spmd.Target, rows int) bool {
	return m.w.form == words && t.Dot == spmd.DotSigned && rows >= splitFrom
}

// splitFrom is the smallest block of rows above two.
const splitFrom = 4

// splitRows takes the rows' bytes apart: of each word the two bytes at even places and the two at odd ones, as 16-bit halves.
func (t *tile) splitRows(k *code) {
	units := roundUp(t.m.units, 32)
	t.planes = k.Scratch(spmd.I32, 2*units*int64(len(t.at)))
	for i, at := range t.at {
		k.For(k.I(0), k.I(t.m.units), int64(k.Target.Lanes), nil, func(u *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			x := k.LoadV(at, u, 0)
			for half := range int64(2) {
				k.StoreV(t.planes, u, (2*int64(i)+half)*units, k.Byte16(x, half))
			}
			return nil
		})
	}
}

// tileRows is from how many rows on matrix tiles are worth their set-up: with fewer, memory decides.
const tileRows = 4

// tiles multiplies sixteen rows at a time in matrix tiles, by way of scratch memory.
func (m *matrix) tiles(k *code, lo, hi *spmd.Value, store func(row *spmd.Value, off int64, acc *spmd.Value)) {
	w := int64(k.Target.Lanes)
	c := k.Scratch(spmd.I32, 16*m.panel)
	weights := k.Offset(m.wBytes.ptr, k.Mul(k.panel, k.I(4*m.padded*m.panel)))
	k.For(lo, hi, 16, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		n := k.Min(k.Sub(hi, row), k.I(16))
		for at := int64(0); at < 16*m.panel; at += w {
			k.StoreV(c, nil, at, k.I32(0))
		}
		x := k.Offset(m.xBytes.ptr, k.Mul(row, k.I(4*m.stride)))
		s := m.strides(m.panel)
		s.Ahead = streamAhead
		k.MMA8(c, x, weights, k.I(m.units), n, s, m.panel/16)
		k.For(k.I(0), n, 1, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			for off := int64(0); off < m.panel; off += w {
				store(k.Add(row, i), off, k.LoadV(c, k.Mul(i, k.I(m.panel)), off))
			}
			return nil
		})
		return nil
	})
}
