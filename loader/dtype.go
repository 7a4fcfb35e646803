package loader

import (
	"fmt"
	"math"
	"math/bits"
)

// DType is the number format of a tensor, as safetensors names it.
type DType uint8

// The formats that are read. C64 is a pair of float32, real part first.
const (
	NoDType DType = iota
	F64
	F32
	F16
	BF16
	I64
	I32
	I16
	I8
	U64
	U32
	U16
	U8
	Bool
	C64
	numDTypes
)

// dtypes gives each format's name in a safetensors header and its size in bytes.
var dtypes = [numDTypes]struct {
	name string
	size int
}{
	NoDType: {"none", 0},
	F64:     {"F64", 8},
	F32:     {"F32", 4},
	F16:     {"F16", 2},
	BF16:    {"BF16", 2},
	I64:     {"I64", 8},
	I32:     {"I32", 4},
	I16:     {"I16", 2},
	I8:      {"I8", 1},
	U64:     {"U64", 8},
	U32:     {"U32", 4},
	U16:     {"U16", 2},
	U8:      {"U8", 1},
	Bool:    {"BOOL", 1},
	C64:     {"C64", 8},
}

// refusedDTypes are formats that safetensors has and ssmc does not read, with what they are.
var refusedDTypes = map[string]string{
	"F8_E4M3":     "an 8-bit float",
	"F8_E5M2":     "an 8-bit float",
	"F8_E4M3FNUZ": "an 8-bit float",
	"F8_E5M2FNUZ": "an 8-bit float",
	"F8_E8M0":     "an 8-bit scale",
	"F6_E2M3":     "a 6-bit float",
	"F6_E3M2":     "a 6-bit float",
	"F4":          "a 4-bit float",
}

// String is the name that a safetensors header uses.
func (d DType) String() string {
	if d >= numDTypes {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return dtypes[d].name
}

// Size is the number of bytes of one element; 0 for a DType that is none of the constants.
func (d DType) Size() int {
	if d >= numDTypes {
		return 0
	}
	return dtypes[d].size
}

// IsFloat says whether the format is a real floating-point number.
func (d DType) IsFloat() bool { return d == F64 || d == F32 || d == F16 || d == BF16 }

// ParseDType is the format of that name in a safetensors header.
func ParseDType(name string) (DType, error) {
	for d := F64; d < numDTypes; d++ {
		if dtypes[d].name == name {
			return d, nil
		}
	}
	if kind, ok := refusedDTypes[name]; ok {
		return NoDType, fmt.Errorf("dtype %s (%s) is not supported", name, kind)
	}
	return NoDType, fmt.Errorf("dtype %s is unknown", quote(name))
}

// Tensor is a named array in row-major order. Data usually points into a mapped file: it must not be written, and must not be used after Close.
type Tensor struct {
	Name   string
	DType  DType
	Shape  []int
	Data   []byte // little-endian, exactly Elements() * DType.Size() bytes, at any alignment
	File   string // the path of the file that it is from; "" for one made in memory
	Offset int64  // of Data in that file
}

// Elements is the product of the shape: 1 for a scalar.
func (t Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// String is the tensor without its data: backbone.norm_f.weight F32 [768].
func (t Tensor) String() string { return fmt.Sprintf("%s %s %v", t.Name, t.DType, t.Shape) }

// maxRank is the largest number of dimensions that is read. Real checkpoints have at most five.
const maxRank = 16

// byteSize is the number of bytes of a tensor, after proof that neither it nor the product of any of its dimensions overflows
// (zero dimensions left out, so that strides and sizes of slices cannot overflow either).
func byteSize(d DType, shape []int) (int64, error) {
	if len(shape) > maxRank {
		return 0, fmt.Errorf("the shape has %d dimensions, at most %d are supported", len(shape), maxRank)
	}
	product, empty := uint64(d.Size()), false
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("the shape %v has a negative dimension", shape)
		}
		if n == 0 {
			empty = true
			continue
		}
		high, low := bits.Mul64(product, uint64(n))
		if high != 0 || low > math.MaxInt64 {
			return 0, fmt.Errorf("the shape %v of %s overflows the number of bytes", shape, d)
		}
		product = low
	}
	if empty {
		return 0, nil
	}
	return int64(product), nil
}
