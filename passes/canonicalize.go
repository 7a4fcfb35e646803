// Canonicalize leaves one way to write each thing, so that later passes match one form and equal things look equal.
//
// Its rules are a table. Each says what it leaves behind, and the pass runs them until none applies, so the sentences hold together.
// A rule must make the graph smaller or move it toward a fixed order; none may undo another.

package passes

import (
	"fmt"
	"math"
	"slices"

	"github.com/ssmc/ssmc/ir"
)

// rewriter is one run of canonicalize.
type rewriter struct {
	f    *ir.Func
	r    *PassReport
	uses map[*ir.Value][]ir.Use // nil: stale
	gone map[*ir.Op]bool        // made useless by a rewrite
}

// rule rewrites at one op. It returns the value that takes the place of the op's first result, or nil if it does not apply. A rule that
// changes the op itself returns that result.
type rule struct {
	name   string
	leaves string
	apply  func(c *rewriter, op *ir.Op) *ir.Value
}

// rules is what canonicalize knows. Rules of one op are tried in this order.
var rules = [...]rule{
	{"reshape-of-reshape", "a reshape reads no reshape", reshapeOfReshape},
	{"same-type", "no reshape or cast leaves its operand's type as it is", sameType},
	{"slice-of-slice", "a slice reads no slice of the same axis", sliceOfSlice},
	{"whole-slice", "no slice takes everything", wholeSlice},
	{"permute-of-permute", "a permute reads no permute", permuteOfPermute},
	{"idle-permute", "no permute leaves every axis where it is", idlePermute},
	{"single-concat", "no concat has one operand", singleConcat},
	{"negate-twice", "no neg reads a neg", negateTwice},
	{"constant-right", "add, mul, min and max have a weight or number on the right", constantRight},
	{"neutral-element", "no x+0, x-0, x*1, x/1, max(x, -inf), min(x, inf)", neutralElement},
	{"silu", "x * sigmoid(x) is written silu(x)", mulSigmoid},
	{"bias-in-linear", "no bias is added to a linear or a conv that has none and is read by nothing else", biasInside},
}

// canonicalize is the pass "canonicalize".
func canonicalize(m *ir.Module, r *PassReport) error {
	c := &rewriter{f: m.Func, r: r, gone: map[*ir.Op]bool{}}
	for changed := true; changed; {
		changed = false
		for _, op := range slices.Clone(c.f.Ops) {
			if op.Group == nil && c.rewrite(op) {
				changed = true
			}
		}
	}
	return nil
}

// rewrite applies rules at op until none does, and says whether one did.
func (c *rewriter) rewrite(op *ir.Op) bool {
	if c.gone[op] {
		return false
	}
	fired := false
	for again := true; again; {
		again = false
		for i := range rules {
			v := rules[i].apply(c, op)
			if v == nil {
				continue
			}
			c.r.Fired(op, "%s", rules[i].name)
			fired, again = true, true
			if v != op.Result() {
				inheritRole(v, op.Result())
				c.f.ReplaceUses(op.Result(), v)
				c.uses = nil
				c.orphan(op)
				return true
			}
			c.uses = nil
			break
		}
	}
	return fired
}

// inheritRole gives v the role of a value whose place it takes. A weight keeps its own.
func inheritRole(v, old *ir.Value) {
	if v.Role == "" && v.Weight == nil {
		v.Role = old.Role
	}
}

// orphan removes op if nothing reads it, and then those of its operands' ops that nothing reads any more.
func (c *rewriter) orphan(op *ir.Op) {
	for _, v := range op.Results {
		if len(c.usesOf(v)) > 0 {
			return
		}
	}
	c.f.Remove(op)
	c.gone[op] = true
	c.uses = nil
	for _, a := range op.Args {
		if a != nil && a.Def != nil {
			c.orphan(a.Def)
		}
	}
}

func (c *rewriter) usesOf(v *ir.Value) []ir.Use {
	if c.uses == nil {
		c.uses = c.f.AllUses()
	}
	return c.uses[v]
}

// read gives op another operand 0, and removes what is then useless.
func (c *rewriter) read(op *ir.Op, v *ir.Value) *ir.Value {
	old := op.Args[0].Def
	op.Args[0] = v
	c.uses = nil
	c.orphan(old)
	return op.Result()
}

// definedBy returns the op that makes v if it has that code and is in no group.
func definedBy(v *ir.Value, code ir.OpCode) *ir.Op {
	if v != nil && v.Def != nil && v.Def.Code == code && v.Def.Group == nil {
		return v.Def
	}
	return nil
}

// isConstant says whether v is a weight or a number.
func isConstant(v *ir.Value) bool {
	return v.Weight != nil || v.Def != nil && v.Def.Code == ir.OpConst
}

// Number returns the value of a const.
func Number(v *ir.Value) (float64, bool) {
	if v.Def != nil && v.Def.Code == ir.OpConst {
		return v.Def.Attrs.Value, true
	}
	return 0, false
}

func reshapeOfReshape(c *rewriter, op *ir.Op) *ir.Value {
	if op.Code != ir.OpReshape {
		return nil
	}
	inner := definedBy(op.Args[0], ir.OpReshape)
	if inner == nil {
		return nil
	}
	return c.read(op, inner.Args[0])
}

func sameType(_ *rewriter, op *ir.Op) *ir.Value {
	if (op.Code == ir.OpReshape || op.Code == ir.OpCast) && op.Args[0].Type.Equal(op.Result().Type) {
		return op.Args[0]
	}
	return nil
}

func sliceOfSlice(c *rewriter, op *ir.Op) *ir.Value {
	if op.Code != ir.OpSlice {
		return nil
	}
	inner := definedBy(op.Args[0], ir.OpSlice)
	if inner == nil || inner.Attrs.Axis != op.Attrs.Axis {
		return nil
	}
	op.Attrs.Lo += inner.Attrs.Lo
	op.Attrs.Hi += inner.Attrs.Lo
	return c.read(op, inner.Args[0])
}

func wholeSlice(_ *rewriter, op *ir.Op) *ir.Value {
	if op.Code == ir.OpSlice && op.Args[0].Type.Equal(op.Result().Type) {
		return op.Args[0]
	}
	return nil
}

func permuteOfPermute(c *rewriter, op *ir.Op) *ir.Value {
	if op.Code != ir.OpPermute {
		return nil
	}
	inner := definedBy(op.Args[0], ir.OpPermute)
	if inner == nil {
		return nil
	}
	perm := make([]int, len(op.Attrs.Perm))
	for i, p := range op.Attrs.Perm {
		perm[i] = inner.Attrs.Perm[p]
	}
	op.Attrs.Perm = perm
	return c.read(op, inner.Args[0])
}

func idlePermute(_ *rewriter, op *ir.Op) *ir.Value {
	if op.Code != ir.OpPermute {
		return nil
	}
	for i, p := range op.Attrs.Perm {
		if i != p {
			return nil
		}
	}
	return op.Args[0]
}

func singleConcat(_ *rewriter, op *ir.Op) *ir.Value {
	if op.Code == ir.OpConcat && len(op.Args) == 1 {
		return op.Args[0]
	}
	return nil
}

func negateTwice(_ *rewriter, op *ir.Op) *ir.Value {
	if op.Code != ir.OpNeg {
		return nil
	}
	if inner := definedBy(op.Args[0], ir.OpNeg); inner != nil && inner.Args[0].Type.Equal(op.Result().Type) {
		return inner.Args[0]
	}
	return nil
}

func constantRight(_ *rewriter, op *ir.Op) *ir.Value {
	switch op.Code {
	case ir.OpAdd, ir.OpMul, ir.OpMin, ir.OpMax:
		if isConstant(op.Args[0]) && !isConstant(op.Args[1]) {
			op.Args[0], op.Args[1] = op.Args[1], op.Args[0]
			return op.Result()
		}
	}
	return nil
}

// neutral is the right operand that changes nothing.
var neutral = map[ir.OpCode]float64{
	ir.OpAdd: 0, ir.OpSub: 0, ir.OpMul: 1, ir.OpDiv: 1, ir.OpMax: math.Inf(-1), ir.OpMin: math.Inf(1),
}

func neutralElement(_ *rewriter, op *ir.Op) *ir.Value {
	e, ok := neutral[op.Code]
	if !ok || !op.Args[0].Type.Equal(op.Result().Type) {
		return nil
	}
	if x, isNumber := Number(op.Args[1]); isNumber && x == e {
		return op.Args[0]
	}
	return nil
}

func mulSigmoid(c *rewriter, op *ir.Op) *ir.Value {
	if op.Code != ir.OpMul {
		return nil
	}
	for i, x := range op.Args {
		s := definedBy(op.Args[1-i], ir.OpSigmoid)
		if s != nil && s.Args[0] == x && x.Type.Shape != nil {
			op.Code, op.Args = ir.OpSiLU, []*ir.Value{x}
			c.uses = nil
			c.orphan(s)
			return op.Result()
		}
	}
	return nil
}

// biasInside moves an added weight vector into the linear or conv that makes the other operand.
func biasInside(c *rewriter, op *ir.Op) *ir.Value {
	if op.Code != ir.OpAdd || op.Args[1].Weight == nil {
		return nil
	}
	y, b := op.Args[0], op.Args[1]
	in := definedBy(y, ir.OpLinear)
	if in == nil {
		in = definedBy(y, ir.OpConv)
	}
	if in == nil || in.Args[2] != nil || y.Index != 0 {
		return nil
	}
	if last := y.Type.Shape[y.Type.Rank()-1]; !ir.EqualShapes(b.Type.Shape, []ir.Dim{last}) {
		return nil
	}
	if y.Role != "" {
		c.skipOnce(op, fmt.Sprintf("bias-in-linear: %%%s is %s, which is without the bias", y.Name, y.Role))
		return nil
	}
	if n := len(c.usesOf(y)); n != 1 {
		c.skipOnce(op, fmt.Sprintf("bias-in-linear: %%%s has %d uses", y.Name, n))
		return nil
	}
	in.Args[2] = b
	return y
}

// skipOnce reports why a rule did not apply; rules are tried many times.
func (c *rewriter) skipOnce(op *ir.Op, why string) {
	e := Event{Op: opName(op), From: op.From, What: why}
	if !slices.Contains(c.r.Events, e) {
		c.r.Events = append(c.r.Events, e)
	}
}
