package ir

import "fmt"

// A shape rule gives the result types of an op from its operands (nil where absent) and attributes, or says what is wrong with them.
// The verifier and the builder have checked before that required operands are there and that their types are sound.
type shapeRule func(a *Attrs, args []*Value) ([]Type, error)

// maxElements bounds the constant part of a shape, so that products of extents cannot overflow.
const maxElements = 1 << 40

// floats requires that all present operands are of floating-point type. Arithmetic widens: its result is f32 whatever the operands are.
func floats(args []*Value) error {
	for _, v := range args {
		if v != nil && !v.Type.DType.Float() {
			return fmt.Errorf("operand %%%s is %s, want floating point", v.Name, v.Type)
		}
	}
	return nil
}

func shapeElementwise(_ *Attrs, args []*Value) ([]Type, error) {
	if err := floats(args); err != nil {
		return nil, err
	}
	shape := args[0].Type.Shape
	for _, v := range args[1:] {
		var err error
		if shape, err = broadcast(shape, v.Type.Shape); err != nil {
			return nil, err
		}
	}
	return []Type{{F32, shape}}, nil
}

// broadcast joins two shapes as numpy does: trailing axes are aligned, and extents are equal or one of them is 1.
func broadcast(a, b []Dim) ([]Dim, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append([]Dim(nil), a...)
	skip := len(a) - len(b)
	for i, d := range b {
		switch e := a[skip+i]; {
		case e == 1:
			out[skip+i] = d
		case d != e && d != 1:
			return nil, fmt.Errorf("shapes %s and %s do not broadcast: extents %s and %s", ShapeString(a), ShapeString(b), e, d)
		}
	}
	return out, nil
}

// broadcastsTo checks that a value of shape a can be repeated to shape to.
func broadcastsTo(a, to []Dim) bool {
	out, err := broadcast(to, a)
	return err == nil && EqualShapes(out, to)
}

func shapeConst(*Attrs, []*Value) ([]Type, error) { return []Type{{F32, nil}}, nil }

func shapeCast(a *Attrs, args []*Value) ([]Type, error) {
	if a.To == NoType || a.To >= numDTypes || a.To == Bool {
		return nil, fmt.Errorf("cannot cast to %s", a.To)
	}
	return []Type{{a.To, args[0].Type.Shape}}, nil
}

// constAxis checks that axis exists and has a constant extent.
func constAxis(axis int, t Type) (Dim, error) {
	if axis < 0 || axis >= t.Rank() {
		return 0, fmt.Errorf("axis %d is outside %s", axis, t)
	}
	if t.Shape[axis].Symbolic() {
		return 0, fmt.Errorf("axis %d of %s is not constant", axis, t)
	}
	return t.Shape[axis], nil
}

func shapeSlice(a *Attrs, args []*Value) ([]Type, error) {
	t := args[0].Type
	n, err := constAxis(a.Axis, t)
	if err != nil {
		return nil, err
	}
	if a.Lo < 0 || a.Hi < a.Lo || a.Hi > int(n) {
		return nil, fmt.Errorf("range %d:%d is outside axis %d of %s", a.Lo, a.Hi, a.Axis, t)
	}
	shape := append([]Dim(nil), t.Shape...)
	shape[a.Axis] = Dim(a.Hi - a.Lo)
	return []Type{{t.DType, shape}}, nil
}

func shapeReshape(a *Attrs, args []*Value) ([]Type, error) {
	t := args[0].Type
	if !sameCount(t.Shape, a.Shape) {
		return nil, fmt.Errorf("%s and shape %s hold different numbers of elements", t, ShapeString(a.Shape))
	}
	return []Type{{t.DType, append([]Dim(nil), a.Shape...)}}, nil
}

// sameCount compares the numbers of elements: the same symbols and the same product of constants.
func sameCount(a, b []Dim) bool {
	var symbols [4]int
	count := func(shape []Dim, by int) (n int, ok bool) {
		n = 1
		for _, d := range shape {
			switch {
			case d < Outs:
				return 0, false
			case d.Symbolic():
				symbols[-d] += by
			case d > maxElements || (n > 0 && int(d) > maxElements/n):
				return 0, false
			default:
				n *= int(d)
			}
		}
		return n, true
	}
	na, oka := count(a, 1)
	nb, okb := count(b, -1)
	return oka && okb && na == nb && symbols == [4]int{}
}

func shapePermute(a *Attrs, args []*Value) ([]Type, error) {
	t := args[0].Type
	if len(a.Perm) != t.Rank() {
		return nil, fmt.Errorf("perm has %d entries, operand is %s", len(a.Perm), t)
	}
	seen := make([]bool, len(a.Perm))
	shape := make([]Dim, len(a.Perm))
	for i, p := range a.Perm {
		if p < 0 || p >= len(seen) || seen[p] {
			return nil, fmt.Errorf("perm %v is not a permutation of %d axes", a.Perm, len(seen))
		}
		seen[p] = true
		shape[i] = t.Shape[p]
	}
	return []Type{{t.DType, shape}}, nil
}

func shapeConcat(a *Attrs, args []*Value) ([]Type, error) {
	t := args[0].Type
	n, err := constAxis(a.Axis, t)
	if err != nil {
		return nil, err
	}
	shape := append([]Dim(nil), t.Shape...)
	for _, v := range args[1:] {
		m, err := constAxis(a.Axis, v.Type)
		if err != nil {
			return nil, err
		}
		n += m
		shape[a.Axis] = m
		if v.Type.DType != t.DType || !EqualShapes(shape, v.Type.Shape) {
			return nil, fmt.Errorf("%s and %s differ outside axis %d", t, v.Type, a.Axis)
		}
	}
	shape[a.Axis] = n
	return []Type{{t.DType, shape}}, nil
}

func shapeGather(_ *Attrs, args []*Value) ([]Type, error) {
	t, idx := args[0].Type, args[1].Type
	if t.Rank() < 1 || !idx.DType.Integer() || idx.Rank() != 1 {
		return nil, fmt.Errorf("gather takes rows of a table by an integer vector, got %s and %s", t, idx)
	}
	if t.DType.Float() {
		t.DType = F32
	}
	return []Type{{t.DType, append([]Dim{idx.Shape[0]}, t.Shape[1:]...)}}, nil
}

func shapeReduce(a *Attrs, args []*Value) ([]Type, error) {
	if err := floats(args); err != nil {
		return nil, err
	}
	t := args[0].Type
	n, err := constAxis(a.Axis, t)
	if err != nil {
		return nil, err
	}
	if a.Kind == NoReduce || a.Kind >= numReduceKinds {
		return nil, fmt.Errorf("unknown reduction")
	}
	if n == 0 && a.Kind != ReduceSum {
		return nil, fmt.Errorf("%s over the empty axis %d of %s has no value", a.Kind, a.Axis, t)
	}
	shape := append([]Dim(nil), t.Shape[:a.Axis]...)
	if a.KeepDims {
		shape = append(shape, 1)
	}
	return []Type{{F32, append(shape, t.Shape[a.Axis+1:]...)}}, nil
}
