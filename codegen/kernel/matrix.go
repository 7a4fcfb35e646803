package kernel

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// matrix is a product of rows by the panels of a packed weight, in one of the forms that a linear op has: floating point, codes by codes,
// floating point by codes, and codes with a scale for each group of neighbours along K.
type matrix struct {
	x, w        *external
	n, k, panel int64
	bias        *external // nil: sums begin at 0
	sums        *external // codes by codes: what undoes an unsigned activation
	scales      *external // groups
	group       int64     // neighbours along K that share a scale; 0: none do
	stride      int64     // from row to row, in elements of x
	units       int64     // packed elements along K
}

// operands are those of a linear op; bias and scales may be nil.
type operands struct {
	x, w, bias, scales *ir.Value
	group              int
}

func operandsOf(op *ir.Op) operands {
	return operands{op.Args[0], op.Args[1], op.Args[2], op.Args[3], op.Attrs.GroupSize}
}

// newMatrix declares a product.
func (p *planner) newMatrix(t *task, o operands, panel int64) (*matrix, error) {
	x, w := o.x, o.w
	if w.Weight == nil || len(w.Weight.Shape) != 2 {
		return nil, fmt.Errorf("a product by %%%s %v, which is not a weight [N, K]", w.Name, w.Type)
	}
	m := &matrix{n: int64(w.Weight.Shape[0]), k: int64(w.Weight.Shape[1]), panel: panel}
	t.flops += 2 * m.n * m.k
	pk := packing{layout: panels(panel), elem: p.matrixElem(w.Weight)}
	codes := x.Type.DType == ir.I8
	switch w.Weight.DType {
	case ir.I4:
		pk.form, pk.elem = nibbles, spmd.I32
	case ir.I8:
		if codes {
			pk.form, pk.elem = words, spmd.I32
		}
	}
	if codes && pk.form == plain {
		return nil, fmt.Errorf("a product of codes by weight %%%s of %v", w.Name, w.Weight.DType)
	}
	if codes {
		m.x = t.readWords(x)
		m.stride = stride(m.x.value) / 4
	} else {
		m.x = t.read(x)
		m.stride = stride(m.x.value)
	}
	m.w = t.weight(w, pk, m.n, m.k)
	m.units = (m.k + pk.form.perUnit() - 1) / pk.form.perUnit()
	if pk.form == words {
		m.sums = t.weight(w, packing{layout: panels(32), form: sums, elem: spmd.I32}, m.n, m.k)
	}
	if o.scales != nil {
		m.group = int64(o.group)
		if m.group%8 != 0 {
			return nil, fmt.Errorf("a product by weight %%%s in groups of %d: want a multiple of 8", w.Name, m.group)
		}
		m.scales = t.weight(o.scales, packing{layout: panels(panel), elem: spmd.F32}, m.n, (m.k+m.group-1)/m.group)
	}
	if o.bias != nil {
		m.bias = t.vector(o.bias)
	}
	fmt.Fprintf(&t.shape, "k %d group %d ", m.k, m.group)
	return m, nil
}

// tile is the register block of some rows and columns of a panel.
type tile struct {
	m        *matrix
	weights  *spmd.Value   // the panel
	scales   *spmd.Value   // the panel's
	at       []*spmd.Value // the rows
	first, n int           // column vectors
	col      *spmd.Value
}

// multiply computes rows lo..hi-1 of the product for the code's panel, in register blocks; store gets each result of W columns at column
// offset off of the panel.
func (m *matrix) multiply(k *code, lo, hi, col *spmd.Value, store func(row *spmd.Value, off int64, acc *spmd.Value)) {
	w := int64(k.Target.Lanes)
	weights := k.Offset(m.w.ptr, k.Mul(k.panel, k.I(m.units*m.panel)))
	var scales *spmd.Value
	if m.scales != nil {
		scales = k.Offset(m.scales.ptr, k.Mul(k.panel, k.I(m.scales.k*m.panel)))
	}
	rowLoop(k.Builder, lo, hi, m.rowSizes(k.Target), func(row *spmd.Value, rows int) {
		at := make([]*spmd.Value, rows)
		for i := range at {
			at[i] = k.Offset(m.x.ptr, k.Mul(k.Add(row, k.I(int64(i))), k.I(m.stride)))
		}
		columnPasses(m.accumulators(k.Target), rows, vecs(k.Builder, m.panel), func(first, n int) {
			t := &tile{m: m, weights: weights, scales: scales, at: at, first: first, n: n, col: col}
			acc := t.sum(k)
			for i := range acc {
				for j := range acc[i] {
					store(k.Add(row, k.I(int64(i))), int64(first+j)*w, acc[i][j])
				}
			}
		})
	})
}

// rowSizes and accumulators are the register block's: products of codes need more registers beside the sums, the more so without dot4u.
func (m *matrix) rowSizes(t spmd.Target) []int64 {
	switch {
	case m.w.form == plain:
		return rowSizes(t)
	case t.Registers >= 32 && m.group == 0:
		return []int64{8, 4, 2, 1}
	case t.Registers >= 32:
		return []int64{4, 2, 1}
	}
	return []int64{4, 2, 1}
}

func (m *matrix) accumulators(t spmd.Target) int {
	switch {
	case m.w.form == plain:
		return accumulators(t)
	case t.Registers >= 32:
		return 16
	case m.w.form == nibbles:
		return 4
	}
	return 8
}

// sum computes the tile.
func (t *tile) sum(k *code) [][]*spmd.Value {
	switch {
	case t.m.group > 0:
		return t.groups(k)
	case t.m.w.form == words:
		return t.codes(k)
	}
	acc := t.block(k, func(j int) *spmd.Value { return k.start(t.m.bias, t.col, int64(t.first+j)*int64(k.Target.Lanes)) })
	t.floats(k, acc, k.I(0), k.I(t.m.k))
	return acc
}

// block is a register block of values that depend on the column only.
func (t *tile) block(k *code, start func(j int) *spmd.Value) [][]*spmd.Value {
	acc := make([][]*spmd.Value, len(t.at))
	for i := range acc {
		acc[i] = make([]*spmd.Value, t.n)
		for j := range acc[i] {
			acc[i][j] = start(j)
		}
	}
	return acc
}

// weight is W packed elements of unit u.
func (t *tile) weight(k *code, j int, unit *spmd.Value, u int64) *spmd.Value {
	return k.LoadV(t.weights, k.Shl(unit, log2(t.m.panel)), u*t.m.panel+int64(t.first+j)*int64(k.Target.Lanes))
}

// floats adds x*w over k = lo..hi-1; codes among the weights are converted as they are read.
func (t *tile) floats(k *code, acc [][]*spmd.Value, lo, hi *spmd.Value) {
	outer(k.Builder, acc, lo, hi, unroll(len(t.at)*t.n), k.FMA,
		func(i int, kk *spmd.Value, u int64) *spmd.Value { return k.Load(t.at[i], kk, u) },
		func(j int, kk *spmd.Value, u int64) *spmd.Value {
			w := t.weight(k, j, kk, u)
			if w.Type.Elem == spmd.I32 {
				w = k.ToF32(w)
			}
			return w
		})
}

// codes sums products of codes exactly, four to a lane.
func (t *tile) codes(k *code) [][]*spmd.Value {
	unsigned := k.Target.Dot == spmd.DotUnsigned
	acc := t.block(k, func(j int) *spmd.Value {
		if unsigned {
			return k.LoadV(t.m.sums.ptr, t.col, int64(t.first+j)*int64(k.Target.Lanes))
		}
		return k.Splat(k.I32(0))
	})
	mac := func(a, v, acc *spmd.Value) *spmd.Value { return k.Dot4(acc, a, v) }
	if unsigned {
		mac = func(a, v, acc *spmd.Value) *spmd.Value { return k.Dot4U(acc, a, v, 255) }
	}
	outer(k.Builder, acc, k.I(0), k.I(t.m.units), unroll(len(t.at)*t.n), mac,
		func(i int, kk *spmd.Value, u int64) *spmd.Value {
			a := k.Load(t.at[i], kk, u)
			if unsigned {
				a = k.Xor(a, k.I32(-0x7f7f7f80)) // code + 128
			}
			return a
		},
		func(j int, kk *spmd.Value, u int64) *spmd.Value { return t.weight(k, j, kk, u) })
	return acc
}

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
		scale(g, u, y, t.groupSum(k, lo, k.Add(lo, k.I(per))))
	})
	if whole*per < m.units {
		scale(k.I(whole), 0, y, t.groupSum(k, k.I(whole*per), k.I(m.units)))
	}
	return y
}

// groupSum is the sum of the units lo..hi-1 as float32: exact for codes, by fma for floating x.
func (t *tile) groupSum(k *code, lo, hi *spmd.Value) [][]*spmd.Value {
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
	return t.codeNibbles(k, lo, hi)
}

// codeNibbles sums codes by codes of four bits. A half byte holds its code plus 8, so the weight is the unsigned operand and 8 times the sum
// of the activations goes off again.
func (t *tile) codeNibbles(k *code, lo, hi *spmd.Value) [][]*spmd.Value {
	low := k.I32(0x0f0f0f0f)
	rows := len(t.at)
	acc := make([][]*spmd.Value, rows) // t.n sums, and the sum of the row's activations
	for i := range acc {
		acc[i] = make([]*spmd.Value, t.n+1)
		for j := range acc[i] {
			acc[i][j] = k.Splat(k.I32(0))
		}
	}
	ones := k.Splat(k.I32(0x01010101))
	steps(k.Builder, acc, lo, hi, 2, func(unit *spmd.Value, c [][]*spmd.Value, u int64) {
		half := [2][]*spmd.Value{make([]*spmd.Value, t.n), make([]*spmd.Value, t.n)}
		for j := range t.n {
			w := t.weight(k, j, unit, u)
			half[0][j], half[1][j] = k.And(w, low), k.And(k.Shr(w, 4), low)
		}
		for i := range c {
			for h := range half {
				a := k.Splat(k.Load(t.at[i], k.Shl(unit, 1), 2*u+int64(h)))
				for j := range t.n {
					c[i][j] = k.Dot4U(c[i][j], half[h][j], a, 15)
				}
				c[i][t.n] = k.Dot4U(c[i][t.n], ones, a, 15)
			}
		}
	})
	out := make([][]*spmd.Value, rows)
	for i := range out {
		eight := k.Shl(acc[i][t.n], 3)
		out[i] = each(acc[i][:t.n], func(j int) *spmd.Value { return k.ToF32(k.Sub(acc[i][j], eight)) })
	}
	return out
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

// start is where a sum begins: at the bias, or at 0.
func (k *code) start(bias *external, col *spmd.Value, off int64) *spmd.Value {
	if bias == nil {
		return k.Splat(k.F(0))
	}
	return k.LoadV(bias.ptr, col, off)
}
