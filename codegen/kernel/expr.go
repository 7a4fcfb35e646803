package kernel

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// point is where an elementwise expression is computed: one row, W neighbouring columns.
type point struct {
	row   *spmd.Value // i64
	col   *spmd.Value // i64, first column, or nil for 0
	off   int64       // added to col
	count *spmd.Value // i64, columns that are stored; nil: all W
	own   int64       // lanes that no other point computes too; 0: all W, below 0: none
	vals  map[*ir.Value]*spmd.Value
}

// elementwise is the kernel-language form of each elementwise op of the graph, one operand or two.
var elementwise = map[ir.OpCode]func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value{
	ir.OpNeg:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Neg(x[0]) },
	ir.OpAbs:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Abs(x[0]) },
	ir.OpExp:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return exp(b, x[0]) },
	ir.OpSqrt:     func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Sqrt(x[0]) },
	ir.OpRsqrt:    func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Div(b.F(1), b.Sqrt(x[0])) },
	ir.OpRecip:    func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Div(b.F(1), x[0]) },
	ir.OpSquare:   func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Mul(x[0], x[0]) },
	ir.OpTanh:     func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return tanh(b, x[0]) },
	ir.OpErf:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return erf(b, x[0]) },
	ir.OpSigmoid:  func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return sigmoid(b, x[0]) },
	ir.OpSiLU:     func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return silu(b, x[0]) },
	ir.OpSoftplus: func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return softplus(b, x[0]) },
	ir.OpReLU:     func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Max(x[0], b.F(0)) },
	ir.OpGELU:     func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return gelu(b, x[0]) },
	ir.OpGELUTanh: func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return geluTanh(b, x[0]) },
	ir.OpAdd:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Add(x[0], x[1]) },
	ir.OpSub:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Sub(x[0], x[1]) },
	ir.OpMul:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Mul(x[0], x[1]) },
	ir.OpDiv:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Div(x[0], x[1]) },
	ir.OpMin:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Min(x[0], x[1]) },
	ir.OpMax:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.Max(x[0], x[1]) },
	ir.OpFMA:      func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return b.FMA(x[0], x[1], x[2]) },
	ir.OpCast:     func(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value { return asF32(b, x[0]) },
	ir.OpQuantize: quantize,
}

// sideBySide are those of elementwise that are one long chain, for several values: step by step for all of them, with the same bits.
var sideBySide = map[ir.OpCode]func(b *spmd.Builder, x []*spmd.Value) []*spmd.Value{
	ir.OpExp:      exps,
	ir.OpSiLU:     silus,
	ir.OpSoftplus: softpluses,
}

// asF32 widens codes and integer sums.
func asF32(b *spmd.Builder, x *spmd.Value) *spmd.Value {
	if x.Type.Elem == spmd.I32 {
		return b.ToF32(x)
	}
	return x
}

// quantize makes codes: times the reciprocal scale, clamped, to the nearest integer, ties to even. The clamp comes first, so that the
// conversion cannot overflow; a NaN becomes the lowest code.
func quantize(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value {
	return b.Round(b.Min(b.Max(unclamped(b, a, x), b.F(lowestCode(a))), b.F(127)))
}

// unclamped is the scaled operand of a quantize op.
func unclamped(b *spmd.Builder, a *ir.Attrs, x []*spmd.Value) *spmd.Value {
	switch {
	case len(x) > 1 && x[1] != nil:
		return b.Mul(x[0], x[1])
	case a.Inv != 1:
		return b.Mul(x[0], b.F(a.Inv))
	}
	return x[0]
}

func lowestCode(a *ir.Attrs) float32 {
	if a.Full {
		return -128
	}
	return -127
}

// declare names everything outside of the group that the expression of v reads: rows of cols columns or of one, and vectors. stop holds values that the
// template itself provides (the accumulator, the result of a norm). Its text goes into the task's shape.
func (t *task) declare(v *ir.Value, stop map[*ir.Value]string, cols int64) error {
	if name, ok := stop[v]; ok {
		t.shape.WriteString(name)
		return nil
	}
	if v.Def != nil && v.Def.Group == t.group && v.Def.Code != ir.OpReshape {
		// A value that is used twice is computed once, and is named by its number the second time.
		defer func() { stop[v] = fmt.Sprintf("v%d", len(stop)) }()
	}
	switch {
	case v.Weight != nil && elements(v) == cols:
		fmt.Fprintf(&t.shape, "w%d", t.index(t.vector(v)))
	case v.Weight != nil && elements(v) == 1:
		fmt.Fprintf(&t.shape, "s%d", t.index(t.vector(v)))
	case v.Weight != nil:
		return fmt.Errorf("weight %%%s %v does not fit rows of %d columns", v.Name, v.Type, cols)
	case v.Def != nil && v.Def.Code == ir.OpConst:
		fmt.Fprintf(&t.shape, "c%v", v.Def.Attrs.Value)
	case v.Def != nil && v.Def.Code == ir.OpReshape && (v.Def.Group == t.group || root(v) != v):
		return t.declare(v.Def.Args[0], stop, cols)
	case v.Def == nil || v.Def.Group != t.group:
		if !fitsRows(elements(v), cols) || perRow(v) == 0 {
			return fmt.Errorf("value %%%s %v is not rows of %d columns", v.Name, v.Type, cols)
		}
		fmt.Fprintf(&t.shape, "r%d", t.index(t.read(v)))
	case v.Def.Code == ir.OpCast && v.Type.DType != ir.F32:
		return fmt.Errorf("cast of %%%s to %v has no kernel", v.Def.Args[0].Name, v.Type.DType)
	case elementwise[v.Def.Code] != nil:
		fmt.Fprintf(&t.shape, "(%v %v %v", v.Def.Code, v.Def.Attrs.Inv, v.Def.Attrs.Full)
		if counted(v) {
			fmt.Fprintf(&t.shape, " counted %d", t.index(t.counter(v)))
		}
		for _, a := range v.Def.Args {
			if a == nil {
				continue
			}
			t.shape.WriteByte(' ')
			if err := t.declare(a, stop, cols); err != nil {
				return err
			}
		}
		t.shape.WriteByte(')')
	default:
		return fmt.Errorf("op %v (%%%s) has no kernel inside a %v group", v.Def.Code, v.Name, t.group.Kind)
	}
	return nil
}

// fitsRows says whether n numbers a row go with rows of cols columns: one for each column, for each of some equal groups of whole vectors, or
// for all.
func fitsRows(n, cols int64) bool {
	return n == cols || n == 1 || n > 1 && cols%n == 0 && cols/n%32 == 0
}

func (t *task) index(e *external) int {
	for i := range t.ext {
		if t.ext[i] == e {
			return i
		}
	}
	return -1
}

// eval computes v at a point; what it has computed is kept in p.vals.
func (k *code) eval(p *point, v *ir.Value) *spmd.Value {
	if x := p.vals[v]; x != nil {
		return x
	}
	x := k.compute(p, v)
	p.vals[v] = x
	return x
}

func (k *code) compute(p *point, v *ir.Value) *spmd.Value {
	if v.Weight != nil {
		w := k.t.vectorOf(v)
		if elements(v) == 1 {
			return k.Load(w, nil, 0)
		}
		return k.LoadV(w, p.col, p.off)
	}
	if v.Def != nil {
		op := v.Def
		switch {
		case op.Code == ir.OpConst:
			return k.F(float32(op.Attrs.Value))
		case op.Code == ir.OpReshape && (op.Group == k.t.group || root(v) != v):
			return k.eval(p, op.Args[0])
		case op.Group == k.t.group:
			args := make([]*spmd.Value, len(op.Args))
			for i, a := range op.Args {
				if a != nil {
					args[i] = k.eval(p, a)
				}
			}
			return elementwise[op.Code](k.Builder, &op.Attrs, args)
		}
	}
	r := k.t.find(useRead, root(v))
	switch n := elements(v); {
	case n == 1: // one number a row
		return k.Load(r.ptr, k.Mul(p.row, k.I(stride(root(v)))), 0)
	case n < k.t.cols: // one for each group of neighbours
		col := k.I(p.off)
		if p.col != nil {
			col = k.Add(p.col, col)
		}
		return k.Load(r.ptr, k.Add(k.Mul(p.row, k.I(stride(root(v)))), k.Div(col, k.I(k.t.cols/n))), 0)
	}
	return k.LoadV(r.ptr, k.at(p, stride(root(v))), p.off)
}

// putSide computes and stores values at several points: op by op for all, and what is a long chain by itself step by step.
func (k *code) putSide(ps []*point, vs []*ir.Value) {
	for _, v := range vs {
		for i, x := range k.evalSide(ps, v) {
			k.put(ps[i], v, x)
		}
	}
}

// evalSide computes v at several points.
func (k *code) evalSide(ps []*point, v *ir.Value) []*spmd.Value {
	if op := v.Def; op != nil && op.Group == k.t.group && elementwise[op.Code] != nil && ps[0].vals[v] == nil {
		for _, a := range op.Args {
			if a != nil {
				k.evalSide(ps, a)
			}
		}
		if side := sideBySide[op.Code]; side != nil {
			for i, x := range side(k.Builder, k.evalSide(ps, op.Args[0])) {
				ps[i].vals[v] = x
			}
		}
	}
	xs := make([]*spmd.Value, len(ps))
	for i, p := range ps {
		xs[i] = k.eval(p, v)
	}
	return xs
}

// at is the index of the point in rows of that stride.
func (k *code) at(p *point, stride int64) *spmd.Value {
	x := k.Mul(p.row, k.I(stride))
	if p.col != nil {
		x = k.Add(x, p.col)
	}
	return x
}

// putAll computes and stores values at the point.
func (k *code) putAll(p *point, vs []*ir.Value) {
	for _, v := range vs {
		k.put(p, v, k.eval(p, v))
	}
}

// put stores x as v at the point.
func (k *code) put(p *point, v *ir.Value, x *spmd.Value) {
	k.count(p, v)
	to, row := k.t.find(useLogits, nil), k.plan.logitsStride
	if to == nil || v != k.plan.logits {
		to, row = k.t.find(useWrite, root(v)), stride(root(v))
	}
	count := p.count
	if p.own > 0 && p.own < int64(k.Target.Lanes) && to.elem == spmd.I8 {
		count = k.I(p.own) // rows of codes lie so close that the lanes behind the last column would be the next row's
	}
	if count != nil {
		k.StoreVN(to.ptr, k.at(p, row), p.off, count, x)
		return
	}
	k.StoreV(to.ptr, k.at(p, row), p.off, x)
}
