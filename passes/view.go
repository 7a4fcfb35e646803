package passes

import (
	"fmt"

	"github.com/ssmc/ssmc/ir"
)

// view says which element of each row of a value is read at each position of a space: the sum of position times stride over the axes.
// Strides count elements of the row, in row-major order, so that a reshape of the value leaves them as they are. Stride 0 repeats.
type view struct {
	v       *ir.Value
	strides []int
}

// space is the extents of the axes that views are read over, innermost last. Rows are no axis of it.
type space []int

// size is the number of positions.
func (s space) size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// perRow says whether v has its own numbers for each row, and gives the shape of a row; for a constant, its whole shape.
func perRow(v *ir.Value) (row []ir.Dim, rows bool) {
	shape := v.Type.Shape
	if len(shape) > 0 && shape[0].Symbolic() {
		return shape[1:], true
	}
	return shape, false
}

// rowSize is the number of elements of one row.
func rowSize(v *ir.Value) int {
	row, _ := perRow(v)
	return space(ints(row)).size()
}

// rowMajor gives the strides of a tensor of that shape.
func rowMajor(shape []int) []int {
	strides := make([]int, len(shape))
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= shape[i]
	}
	return strides
}

// whole views v over a space of which its rows are a broadcast part, aligned at the last axis.
func whole(v *ir.Value, s space) (view, bool) {
	row := trimRow(v, len(s))
	w := view{v, make([]int, len(s))}
	skip := len(s) - len(row)
	if skip < 0 {
		return w, false
	}
	for i, step := range rowMajor(row) {
		switch row[i] {
		case s[skip+i]:
			w.strides[skip+i] = step
		case 1:
		default:
			return w, false
		}
	}
	return w, true
}

// trimRow is the shape of v's row without leading extents of 1 beyond rank: a weight [1, N] stands for all rows as [N] does.
func trimRow(v *ir.Value, rank int) []int {
	row, _ := perRow(v)
	out := ints(row)
	for len(out) > rank && out[0] == 1 {
		out = out[1:]
	}
	return out
}

// operand follows a view of an elementwise op's result to its operand a, which may be broadcast.
func (w view) operand(a *ir.Value, s space) (view, error) {
	result, _ := perRow(w.v)
	shape := ints(result)
	steps := rowMajor(shape)
	part := make([]int, len(shape)) // strides of a along the result's axes
	row := trimRow(a, len(shape))
	for i, step := range rowMajor(row) {
		if row[i] != 1 {
			part[len(shape)-len(row)+i] = step
		}
	}
	out := view{a, make([]int, len(s))}
	for i, n := range s {
		if n == 1 || w.strides[i] == 0 {
			continue
		}
		step, ok := translate(n, w.strides[i], shape, steps, part)
		if !ok {
			return out, fmt.Errorf("%%%s is broadcast across an axis of the scan that %%%s joins", a.Name, w.v.Name)
		}
		out.strides[i] = step
	}
	return out, nil
}

// translate gives the step in an operand that belongs to n steps of size step in a result whose axes have the extents shape and the
// strides steps, and along which the operand has the strides part.
func translate(n, step int, shape, steps, part []int) (int, bool) {
	// The step lies in the axis j with steps[j] <= step < steps[j]*shape[j]; n of them may go on into the axes before it.
	j := len(shape) - 1
	for j >= 0 && (shape[j] == 1 || step >= steps[j]*shape[j]) {
		j--
	}
	if j < 0 || step%steps[j] != 0 {
		return 0, false
	}
	m := step / steps[j]
	first := part[j] * m
	for covered := 1; covered < n; {
		if j < 0 {
			return 0, false
		}
		if shape[j] == 1 {
			j--
			continue
		}
		if part[j]*m != first*covered {
			return 0, false
		}
		if n <= covered*(shape[j]/m) {
			return first, true
		}
		if shape[j]%m != 0 {
			return 0, false
		}
		covered *= shape[j] / m
		j, m = j-1, 1
	}
	return first, true
}

// layout says how many different blocks of unit elements the view reads: the axes before some axis in row-major order, the axes behind
// it repeating. [H] read over [G, H/G, P] has H blocks; a value that is read one by one over all of the space has as many as that.
func (w view) layout(s space, unit int) (blocks int, ok bool) {
	k := len(s)
	for k > 0 && (s[k-1] == 1 || w.strides[k-1] == 0) {
		k--
	}
	want := unit
	for i := k - 1; i >= 0; i-- {
		if s[i] == 1 {
			continue
		}
		if w.strides[i] != want {
			return 0, false
		}
		want *= s[i]
	}
	return want / unit, true
}
