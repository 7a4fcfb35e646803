// Quantize gives values and weights the codes that a scheme says, in the form that kernels compute: a product of codes is an exact i32 sum, one
// multiplication (or fma) with a constant for each channel follows it, and what becomes codes again is rounded once.
//
//	%x.acc = linear %n.q %W.i8     i32
//	%x.f   = cast %x.acc           then, as codes: %x.m = mul %x.f %m, %x.q = quantize %x.m
//	%r     = mul %x.f %m           or in f32; write-fma makes the residual the fma's sum
//
// A value is stored as codes if a product of codes reads it, or if the scan does and the scheme says so (z, and in the published layout dt, B, C
// and u). Other readers get it widened again; the scan's u is f32 where the scheme says so, because what makes it and the scan are near.
// Constants that combine scales are made in float64 and rounded once, when they are first read: the pass itself reads no weight.

package passes

import (
	"errors"
	"fmt"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// quantize is the pass "quantize".
func quantize(m *ir.Module, r *PassReport, o *Options) error {
	f := m.Func
	q := &quantizer{plan: newPlan(f, o.Scheme), r: r, scales: o.Scales, count: o.CountSaturation, names: f.Names(),
		coded: map[*ir.Value]*coded{}, next: map[*ir.Value][]int{}, eights: map[weightKey]*coder8{}, fours: map[weightKey]*coder4{}}
	q.checkScales()
	if err := q.err(); err != nil {
		return err
	}
	if err := q.decodeStates(); err != nil {
		return err
	}
	for _, op := range f.Ops {
		if err := q.op(op); err != nil {
			return fmt.Errorf("%s: %w", opName(op), err)
		}
	}
	for i, v := range f.Returns {
		var err error
		if f.Returns[i], err = q.read(v); err != nil {
			return err
		}
	}
	f.Ops = q.out
	f.RemoveDead()
	q.storeFloats()
	return nil
}

// quantizer is one run of quantize. It walks over the ops and writes them anew.
type quantizer struct {
	*plan
	r      *PassReport
	scales *Scales
	count  bool // every op that makes codes counts what it clamps
	names  *ir.Names
	out    []*ir.Op
	at     *ir.Op // the op that is being rewritten: where new ones come from

	coded  map[*ir.Value]*coded
	next   map[*ir.Value][]int // which states that are stored as codes a value becomes
	eights map[weightKey]*coder8
	fours  map[weightKey]*coder4
}

// coded is a value that is stored as codes.
type coded struct {
	*stored
	q     *ir.Value // the codes
	scale []float32 // one, or one for each channel; nil: each row has its own
	rows  *ir.Value // the scales of the rows
	wide  *ir.Value // the codes widened and scaled, once something has asked for that
}

// checkScales looks at all scales that will be needed.
func (q *quantizer) checkScales() {
	for _, s := range q.order {
		if s.codes && !s.dynamic {
			if _, err := q.scales.of(s); err != nil {
				q.problem("%v", err)
			}
		}
	}
}

// op rewrites one op, and makes codes of what it gives.
func (q *quantizer) op(op *ir.Op) error {
	q.at = op
	var err error
	switch {
	case op.Group == nil && op.Code == ir.OpLinear && op.Args[1].Weight != nil && codeType(q.weight(op).Type):
		err = q.linear(op)
	case op.Group == nil && op.Code == ir.OpConv && q.coded[op.Args[0]] != nil && q.convCodes(op) == "":
		err = q.conv(op)
	case op.Group == nil && op.Code == ir.OpGather && op.Args[0].Weight != nil && codeType(q.weight(op).Type):
		err = q.gather(op)
	default:
		err = q.keep(op)
	}
	for _, v := range op.Results {
		if s := q.values[v]; err == nil && s != nil && q.coded[v] == nil {
			err = q.encode(s)
		}
		if err == nil {
			err = q.encodeNext(v)
		}
	}
	return err
}

// keep leaves an op as it is; it reads what was codes widened.
func (q *quantizer) keep(op *ir.Op) error {
	if op.Code == ir.OpConv && codeType(q.weight(op).Type) {
		why := q.convCodes(op)
		if why == "" {
			why = fmt.Sprintf("%%%s is f32", op.Args[0].Name)
		}
		q.r.Skip(op, "its filters stay as they are: %s", why)
	}
	for i, a := range op.Args {
		if a == nil {
			continue
		}
		if op.Code == ir.OpLinear && i == 0 && q.coded[a] != nil {
			q.r.Skip(op, "%%%s is widened again for it: its weight is %s", a.Name, q.weight(op).Type)
		}
		v, err := q.read(a)
		if err != nil {
			return err
		}
		op.Args[i] = v
	}
	q.out = append(q.out, op)
	return nil
}

// read is v for a reader that is no product: itself, or its codes widened.
func (q *quantizer) read(v *ir.Value) (*ir.Value, error) {
	c := q.coded[v]
	if c == nil || c.float {
		return v, nil
	}
	if c.wide != nil {
		return c.wide, nil
	}
	x, err := q.emit(ir.OpCast, c.q.Name+".f", ir.Attrs{To: ir.F32}, c.q)
	if err != nil {
		return nil, err
	}
	var scale *ir.Value
	if len(c.scale) == 1 {
		scale, err = q.emit(ir.OpConst, c.q.Name+".scale", ir.Attrs{Value: float64(c.scale[0])})
	} else if c.state {
		scale, err = q.stateVector(c, c.q.Name+".scale", c.scale)
	} else {
		scale, err = q.vector(c.q.Name+".scale", c.scale)
	}
	if err != nil {
		return nil, err
	}
	c.wide, err = q.emit(ir.OpMul, v.Name+".wide", ir.Attrs{}, x, scale)
	return c.wide, err
}

// encode makes codes of a value in f32, if it is stored so.
func (q *quantizer) encode(s *stored) error {
	if !s.codes {
		if s.why != "" {
			q.r.Skip(q.at, "%s: %s", place(s.v), s.why)
		}
		return nil
	}
	if s.dynamic {
		return q.encodeRows(s)
	}
	scale, err := q.scales.of(s)
	if err != nil {
		return err
	}
	args := []*ir.Value{s.v}
	attrs := ir.Attrs{Full: s.spec.Range == quant.Full, Count: q.count}
	switch h := rotatedSums(s.v); {
	case len(scale) > 1:
		inv := make([]float32, len(scale))
		for i, x := range scale {
			inv[i] = quant.Inverse(x)
		}
		w, err := q.vector(s.v.Name+".inv", inv)
		if err != nil {
			return err
		}
		args = append(args, w)
	case h != nil:
		rotation, err := quant.NewHadamardOf(h.Attrs.Blocks, h.Attrs.M, h.Attrs.K)
		if err != nil {
			return err
		}
		args[0], attrs.Inv = h.Result(), rotation.InverseRotated(scale[0])
	default:
		attrs.Inv = quant.Inverse(scale[0])
	}
	codes, err := q.emit(ir.OpQuantize, s.v.Name+".q", attrs, args...)
	if err != nil {
		return err
	}
	q.store(s, codes, scale)
	return nil
}

// encodeRows makes codes of a value under a scale that each row has for itself, found while running.
func (q *quantizer) encodeRows(s *stored) error {
	scale, err := q.emit(ir.OpRowScale, s.v.Name+".scale", ir.Attrs{}, s.v)
	if err != nil {
		return err
	}
	inv, err := q.emit(ir.OpRecip, s.v.Name+".inv", ir.Attrs{}, scale)
	if err != nil {
		return err
	}
	codes, err := q.emit(ir.OpQuantize, s.v.Name+".q", ir.Attrs{Full: s.spec.Range == quant.Full}, s.v, inv)
	if err != nil {
		return err
	}
	q.store(s, codes, nil)
	q.coded[s.v].rows = scale
	return nil
}

// store notes that a value has codes.
func (q *quantizer) store(s *stored, codes *ir.Value, scale []float32) {
	codes.Role = s.v.Role
	q.coded[s.v] = &coded{stored: s, q: codes, scale: scale}
	note := ""
	if s.note != "" {
		note = ", " + s.note
	}
	switch {
	case s.dynamic:
		note += ", each row with its own scale"
	case s.float:
		note += ", the scan reads it before that"
	}
	q.r.Fired(q.at, "%s is stored as codes%s", place(s.v), note)
}

// rotatedSums is the Hadamard transform of which v is the product with 1/sqrt(n); nil if v is none.
func rotatedSums(v *ir.Value) *ir.Op {
	if v.Def == nil || v.Def.Code != ir.OpMul {
		return nil
	}
	h := v.Def.Args[0].Def
	root, ok := Number(v.Def.Args[1])
	if h == nil || h.Code != ir.OpHadamard || h.Attrs.Transposed || !ok {
		return nil
	}
	if n := float64(h.Attrs.M << h.Attrs.K); root*root*n < 1-1e-12 || root*root*n > 1+1e-12 {
		return nil
	}
	return h
}

// emit adds an op and returns its first result.
func (q *quantizer) emit(code ir.OpCode, name string, attrs ir.Attrs, args ...*ir.Value) (*ir.Value, error) {
	op, err := ir.NewOp(code, []string{q.names.Unique(name)}, attrs, args...)
	if err != nil {
		return nil, err
	}
	op.SetFrom(q.at.From)
	q.out = append(q.out, op)
	return op.Result(), nil
}

// define adds an op that makes v, which another op made before.
func (q *quantizer) define(v *ir.Value, code ir.OpCode, attrs ir.Attrs, args ...*ir.Value) error {
	op, err := ir.NewOp(code, []string{v.Name}, attrs, args...)
	if err != nil {
		return err
	}
	if !op.Result().Type.Equal(v.Type) {
		return fmt.Errorf("%%%s becomes %s, was %s", v.Name, op.Result().Type, v.Type)
	}
	op.From, op.Results[0] = q.at.From, v
	v.Def, v.Index = op, 0
	q.out = append(q.out, op)
	return nil
}

// vector is a small weight with data.
func (q *quantizer) vector(name string, x []float32) (*ir.Value, error) {
	w, err := ir.NewWeight(name, ir.F32, []int{len(x)}, x)
	if err != nil {
		return nil, err
	}
	return q.addWeight(name, "", w), nil
}

// addWeight adds a weight to the function.
func (q *quantizer) addWeight(name, role string, w *ir.Weight) *ir.Value {
	v := &ir.Value{Name: q.names.Unique(name), Type: ir.Type{DType: w.DType, Shape: ir.Dims(w.Shape)}, Weight: w, Role: role, From: w.Name}
	q.f.Weights = append(q.f.Weights, v)
	return v
}

// storeFloats gives weights that stay floating point the type that the scheme says. What passes computed in f64 is f32 now.
func (q *quantizer) storeFloats() {
	types := map[quant.Type]ir.DType{quant.F32: ir.F32, quant.F16: ir.F16, quant.BF16: ir.BF16}
	for _, v := range q.f.Weights {
		if !v.Type.DType.Float() {
			continue
		}
		t := ir.F32
		if role := roleOf(v); quant.IsWeightRole(role) {
			if spec, ok := types[q.scheme.Weight(role, layerOf(v)).Type]; ok {
				t = spec
			}
		}
		if v.Type.DType == t || t == ir.F32 && v.Type.DType.Bits() < 32 {
			continue // f16 and bf16 of the checkpoint are f32 in fewer bytes
		}
		w := v.Weight
		name := w.Name
		if t != ir.F32 {
			name += "." + t.String()
		}
		v.Weight = narrowed(name, t, w)
		v.Type.DType, v.From = t, name
	}
}

// errTooLong is what a sum of codes that does not fit is reported as.
var errTooLong = errors.New("the sum of so many products of codes does not fit 32 bits")
