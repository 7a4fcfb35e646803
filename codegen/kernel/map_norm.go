package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

func (m *rowMap) declareRowOp(t *task) error {
	if m.norm.Code == ir.OpHadamard {
		x, err := newTransform(t, m.norm)
		m.butterfly = x
		return err
	}
	if w := m.norm.Arg("w"); w != nil {
		m.weight = t.vector(w)
		t.shape.WriteString(" weight")
	}
	if b := m.norm.Arg("b"); b != nil {
		m.bias = t.vector(b)
		t.shape.WriteString(" bias")
	}
	return nil
}

// normalise folds one group of columns of a row, in sixteen lanes (element i to lane i mod 16, in order), and gives what makes normed columns of it.
func (m *rowMap) normalise(k *code, row *spmd.Value, lo, n int64, fetch func(*spmd.Value, int64) *spmd.Value) func(p *point) *spmd.Value {
	if m.shared {
		return m.normaliseShared(k, row, lo, n, fetch)
	}
	size := k.F(float32(n))
	var mean *spmd.Value
	if m.norm.Code == ir.OpLayerNorm {
		mean = k.Div(m.sum(k, row, lo, n, fetch, m.first, func(x, acc *spmd.Value) *spmd.Value { return k.Add(acc, x) }), size)
	}
	first := m.first
	if mean != nil {
		first = nil // stored by the first sum
	}
	squares := m.sum(k, row, lo, n, fetch, first, func(x, acc *spmd.Value) *spmd.Value {
		if mean != nil {
			x = k.Sub(x, mean)
		}
		return k.FMA(x, x, acc)
	})
	r := m.normScale(k, squares, size)
	return func(p *point) *spmd.Value { return m.normed(k, p, mean, r) }
}

// normScale is what a norm multiplies by.
func (m *rowMap) normScale(k *code, squares, size *spmd.Value) *spmd.Value {
	return k.Div(k.F(1), k.Sqrt(k.Add(k.Div(squares, size), k.F(float32(m.norm.Attrs.Eps)))))
}

// normed is the norm's result at a point.
func (m *rowMap) normed(k *code, p *point, mean, r *spmd.Value) *spmd.Value {
	x := k.eval(p, m.norm.Args[0])
	if mean != nil {
		x = k.Sub(x, mean)
	}
	x = k.Mul(x, r)
	switch {
	case m.weight != nil && m.bias != nil:
		return k.FMA(x, k.LoadV(m.weight.ptr, p.col, p.off), k.LoadV(m.bias.ptr, p.col, p.off))
	case m.weight != nil:
		return k.Mul(x, k.LoadV(m.weight.ptr, p.col, p.off))
	case m.bias != nil:
		return k.Add(x, k.LoadV(m.bias.ptr, p.col, p.off))
	}
	return x
}

// transform takes a row through a butterfly.
func (m *rowMap) transform(k *code, row *spmd.Value, fetch func(*spmd.Value, int64) *spmd.Value) func(p *point) *spmd.Value {
	run := m.butterfly.run
	if m.shared {
		run = m.butterfly.runShared
	}
	run(k, func(col *spmd.Value) *spmd.Value {
		p := m.point(k, row, col, 0, fetch)
		k.putAll(p, m.first)
		return k.eval(p, m.norm.Args[0])
	})
	return func(p *point) *spmd.Value { return k.LoadV(m.butterfly.buf, p.col, p.off) }
}

// sum folds the columns lo..lo+n-1 of the norm's operand, and stores the values of first on the way.
func (m *rowMap) sum(k *code, row *spmd.Value, lo, n int64, fetch func(*spmd.Value, int64) *spmd.Value, first []*ir.Value, add func(x, acc *spmd.Value) *spmd.Value) *spmd.Value {
	w := int64(k.Target.Lanes)
	acc := make([]*spmd.Value, max(1, 16/w))
	for i := range acc {
		acc[i] = k.Splat(k.F(0))
	}
	// some folds count columns, sixteen at a time; of many, all are read first and stored last.
	some := func(col *spmd.Value, c []*spmd.Value, count int64) []*spmd.Value {
		c = append([]*spmd.Value(nil), c...)
		var ps []*point
		for at := int64(0); at < count; at += 16 {
			for i := range c {
				p := m.point(k, row, col, at+int64(i)*w, fetch)
				if p.own = min(16, count-at) - int64(i)*w; p.own <= 0 {
					p.own = -1
				}
				ps = append(ps, p)
			}
		}
		if count > 16 {
			for _, p := range ps {
				k.eval(p, m.norm.Args[0])
			}
		}
		for j, p := range ps {
			i := j % len(c)
			x := k.eval(p, m.norm.Args[0])
			if count <= 16 {
				k.putAll(p, first)
			}
			sum := add(x, c[i])
			if left := min(16, count-int64(j/len(c))*16); left < int64(i+1)*w { // lanes behind the last column keep their sum
				sum = k.Select(k.Cmp(spmd.LT, k.Lane(), k.I32(int32(left-int64(i)*w))), sum, c[i])
			}
			c[i] = sum
		}
		if count > 16 {
			for _, p := range ps {
				k.putAll(p, first)
			}
		}
		return c
	}
	step := int64(16)
	if roomy(k.Target) {
		step = 128
	}
	for at := int64(0); at < n; step = 16 {
		if step = min(step, n-at); step < 16 { // the last ones
			acc = some(k.I(lo+at), acc, step)
			break
		}
		step = step / 16 * 16
		whole := (n - at) / step * step
		acc = k.For(k.I(lo+at), k.I(lo+at+whole), step, acc, func(col *spmd.Value, c []*spmd.Value) []*spmd.Value { return some(col, c, step) })
		at += whole
	}
	return k.ReduceAdd(acc...)
}
