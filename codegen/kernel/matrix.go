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
	narrow      *narrow   // codes by codes: the narrow form of the rows; nil: there is none
	xBytes      *external // codes by codes: the same memory, for targets with tiles
	wBytes      *external
	scales      *external // groups
	group       int64     // neighbours along K that share a scale; 0: none do
	stride      int64     // from row to row, in elements of x
	units       int64     // packed elements along K
	padded      int64     // the same in whole runs: how far a panel is from the next, in rows of it
	coarse      bool      // there is little of it beside other work: fewer sizes of row blocks, where these make much code
}

// operands are those of a linear op; bias and scales may be nil.
type operands struct {
	x, w, bias, scales *ir.Value
	group              int
}

func operandsOf(op *ir.Op) operands {
	return operands{op.Args[0], op.Args[1], op.Args[2], op.Args[3], op.Attrs.GroupSize}
}

// productForm is how a weight is packed for a product with x.
func productForm(x, w *ir.Value) form {
	switch {
	case w.Type.DType == ir.I4:
		return nibbles
	case w.Type.DType == ir.I8 && x.Type.DType == ir.I8:
		return words
	}
	return plain
}

// newMatrix declares a product.
func (p *planner) newMatrix(t *task, o operands, panel int64) (*matrix, error) {
	x, w := o.x, o.w
	if w.Weight == nil || len(w.Weight.Shape) != 2 {
		return nil, fmt.Errorf("a product by %%%s %v, which is not a weight [N, K]", w.Name, w.Type)
	}
	m := &matrix{n: int64(w.Weight.Shape[0]), k: int64(w.Weight.Shape[1]), panel: panel}
	t.flops += 2 * m.n * m.k
	pk := packing{layout: panels(panel), form: productForm(x, w), elem: p.matrixElem(w.Weight)}
	if pk.form != plain {
		pk.elem = spmd.I32
	}
	pk.run = p.runs[w]
	codes := x.Type.DType == ir.I8
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
	m.padded = pk.unitsOf(m.k)
	if pk.form == words {
		m.sums = t.weight(w, packing{layout: panels(32), form: sums, elem: spmd.I32}, m.n, m.k)
		m.xBytes, m.wBytes = t.byBytes(m.x), t.byBytes(m.w)
		if n := p.narrowed(x); n != nil {
			m.narrow = newNarrow(t, n, x, useReadWords)
		}
	}
	if o.scales != nil {
		m.group = int64(o.group)
		if m.group%8 != 0 {
			return nil, fmt.Errorf("a product by weight %%%s in groups of %d: want a multiple of 8", w.Name, m.group)
		}
		if p.laneBytes > 0 {
			m.group = fragmentGroup(x, w, o.group)
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
	planes   *spmd.Value   // the rows' low and high bytes, where split says so
	narrow   []*spmd.Value // or their narrow forms
	ahead    *share        // of the next panel; nil: it is not asked for
	further  int64         // how many bytes further on in this panel is asked for; 0: nothing is
	rowSums  *spmd.Value   // sums of the rows' codes by group
	first, n int           // column vectors
	col      *spmd.Value
}

// multiply computes rows lo..hi-1 of the product for the code's panel, in register blocks; store gets each result of W columns at column
// offset off of the panel.
func (m *matrix) multiply(k *code, lo, hi, col *spmd.Value, store func(row *spmd.Value, off int64, acc *spmd.Value)) {
	if !k.Target.Tiles || m.w.form != words {
		m.blocks(k, lo, hi, col, store)
		return
	}
	k.If(k.Cmp(spmd.GE, k.Sub(hi, lo), k.I(tileRows)), func() []*spmd.Value {
		m.tiles(k, lo, hi, store)
		return nil
	}, func() []*spmd.Value {
		m.blocks(k, lo, hi, col, store)
		return nil
	})
}

func (m *matrix) blocks(k *code, lo, hi, col *spmd.Value, store func(row *spmd.Value, off int64, acc *spmd.Value)) {
	w := int64(k.Target.Lanes)
	weights := k.Offset(m.w.ptr, k.Mul(k.panel, k.I(m.padded*m.panel)))
	var scales *spmd.Value
	if m.scales != nil {
		scales = k.Offset(m.scales.ptr, k.Mul(k.panel, k.I(m.scales.k*m.panel)))
	}
	rowLoop(k.Builder, lo, hi, m.rowSizes(k.Target), func(row *spmd.Value, rows int) {
		t := tile{m: m, weights: weights, scales: scales, col: col, at: make([]*spmd.Value, rows)}
		for i := range t.at {
			t.at[i] = k.Offset(m.x.ptr, k.Mul(k.Add(row, k.I(int64(i))), k.I(m.stride)))
		}
		t.prepare(k, row)
		if !roomy(k.Target) {
			t.plan(k, k.Div(k.Sub(row, lo), k.I(int64(rows))), k.Div(k.Sub(hi, lo), k.I(int64(rows))))
		}
		if t.narrow != nil {
			t.sumNarrow(k, row, store)
			return
		}
		columnPasses(m.accumulators(k.Target), rows, vecs(k.Builder, m.panel), func(first, n int) {
			t := t
			t.first, t.n = first, n
			acc := t.sum(k)
			for i := range acc {
				for j := range acc[i] {
					store(k.Add(row, k.I(int64(i))), int64(first+j)*w, acc[i][j])
				}
			}
		})
	})
}

// rowSizes and accumulators are the register block's, as they were measured best for each kind of product (BenchmarkDot in codegen/amd64).
func (m *matrix) rowSizes(t spmd.Target) []int64 {
	wide := t.Registers >= 32
	switch {
	case m.coarse && roomy(t):
		return []int64{8, 1}
	case m.w.form == plain && m.w.run > 1:
		return []int64{8, 4, 2, 1}
	case m.w.form == nibbles && m.w.run > 1:
		return []int64{4, 1}
	case m.w.form == plain:
		return rowSizes(t)
	case m.w.form == nibbles && wide:
		return []int64{4, 2, 1}
	case m.w.form == nibbles:
		return []int64{2, 1}
	case t.Tiles: // tiles take what is not below tileRows
		return []int64{2, 1}
	case wide:
		return []int64{8, 4, 2, 1}
	case t.Dot == spmd.DotUnsigned:
		return []int64{6, 4, 2, 1}
	}
	return []int64{4, 2, 1}
}

func (m *matrix) accumulators(t spmd.Target) int {
	wide := t.Registers >= 32
	switch {
	case m.w.form == plain:
		return accumulators(t)
	case m.w.form == nibbles && wide:
		return 8
	case m.w.form == nibbles:
		return 4
	case wide:
		return 16
	case t.Dot == spmd.DotUnsigned:
		return 12
	}
	return 8
}

// prepare makes what all columns need of the block's rows.
func (t *tile) prepare(k *code, row *spmd.Value) {
	switch {
	case t.m.split(k.Target, len(t.at)) && t.m.narrow != nil:
		t.narrow = each(t.at, func(i int) *spmd.Value { return t.m.narrow.row(k, k.Add(row, k.I(int64(i)))) })
	case t.m.split(k.Target, len(t.at)):
		t.splitRows(k)
	case t.m.w.form == nibbles && t.m.x.elem == spmd.I32:
		t.sumRows(k)
	}
}

// sum computes the tile.
func (t *tile) sum(k *code) [][]*spmd.Value {
	switch {
	case t.m.w.run > 1:
		return t.sumInRuns(k)
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

// unroll is how many steps of k a loop takes at once: about 16 multiplications, and no fewer than go with one asking for the next panel. A GPU's warp has the
// registers for twice as many, and nothing else hides the time that a load takes: few rows make few warps.
func (t *tile) unroll(target spmd.Target) int64 {
	n := int64(len(t.at) * t.n) // accumulators
	if !roomy(target) || t.m.group > 0 {
		u := min(8, max(1, 16/n))
		if t.ahead != nil {
			u = max(u, mostShares)
		}
		return u
	}
	u := int64(4)
	for 2*u*n <= 32 {
		u *= 2
	}
	return u
}

// floats adds x*w over k = lo..hi-1; codes among the weights are converted as they are read.
func (t *tile) floats(k *code, acc [][]*spmd.Value, lo, hi *spmd.Value) {
	outer(k.Builder, acc, lo, hi, t.unroll(k.Target), k.FMA,
		func(i int, kk *spmd.Value, u int64) *spmd.Value { return k.Load(t.at[i], kk, u) },
		func(j int, kk *spmd.Value, u int64) *spmd.Value {
			w := t.weight(k, j, kk, u)
			if w.Type.Elem == spmd.I32 {
				w = k.ToF32(w)
			}
			return w
		})
}

// start is where a sum begins: at the bias, or at 0.
func (k *code) start(bias *external, col *spmd.Value, off int64) *spmd.Value {
	if bias == nil {
		return k.Splat(k.F(0))
	}
	return k.LoadV(bias.ptr, col, off)
}
