package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// Without an instruction that multiplies unsigned bytes by signed ones into 32 bits, the fastest product is the one that adds pairs in 16 bits: as long as
// one side's bytes are not above 128, the pairs cannot overflow (dot4u with that bound). Codes have a bit more, but few of them use it: a scale takes
// in the largest value of a whole calibration, and rotated activations are like noise. So rows of codes have a narrow form beside them: their words of four
// codes, moved up by 64, and a list of the words that have a code beyond -64..63, which count nothing among the others. Who makes the row makes both; products
// take the narrow words by dot4u and the list by dot4. The sum is exact, and so the same as in any other way.

const (
	narrowUp   = 0x40404040 // what is added to four codes; alone, it stands for four zeros
	narrowMost = 127
)

// narrow is where the narrow form of rows of codes lies: 32-bit words of four codes, then how long the list is, then the list, two words an entry: which word it
// is, and its codes.
type narrow struct {
	rows                 *external
	units, length, first int64
}

// rowCodes are codes that a map stores, and their narrow form.
type rowCodes struct {
	codes  *external
	narrow *narrow
}

// narrowed is the value that stands for the narrow form of the codes v, or nil: only a map makes it, which has whole rows, and only for products.
func (p *planner) narrowed(v *ir.Value) *ir.Value {
	v = root(v)
	if !p.products[v] || p.laneBytes > 0 || v.Def == nil || v.Def.Group == nil || v.Def.Group.Kind != ir.GroupMap {
		return nil
	}
	if p.narrows[v] == nil {
		units := narrowUnits(v)
		p.narrows[v] = &ir.Value{Name: v.Name + ".narrow", Type: ir.Type{DType: ir.I32, Shape: []ir.Dim{perRow(v), ir.Dim(3*units + 32)}}}
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
	k.If(k.Cmp(spmd.GE, n, k.I(splitRows)), func() []*spmd.Value {
		for _, c := range m.narrows {
			c.narrow.write(k, row, k.Offset(c.codes.ptr, k.Mul(row, k.I(stride(c.codes.value)/4))))
		}
		return nil
	}, nil)
}

// write makes the narrow form of a row from its codes.
func (n *narrow) write(k *code, row, codes *spmd.Value) {
	to, w := n.row(k, row), int64(k.Target.Lanes)
	put := func(u, x *spmd.Value) {
		up := k.And(k.Xor(x, k.Splat(k.I32(narrowUp))), k.Splat(k.I32(0x7f7f7f7f)))
		k.StoreV(to, u, 0, k.Select(large(k, x), k.Splat(k.I32(narrowUp)), up))
	}
	whole := n.units / w * w
	k.For(k.I(0), k.I(whole), w, nil, func(u *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		put(u, k.LoadV(codes, u, 0))
		return nil
	})
	if whole < n.units { // behind the last word may be the next row
		put(k.I(whole), k.LoadVN(codes, k.I(whole), 0, k.I(n.units-whole)))
	}
	end := k.For(k.I(0), k.I(n.units), 1, []*spmd.Value{k.I(n.first)}, func(u *spmd.Value, c []*spmd.Value) []*spmd.Value {
		x := k.Load(codes, u, 0) // stored in any case, kept if it is large: a branch would be foreseen badly
		k.Store(to, c[0], 0, k.Truncate(u))
		k.Store(to, c[0], 1, x)
		return []*spmd.Value{k.Add(c[0], k.Select(large(k, x), k.I(2), k.I(0)))}
	})[0]
	k.Store(to, nil, n.length, k.Truncate(k.Sub(end, k.I(n.first))))
}

// large says that one of the four codes of x is not within -64..63: its two upper bits differ.
func large(k *code, x *spmd.Value) *spmd.Value {
	top, zero := k.I32(-0x7f7f7f80), k.I32(0)
	if x.Type.Kind == spmd.Varying {
		top, zero = k.Splat(top), k.Splat(zero)
	}
	return k.Cmp(spmd.NE, k.And(k.Xor(x, k.Shl(x, 1)), top), zero)
}

// sumNarrow computes the rows by the whole panel: first the narrow words, then, with the panel close by, those of the lists.
func (t *tile) sumNarrow(k *code, row *spmd.Value, store func(row *spmd.Value, off int64, acc *spmd.Value)) {
	n, w := t.m.narrow, int64(k.Target.Lanes)
	sums := k.Scratch(spmd.I32, int64(len(t.at))*t.m.panel)
	columnPasses(t.m.accumulators(k.Target), len(t.at), vecs(k.Builder, t.m.panel), func(first, vectors int) {
		t := *t
		t.first, t.n = first, vectors
		acc := t.block(k, func(j int) *spmd.Value {
			return k.Shr(k.LoadV(t.m.sums.ptr, t.col, int64(first+j)*w), 1) // which undo 128 a code
		})
		outer(k.Builder, acc, k.I(0), k.I(t.m.units), t.m.unroll(k.Target, len(t.at)*t.n),
			func(a, v, acc *spmd.Value) *spmd.Value { return k.Dot4U(acc, a, v, narrowMost) },
			func(i int, unit *spmd.Value, u int64) *spmd.Value { return k.Load(t.narrow[i], unit, u) },
			func(j int, unit *spmd.Value, u int64) *spmd.Value { return t.weight(k, j, unit, u) })
		for i := range acc {
			for j := range acc[i] {
				k.StoreV(sums, nil, int64(i)*t.m.panel+int64(first+j)*w, acc[i][j])
			}
		}
	})
	for i, from := range t.narrow {
		list := k.Offset(from, k.I(n.first))
		acc := each(make([]*spmd.Value, vecs(k.Builder, t.m.panel)), func(j int) *spmd.Value {
			return k.LoadV(sums, nil, int64(i)*t.m.panel+int64(j)*w)
		})
		acc = k.For(k.I(0), k.Extend(k.Load(from, nil, n.length)), 2, acc, func(at *spmd.Value, c []*spmd.Value) []*spmd.Value {
			x, unit := k.Splat(k.Load(list, at, 1)), k.Shl(k.Extend(k.Load(list, at, 0)), log2(t.m.panel))
			return each(c, func(j int) *spmd.Value { return k.Dot4(c[j], x, k.LoadV(t.weights, unit, int64(j)*w)) })
		})
		for j := range acc {
			store(k.Add(row, k.I(int64(i))), int64(j)*w, acc[j])
		}
	}
}
