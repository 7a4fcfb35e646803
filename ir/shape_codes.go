package ir

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/internal/hadamard"
)

// maxConvCodes is the largest number of taps of a convolution of codes.
const maxConvCodes = 8

func shapeQuantize(a *Attrs, args []*Value) ([]Type, error) {
	if err := floats(args); err != nil {
		return nil, err
	}
	x, inv := args[0].Type, args[1]
	switch {
	case !(a.Inv >= 0) || math.IsInf(float64(a.Inv), 0):
		return nil, fmt.Errorf("inv %v is not a positive number", a.Inv)
	case inv != nil && a.Inv != 0 && a.Inv != 1:
		return nil, fmt.Errorf("inv is given twice, as %v and as %%%s", a.Inv, inv.Name)
	case inv != nil && !broadcastsTo(inv.Type.Shape, x.Shape):
		return nil, fmt.Errorf("inv %%%s is %s, which does not broadcast to %s", inv.Name, inv.Type, x)
	}
	return []Type{{I8, x.Shape}}, nil
}

func shapeRowScale(_ *Attrs, args []*Value) ([]Type, error) {
	x := args[0].Type
	if err := floats(args); err != nil {
		return nil, err
	}
	if _, err := lastAxis(x); err != nil {
		return nil, err
	}
	shape := append([]Dim(nil), x.Shape...)
	shape[len(shape)-1] = 1
	return []Type{{F32, shape}}, nil
}

func shapeLinear(a *Attrs, args []*Value) ([]Type, error) {
	x, w, b, s := args[0].Type, args[1].Type, args[2], args[3]
	k, err := lastAxis(x)
	if err != nil {
		return nil, err
	}
	if w.Rank() != 2 || w.Shape[0].Symbolic() || w.Shape[1] != k {
		return nil, fmt.Errorf("weight %%%s is %s, want [N, %s] for x of %s", args[1].Name, w, k, x)
	}
	if err := vector("bias", b, w.Shape[0]); err != nil {
		return nil, err
	}
	t, err := linearType(args)
	if err != nil {
		return nil, err
	}
	if err := scaleGroups(a.GroupSize, args); err != nil {
		return nil, err
	}
	if s != nil {
		t = F32
	}
	shape := append([]Dim(nil), x.Shape...)
	shape[len(shape)-1] = w.Shape[0]
	return []Type{{t, shape}}, nil
}

// linearType gives the element type of the sums of a linear: floating point times floating point or codes, or codes times codes.
func linearType(args []*Value) (DType, error) {
	x, w, b := args[0].Type.DType, args[1].Type.DType, args[2]
	codes := w == I8 || w == I4
	if b != nil && (codes || !b.Type.DType.Float()) {
		return NoType, fmt.Errorf("bias %%%s is %s: want a floating-point bias of a floating-point weight; codes are scaled before a bias is added", b.Name, b.Type)
	}
	switch {
	case x.Float() && (w.Float() || codes):
		return F32, nil
	case x == I8 && codes:
		// The sum fits: |acc| <= K 2^7 2^(bits-1).
		if k := args[1].Type.Shape[1]; k > math.MaxInt32>>(7+w.Bits()-1) {
			return NoType, fmt.Errorf("a sum of %s products of i8 and %s does not fit i32", k, w)
		}
		return I32, nil
	}
	return NoType, fmt.Errorf("a linear cannot multiply %s by %s: want floating point by floating point, i8 or i4, or i8 by i8 or i4", args[0].Type, args[1].Type)
}

// scaleGroups checks the scales of groups along K.
func scaleGroups(group int, args []*Value) error {
	w, s := args[1].Type, args[3]
	switch {
	case s == nil && group == 0:
		return nil
	case s == nil || group < 1:
		return fmt.Errorf("group=%d and scales belong together", group)
	case w.DType.Float():
		return fmt.Errorf("scales %%%s of a floating-point weight %s", s.Name, w)
	}
	n := (int(w.Shape[1]) + group - 1) / group
	if want := TypeOf(s.Type.DType, w.Shape[0], Dim(n)); !s.Type.DType.Float() || !s.Type.Equal(want) {
		return fmt.Errorf("scales %%%s are %s, want floating point %s for groups of %d", s.Name, s.Type, ShapeString(want.Shape), group)
	}
	return nil
}

func shapeConv(_ *Attrs, args []*Value) ([]Type, error) {
	x, w, b, win := args[0].Type, args[1].Type, args[2], args[3].Type
	if x.Rank() != 2 || x.Shape[0] != Rows || x.Shape[1].Symbolic() {
		return nil, fmt.Errorf("x is %s, want [T, C]", x)
	}
	c := x.Shape[1]
	if w.Rank() != 2 || w.Shape[0] != c || w.Shape[1] < 1 {
		return nil, fmt.Errorf("weight %%%s is %s, want [%s, K] with K >= 1", args[1].Name, w, c)
	}
	if err := vector("bias", b, c); err != nil {
		return nil, err
	}
	if want := []Dim{Seqs, c, w.Shape[1] - 1}; !EqualShapes(win.Shape, want) {
		return nil, fmt.Errorf("window %%%s is %s, want %s", args[3].Name, win, ShapeString(want))
	}
	if x.DType != I8 {
		return []Type{{F32, x.Shape}, win}, floats(args)
	}
	switch {
	case w.DType != I8 || win.DType != I8:
		return nil, fmt.Errorf("x is %s, weight %%%s %s and window %%%s %s: want i8 for all three, or floating point", x, args[1].Name, w, args[3].Name, win)
	case b != nil:
		return nil, fmt.Errorf("bias %%%s on codes: they are scaled before a bias is added", b.Name)
	case w.Shape[1] > maxConvCodes:
		return nil, fmt.Errorf("weight %%%s is %s: at most %d taps of i8", args[1].Name, w, maxConvCodes)
	}
	return []Type{{I32, x.Shape}, win}, nil
}

func shapeHadamard(a *Attrs, args []*Value) ([]Type, error) {
	x, signs := args[0].Type, args[1]
	if err := floats(args[:1]); err != nil {
		return nil, err
	}
	n, err := lastAxis(x)
	if err != nil {
		return nil, err
	}
	h, err := hadamard.New(a.Blocks, a.M, a.K)
	if err != nil {
		return nil, err
	}
	if h.N() != int(n) {
		return nil, fmt.Errorf("%d x %d x 2^%d is %d, the last axis of %s is not", a.Blocks, a.M, a.K, h.N(), x)
	}
	if err := vector("signs", signs, n); err != nil {
		return nil, err
	}
	if signs != nil && !signs.Type.DType.Float() && signs.Type.DType != I8 {
		return nil, fmt.Errorf("signs %%%s are %s, want floating point or i8", signs.Name, signs.Type)
	}
	return []Type{{F32, x.Shape}}, nil
}
