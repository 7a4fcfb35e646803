package ir

import (
	"fmt"
	"math"
)

// moveInto fills dst: element i comes from position at(i) of src. Both are of the same element type.
func moveInto[F Float](dst, src *Tensor[F], at func(i int) int) {
	for i := range dst.Data {
		dst.Data[i] = src.Data[at(i)]
	}
	for i := range dst.Ints {
		dst.Ints[i] = src.Ints[at(i)]
	}
}

func evalConst[F Float](c *call[F]) error {
	c.out[0].Data[0] = F(c.attrs.Value)
	return nil
}

// evalCast rounds to nearest even and saturates where the target is an integer type.
func evalCast[F Float](c *call[F]) error {
	x, y := c.args[0], c.out[0]
	lo, hi := int64(0), int64(0)
	if c.to.Integer() {
		lo, hi = intRange(c.to)
	}
	for i := range y.Data {
		if x.Data != nil {
			y.Data[i] = x.Data[i]
		} else {
			y.Data[i] = F(x.Ints[i])
		}
	}
	for i := range y.Ints {
		if x.Ints != nil {
			y.Ints[i] = min(max(x.Ints[i], lo), hi)
			continue
		}
		switch v := math.RoundToEven(float64(x.Data[i])); {
		case v >= float64(hi):
			y.Ints[i] = hi
		case v <= float64(lo):
			y.Ints[i] = lo
		case v == v:
			y.Ints[i] = int64(v)
		}
	}
	return nil
}

// around splits a shape at an axis: how many elements before it, in it and after it.
func around(shape []int, axis int) (outer, n, inner int) {
	return product(shape[:axis]), shape[axis], product(shape[axis+1:])
}

func evalSlice[F Float](c *call[F]) error {
	x, y := c.args[0], c.out[0]
	_, n, inner := around(x.Shape, c.attrs.Axis)
	m := (c.attrs.Hi - c.attrs.Lo) * inner
	moveInto(y, x, func(i int) int { return i/m*n*inner + c.attrs.Lo*inner + i%m })
	return nil
}

func evalReshape[F Float](c *call[F]) error {
	copy(c.out[0].Data, c.args[0].Data)
	copy(c.out[0].Ints, c.args[0].Ints)
	return nil
}

func evalPermute[F Float](c *call[F]) error {
	x, y := c.args[0], c.out[0]
	strides := make([]int, len(x.Shape))
	step := 1
	for i := len(x.Shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= x.Shape[i]
	}
	ix := index{shape: y.Shape, step: make([]int, len(y.Shape))}
	for i, p := range c.attrs.Perm {
		ix.step[i] = strides[p]
	}
	moveInto(y, x, ix.at)
	return nil
}

func evalConcat[F Float](c *call[F]) error {
	y := c.out[0]
	outer, n, inner := around(y.Shape, c.attrs.Axis)
	if n*inner == 0 { // outer may be huge
		return nil
	}
	at := 0
	for _, x := range c.args {
		m := x.Shape[c.attrs.Axis]
		for o := range outer {
			from, to := o*m*inner, (o*n+at)*inner
			if y.Data != nil {
				copy(y.Data[to:to+m*inner], x.Data[from:])
			} else {
				copy(y.Ints[to:to+m*inner], x.Ints[from:])
			}
		}
		at += m
	}
	return nil
}

func evalGather[F Float](c *call[F]) error {
	table, idx, y := c.args[0], c.args[1], c.out[0]
	width := product(table.Shape[1:])
	for i, row := range idx.Ints {
		if row < 0 || row >= int64(table.Shape[0]) {
			return fmt.Errorf("index %d at position %d is outside the table's %d rows", row, i, table.Shape[0])
		}
		from := int(row) * width
		if y.Data != nil {
			copy(y.Data[i*width:(i+1)*width], table.Data[from:])
		} else {
			copy(y.Ints[i*width:(i+1)*width], table.Ints[from:])
		}
	}
	return nil
}
