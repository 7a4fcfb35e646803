package kernel

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// mapBlock is how many rows a tile of a map has.
const mapBlock = 8

// rowMap is a map group: elementwise chains over rows, at most one op among them that sees whole rows (a norm, a Hadamard transform), perhaps a
// gather in front, and perhaps codes behind, under a scale that each row has for itself.
type rowMap struct {
	norm      *ir.Op     // the op that sees whole rows; nil: none
	butterfly *transform // of a Hadamard transform
	gather    *ir.Op     // nil: none
	cols      int64
	table     *external // of the gather, when it reads a weight
	first     []*ir.Value
	then      []*ir.Value // what is stored before and after the norm
	scale     *ir.Op      // of each row; nil: none
	scalars   []*ir.Value // numbers of a row that follow from its scale
	weight    *external
	bias      *external
	shared    bool        // a team does a row; see map_shared.go
	buf       *spmd.Value // of the row, in the kernel being built
}

func (p *planner) newMap(g *ir.Group, ops []*ir.Op) (*task, error) {
	t := newTask(g, g.Note)
	m := &rowMap{}
	for _, op := range ops {
		switch op.Code {
		case ir.OpRMSNorm, ir.OpLayerNorm, ir.OpHadamard:
			if m.norm != nil {
				return nil, fmt.Errorf("it has two ops that see whole rows: %%%s and %%%s", m.norm.Results[0].Name, op.Results[0].Name)
			}
			m.norm = op
		case ir.OpRowScale:
			if m.scale != nil {
				return nil, fmt.Errorf("it scales rows twice: %%%s and %%%s", m.scale.Results[0].Name, op.Results[0].Name)
			}
			m.scale = op
		case ir.OpGather:
			m.gather = op
		}
	}
	outs := p.outputs(g)
	if len(outs) == 0 {
		return nil, fmt.Errorf("it leaves no value")
	}
	if m.cols = elements(outs[0]); m.scale != nil {
		m.cols = elements(m.scale.Args[0])
	}
	t.cols = m.cols
	if m.shared = p.members > 1 && m.scale == nil; m.shared {
		fmt.Fprintf(&t.shape, "map %d shared:", m.cols)
	} else {
		fmt.Fprintf(&t.shape, "map %d:", m.cols)
	}
	if err := m.declare(p, t, outs); err != nil {
		return nil, err
	}
	p.writes(t, outs)
	t.grid = spmd.Grid{Panels: 1, By: spmd.ByRowBlocks, Block: mapBlock}
	if perRow(outs[0]) == ir.Outs {
		t.grid.By = spmd.ByOutBlocks
	}
	if m.shared {
		t.shared, t.grid.Block = true, 1
	}
	t.build = func(k *code) { m.build(k) }
	return t, nil
}

func (m *rowMap) declare(p *planner, t *task, outs []*ir.Value) error {
	stop := map[*ir.Value]string{}
	if m.gather != nil {
		if err := m.declareGather(p, t); err != nil {
			return err
		}
		stop[m.gather.Results[0]] = "gather"
	}
	if m.norm != nil {
		fmt.Fprintf(&t.shape, "%v %g %d of ", m.norm.Code, m.norm.Attrs.Eps, m.norm.Attrs.Groups)
		if err := t.declare(m.norm.Args[0], stop, m.cols); err != nil {
			return err
		}
		if err := m.declareRowOp(t); err != nil {
			return err
		}
		stop[m.norm.Results[0]] = "norm"
	}
	if m.scale != nil {
		t.shape.WriteString("scale of ")
		if err := t.declare(m.scale.Args[0], stop, m.cols); err != nil {
			return err
		}
		stop[m.scale.Result()] = "rowscale"
		m.declareScalars(p.m.Func.Ops, t.group)
	}
	after := map[*ir.Value]bool{}
	if m.norm != nil {
		after = dependents(t.group, m.norm.Results[0], p.m.Func.Ops)
	}
	for _, v := range outs {
		if slices.Contains(m.scalars, v) {
			fmt.Fprintf(&t.shape, " out number %d", slices.Index(m.scalars, v))
			continue
		}
		if elements(v) != m.cols {
			return fmt.Errorf("it leaves rows of %d and of %d columns", m.cols, elements(v))
		}
		fmt.Fprintf(&t.shape, " out %v ", after[v])
		if err := t.declare(v, stop, m.cols); err != nil {
			return err
		}
		if m.norm != nil && !after[v] {
			m.first = append(m.first, v)
		} else {
			m.then = append(m.then, v)
		}
	}
	return nil
}

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

// declareScalars finds the numbers that follow from a row's scale, its reciprocal mostly: they are computed once a row.
func (m *rowMap) declareScalars(ops []*ir.Op, g *ir.Group) {
	after := dependents(g, m.scale.Result(), ops)
	for _, op := range ops {
		if r := op.Results[0]; op.Group == g && after[r] && elements(r) == 1 {
			m.scalars = append(m.scalars, r)
		}
	}
}

// dependents is v and what is computed from it within a group.
func dependents(g *ir.Group, v *ir.Value, ops []*ir.Op) map[*ir.Value]bool {
	set := map[*ir.Value]bool{v: true}
	for _, op := range ops {
		if op.Group != g {
			continue
		}
		for _, a := range op.Args {
			if a != nil && set[a] {
				for _, r := range op.Results {
					set[r] = true
				}
			}
		}
	}
	return set
}

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

func (m *rowMap) build(k *code) {
	lo, hi := k.span(k.t.grid)
	if m.shared {
		m.buildShared(k, lo)
		return
	}
	k.For(lo, hi, 1, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		m.row(k, row, m.source(k, row))
		return nil
	})
}

// segment is some columns of a row, and how to get what the op that sees whole rows makes of them.
type segment struct {
	lo, n int64
	after func(p *point) *spmd.Value // nil: there is no such op
}

// row emits one row: what the op that sees all of it needs to know, the row's scale, and a pass over the columns that stores everything.
func (m *rowMap) row(k *code, row *spmd.Value, fetch func(*spmd.Value, int64) *spmd.Value) {
	groups := int64(1)
	if m.norm != nil {
		groups = int64(max(1, m.norm.Attrs.Groups))
	}
	size := m.cols / groups
	var segments []segment
	for g := range groups {
		s := segment{g * size, size, nil}
		switch {
		case m.butterfly != nil:
			s.after = m.transform(k, row, fetch)
		case m.norm != nil:
			s.after = m.normalise(k, row, s.lo, s.n, fetch)
		}
		if g+1 == groups && m.scale == nil { // whole vectors, into the padding behind the last column
			s.n = roundUp(m.cols, k.sixteen()) - s.lo
		}
		if m.scale == nil {
			m.columns(k, row, s, fetch, nil, m.then)
		}
		segments = append(segments, s)
	}
	if m.scale == nil {
		return
	}
	known := m.rowScale(k, row, segments, fetch)
	for i, s := range segments {
		if i+1 == len(segments) {
			s.n = roundUp(m.cols, k.sixteen()) - s.lo
		}
		m.columns(k, row, s, fetch, known, m.then)
	}
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

// columns stores vs at the segment's columns of a row, of which some numbers may be known.
func (m *rowMap) columns(k *code, row *spmd.Value, s segment, fetch func(*spmd.Value, int64) *spmd.Value, known map[*ir.Value]*spmd.Value, vs []*ir.Value) {
	w, step := int64(k.Target.Lanes), k.sixteen()
	lo, n := s.lo, s.n
	some := func(col *spmd.Value, offs []int64, count *spmd.Value) {
		var ps []*point
		for _, from := range offs {
			for off := from; off < from+step; off += w {
				p := m.point(k, row, col, off, fetch)
				if count != nil {
					p.count = k.Max(k.Sub(count, k.I(off)), k.I(0))
				}
				maps.Copy(p.vals, known)
				if s.after != nil {
					p.vals[m.norm.Results[0]] = s.after(p)
				}
				if !roomy(k.Target) {
					k.putAll(p, vs)
					continue
				}
				for _, v := range vs {
					k.eval(p, v)
				}
				ps = append(ps, p)
			}
		}
		for _, p := range ps {
			k.putAll(p, vs)
		}
	}
	if m.shared {
		k.shareColumns(lo, n, some)
		return
	}
	whole := n / step * step
	batches(k.Builder, lo, lo+whole, step, func(col *spmd.Value, offs []int64) { some(col, offs, nil) })
	if n > whole {
		some(k.I(lo+whole), []int64{0}, k.I(n-whole))
	}
}

// sixteen is the step of loops over columns: what the sums across lanes take in, or all lanes where there are more.
func (k *code) sixteen() int64 { return max(16, int64(k.Target.Lanes)) }

func (m *rowMap) point(k *code, row, col *spmd.Value, off int64, fetch func(*spmd.Value, int64) *spmd.Value) *point {
	p := &point{row: row, col: col, off: off, vals: map[*ir.Value]*spmd.Value{}}
	if fetch != nil {
		p.vals[m.gather.Results[0]] = fetch(col, off)
	}
	return p
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
