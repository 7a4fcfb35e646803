package sensitivity

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// codes rounds numbers to what their codes stand for. There is one scale, or one for each of the columns.
func codes(x []float32, scales []float32, r quant.Range) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		s := scales[i%len(scales)]
		out[i] = float32(quant.Quantize(v, quant.Inverse(s), r)) * s
	}
	return out
}

// noise is the power of numbers and of their differences to others.
func noise(x, y []float32) (signal, off float64) {
	for i, v := range x {
		d := float64(v) - float64(y[i])
		signal += float64(v) * float64(v)
		off += d * d
	}
	return signal, off
}

// fakeValue makes the readers of a value read what its codes stand for: all of them, or where the scan keeps the float value only the products.
func (p *part) fakeValue(pt *passes.Point, scales []float32) error {
	f := p.Func
	v := p.value(pt.Value)
	if v == nil || v.Def == nil {
		return fmt.Errorf("no value is named %%%s", pt.Value)
	}
	names := f.Names()
	made := func(code ir.OpCode, name string, attrs ir.Attrs, args ...*ir.Value) (*ir.Op, error) {
		return ir.NewOp(code, []string{names.Unique(v.Name + "." + name)}, attrs, args...)
	}
	args, attrs := []*ir.Value{v}, ir.Attrs{Full: pt.Spec.Range == quant.Full}
	wide := ir.Attrs{Value: float64(scales[0])}
	var inv, scale *ir.Value
	if len(scales) == 1 {
		attrs.Inv = quant.Inverse(scales[0])
	} else {
		inverse := make([]float32, len(scales))
		for i, s := range scales {
			inverse[i] = quant.Inverse(s)
		}
		var err error
		if inv, err = p.vector(names, v.Name+".inv", inverse); err != nil {
			return err
		}
		if scale, err = p.vector(names, v.Name+".scale", scales); err != nil {
			return err
		}
		args = append(args, inv)
	}
	uses := f.Uses(v)
	q, err := made(ir.OpQuantize, "codes", attrs, args...)
	if err != nil {
		return err
	}
	c, err := made(ir.OpCast, "wide", ir.Attrs{To: ir.F32}, q.Result())
	if err != nil {
		return err
	}
	ops := []*ir.Op{q, c}
	if scale == nil {
		k, err := made(ir.OpConst, "scale", wide)
		if err != nil {
			return err
		}
		ops, scale = append(ops, k), k.Result()
	}
	y, err := made(ir.OpMul, "stands", ir.Attrs{}, c.Result(), scale)
	if err != nil {
		return err
	}
	f.InsertBefore(behind(f, v.Def), append(ops, y)...)
	for _, u := range uses {
		if u.Op == nil || pt.Role == quant.SSMU && pt.Spec.Scan == quant.F32 && u.Op.Code != ir.OpLinear && u.Op.Code != ir.OpConv {
			continue
		}
		u.Op.Args[u.Index] = y.Result()
	}
	return ir.Verify(p.Module)
}

// vector adds a small weight.
func (p *part) vector(names *ir.Names, name string, x []float32) (*ir.Value, error) {
	w, err := ir.NewWeight(name, ir.F32, []int{len(x)}, x)
	if err != nil {
		return nil, err
	}
	v := &ir.Value{Name: names.Unique(name), Type: ir.Type{DType: ir.F32, Shape: ir.Dims(w.Shape)}, Weight: w}
	p.Func.Weights = append(p.Func.Weights, v)
	return v, nil
}

// behind is the op behind op, nil at the end.
func behind(f *ir.Func, op *ir.Op) *ir.Op {
	for i, o := range f.Ops {
		if o == op && i+1 < len(f.Ops) {
			return f.Ops[i+1]
		}
	}
	return nil
}

// standsFor is what the codes of a weight stand for, and how far that is from the weight. Weights that have one scale with others are taken alone, and
// codes that GPTQ would choose are rounded to nearest if there is no gram.
func standsFor(w *ir.Weight, spec quant.Weight, gram *quant.Gram) (stands []float64, db float64, err error) {
	x, err := ir.LoadWeight[float64](w)
	if err != nil {
		return nil, 0, err
	}
	rows := w.Shape[0]
	switch spec.Type {
	case quant.I8:
		q, err := quant.QuantizeWeight(x.Data, rows, spec.Scale.Kind == quant.PerChannel, spec.Range)
		if err != nil {
			return nil, 0, err
		}
		k := len(x.Data) / rows
		stands = make([]float64, len(x.Data))
		for i, c := range q.Codes {
			stands[i] = float64(c) * float64(q.Scale(i/k))
		}
	case quant.I4:
		group := spec.Scale.Group
		if k := w.Shape[1]; spec.Scale.Kind == quant.PerChannel || group > k {
			group = k
		}
		var q *quant.Weights4
		if spec.Method.GPTQ && gram != nil {
			q, err = quant.GPTQ(x.Data, rows, gram, group, spec.Method.Damp)
		} else {
			q, err = quant.QuantizeWeight4(x.Data, rows, group)
		}
		if err != nil {
			return nil, 0, err
		}
		stands = q.Float()
	default:
		return nil, 0, nil
	}
	var signal, off float64
	for i, v := range x.Data {
		signal += v * v
		off += (v - stands[i]) * (v - stands[i])
	}
	if signal == 0 {
		return stands, 0, nil
	}
	return stands, 10 * math.Log10(signal/max(off, signal*1e-30)), nil
}

// fakeWeight puts numbers in the place of a weight.
func (p *part) fakeWeight(name string, stands []float64) error {
	v := p.value(name)
	if v == nil || v.Weight == nil {
		return fmt.Errorf("no weight is named %%%s", name)
	}
	w, err := ir.NewWeight(v.Weight.Name+".stands", ir.F64, v.Weight.Shape, stands)
	if err != nil {
		return err
	}
	v.Weight, v.Type.DType = w, ir.F64
	return ir.Verify(p.Module)
}
