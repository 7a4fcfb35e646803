package ir

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/x448/float16"
)

// Float is the arithmetic of an evaluation.
type Float interface{ float32 | float64 }

// Tensor is a value while a module is evaluated. Exactly one of Data and Ints is used, by the element type: floating point in Data.
type Tensor[F Float] struct {
	Shape []int
	Data  []F
	Ints  []int64
}

// product multiplies extents.
func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// newTensor makes a zero tensor for elements of type t.
func newTensor[F Float](t DType, shape []int) *Tensor[F] {
	x := &Tensor[F]{Shape: shape}
	if t.Float() {
		x.Data = make([]F, product(shape))
	} else {
		x.Ints = make([]int64, product(shape))
	}
	return x
}

// set takes the elements of an input or a state; those of an integer type are given as whole numbers.
func (x *Tensor[F]) set(t DType, data []F) error {
	if len(data) != len(x.Data)+len(x.Ints) {
		return fmt.Errorf("%d elements for shape %v", len(data), x.Shape)
	}
	if x.Ints == nil {
		copy(x.Data, data)
		return nil
	}
	lo, hi := intRange(t)
	for i, v := range data {
		if v != F(math.Trunc(float64(v))) || float64(v) < float64(lo) || float64(v) > float64(hi) || float64(v) >= 1<<63 {
			return fmt.Errorf("element %d is %v, not a number of type %s", i, v, t)
		}
		x.Ints[i] = int64(v)
	}
	return nil
}

// round16 rounds elements to what a 16-bit type can hold; wider types are left alone, because an evaluation in float64 means
// "all arithmetic in float64" even where a value's type is f32.
func (x *Tensor[F]) round16(t DType) {
	switch t {
	case F16:
		for i, v := range x.Data {
			x.Data[i] = F(float16.Fromfloat32(float32(v)).Float32())
		}
	case BF16:
		for i, v := range x.Data {
			x.Data[i] = F(roundBF16(float32(v)))
		}
	}
}

// roundBF16 rounds to the nearest bfloat16, ties to even.
func roundBF16(v float32) float32 {
	u := math.Float32bits(v)
	if v != v {
		return math.Float32frombits(u | 1<<22)
	}
	return math.Float32frombits((u + 0x7fff + u>>16&1) &^ 0xffff)
}

// Decode widens little-endian elements of a floating-point type into dst.
func Decode[F Float](dst []F, t DType, src []byte) error {
	if !t.Float() || len(src) != len(dst)*t.Size() {
		return fmt.Errorf("%d bytes are not %d elements of %s", len(src), len(dst), t)
	}
	switch t {
	case F32:
		for i := range dst {
			dst[i] = F(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case F64:
		for i := range dst {
			dst[i] = F(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	case F16:
		for i := range dst {
			dst[i] = F(float16.Frombits(binary.LittleEndian.Uint16(src[2*i:])).Float32())
		}
	case BF16:
		for i := range dst {
			dst[i] = F(math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16))
		}
	}
	return nil
}

// DecodeInts widens little-endian elements of an integer type (or Bool) into dst.
func DecodeInts(dst []int64, t DType, src []byte) error {
	if t.Float() || t.Bits() == 0 || len(src) != (len(dst)*t.Bits()+7)/8 {
		return fmt.Errorf("%d bytes are not %d elements of %s", len(src), len(dst), t)
	}
	for i := range dst {
		switch t {
		case I64:
			dst[i] = int64(binary.LittleEndian.Uint64(src[8*i:]))
		case I32:
			dst[i] = int64(int32(binary.LittleEndian.Uint32(src[4*i:])))
		case I16:
			dst[i] = int64(int16(binary.LittleEndian.Uint16(src[2*i:])))
		case I8:
			dst[i] = int64(int8(src[i]))
		case I4:
			dst[i] = int64(int8(src[i/2]>>(4*(i%2))<<4) >> 4)
		case U8, Bool:
			dst[i] = int64(src[i])
		}
	}
	return nil
}

// Encode writes floating-point elements as type t, rounding to nearest, ties to even.
func Encode[F Float](t DType, data []F) ([]byte, error) {
	out := make([]byte, 0, len(data)*t.Size())
	for _, v := range data {
		switch t {
		case F32:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(v)))
		case F64:
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(float64(v)))
		case F16:
			out = binary.LittleEndian.AppendUint16(out, float16.Fromfloat32(float32(v)).Bits())
		case BF16:
			out = binary.LittleEndian.AppendUint16(out, uint16(math.Float32bits(roundBF16(float32(v)))>>16))
		default:
			return nil, fmt.Errorf("cannot write floating-point elements as %s", t)
		}
	}
	return out, nil
}

// intRange gives the least and the largest number of an integer type.
func intRange(t DType) (lo, hi int64) {
	switch t {
	case U8:
		return 0, 255
	case Bool:
		return 0, 1
	}
	b := t.Bits() - 1
	return -1 << b, 1<<b - 1
}

// EncodeInts writes integer elements as type t; an element outside its range is an error.
func EncodeInts(t DType, data []int64) ([]byte, error) {
	if t.Float() || t.Bits() == 0 {
		return nil, fmt.Errorf("cannot write integers as %s", t)
	}
	lo, hi := intRange(t)
	out := make([]byte, (len(data)*t.Bits()+7)/8)
	for i, v := range data {
		if v < lo || v > hi {
			return nil, fmt.Errorf("element %d is %d, outside %s", i, v, t)
		}
		switch t {
		case I64:
			binary.LittleEndian.PutUint64(out[8*i:], uint64(v))
		case I32:
			binary.LittleEndian.PutUint32(out[4*i:], uint32(v))
		case I16:
			binary.LittleEndian.PutUint16(out[2*i:], uint16(v))
		case I4:
			out[i/2] |= byte(v) & 15 << (4 * (i % 2))
		default:
			out[i] = byte(v)
		}
	}
	return out, nil
}
