package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// Without an instruction that multiplies unsigned bytes by signed ones into 32 bits, the fastest product is the one that adds pairs in 16 bits: as long as
// the two bytes of one side are not above 256 together, a pair cannot overflow (dot4u with that bound). Codes have more, but few pairs of them use it: a scale
// takes in the largest value of a whole calibration, and rotated activations are like noise. So rows of codes have a narrow form beside them: their codes moved
// up by 80, where those below -80 and pairs that are too large together have been cut, and lists of what the cuts have taken, below and above. Who makes the row
// makes it; products multiply all of it by dot4u. The sum is exact, and so the same as in any other way.

const (
	narrowUp   = 80  // what is added to a code; of two that are noise, as many are too small as are too large together
	narrowMost = 128 // of a code that is moved up, on the average of a pair
	cutFrom    = narrowMost - narrowUp
	cutMost    = max(128-narrowUp, 127-cutFrom) // that a code can lose
)

// narrow is where the narrow form of a row of codes lies, in 32-bit words: the words of four codes, then how long the lists are, then the lists side by side:
// which word and how much above, which word and how much below.
type narrow struct {
	rows                 *external
	units, length, first int64
}

const cutEntry = 4 // words

// rowCodes are codes that a map stores, and their narrow form.
type rowCodes struct {
	codes  *external
	narrow *narrow
}

// narrowed is the value that stands for the narrow form of the codes v, or nil: only a map makes it, which has whole rows, and only for products.
func (p *planner) narrowed(v *ir.Value) *ir.Value {
	v = root(v)
	if !p.products[v] || !p.signed || v.Def == nil || v.Def.Group == nil || v.Def.Group.Kind != ir.GroupMap {
		return nil
	}
	if p.narrows[v] == nil {
		units := narrowUnits(v)
		p.narrows[v] = &ir.Value{Name: v.Name + ".narrow", Type: ir.Type{DType: ir.I32, Shape: []ir.Dim{perRow(v), ir.Dim((1+cutEntry)*units + 32)}}}
	}
	return p.narrows[v]
}

// narrowUnits is how many words there are, in whole vectors.
func narrowUnits(v *ir.Value) int64 { return roundUp((elements(v)+3)/4, 32) }

// newNarrow declares the narrow form n of v.
func newNarrow(t *task, n, v *ir.Value, u use) *narrow {
	units := narrowUnits(root(v))
	return &narrow{rows: t.add(external{use: u, value: n, packing: packing{elem: spmd.I32}}), units: (elements(v) + 3) / 4, length: units, first: units + 1}
}

func (n *narrow) row(k *code, row *spmd.Value) *spmd.Value {
	return k.Offset(n.rows.ptr, k.Mul(row, k.I(stride(n.rows.value))))
}

// writeNarrow makes the narrow forms of a row, where a step has so many rows that a product reads them.
func (m *rowMap) writeNarrow(k *code, row *spmd.Value) {
	if len(m.narrows) == 0 || k.Target.Dot != spmd.DotSigned {
		return
	}
	n := k.Rows()
	if k.t.grid.By == spmd.ByOutBlocks {
		n = k.Outs()
	}
	k.If(k.Cmp(spmd.GE, n, k.I(splitFrom)), func() []*spmd.Value {
		for _, c := range m.narrows {
			c.narrow.write(k, row, k.Offset(c.codes.ptr, k.Mul(row, k.I(stride(c.codes.value)/4))))
		}
		return nil
	}, nil)
}

// write makes the narrow form of a row from its codes.
func (n *narrow) write(k *code, row, codes *spmd.Value) {
	to, w := n.row(k, row), int64(k.Target.Lanes)
	above, below := k.Scratch(spmd.I32, roundUp(n.units, 32)), k.Scratch(spmd.I32, roundUp(n.units, 32))
	put := func(u, x *spmd.Value) {
		within, over, under := bounded(k, x)
		k.StoreV(to, u, 0, within)
		k.StoreV(above, u, 0, over)
		k.StoreV(below, u, 0, under)
	}
	whole := n.units / w * w
	k.For(k.I(0), k.I(whole), w, nil, func(u *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		put(u, k.LoadV(codes, u, 0))
		return nil
	})
	if whole < n.units { // behind the last word may be the next row
		put(k.I(whole), k.LoadVN(codes, k.I(whole), 0, k.I(n.units-whole)))
	}
	lists := k.Offset(to, k.I(n.first))
	ends := k.For(k.I(0), k.I(n.units), 1, []*spmd.Value{k.I(0), k.I(0)}, func(u *spmd.Value, c []*spmd.Value) []*spmd.Value {
		next := make([]*spmd.Value, len(c))
		for i, from := range []*spmd.Value{above, below} { // stored in any case, kept if it is not 0: a branch would be foreseen badly
			x := k.Load(from, u, 0)
			k.Store(lists, c[i], int64(2*i), k.Truncate(u))
			k.Store(lists, c[i], int64(2*i)+1, x)
			next[i] = k.Add(c[i], k.Select(k.Cmp(spmd.NE, x, k.I32(0)), k.I(cutEntry), k.I(0)))
		}
		return next
	})
	for i, end := range ends { // the shorter list goes on with nothing
		k.For(end, ends[1-i], cutEntry, nil, func(at *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			k.Store(lists, at, int64(2*i), k.I32(0))
			k.Store(lists, at, int64(2*i)+1, k.I32(0))
			return nil
		})
	}
	k.Store(to, nil, n.length, k.Truncate(k.Max(ends[0], ends[1])))
}

// bounded takes four codes apart: cut and moved up, what was cut above, and what was cut below.
func bounded(k *code, x *spmd.Value) (within, above, below *spmd.Value) {
	number := func(n int32) *spmd.Value { return k.Splat(k.I32(n)) }
	pack := func(b []*spmd.Value) *spmd.Value {
		return k.Or(k.Or(b[0], k.Shl(b[1], 8)), k.Or(k.Shl(b[2], 16), k.Shl(b[3], 24)))
	}
	codes := each(make([]*spmd.Value, 4), func(i int) *spmd.Value { return k.Shr(k.Shl(x, int64(24-8*i)), 24) })
	low := each(codes, func(i int) *spmd.Value { return k.Max(codes[i], number(-narrowUp)) })
	over := each(codes, func(i int) *spmd.Value {
		large := k.Cmp(spmd.GT, k.Add(low[i], low[i^1]), number(2*cutFrom))
		return k.Select(large, k.Max(k.Sub(low[i], number(cutFrom)), number(0)), number(0))
	})
	within = pack(each(low, func(i int) *spmd.Value { return k.Add(k.Sub(low[i], over[i]), number(narrowUp)) }))
	return within, pack(over), pack(each(low, func(i int) *spmd.Value { return k.Sub(low[i], codes[i]) }))
}

// sumNarrow computes the rows by the whole panel: first the narrow words, then, with the panel close by, those of the lists.
func (t *tile) sumNarrow(k *code, row *spmd.Value, store func(row *spmd.Value, off int64, acc *spmd.Value)) {
	n, w := t.m.narrow, int64(k.Target.Lanes)
	sums := k.Scratch(spmd.I32, int64(len(t.at))*t.m.panel)
	columnPasses(t.m.accumulators(k.Target), len(t.at), vecs(k.Builder, t.m.panel), func(first, vectors int) {
		t := *t
		t.first, t.n = first, vectors
		acc := t.block(k, func(j int) *spmd.Value {
			undo := k.LoadV(t.m.sums.ptr, t.col, int64(first+j)*w) // 128 a code
			return k.Add(k.Shr(undo, 1), k.Shr(undo, 3))           // narrowUp
		})
		outer(k.Builder, acc, k.I(0), k.I(t.m.units), t.unroll(k.Target),
			func(a, v, acc *spmd.Value) *spmd.Value { return k.Dot4U(acc, a, v, narrowMost) },
			func(i int, unit *spmd.Value, u int64) *spmd.Value { return k.Load(t.narrow[i], unit, u) },
			func(j int, unit *spmd.Value, u int64) *spmd.Value { return t.weight(k, j, unit, u) })
		for i := range acc {
			for j := range acc[i] {
				k.StoreV(sums, nil, int64(i)*t.m.panel+int64(first+j)*w, acc[i][j])
			}
		}
	})
	v := vecs(k.Builder, t.m.panel)
	for i, from := range t.narrow {
		lists := k.Offset(from, k.I(n.first))
		acc := make([]*spmd.Value, 2*v) // plus and minus
		for j := range v {
			acc[j], acc[v+j] = k.LoadV(sums, nil, int64(i)*t.m.panel+int64(j)*w), k.Splat(k.I32(0))
		}
		acc = k.For(k.I(0), k.Extend(k.Load(from, nil, n.length)), cutEntry, acc, func(at *spmd.Value, c []*spmd.Value) []*spmd.Value {
			next := make([]*spmd.Value, len(c))
			for j := range c {
				word := int64(j / v * 2)
				unit := k.Shl(k.Extend(k.Load(lists, at, word)), log2(t.m.panel))
				next[j] = k.Dot4U(c[j], k.Load(lists, at, word+1), k.LoadV(t.weights, unit, int64(j%v)*w), cutMost)
			}
			return next
		})
		for j := range v {
			store(k.Add(row, k.I(int64(i))), int64(j)*w, k.Sub(acc[j], acc[v+j]))
		}
	}
}
