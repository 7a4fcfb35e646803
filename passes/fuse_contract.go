// Fuse-contract makes each linear the anchor of a contract group and gives it an epilogue: what can be done to its result, row by row and
// column by column, where it is made.
//
// It pays because the result is in registers there: a bias, an activation or a residual costs no second pass over memory, and no barrier.
// A convolution over the same channels goes in if it reads the linear's own result (its window is then a few rows of the same columns).
//
// An epilogue ends where a value has more than one reader: the value is stored there anyway. If one of these readers makes its codes, that
// is done here as well, and the group leaves two values. It ends at a scan group, and where the rows or the columns change.

package passes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/ir"
)

// fuseContract is the pass "fuse-contract".
func fuseContract(m *ir.Module, r *PassReport) error {
	f := m.Func
	privateViews(f)
	gm := newGroupMaker(f)
	uses := f.AllUses()
	for _, op := range slices.Clone(f.Ops) {
		if op.Code != ir.OpLinear || op.Group != nil {
			continue
		}
		e := &epilogue{uses: uses, ops: map[*ir.Op]bool{op: true}, linear: op, end: op.Result()}
		e.prologue(op.Args[0])
		why := e.grow()
		gm.group(ir.GroupContract, inOrder(f, e.ops))
		r.Fired(op, "%s", strings.Join(append([]string{"linear"}, e.words...), ", "))
		if why != "" {
			r.Skip(op, "the epilogue ends at %%%s: it %s", e.end.Name, why)
		}
	}
	return gm.arrange()
}

// epilogue is a contract group that grows.
type epilogue struct {
	uses   map[*ir.Value][]ir.Use
	ops    map[*ir.Op]bool
	linear *ir.Op
	end    *ir.Value // what the group makes so far
	conv   bool
	mixed  bool     // it is made of other rows' values as well
	words  []string // what was taken in
}

// prologue takes in a reshape of the linear's operand that nothing else reads.
func (e *epilogue) prologue(x *ir.Value) { e.view(x, e.linear) }

// view takes in the reshape or number that makes v, if only reader reads it.
func (e *epilogue) view(v *ir.Value, reader *ir.Op) {
	if v == nil || v.Def == nil || v.Def.Group != nil || v.Def.Code != ir.OpReshape && v.Def.Code != ir.OpConst {
		return
	}
	if op, _ := only(v, e.uses); op == reader {
		e.ops[v.Def] = true
	}
}

// grow takes in one op after the other. It returns what ended it.
func (e *epilogue) grow() (why string) {
	for {
		op, _ := only(e.end, e.uses)
		if op == nil {
			e.codes()
			return ends(e.end, e.uses)
		}
		if op.Group != nil {
			return fmt.Sprintf("is read by %s in %s group g%d", opName(op), op.Group.Kind, op.Group.ID)
		}
		if why := e.take(op); why != "" {
			return why
		}
	}
}

// codes takes in a quantization of the end, which others read too.
func (e *epilogue) codes() {
	for _, u := range e.uses[e.end] {
		if u.Op != nil && u.Op.Code == ir.OpQuantize && u.Op.Group == nil && u.Index == 0 && constantBeside(u.Op, e.end) {
			e.ops[u.Op] = true
			e.words = append(e.words, u.Op.Code.String())
			return
		}
	}
}

// constantBeside says whether all operands of op but v are weights and numbers.
func constantBeside(op *ir.Op, v *ir.Value) bool {
	return !slices.ContainsFunc(op.Args, func(a *ir.Value) bool { return a != nil && a != v && !isConstant(a) })
}

// take takes in op, which reads the end, or says why not.
func (e *epilogue) take(op *ir.Op) (why string) {
	switch {
	case op.Code == ir.OpConv:
		if why := e.takesConv(op); why != "" {
			return why
		}
		e.conv = true
	case !op.Code.Elementwise():
		return fmt.Sprintf("is read by %s, which is not elementwise", opName(op))
	case !ir.EqualShapes(op.Result().Type.Shape, e.end.Type.Shape):
		return fmt.Sprintf("is read by %s, which makes %s of %s", opName(op), op.Result().Type, e.end.Type)
	default:
		for _, a := range op.Args {
			if a != e.end {
				e.view(a, op)
			}
		}
	}
	e.ops[op] = true
	e.end = op.Result()
	e.mixed = e.mixed || !constantBeside(op, op.Args[0])
	if op.Code != ir.OpCast {
		e.words = append(e.words, op.Code.String())
	}
	return ""
}

// takesConv says why a convolution does not go into the epilogue.
func (e *epilogue) takesConv(op *ir.Op) (why string) {
	next := op.Results[1]
	switch {
	case op.Args[0] != e.end || op.Args[1].Weight == nil:
		return fmt.Sprintf("is read by %s, but not as what is convolved", opName(op))
	case e.conv:
		return fmt.Sprintf("is read by a second convolution, %s", opName(op))
	case e.mixed || e.end.Type.DType.Float() && e.end != e.linear.Result():
		return fmt.Sprintf("is read by %s, which must read the linear's own result or codes of it: it needs the rows before", opName(op))
	}
	for _, u := range e.uses[next] {
		if !u.Next {
			return fmt.Sprintf("is read by %s, whose window %%%s %s", opName(op), next.Name, useNames(e.uses[next]))
		}
	}
	return ""
}
