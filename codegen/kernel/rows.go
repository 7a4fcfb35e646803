package kernel

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// scale is what codes are multiplied by: a number, or a vector of one for each column.
type scale struct {
	number float32
	vector *external
}

// rows are activations that a scan reads: float32, or codes with a scale.
type rows struct {
	e *external // nil: there are none
	scale
}

func (t *task) scale(v *ir.Value) scale {
	switch {
	case v == nil:
		return scale{number: 1}
	case v.Weight != nil:
		return scale{vector: t.vector(v)}
	}
	x := float32(v.Def.Attrs.Value)
	t.shape.WriteString(" times " + hex32(x))
	return scale{number: x}
}

// hex32 writes the bits of a number, for a task's shape.
func hex32(x float32) string { return fmt.Sprintf("%x", math.Float32bits(x)) }

func (t *task) rowsOf(v, s *ir.Value) rows {
	if v == nil {
		return rows{}
	}
	return rows{t.read(v), t.scale(s)}
}

// apply multiplies x, at column col+off of its row, by the scale.
func (s scale) apply(k *code, x, col *spmd.Value, off int64) *spmd.Value {
	var f *spmd.Value
	switch {
	case s.vector == nil && s.number == 1:
		return x
	case s.vector == nil || s.vector.c == 1:
		f = k.F(s.number)
		if s.vector != nil {
			f = k.Load(s.vector.ptr, nil, 0)
		}
	case x.Type.Kind == spmd.Varying:
		f = k.LoadV(s.vector.ptr, col, off)
	default:
		f = k.Load(s.vector.ptr, col, off)
	}
	return k.Mul(x, f)
}

// at is where a row begins; x is one column or W columns of it.
func (r rows) at(k *code, row *spmd.Value) *spmd.Value {
	return k.Offset(r.e.ptr, k.Mul(row, k.I(stride(r.e.value))))
}

func (r rows) real(k *code, x, col *spmd.Value, off int64) *spmd.Value {
	if x.Type.Elem == spmd.I32 {
		x = k.ToF32(x)
	}
	return r.scale.apply(k, x, col, off)
}

func (r rows) one(k *code, at, col *spmd.Value, off int64) *spmd.Value {
	return r.real(k, k.Load(at, col, off), col, off)
}

func (r rows) vector(k *code, at, col *spmd.Value, off int64) *spmd.Value {
	return r.real(k, k.LoadV(at, col, off), col, off)
}
