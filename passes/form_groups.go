// Form-groups puts every op that is in no group yet into one.
//
// A map group is one pass over rows: elementwise ops before and behind at most one op that is not (a norm or another reduction of a row), and behind
// that, codes with a scale for each row, whose largest element is one reduction more.
// Each op joins the group of the only op that reads it, so that what a norm reads and does not share is computed where it is read, and
// what follows the norm is computed where it is made. A gather of codes takes their widening and scaling with it; else gather, slice, permute, concat and reductions over other axes move whole rows or
// columns about: each is a group of its own. A convolution that is in no epilogue takes what follows it, but not what comes before: it
// needs rows before its own.

package passes

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/ir"
)

// formGroups is the pass "form-groups".
func formGroups(m *ir.Module, r *PassReport) error {
	f := m.Func
	privateViews(f)
	gm := newGroupMaker(f)
	uses := f.AllUses()
	for _, op := range slices.Clone(f.Ops) {
		if op.Group == nil && !fluid(op) {
			formGroup(gm, op, uses, r)
		}
	}
	for _, op := range slices.Backward(slices.Clone(f.Ops)) {
		if op.Group == nil {
			formGroup(gm, op, uses, r)
		}
	}
	if err := gm.arrange(); err != nil {
		return err
	}
	for i, g := range Groups(f) {
		g.ID = i
	}
	return CheckGroups(m)
}

// formGroup makes the group of op and of what can come with it.
func formGroup(gm *groupMaker, op *ir.Op, uses map[*ir.Value][]ir.Use, r *PassReport) {
	kind := ir.GroupMap
	switch op.Code {
	case ir.OpLinear:
		kind = ir.GroupContract
	case ir.OpScan:
		kind = ir.GroupScan
	}
	g := &chain{uses: uses, ops: map[*ir.Op]bool{op: true}, rows: leading(op), end: op}
	why := ""
	switch {
	case op.Code == ir.OpRowScale:
		g.scaledCodes(op)
		g.before()
	case rowReduction(op):
		g.before()
		why = g.behind()
		g.rowCodes()
	case fluid(op):
		g.before()
	case op.Code == ir.OpConv, op.Code == ir.OpGather && op.Result().Type.DType.Integer():
		why = g.behind()
	}
	group := gm.group(kind, inOrder(gm.f, g.ops))
	r.Fired(op, "%s group: %s", kind, group.Note)
	if why != "" {
		r.Skip(op, "ends at %%%s: it %s", g.end.Result().Name, why)
	}
}

// chain is a map group that grows.
type chain struct {
	uses map[*ir.Value][]ir.Use
	ops  map[*ir.Op]bool
	rows ir.Dim // T or O: what its values have one row for
	end  *ir.Op // whose result others read
}

// leading is the extent that counts the rows of what op makes; 1 for a number, which fits any.
func leading(op *ir.Op) ir.Dim {
	t := op.Result().Type
	if t.Rank() == 0 {
		return 1
	}
	return t.Shape[0]
}

// fits says whether op can be computed in the group: element by element, for the same rows.
func (c *chain) fits(op *ir.Op) bool {
	return op.Group == nil && fluid(op) && (leading(op) == c.rows || op.Result().Type.Rank() == 0)
}

// before takes in what only the group reads.
func (c *chain) before() {
	for grown := true; grown; {
		grown = false
		for op := range c.ops {
			if op.Code == ir.OpConv || op.Code == ir.OpGather {
				continue // they read other rows
			}
			for _, a := range op.Args {
				if a == nil || a.Def == nil || c.ops[a.Def] || !c.fits(a.Def) || leaks(c.uses[a], c.ops) {
					continue
				}
				c.ops[a.Def] = true
				grown = true
			}
		}
	}
}

// rowCodes takes in what makes codes of the end under a scale for each row: the tile has the whole row.
func (c *chain) rowCodes() {
	for _, u := range c.uses[c.end.Result()] {
		if u.Op != nil && u.Op.Code == ir.OpRowScale && u.Op.Group == nil && leading(u.Op) == c.rows {
			c.ops[u.Op] = true
			c.scaledCodes(u.Op)
			return
		}
	}
}

// scaledCodes takes in the reciprocal of a row's scale, and the codes that are made with it of the same value.
func (c *chain) scaledCodes(scale *ir.Op) {
	x := scale.Args[0]
	for _, u := range c.uses[scale.Result()] {
		if u.Op == nil || u.Op.Code != ir.OpRecip || !c.fits(u.Op) {
			continue
		}
		q, _ := only(u.Op.Result(), c.uses)
		if q != nil && q.Code == ir.OpQuantize && q.Args[0] == x && c.fits(q) {
			c.ops[u.Op], c.ops[q] = true, true
		}
	}
}

// behind takes in one op after the other, each the only reader of the end, and what only it reads. It returns what ended that.
func (c *chain) behind() (why string) {
	for {
		op, _ := only(c.end.Result(), c.uses)
		switch {
		case op == nil:
			return ends(c.end.Result(), c.uses)
		case op.Group != nil:
			return fmt.Sprintf("is read by %s in %s group g%d", opName(op), op.Group.Kind, op.Group.ID)
		case !c.fits(op):
			return fmt.Sprintf("is read by %s, which is not elementwise over the same rows", opName(op))
		}
		c.ops[op] = true
		c.end = op
		c.before()
	}
}
