package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// convolveShared is convolve by a team: each member has a part of a sequence's rows, and takes the last inputs before it from the rows, or from the state
// where the sequence begins. The last member leaves the new state, once all have read the old one.
func (c *contraction) convolveShared(k *code, raw *spmd.Value, rowStride int64, col *spmd.Value) {
	members := int64(k.Target.Members)
	taps := k.Offset(c.convW.ptr, k.Mul(k.panel, k.I(c.taps*c.panel)))
	window := c.taps - 1
	member := k.Member()
	k.For(k.I(0), k.Seqs(), 1, nil, func(s *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		lo, hi, slot := k.sequence(s)
		past := k.inSlot(c.history, slot, k.Mul(k.panel, k.I(window*c.panel)))
		part := func(m *spmd.Value) *spmd.Value { return k.Add(lo, k.Div(k.Mul(k.Sub(hi, lo), m), k.I(members))) }
		from, to := part(member), part(k.Add(member, k.I(1)))
		for lane := int64(0); lane < c.panel; lane += int64(k.Target.Lanes) {
			input := func(row *spmd.Value, off int64) *spmd.Value {
				return asF32(k.Builder, k.LoadV(raw, k.Mul(row, k.I(rowStride)), off*rowStride+lane))
			}
			x := make([]*spmd.Value, window)
			for j := range x { // input of row from-window+j
				back := int64(j) - window
				x[j] = k.If(k.Cmp(spmd.GE, k.Add(from, k.I(back)), lo), func() []*spmd.Value {
					return []*spmd.Value{input(from, back)}
				}, func() []*spmd.Value {
					at := k.Mul(k.Add(k.Sub(from, lo), k.I(int64(j))), k.I(c.panel))
					return []*spmd.Value{asF32(k.Builder, k.LoadV(past, at, lane))}
				})[0]
			}
			k.Barrier()
			x = c.convolveRows(k, from, to, k.Add(col, k.I(lane)), x, each(make([]*spmd.Value, c.taps), func(j int) *spmd.Value {
				return k.LoadV(taps, nil, int64(j)*c.panel+lane)
			}), input)
			k.If(k.Cmp(spmd.EQ, member, k.I(members-1)), func() []*spmd.Value {
				for j, v := range x {
					if c.history.elem == spmd.I8 {
						v = k.Round(v)
					}
					k.StoreV(past, nil, int64(j)*c.panel+lane, v)
				}
				return nil
			}, nil)
		}
		return nil
	})
}

// convolveRows convolves rows from..to-1, eight at a time: their inputs are loaded before the first of them is used. It gives the last inputs.
func (c *contraction) convolveRows(k *code, from, to, at *spmd.Value, x, taps []*spmd.Value, input func(row *spmd.Value, off int64) *spmd.Value) []*spmd.Value {
	window := len(x)
	some := func(lo, hi *spmd.Value, n int64, x []*spmd.Value) []*spmd.Value {
		return k.For(lo, hi, n, x, func(row *spmd.Value, x []*spmd.Value) []*spmd.Value {
			x = append([]*spmd.Value(nil), x...)
			for u := range n {
				x = append(x, input(row, u))
			}
			points := make([]*point, n)
			for u := range points {
				y := k.start(c.convB, at, 0)
				for j, w := range taps {
					y = k.FMA(x[u+j], w, y)
				}
				points[u] = &point{row: k.Add(row, k.I(int64(u))), col: at, vals: map[*ir.Value]*spmd.Value{c.conv.Results[0]: y}}
				for _, v := range c.outs {
					k.eval(points[u], v)
				}
			}
			for _, p := range points {
				k.putAll(p, c.outs)
			}
			return x[len(x)-window:]
		})
	}
	const batch = 8
	main := k.Add(from, k.Mul(k.Div(k.Sub(to, from), k.I(batch)), k.I(batch)))
	return some(main, to, 1, some(from, main, batch, x))
}
