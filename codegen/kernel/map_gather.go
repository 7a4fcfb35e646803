package kernel

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

func (m *rowMap) declareGather(p *planner, t *task) error {
	table, idx := m.gather.Args[0], m.gather.Args[1]
	switch {
	case !idx.IsInput():
		return fmt.Errorf("gather %%%s by computed indices", m.gather.Results[0].Name)
	case perRow(idx) == ir.Outs:
		t.input(useOutRow)
	default:
		t.input(useIDs)
	}
	if table.Weight == nil {
		t.shape.WriteString("rows ")
		t.read(table)
		return nil
	}
	v, d := int64(table.Weight.Shape[0]), int64(table.Weight.Shape[1])
	pk := packing{layout: rowMajor, elem: p.matrixElem(table.Weight)}
	if table.Weight.DType == ir.I4 {
		pk.form = nibbles
	}
	if f, tied := p.multiplied[table]; tied { // a tied head: one copy, in the contraction's order
		pk.layout, pk.form, pk.run = panels(p.panelWidth(v)), f, p.runs[table]
	}
	if pk.form != plain {
		pk.elem = spmd.I32
	}
	m.table = t.weight(table, pk, v, d)
	if pk.form != plain {
		m.table = t.byBytes(m.table)
	}
	return nil
}

// source gives a function that reads W gathered columns of the row, or nil without a gather.
func (m *rowMap) source(k *code, row *spmd.Value) func(col *spmd.Value, off int64) *spmd.Value {
	if m.gather == nil {
		return nil
	}
	idx := k.t.find(useIDs, nil)
	if perRow(m.gather.Args[1]) == ir.Outs {
		idx = k.t.find(useOutRow, nil)
	}
	id := k.Max(k.Extend(k.Load(idx.ptr, row, 0)), k.I(0)) // a step may be fed what the last one chose, which is -1 after an error
	if m.table == nil {
		table := root(m.gather.Args[0])
		at := k.Offset(k.t.find(useRead, table).ptr, k.Mul(id, k.I(stride(table))))
		return func(col *spmd.Value, off int64) *spmd.Value { return k.LoadV(at, col, off) }
	}
	if m.table.packing.layout == rowMajor && m.table.form == plain {
		at := k.Offset(m.table.ptr, k.Mul(id, k.I(m.cols)))
		return func(col *spmd.Value, off int64) *spmd.Value { return m.tail(k, k.LoadV(at, col, off), col, off) }
	}
	if m.table.run > 1 {
		return m.rowInRuns(k, id)
	}
	return m.packedRow(k, id)
}

// packedRow reads a row of a table that lies as a contraction wants it: neighbours along K are Pad elements apart or, of codes, four or eight
// to a word and the words Pad words apart.
func (m *rowMap) packedRow(k *code, id *spmd.Value) func(col *spmd.Value, off int64) *spmd.Value {
	pad, per := m.table.layout.Pad, m.table.form.perUnit()
	units := (m.cols + per - 1) / per
	size := int64(1) // elements of a unit as the kernel sees them: bytes, of codes
	if m.table.bytes {
		size = 4
	}
	panel := k.Mul(k.Div(id, k.I(pad)), k.I(units*size*pad))
	at := k.Offset(m.table.ptr, k.Add(panel, k.Mul(k.Rem(id, k.I(pad)), k.I(size))))
	lane := k.Lane()
	lanes := k.Mul(k.Shr(lane, log2(per)), k.I32(int32(size*pad)))
	if size > 1 {
		lanes = k.Add(lanes, k.And(lane, k.I32(3)))
	}
	upper := k.Cmp(spmd.NE, k.And(lane, k.I32(4)), k.I32(0)) // of eight codes in a word, the last four are the high halves
	return func(col *spmd.Value, off int64) *spmd.Value {
		x := k.Gather(k.Offset(at, k.Mul(k.Div(k.Add(col, k.I(off)), k.I(per)), k.I(size*pad))), lanes, 0)
		if m.table.form == nibbles {
			x = k.Sub(k.And(k.Select(upper, k.Shr(x, 4), x), k.I32(15)), k.I32(8))
		}
		return m.tail(k, x, col, off)
	}
}

// tail puts zeros behind the last column, where a table's next row lies.
func (m *rowMap) tail(k *code, x, col *spmd.Value, off int64) *spmd.Value {
	if m.cols%k.sixteen() == 0 {
		return x
	}
	last := k.Truncate(k.Sub(k.I(m.cols-off), col))
	zero := k.F(0)
	if x.Type.Elem == spmd.I32 {
		zero = k.I32(0)
	}
	return k.Select(k.Cmp(spmd.LT, k.Lane(), last), x, zero)
}
