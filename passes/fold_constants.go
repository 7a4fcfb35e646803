// Fold-constants turns ops on weights into weights.
//
// Rows lo to hi-1 of a checkpoint tensor, or the same elements under another shape, share the checkpoint's memory and element type: the
// in_proj of a 2.8B model costs nothing to split. Everything else (A = -exp(A_log), a permuted or concatenated matrix) becomes a weight
// whose data is computed in float64 when it is first asked for, rounded once to the type of the result, and kept. The pass itself reads
// no data of a weight, however large.
//
// Arithmetic on numbers alone becomes a number. Integer arithmetic on weights stays: nothing in a model needs it.

package passes

import (
	"fmt"
	"strings"
	"sync"

	"github.com/ssmc/ssmc/ir"
)

// folder is one run of fold-constants.
type folder struct {
	f      *ir.Func
	r      *PassReport
	uses   map[*ir.Value][]ir.Use
	folded map[*ir.Value]bool      // results of ops that are to go
	parts  map[*ir.Weight]part     // what memory a weight shares
	alias  map[string]*ir.Value    // weights that share memory, by part and type
	inline map[*ir.Value]*ir.Value // what a folded value became
}

// part is a piece of a checkpoint's tensor: bytes lo to hi-1.
type part struct {
	of     *ir.Weight
	lo, hi int
}

// foldConstants is the pass "fold-constants".
func foldConstants(m *ir.Module, r *PassReport) error {
	f := &folder{f: m.Func, r: r, uses: m.Func.AllUses(), folded: map[*ir.Value]bool{},
		parts: map[*ir.Weight]part{}, alias: map[string]*ir.Value{}, inline: map[*ir.Value]*ir.Value{}}
	for _, op := range m.Func.Ops {
		if f.foldable(op) {
			f.folded[op.Result()] = true
		}
	}
	var gone []*ir.Op
	for _, op := range m.Func.Ops {
		if v := op.Result(); f.folded[v] {
			if err := f.fold(op); err != nil {
				return err
			}
			if op.Code != ir.OpConst {
				gone = append(gone, op)
			}
		}
	}
	m.Func.Remove(gone...)
	for old, v := range f.inline {
		m.Func.ReplaceUses(old, v)
	}
	return nil
}

// constant says whether v is known at compile time: a weight, a number, or a folded value.
func (f *folder) constant(v *ir.Value) bool {
	return v == nil || v.Weight != nil || f.folded[v] || v.Def != nil && v.Def.Code == ir.OpConst
}

// foldable says whether op is computed from constants only.
func (f *folder) foldable(op *ir.Op) bool {
	if len(op.Args) == 0 || len(op.Results) != 1 || op.Code.SeesSequences() || op.Group != nil {
		return false
	}
	for _, a := range op.Args {
		if !f.constant(a) {
			return false
		}
	}
	t := op.Result().Type
	for _, d := range t.Shape {
		if d.Symbolic() {
			return false
		}
	}
	if !t.DType.Float() && !(sharesMemory(op) && op.Args[0].Weight != nil) {
		f.r.Skip(op, "integer arithmetic on weights is not folded")
		return false
	}
	return true
}

// fold replaces op's result by a weight or a number, unless only other folded ops read it.
func (f *folder) fold(op *ir.Op) error {
	v := op.Result()
	if src := f.source(op.Args[0]); src.Weight != nil && sharesMemory(op) {
		f.share(op, src)
		return nil
	}
	if t := v.Type; t.Rank() == 0 && numbersOnly(op) {
		x, err := evalExpr(v, nil)
		if err != nil {
			return err
		}
		f.r.Fired(op, "is the number %v", x.Data[0])
		op.Code, op.Args, op.Attrs = ir.OpConst, nil, ir.Attrs{Value: x.Data[0]}
		return nil
	}
	read := false
	for _, u := range f.uses[v] {
		read = read || u.Op == nil || !f.folded[u.Op.Result()] || sharesMemory(u.Op)
	}
	if !read {
		return nil
	}
	w := &ir.Weight{Name: exprName(v), DType: v.Type.DType, Shape: ints(v.Type.Shape)}
	w.Bytes = sync.OnceValues(func() ([]byte, error) {
		x, err := evalExpr(v, map[*ir.Value]*ir.Tensor[float64]{})
		if err != nil {
			return nil, fmt.Errorf("weight %q: %w", w.Name, err)
		}
		return ir.Encode(w.DType, x.Data)
	})
	f.add(v, w)
	f.r.Fired(op, "is the weight %s, computed when it is first read", w.Name)
	return nil
}

// source is what a folded value became so far.
func (f *folder) source(v *ir.Value) *ir.Value {
	if w, ok := f.inline[v]; ok {
		return w
	}
	return v
}

// add makes v a weight under its own name.
func (f *folder) add(v *ir.Value, w *ir.Weight) *ir.Value {
	wv := &ir.Value{Name: v.Name, Type: v.Type, Weight: w, Role: foldedRole(v), From: v.From}
	f.f.Weights = append(f.f.Weights, wv)
	f.inline[v] = wv
	return wv
}

// foldedRole is the role of what a value is computed from: a part of in_proj, and A = -exp(A_log), are for what the whole is for.
func foldedRole(v *ir.Value) string {
	if v.Role != "" || v.Def == nil {
		return v.Role
	}
	for _, a := range v.Def.Args {
		if a != nil {
			if role := foldedRole(a); role != "" {
				return role
			}
		}
	}
	return ""
}

// share makes the result of a slice, reshape or cast that moves no byte a weight in the memory of src.
func (f *folder) share(op *ir.Op, src *ir.Value) {
	v, parent := op.Result(), src.Weight
	p, ok := f.parts[parent]
	if !ok {
		p = part{parent, 0, parent.ByteLen()}
	}
	if op.Code == ir.OpSlice {
		row := parent.ByteLen() / max(parent.Shape[0], 1)
		p.lo, p.hi = p.lo+op.Attrs.Lo*row, p.lo+op.Attrs.Hi*row
	}
	key := fmt.Sprintf("%p %d %s", p.of, p.lo, v.Type)
	if w, ok := f.alias[key]; ok {
		f.inline[v] = w
		f.r.Fired(op, "is the weight %%%s once more", w.Name)
		return
	}
	w := &ir.Weight{Name: p.name(), DType: v.Type.DType, Shape: ints(v.Type.Shape), Release: p.of.Release, Literal: p.of.Literal}
	w.Bytes = func() ([]byte, error) {
		raw, err := weightBytes(p.of)
		if err != nil {
			return nil, err
		}
		if len(raw) < p.hi {
			return nil, fmt.Errorf("weight %q: %d bytes, want %d", p.of.Name, len(raw), p.of.ByteLen())
		}
		return raw[p.lo:p.hi:p.hi], nil
	}
	f.parts[w] = p
	f.alias[key] = f.add(v, w)
	f.r.Fired(op, "shares the memory of %s", w.Name)
}

// name says which rows of which tensor the part is, or which bytes, if it is no whole rows.
func (p part) name() string {
	size := p.of.ByteLen()
	if p.hi-p.lo == size {
		return p.of.Name
	}
	if row := size / max(p.of.Shape[0], 1); p.lo%row == 0 && p.hi%row == 0 {
		return fmt.Sprintf("%s[%d:%d]", p.of.Name, p.lo/row, p.hi/row)
	}
	return fmt.Sprintf("%s[bytes %d:%d]", p.of.Name, p.lo, p.hi)
}

// sharesMemory says whether op's result is a contiguous part of its operand, byte for byte.
func sharesMemory(op *ir.Op) bool {
	switch op.Code {
	case ir.OpReshape:
		return true
	case ir.OpCast:
		return op.Attrs.To == op.Args[0].Type.DType
	case ir.OpSlice:
		t := op.Args[0].Type
		if op.Attrs.Axis != 0 {
			return false
		}
		row := t.DType.Bits()
		for _, d := range t.Shape[1:] {
			row *= int(d)
		}
		return row%8 == 0 || t.DType.Bits() >= 8
	}
	return false
}

// numbersOnly says whether no weight goes into v's op.
func numbersOnly(op *ir.Op) bool {
	for _, a := range op.Args {
		if a != nil && (a.Def == nil || a.Def.Code != ir.OpConst && !numbersOnly(a.Def)) {
			return false
		}
	}
	return true
}

// evalExpr computes a value from the weights and numbers that it is made of, in float64.
func evalExpr(v *ir.Value, done map[*ir.Value]*ir.Tensor[float64]) (*ir.Tensor[float64], error) {
	if x := done[v]; x != nil {
		return x, nil
	}
	if v.Weight != nil {
		return ir.LoadWeight[float64](v.Weight)
	}
	args := make([]*ir.Tensor[float64], len(v.Def.Args))
	for i, a := range v.Def.Args {
		if a == nil {
			continue
		}
		var err error
		if args[i], err = evalExpr(a, done); err != nil {
			return nil, err
		}
	}
	out, err := ir.EvalOp(v.Def, args, nil, [3]int{})
	if err != nil {
		return nil, err
	}
	if done != nil {
		done[v] = out[0]
	}
	return out[0], nil
}

// weightBytes is the data of a weight; one that came from text without data gets what the evaluator would fill in.
func weightBytes(w *ir.Weight) ([]byte, error) {
	if w.Bytes != nil {
		return w.Bytes()
	}
	x, err := ir.LoadWeight[float64](w)
	if err != nil {
		return nil, err
	}
	if w.DType.Float() {
		return ir.Encode(w.DType, x.Data)
	}
	return ir.EncodeInts(w.DType, x.Ints)
}

// exprName writes what a folded value is computed from: neg(exp(backbone.layers.0.mixer.A_log)).
func exprName(v *ir.Value) string {
	if v.Weight != nil {
		return v.Weight.Name
	}
	if v.Def.Code == ir.OpConst {
		return fmt.Sprint(v.Def.Attrs.Value)
	}
	var args []string
	for _, a := range v.Def.Args {
		if a != nil {
			args = append(args, exprName(a))
		}
	}
	if s := strings.Join(args, ","); len(s) < 200 {
		return fmt.Sprintf("%s(%s)", v.Def.Code, s)
	}
	return fmt.Sprintf("%s(...)", v.Def.Code)
}

// ints is a constant shape.
func ints(shape []ir.Dim) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		out[i] = int(d)
	}
	return out
}
