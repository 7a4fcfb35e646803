package passes

import (
	"fmt"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// linear rewrites a linear whose weight is stored as codes. Its result keeps its name if it is f32.
func (q *quantizer) linear(op *ir.Op) error {
	x, y, b, spec := op.Args[0], op.Result(), op.Args[2], q.weight(op)
	in, s := q.coded[x], q.values[y]
	if k := op.Args[1].Weight.Shape[1]; in != nil && k > quant.MaxK {
		return fmt.Errorf("%w: %d, at most %d\n  fix: %s %s: {type: bf16}", errTooLong, k, quant.MaxK, op.Args[1].Role, spec.From)
	}
	p := &product{y: y, bias: b}
	what := "f32"
	if in != nil {
		x, what = in.q, "codes"
		if p.rows = in.rows; p.rows == nil {
			p.in = in.scale[0]
		}
	}
	// Codes of the result are made of the accumulators themselves where these are codes' sums; a sum of floats becomes f32 first.
	if s != nil && s.codes && !s.float && in != nil {
		var err error
		if p.out, err = q.scales.of(s); err != nil {
			return err
		}
		p.full = s.spec.Range == quant.Full
	}
	var err error
	if spec.Type == quant.I4 && !spec.Expand {
		p.sum, err = q.sums4(op, x, spec)
	} else {
		p.sum, p.scales, err = q.sums8(op, x, spec)
	}
	if err != nil {
		return err
	}
	q.r.Fired(op, "%s times %s of a weight, one scale a %s", what, spec.Type, spec.Scale.Kind)
	return q.finish(p, s)
}

// product is the sums of a linear or a convolution and what they are to become.
type product struct {
	sum    *ir.Value                 // f32 or i32
	in     float32                   // scale of the codes that were multiplied; 0: they were none, or have one a row
	rows   *ir.Value                 // that of each row; nil: they have none of their own
	scales func() ([]float32, error) // of each channel of the weight, or one; nil: they are in the sums already
	bias   *ir.Value
	y      *ir.Value // what it becomes in f32
	out    []float32 // scale of y, or of each of its channels, if it becomes codes
	full   bool
}

// finish scales the sums and makes f32 or codes of them.
func (q *quantizer) finish(p *product, s *stored) error {
	x := p.sum
	var err error
	if x.Type.DType == ir.I32 {
		if x, err = q.emit(ir.OpCast, p.y.Name+".f", ir.Attrs{To: ir.F32}, x); err != nil {
			return err
		}
	}
	m, err := q.multiplier(p)
	if err != nil {
		return err
	}
	if p.rows != nil {
		if m == nil { // what was summed in groups is f32 already
			m = p.rows
		} else if x, err = q.emit(ir.OpMul, p.y.Name+".rows", ir.Attrs{}, x, p.rows); err != nil {
			return err
		}
	}
	code, args := ir.OpMul, []*ir.Value{x, m}
	switch {
	case m == nil && p.bias == nil:
		// Nothing is left to do: the sums are the result.
		p.sum.Def.Results[0], p.y.Def, p.y.Index = p.y, p.sum.Def, 0
		return nil
	case m == nil:
		code, args = ir.OpAdd, []*ir.Value{x, p.bias}
	case p.bias != nil:
		code, args = ir.OpFMA, append(args, q.scaledBias(p))
	}
	if p.out == nil {
		return q.define(p.y, code, ir.Attrs{}, args...)
	}
	t, err := q.emit(code, p.y.Name+".m", ir.Attrs{}, args...)
	if err != nil {
		return err
	}
	codes, err := q.emit(ir.OpQuantize, p.y.Name+".q", ir.Attrs{Full: p.full, Count: q.count}, t)
	if err != nil {
		return err
	}
	q.store(s, codes, p.out)
	return nil
}

// multiplier is the constant behind the sums: the scales of what was multiplied over that of the result. nil: there is none.
func (q *quantizer) multiplier(p *product) (*ir.Value, error) {
	of := func(channel int, weight float32) float32 {
		over := float32(1)
		if p.out != nil {
			over = at(p.out, channel)
		}
		switch {
		case p.in == 0:
			return quant.Multiplier(over, weight)
		case p.scales == nil:
			return quant.Multiplier(over, p.in)
		}
		return quant.Multiplier(over, p.in, weight)
	}
	if p.scales == nil {
		switch {
		case p.in == 0:
			return nil, nil
		case len(p.out) > 1:
			m := make([]float32, len(p.out))
			for i := range m {
				m[i] = of(i, 1)
			}
			return q.vector(p.y.Name+".m", m)
		}
		return q.emit(ir.OpConst, p.y.Name+".in", ir.Attrs{Value: float64(of(0, 1))})
	}
	shape := p.y.Type.Shape
	n := int(shape[len(shape)-1])
	name := p.y.Name + ".scales"
	w := floats(name, ir.F32, []int{n}, func() ([]float64, error) {
		scales, err := p.scales()
		if err != nil {
			return nil, err
		}
		m := make([]float64, n)
		for i := range m {
			m[i] = float64(of(i, at(scales, i)))
		}
		return m, nil
	})
	return q.addWeight(name, "", w), nil
}

// at is the scale of a channel where there may be one for all.
func at(scales []float32, channel int) float32 {
	if len(scales) == 1 {
		return scales[0]
	}
	return scales[channel]
}

// scaledBias is the bias, over the scale of the result where that is codes.
func (q *quantizer) scaledBias(p *product) *ir.Value {
	if p.out == nil {
		return p.bias
	}
	b, out := p.bias.Weight, p.out
	name := b.Name + ".scaled"
	w := floats(name, ir.F32, b.Shape, func() ([]float64, error) {
		x, err := elements(b)
		for i := range x {
			x[i] /= float64(at(out, i))
		}
		return x, err
	})
	return q.addWeight(p.bias.Name+".scaled", "", w)
}

// sums8 multiplies by i8 codes of the weight.
func (q *quantizer) sums8(op *ir.Op, x *ir.Value, spec quant.Weight) (*ir.Value, func() ([]float32, error), error) {
	w, scales := q.codes8(op, spec)
	sum, err := q.emit(ir.OpLinear, op.Result().Name+".acc", ir.Attrs{}, x, w)
	return sum, scales, err
}

// sums4 multiplies by 4-bit codes of the weight: the sums of groups are scaled where they are made.
func (q *quantizer) sums4(op *ir.Op, x *ir.Value, spec quant.Weight) (*ir.Value, error) {
	w, scales, group := q.codes4(op, spec)
	return q.emit(ir.OpLinear, op.Result().Name+".acc", ir.Attrs{GroupSize: group}, x, w, nil, scales)
}

// conv rewrites a convolution of codes: its window holds codes too, and its result is f32.
func (q *quantizer) conv(op *ir.Op) error {
	in, y, next, win := q.coded[op.Args[0]], op.Result(), op.Results[1], op.Args[3]
	spec := q.weight(op)
	w, scales := q.codes8(op, spec)
	if win.State == nil {
		return fmt.Errorf("its window %%%s is %s", win.Name, source(win))
	}
	win.State = &ir.State{Name: win.State.Name, DType: ir.I8, Shape: win.State.Shape}
	win.Type.DType = ir.I8
	acc, err := ir.NewOp(ir.OpConv, []string{q.names.Unique(y.Name + ".acc"), next.Name}, ir.Attrs{}, in.q, w, nil, win)
	if err != nil {
		return err
	}
	acc.SetFrom(op.From)
	next.Type, next.Def, acc.Results[1] = acc.Results[1].Type, acc, next
	q.out = append(q.out, acc)
	inputs := in.scale
	p := &product{sum: acc.Result(), in: 1, bias: op.Args[2], y: y, scales: func() ([]float32, error) {
		s, err := scales()
		if err != nil {
			return nil, err
		}
		m := make([]float32, w.Weight.Shape[0])
		for i := range m {
			m[i] = quant.Multiplier(1, at(inputs, i), at(s, i))
		}
		return m, nil
	}}
	q.r.Fired(op, "codes times i8 of a weight, one scale a %s", spec.Scale.Kind)
	return q.finish(p, nil)
}

// gather rewrites rows of a table of codes: they are widened, and scaled by what is gathered from the table's scales.
func (q *quantizer) gather(op *ir.Op) error {
	spec, y, ids := q.weight(op), op.Result(), op.Args[1]
	var table, scales *ir.Value
	d, group := rowSize(y), 0
	if spec.Type == quant.I4 {
		table, scales, group = q.codes4(op, spec)
	} else {
		table, scales = q.rowScales(op, spec)
	}
	q.r.Fired(op, "rows of %s, one scale a %s", spec.Type, spec.Scale.Kind)
	codes, err := q.emit(ir.OpGather, y.Name+".q", ir.Attrs{}, table, ids)
	if err != nil {
		return err
	}
	x, err := q.emit(ir.OpCast, y.Name+".f", ir.Attrs{To: ir.F32}, codes)
	if err != nil {
		return err
	}
	s := scales
	if scales.Type.Rank() == 2 {
		if s, err = q.emit(ir.OpGather, y.Name+".scale", ir.Attrs{}, scales, ids); err != nil {
			return err
		}
	}
	if group == 0 || group >= d {
		return q.define(y, ir.OpMul, ir.Attrs{}, x, s)
	}
	return q.scaleGroups(y, x, s, group)
}

// scaleGroups multiplies rows of d numbers by rows of d/group scales, each for so many neighbours.
func (q *quantizer) scaleGroups(y, x, s *ir.Value, group int) error {
	d, rows := rowSize(y), y.Type.Shape[0]
	whole := d / group
	part := func(lo, hi, groups, first int, name string) (*ir.Value, error) {
		xs, ss := x, s
		var err error
		if hi-lo < d {
			if xs, err = q.emit(ir.OpSlice, x.Name+name, ir.Attrs{Axis: 1, Lo: lo, Hi: hi}, x); err != nil {
				return nil, err
			}
			if ss, err = q.emit(ir.OpSlice, s.Name+name, ir.Attrs{Axis: 1, Lo: first, Hi: first + groups}, s); err != nil {
				return nil, err
			}
		}
		x3, err := q.emit(ir.OpReshape, xs.Name+".groups", ir.Attrs{Shape: []ir.Dim{rows, ir.Dim(groups), ir.Dim((hi - lo) / groups)}}, xs)
		if err != nil {
			return nil, err
		}
		s3, err := q.emit(ir.OpReshape, ss.Name+".groups", ir.Attrs{Shape: []ir.Dim{rows, ir.Dim(groups), 1}}, ss)
		if err != nil {
			return nil, err
		}
		return q.emit(ir.OpMul, xs.Name+".scaled", ir.Attrs{}, x3, s3)
	}
	flat := []ir.Dim{rows, ir.Dim(d)}
	if d%group == 0 {
		v, err := part(0, d, whole, 0, "")
		if err != nil {
			return err
		}
		return q.define(y, ir.OpReshape, ir.Attrs{Shape: flat}, v)
	}
	var parts []*ir.Value
	for _, r := range [][4]int{{0, whole * group, whole, 0}, {whole * group, d, 1, whole}} {
		v, err := part(r[0], r[1], r[2], r[3], fmt.Sprintf("[%d:%d]", r[0], r[1]))
		if err != nil {
			return err
		}
		if v, err = q.emit(ir.OpReshape, v.Name+".flat", ir.Attrs{Shape: []ir.Dim{rows, ir.Dim(r[1] - r[0])}}, v); err != nil {
			return err
		}
		parts = append(parts, v)
	}
	return q.define(y, ir.OpConcat, ir.Attrs{Axis: 1}, parts...)
}
