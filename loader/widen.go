package loader

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/x448/float16"
)

// Widen converts the elements of src, stored as d (F64, F32, F16 or BF16), to float32. All but F64 convert exactly; F64 rounds to
// the nearest, ties to even. dst must have one place an element.
func Widen(dst []float32, d DType, src []byte) error {
	if err := checkLengths(d, len(dst), len(src)); err != nil {
		return err
	}
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case F16:
		for i := range dst {
			dst[i] = float16.Frombits(binary.LittleEndian.Uint16(src[2*i:])).Float32()
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	}
	return nil
}

// Widen64 converts the elements of src, stored as d (F64, F32, F16 or BF16), to float64, exactly.
func Widen64(dst []float64, d DType, src []byte) error {
	if err := checkLengths(d, len(dst), len(src)); err != nil {
		return err
	}
	if d == F64 {
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		}
		return nil
	}
	var block [1024]float32
	for len(dst) > 0 {
		n := min(len(dst), len(block))
		if err := Widen(block[:n], d, src[:n*d.Size()]); err != nil {
			return err
		}
		for i, v := range block[:n] {
			dst[i] = float64(v)
		}
		dst, src = dst[n:], src[n*d.Size():]
	}
	return nil
}

// Narrow converts src to d (F32, F16 or BF16), rounding to the nearest, ties to even. NaN stays NaN, what is too large becomes infinite.
// dst must have exactly the bytes of that many elements.
func Narrow(dst []byte, d DType, src []float32) error {
	if err := checkLengths(d, len(src), len(dst)); err != nil {
		return err
	}
	switch d {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case BF16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], BF16Bits(v))
		}
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], float16.Fromfloat32(v).Bits())
		}
	default:
		return fmt.Errorf("float32 is not converted to %s", d)
	}
	return nil
}

// BF16Bits is v as bfloat16, rounded to the nearest, ties to even.
func BF16Bits(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40 // quiet: a NaN whose payload is in the low half must not become infinity
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// checkLengths makes sure that elements of d fill exactly so many bytes, and that d is a float.
func checkLengths(d DType, elements, bytes int) error {
	if !d.IsFloat() {
		return fmt.Errorf("%s is not a floating-point format", d)
	}
	if bytes%d.Size() != 0 || bytes/d.Size() != elements {
		return fmt.Errorf("%d elements of %s do not fill %d bytes", elements, d, bytes)
	}
	return nil
}

// Float32 gives the elements of a tensor of floats, converted; see Widen.
func (t Tensor) Float32() ([]float32, error) {
	n, err := t.count()
	if err != nil {
		return nil, err
	}
	values := make([]float32, n)
	if err := Widen(values, t.DType, t.Data); err != nil {
		return nil, fmt.Errorf("%s: %w", t.where(), err)
	}
	return values, nil
}

// Float64 gives the elements of a tensor of floats, converted exactly.
func (t Tensor) Float64() ([]float64, error) {
	n, err := t.count()
	if err != nil {
		return nil, err
	}
	values := make([]float64, n)
	if err := Widen64(values, t.DType, t.Data); err != nil {
		return nil, fmt.Errorf("%s: %w", t.where(), err)
	}
	return values, nil
}

// Int64 gives the elements of a tensor of integers or booleans.
func (t Tensor) Int64() ([]int64, error) {
	n, err := t.count()
	if err != nil {
		return nil, err
	}
	values := make([]int64, n)
	for i := range values {
		switch at := t.Data[i*t.DType.Size():]; t.DType {
		case I64:
			values[i] = int64(binary.LittleEndian.Uint64(at))
		case I32:
			values[i] = int64(int32(binary.LittleEndian.Uint32(at)))
		case I16:
			values[i] = int64(int16(binary.LittleEndian.Uint16(at)))
		case I8:
			values[i] = int64(int8(at[0]))
		case U32:
			values[i] = int64(binary.LittleEndian.Uint32(at))
		case U16:
			values[i] = int64(binary.LittleEndian.Uint16(at))
		case U8, Bool:
			values[i] = int64(at[0])
		default:
			return nil, fmt.Errorf("%s: %s is not an integer format that is read", t.where(), t.DType)
		}
	}
	return values, nil
}

// NonFinite finds the first element of a tensor of floats that is NaN or infinite. A scale or a weight that is one of these
// makes every output NaN, so users check before they compute.
func (t Tensor) NonFinite() (index int, value float64, found bool) {
	if !t.DType.IsFloat() {
		return 0, 0, false
	}
	var block [1024]float64
	size := t.DType.Size()
	for begin := 0; begin < len(t.Data)/size; begin += len(block) {
		n := min(len(block), len(t.Data)/size-begin)
		if err := Widen64(block[:n], t.DType, t.Data[begin*size:(begin+n)*size]); err != nil {
			return 0, 0, false
		}
		for i, v := range block[:n] {
			if v-v != 0 { // NaN for NaN and for infinities
				return begin + i, v, true
			}
		}
	}
	return 0, 0, false
}

// where names a tensor for a message.
func (t Tensor) where() string {
	if t.File == "" {
		return "tensor " + quote(t.Name)
	}
	return t.File + ": tensor " + quote(t.Name)
}

// count is the number of elements, after the check that the data has that many. It fails only for tensors that were not made by this package.
func (t Tensor) count() (int, error) {
	bytes, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", t.where(), err)
	}
	if t.DType.Size() == 0 || bytes != int64(len(t.Data)) {
		return 0, fmt.Errorf("%s: shape %v of %s needs %d bytes, there are %d", t.where(), t.Shape, t.DType, bytes, len(t.Data))
	}
	return len(t.Data) / t.DType.Size(), nil
}
