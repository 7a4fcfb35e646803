package loader

import (
	"encoding/binary"
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var sizes = []int{0, 1, 15, 16, 17, 1023, 1024, 1025, 2053}

// halfValue is the value of IEEE half-precision bits by the definition.
func halfValue(b uint16) float64 {
	sign, exponent, fraction := 1.0, int(b>>10&31), float64(b&1023)
	if b>>15 == 1 {
		sign = -1
	}
	switch {
	case exponent == 31 && fraction == 0:
		return sign * math.Inf(1)
	case exponent == 31:
		return math.NaN()
	case exponent == 0:
		return math.Copysign(math.Ldexp(fraction, -24), sign)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

func sameFloat(a, b float64) bool {
	return a == b && math.Signbit(a) == math.Signbit(b) || a != a && b != b
}

// All 65536 values of both half formats widen to what the definition says, and narrow back to themselves.
func TestHalfFormats(t *testing.T) {
	all := make([]byte, 2*65536)
	for i := range 65536 {
		binary.LittleEndian.PutUint16(all[2*i:], uint16(i))
	}
	definition := map[DType]func(uint16) float64{
		F16:  halfValue,
		BF16: func(b uint16) float64 { return float64(math.Float32frombits(uint32(b) << 16)) },
	}
	for d, value := range definition {
		wide, wide64 := make([]float32, 65536), make([]float64, 65536)
		if err := Widen(wide, d, all); err != nil {
			t.Fatal(err)
		}
		if err := Widen64(wide64, d, all); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, 2*65536)
		if err := Narrow(back, d, wide); err != nil {
			t.Fatal(err)
		}
		for i := range wide {
			want := value(uint16(i))
			if !sameFloat(float64(wide[i]), want) || !sameFloat(wide64[i], want) {
				t.Fatalf("%v %04x widens to %v and %v, want %v", d, i, wide[i], wide64[i], want)
			}
			if got := binary.LittleEndian.Uint16(back[2*i:]); want == want && got != uint16(i) || want != want && value(got) == value(got) {
				t.Fatalf("%v %04x narrows back to %04x", d, i, got)
			}
		}
	}
}

// A narrowed number is the nearest one: no other of the format is nearer, and of two equally near ones it is the even one.
func TestNarrowRoundsToNearestEven(t *testing.T) {
	largest := map[DType]float64{F16: 65504, BF16: math.Ldexp(255, 120)}
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		if v != v {
			return
		}
		for d := range largest {
			var two [2]byte
			if err := Narrow(two[:], d, []float32{v}); err != nil {
				t.Fatal(err)
			}
			got := binary.LittleEndian.Uint16(two[:])
			distance := func(b uint16) *big.Float {
				var wide [1]float64
				bits := [2]byte{byte(b), byte(b >> 8)}
				if err := Widen64(wide[:], d, bits[:]); err != nil {
					t.Fatal(err)
				}
				if math.IsInf(wide[0], 0) { // rounding treats infinity as the next power of two
					wide[0] = math.Copysign(math.Pow(2, math.Round(math.Log2(largest[d]))), wide[0])
				}
				difference := new(big.Float).Sub(big.NewFloat(wide[0]), big.NewFloat(float64(v)))
				return difference.Abs(difference)
			}
			if math.IsInf(float64(v), 0) {
				if !sameFloat(halfOf(d, got), float64(v)) {
					t.Fatalf("%v narrows to %v %04x", v, d, got)
				}
				continue
			}
			for _, other := range []uint16{got - 1, got + 1} {
				if x := halfOf(d, other); x != x || x < 0 != (v < 0) {
					continue
				}
				if order := distance(other).Cmp(distance(got)); math.Abs(float64(v)) <= largest[d] && (order < 0 || order == 0 && got&1 == 1) {
					t.Fatalf("%v narrows to %v %04x, but %04x is nearer or even", v, d, got, other)
				}
			}
		}
	})
}

// halfOf is the value of bits of a half format.
func halfOf(d DType, b uint16) float64 {
	if d == F16 {
		return halfValue(b)
	}
	return float64(math.Float32frombits(uint32(b) << 16))
}

func TestBF16Bits(t *testing.T) {
	for _, test := range []struct{ in, want uint32 }{
		{0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3f800000, 0x3f80},
		{0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, // halfway: to even
		{0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80},
		{0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
		{0x7f800001, 0x7fc0}, {0xffffffff, 0xffff}, // NaN stays NaN
		{0x00000001, 0x0000}, {0x00008001, 0x0001},
	} {
		if got := BF16Bits(math.Float32frombits(test.in)); uint32(got) != test.want {
			t.Errorf("%08x: %04x, want %04x", test.in, got, test.want)
		}
	}
}

func TestWidenSizes(t *testing.T) {
	for _, n := range sizes {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i%97) - 48
		}
		for _, d := range []DType{F32, F16, BF16} {
			tensor := Tensor{Name: "x", DType: d, Shape: []int{n}, Data: make([]byte, n*d.Size()+1)[1:]} // at an odd address
			if err := Narrow(tensor.Data, d, values); err != nil {
				t.Fatal(err)
			}
			got, err := tensor.Float32()
			if diff := cmp.Diff(values, got); diff != "" || err != nil {
				t.Errorf("%v of %d: %v %s", d, n, err, diff)
			}
			got64, err := tensor.Float64()
			if err != nil || len(got64) != n {
				t.Fatalf("%v of %d: %d, %v", d, n, len(got64), err)
			}
			for i, v := range got64 {
				if v != float64(values[i]) {
					t.Fatalf("%v of %d: element %d is %v", d, n, i, v)
				}
			}
			if i, v, found := tensor.NonFinite(); found {
				t.Errorf("%v of %d: element %d is %v", d, n, i, v)
			}
		}
	}
	f64 := Tensor{Name: "x", DType: F64, Shape: []int{2}, Data: make([]byte, 16)}
	binary.LittleEndian.PutUint64(f64.Data[8:], math.Float64bits(math.Pi))
	if got, err := f64.Float32(); err != nil || got[1] != float32(math.Pi) {
		t.Errorf("F64 gives %v, %v", got, err)
	}
	if got, err := f64.Float64(); err != nil || got[1] != math.Pi {
		t.Errorf("F64 gives %v, %v", got, err)
	}
}

func TestNonFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, d := range []DType{F32, F16, BF16} {
			for _, at := range []int{0, 16, 1023, 1024, 2052} {
				values := make([]float32, 2053)
				values[at] = bad
				tensor := Tensor{DType: d, Shape: []int{len(values)}, Data: make([]byte, len(values)*d.Size())}
				if err := Narrow(tensor.Data, d, values); err != nil {
					t.Fatal(err)
				}
				if i, v, found := tensor.NonFinite(); !found || i != at || !sameFloat(v, float64(bad)) {
					t.Errorf("%v %v at %d: found %v, %v at %d", d, bad, at, found, v, i)
				}
			}
		}
	}
}

func TestInt64(t *testing.T) {
	for _, test := range []struct {
		d    DType
		data []byte
		want []int64
	}{
		{I64, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []int64{-2}},
		{I32, []byte{0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 0}, []int64{-2, 1}},
		{U32, []byte{0xfe, 0xff, 0xff, 0xff}, []int64{1<<32 - 2}},
		{I16, []byte{0xfe, 0xff}, []int64{-2}},
		{U16, []byte{0xfe, 0xff}, []int64{65534}},
		{I8, []byte{0x80, 0x7f}, []int64{-128, 127}},
		{U8, []byte{0x80}, []int64{128}},
		{Bool, []byte{1, 0, 1}, []int64{1, 0, 1}},
	} {
		got, err := Tensor{DType: test.d, Shape: []int{len(test.want)}, Data: test.data}.Int64()
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%v: %v %s", test.d, err, diff)
		}
	}
}

func TestConversionErrors(t *testing.T) {
	whole := Tensor{Name: "x", DType: I64, Shape: []int{1}, Data: make([]byte, 8), File: "f"}
	short := Tensor{Name: "x", DType: F32, Shape: []int{2}, Data: make([]byte, 7)}
	_, floatErr := whole.Float32()
	_, float64Err := whole.Float64()
	_, shortErr := short.Float32()
	_, intErr := Tensor{Name: "y", DType: F32, Shape: []int{1}, Data: make([]byte, 4)}.Int64()
	_, noneErr := Tensor{Name: "z"}.Float64()
	for _, test := range []struct {
		err  error
		want string
	}{
		{floatErr, `f: tensor "x": I64 is not a floating-point format`},
		{float64Err, `f: tensor "x": I64 is not a floating-point format`},
		{shortErr, `tensor "x": shape [2] of F32 needs 8 bytes, there are 7`},
		{intErr, `tensor "y": F32 is not an integer format that is read`},
		{noneErr, `tensor "z": shape [] of none needs 0 bytes, there are 0`},
		{Widen(make([]float32, 1), F16, make([]byte, 3)), "1 elements of F16 do not fill 3 bytes"},
		{Widen64(make([]float64, 2), F64, make([]byte, 8)), "2 elements of F64 do not fill 8 bytes"},
		{Narrow(make([]byte, 8), F64, make([]float32, 1)), "float32 is not converted to F64"},
	} {
		if message(test.err) != test.want {
			t.Errorf("error %q, want %q", message(test.err), test.want)
		}
	}
}

func BenchmarkWiden(b *testing.B) {
	dst := make([]float32, 1<<16)
	for _, d := range []DType{F32, F16, BF16, F64} {
		b.Run(d.String(), func(b *testing.B) {
			src := make([]byte, len(dst)*d.Size())
			for i := range src {
				src[i] = byte(i * 7)
			}
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := Widen(dst, d, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
