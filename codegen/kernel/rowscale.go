package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// rowScale finds the scale of a row, stores it and what follows from it if it is wanted outside, and gives these numbers.
func (m *rowMap) rowScale(k *code, row *spmd.Value, segments []segment, fetch func(*spmd.Value, int64) *spmd.Value) map[*ir.Value]*spmd.Value {
	most := m.most(k, row, segments, fetch)
	scale := k.Select(k.Cmp(spmd.LT, most, k.F(0x1p-60)), k.F(1), k.Div(most, k.F(127)))
	p := &point{row: row, vals: map[*ir.Value]*spmd.Value{m.scale.Result(): scale}}
	for _, v := range m.scalars {
		x := k.eval(p, v)
		if e := k.t.find(useWrite, v); e != nil {
			k.Store(e.ptr, k.Mul(row, k.I(stride(v))), 0, x)
		}
	}
	return p.vals
}

// most is the largest absolute value of a row. It has no order: elements that are no numbers lose every comparison, so what it is of does not matter.
func (m *rowMap) most(k *code, row *spmd.Value, segments []segment, fetch func(*spmd.Value, int64) *spmd.Value) *spmd.Value {
	w, step := int64(k.Target.Lanes), k.sixteen()
	acc := make([]*spmd.Value, step/w)
	for i := range acc {
		acc[i] = k.Splat(k.F(0))
	}
	for _, s := range segments {
		some := func(col *spmd.Value, c []*spmd.Value, count int64) []*spmd.Value {
			c = append([]*spmd.Value(nil), c...)
			for i := range c {
				left := count - int64(i)*w
				if left <= 0 {
					break
				}
				p := m.point(k, row, col, int64(i)*w, fetch)
				if s.after != nil {
					p.vals[m.norm.Results[0]] = s.after(p)
				}
				x := k.Abs(k.Splat(k.eval(p, m.scale.Args[0])))
				if left < w { // what lies behind the last column is anything
					x = k.Select(k.Cmp(spmd.LT, k.Lane(), k.I32(int32(left))), x, k.F(0))
				}
				c[i] = k.Max(x, c[i])
			}
			return c
		}
		whole := s.n / step * step
		acc = k.For(k.I(s.lo), k.I(s.lo+whole), step, acc, func(col *spmd.Value, c []*spmd.Value) []*spmd.Value { return some(col, c, step) })
		if whole < s.n {
			acc = some(k.I(s.lo+whole), acc, s.n-whole)
		}
	}
	for i := range acc {
		for lanes := w; lanes > 16; lanes /= 2 { // sixteen lanes are what can be folded into one number
			acc[i] = k.Max(k.Swap(acc[i], lanes/2), acc[i])
		}
	}
	return k.ReduceMax(acc...)
}
