package ir

import (
	"fmt"
	"strings"
)

// Dim is one extent of a shape: a constant (>= 0) or one of the symbols of a step (< 0).
type Dim int

// The extents that only a step knows.
const (
	Rows Dim = -1 // T: tokens of all sequences of this step, flattened
	Seqs Dim = -2 // S: sequences of this step
	Outs Dim = -3 // O: rows whose logits are wanted
)

// Symbolic says whether d is known only when a step runs.
func (d Dim) Symbolic() bool { return d < 0 }

// String prints T, S, O or the number.
func (d Dim) String() string {
	switch d {
	case Rows:
		return "T"
	case Seqs:
		return "S"
	case Outs:
		return "O"
	}
	return fmt.Sprint(int(d))
}

// DType is the type of one element.
type DType uint8

// The element types. The zero DType is none, so that a forgotten one shows.
const (
	NoType DType = iota
	F32
	F64
	F16
	BF16
	I64
	I32
	I16
	I8
	I4 // two to a byte, the lower index in the lower half
	U8
	Bool
	numDTypes
)

// dtypes names each type and gives its width.
var dtypes = [numDTypes]struct {
	name  string
	bits  int
	float bool
}{
	NoType: {"none", 0, false},
	F32:    {"f32", 32, true},
	F64:    {"f64", 64, true},
	F16:    {"f16", 16, true},
	BF16:   {"bf16", 16, true},
	I64:    {"i64", 64, false},
	I32:    {"i32", 32, false},
	I16:    {"i16", 16, false},
	I8:     {"i8", 8, false},
	I4:     {"i4", 4, false},
	U8:     {"u8", 8, false},
	Bool:   {"bool", 8, false},
}

// String is the name in the text form, such as f32.
func (t DType) String() string {
	if t >= numDTypes {
		return fmt.Sprintf("dtype(%d)", uint8(t))
	}
	return dtypes[t].name
}

// Bits is the width of one element.
func (t DType) Bits() int {
	if t >= numDTypes {
		return 0
	}
	return dtypes[t].bits
}

// Size is the width of one element in bytes, rounded up (I4: 1).
func (t DType) Size() int { return (t.Bits() + 7) / 8 }

// Float says whether t is a floating-point type.
func (t DType) Float() bool { return t < numDTypes && dtypes[t].float }

// Integer says whether t is an integer type (Bool is not).
func (t DType) Integer() bool { return t > NoType && t < numDTypes && !dtypes[t].float && t != Bool }

// DTypeByName finds a type by its name in the text form.
func DTypeByName(name string) (DType, bool) {
	for t := NoType + 1; t < numDTypes; t++ {
		if dtypes[t].name == name {
			return t, true
		}
	}
	return NoType, false
}

// Type is the type of a value.
type Type struct {
	DType DType
	Shape []Dim
}

// TypeOf is short for Type{t, shape}.
func TypeOf(t DType, shape ...Dim) Type { return Type{t, shape} }

// String prints the type as the text form has it: f32[T, 768].
func (t Type) String() string { return t.DType.String() + ShapeString(t.Shape) }

// Rank is the number of axes.
func (t Type) Rank() int { return len(t.Shape) }

// Equal compares element type and shape.
func (t Type) Equal(u Type) bool { return t.DType == u.DType && EqualShapes(t.Shape, u.Shape) }

// EqualShapes compares two shapes, symbols by name.
func EqualShapes(a, b []Dim) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// ShapeString prints [T, 768].
func ShapeString(shape []Dim) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Dims turns constant extents into a shape.
func Dims(shape []int) []Dim {
	out := make([]Dim, len(shape))
	for i, n := range shape {
		out[i] = Dim(n)
	}
	return out
}
