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
	narrows   []rowCodes  // what has a narrow form too
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
	for _, v := range outs {
		if n := p.narrowed(v); n != nil {
			m.narrows = append(m.narrows, rowCodes{t.readWords(v), newNarrow(t, n, v, useWrite)})
		}
	}
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

func (m *rowMap) build(k *code) {
	lo, hi := k.span(k.t.grid)
	if m.shared {
		m.buildShared(k, lo)
		return
	}
	k.For(lo, hi, 1, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		m.row(k, row, m.source(k, row))
		m.writeNarrow(k, row)
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
