package kernel

import "github.com/ssmc/ssmc/codegen/spmd"

// Products by codes that share a scale in groups along K, of four bits mostly.

// groups is y = fma(sum of a group, its scale, y), groups ascending.
func (t *tile) groups(k *code) [][]*spmd.Value {
	m := t.m
	y := t.block(k, func(int) *spmd.Value { return k.Splat(k.F(0)) })
	per := m.group / m.w.form.perUnit()
	scale := func(g *spmd.Value, u int64, y, sum [][]*spmd.Value) {
		for j := range t.n {
			s := k.LoadV(t.scales, k.Mul(g, k.I(m.panel)), u*m.panel+int64(t.first+j)*int64(k.Target.Lanes))
			for i := range y {
				y[i][j] = k.FMA(sum[i][j], s, y[i][j])
			}
		}
	}
	whole := m.units / per
	if m.k%m.w.form.perUnit() != 0 { // the last group ends within a word: it is done apart
		whole = (m.units - 1) / per
	}
	steps(k.Builder, y, k.I(0), k.I(whole), 1, func(g *spmd.Value, y [][]*spmd.Value, u int64) {
		lo := k.Mul(g, k.I(per))
		scale(g, u, y, t.groupSum(k, g, lo, k.Add(lo, k.I(per))))
	})
	if whole*per < m.units {
		scale(k.I(whole), 0, y, t.groupSum(k, k.I(whole), k.I(whole*per), k.I(m.units)))
	}
	return y
}

// groupSum is the sum of group g, the units lo..hi-1, as float32: exact for codes, by fma for floating x.
func (t *tile) groupSum(k *code, g, lo, hi *spmd.Value) [][]*spmd.Value {
	zero := func(int) *spmd.Value { return k.Splat(k.F(0)) }
	switch {
	case t.m.w.form == plain:
		sum := t.block(k, zero)
		t.floats(k, sum, lo, hi)
		return sum
	case t.m.x.elem == spmd.F32:
		sum := t.block(k, zero)
		t.floatNibbles(k, sum, lo, hi)
		return sum
	}
	return t.codeNibbles(k, g, lo, hi)
}

// codeNibbles sums codes by codes of four bits. A half byte holds its code plus 8, so the weight is the unsigned operand, and 8 times the sum
// of the activations goes off again. Four words at a time make chains of eight products, which a backend may add in 16 bits.
func (t *tile) codeNibbles(k *code, g, lo, hi *spmd.Value) [][]*spmd.Value {
	low := k.I32(0x0f0f0f0f)
	acc := t.block(k, func(int) *spmd.Value { return k.Splat(k.I32(0)) })
	steps(k.Builder, acc, lo, hi, 4, func(unit *spmd.Value, c [][]*spmd.Value, u int64) {
		w := each(c[0], func(j int) *spmd.Value { return t.weight(k, j, unit, u) })
		for half := range int64(2) {
			v := each(w, func(j int) *spmd.Value {
				if half == 1 {
					return k.And(k.Shrl(w[j], 4), low)
				}
				return k.And(w[j], low)
			})
			for i := range c {
				a := k.Splat(k.Load(t.at[i], k.Shl(unit, 1), 2*u+half))
				for j := range v {
					c[i][j] = k.Dot4U(c[i][j], v[j], a, 15)
				}
			}
		}
	})
	return each2(acc, func(i, j int) *spmd.Value {
		eight := k.Mul(k.F(8), k.Load(t.rowSums, g, int64(i)*t.m.scales.k))
		return k.Sub(k.ToF32(acc[i][j]), eight)
	})
}

// floatNibbles adds x times codes of four bits, k ascending. hi is the constant number of units where the row ends within the last word.
func (t *tile) floatNibbles(k *code, sum [][]*spmd.Value, lo, hi *spmd.Value) {
	word := func(unit *spmd.Value, c [][]*spmd.Value, n int64) {
		words := each(c[0], func(j int) *spmd.Value { return t.weight(k, j, unit, 0) })
		for i := range n {
			w := each(words, func(j int) *spmd.Value {
				return k.ToF32(k.Sub(k.And(k.Shr(words[j], i%4*8+i/4*4), k.I32(15)), k.I32(8)))
			})
			for r := range c {
				x := k.Splat(k.Load(t.at[r], k.Shl(unit, 3), i))
				for j := range w {
					c[r][j] = k.FMA(x, w[j], c[r][j])
				}
			}
		}
	}
	rest := t.m.k % 8
	if end, ok := hi.Const(); rest > 0 && ok && end == t.m.units {
		hi = k.I(end - 1)
	} else {
		rest = 0
	}
	steps(k.Builder, sum, lo, hi, 1, func(unit *spmd.Value, c [][]*spmd.Value, _ int64) { word(unit, c, 8) })
	if rest > 0 {
		word(hi, sum, rest)
	}
}

// sumRows adds up each row's codes by group, exactly: they stay far below 2^24.
func (t *tile) sumRows(k *code) {
	groups := t.m.scales.k
	t.rowSums = k.Scratch(spmd.F32, groups*int64(len(t.at)))
	ones := k.Splat(k.I32(0x01010101))
	per := t.m.group / 4
	all := t.wordsOfRow()
	for i, at := range t.at {
		base := int64(i) * groups
		whole := all / per
		k.For(k.I(0), k.I(whole), 1, nil, func(g *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			k.Store(t.rowSums, g, base, sumWords(k, ones, at, k.Mul(g, k.I(per)), per))
			return nil
		})
		if whole < groups {
			k.Store(t.rowSums, nil, base+whole, sumWords(k, ones, at, k.I(whole*per), all-whole*per))
		}
	}
}

// wordsOfRow is how many words of a row of codes products touch.
func (t *tile) wordsOfRow() int64 { return (t.m.units*8 + 3) / 4 }

// sumWords is the sum of the codes of count words from first on.
func sumWords(k *code, ones, at, first *spmd.Value, count int64) *spmd.Value {
	w := int64(k.Target.Lanes)
	acc := each(make([]*spmd.Value, max(1, 16/w)), func(int) *spmd.Value { return k.Splat(k.I32(0)) })
	for off := int64(0); off < count; off += 16 {
		for j := range acc {
			left := count - off - int64(j)*w
			if left > 0 {
				if w > 16 {
					left = min(left, 16)
				}
				acc[j] = k.Dot4U(acc[j], ones, k.LoadVN(at, first, off+int64(j)*w, k.I(min(left, w))), 1)
			}
		}
	}
	return k.ReduceAdd(each(acc, func(j int) *spmd.Value { return k.ToF32(acc[j]) })...)
}
