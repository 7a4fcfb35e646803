package ir

import (
	"fmt"
	"math"
)

// lastAxis gives the constant extent of the last axis.
func lastAxis(t Type) (Dim, error) {
	if t.Rank() == 0 {
		return 0, fmt.Errorf("%s has no axis", t)
	}
	return constAxis(t.Rank()-1, t)
}

// vector checks that v, if present, is a vector of n elements.
func vector(role string, v *Value, n Dim) error {
	if v != nil && !EqualShapes(v.Type.Shape, []Dim{n}) {
		return fmt.Errorf("%s %%%s is %s, want [%s]", role, v.Name, v.Type, n)
	}
	return nil
}

func shapeNorm(a *Attrs, args []*Value) ([]Type, error) {
	if err := floats(args); err != nil {
		return nil, err
	}
	t := args[0].Type
	n, err := lastAxis(t)
	if err != nil {
		return nil, err
	}
	for i, v := range args[1:] {
		if err := vector([]string{"weight", "bias"}[i], v, n); err != nil {
			return nil, err
		}
	}
	if a.Eps < 0 || math.IsNaN(a.Eps) || math.IsInf(a.Eps, 0) {
		return nil, fmt.Errorf("eps %v is not a small positive number", a.Eps)
	}
	return []Type{{F32, t.Shape}}, nil
}

func shapeRMSNorm(a *Attrs, args []*Value) ([]Type, error) {
	types, err := shapeNorm(a, args)
	if err != nil {
		return nil, err
	}
	if n, _ := lastAxis(args[0].Type); a.Groups < 1 || int(n)%a.Groups != 0 {
		return nil, fmt.Errorf("%d groups do not divide the last axis of %s", a.Groups, args[0].Type)
	}
	return types, nil
}

func shapeScan(_ *Attrs, args []*Value) ([]Type, error) {
	if err := floats(args); err != nil {
		return nil, err
	}
	h0 := args[3].Type
	if h0.Rank() < 2 || h0.Shape[0] != Seqs {
		return nil, fmt.Errorf("h0 is %s, want [S, ..., N]", h0)
	}
	for _, d := range h0.Shape[1:] {
		if d.Symbolic() {
			return nil, fmt.Errorf("h0 is %s: all axes after the first must be constant", h0)
		}
	}
	full := append([]Dim{Rows}, h0.Shape[1:]...)
	for i, role := range []string{"a", "b", "c"} {
		if t := args[i].Type; !broadcastsTo(t.Shape, full) {
			return nil, fmt.Errorf("%s %%%s is %s, which does not broadcast to %s", role, args[i].Name, t, ShapeString(full))
		}
	}
	return []Type{{F32, full[:len(full)-1]}, h0}, nil
}
