package emu

import (
	"math"

	"github.com/x448/float16"
)

// Numbers of 16 bits. Both kinds are computed in double, where products are exact and sums are rounded to odd: rounding those again gives what one
// rounding of the true result gives, since a double has more than two bits that either kind lacks.

func fromHalf(t typ, x uint64) float64 {
	if t == bf16 || t == bf16x2 {
		return float64(math.Float32frombits(uint32(x) << 16))
	}
	return float64(float16.Frombits(uint16(x)).Float32())
}

// toHalf rounds half to even.
func toHalf(t typ, x float64) uint64 {
	if x != x {
		return 0x7fff
	}
	b := uint64(math.Float32bits(toOdd32(x)))
	if t == bf16 || t == bf16x2 {
		return (b + 0x7fff + b>>16&1) >> 16
	}
	return uint64(float16.Fromfloat32(math.Float32frombits(uint32(b))).Bits())
}

// toOdd32 rounds a double to a float that is odd if it is not exact. Beyond the range it stays at the largest, which both kinds round to infinity.
func toOdd32(x float64) float32 {
	y := float32(x)
	if float64(y) == x {
		return y
	}
	b := math.Float32bits(y)
	if math.Abs(float64(y)) > math.Abs(x) { // rounded away from zero: one back
		b--
	}
	return math.Float32frombits(b | 1)
}

// sumOdd is a + b, rounded to odd.
func sumOdd(a, b float64) float64 {
	s := a + b
	if s == 0 || math.IsInf(s, 0) || s != s {
		return s
	}
	t := s - a
	rest := (a - (s - t)) + (b - t)
	if bits := math.Float64bits(s); rest != 0 && bits&1 == 0 {
		if rest > 0 == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return s
}

// halves is how many numbers a register of the type holds.
func halves(t typ) int {
	if t == f16x2 || t == bf16x2 {
		return 2
	}
	return 1
}

// outHalf applies .ftz and .sat.
func outHalf(t typ, o rounding, x float64) uint64 {
	if o.sat {
		if x != x {
			return 0
		}
		x = min(max(x, 0), 1)
	}
	b := toHalf(t, x)
	if o.ftz && b&0x7c00 == 0 && (t == f16 || t == f16x2) {
		b &= 0x8000
	}
	return b
}

func inHalf(t typ, o rounding, b uint64) float64 {
	if o.ftz && b&0x7c00 == 0 && (t == f16 || t == f16x2) {
		b &= 0x8000
	}
	return fromHalf(t, b)
}

// half2 does an operation of two operands in each half. Sums of two such numbers need no rounding to odd: the exponents of a bf16 may be far apart,
// but then the smaller one only says on which side of a double the sum is, and what is added to a number of 8 bits is far from half way.
func half2(t typ, o rounding, f func(a, b float64) float64) exec {
	n := halves(t)
	return word2(t.mask(), func(a, b uint64) uint64 {
		var d uint64
		for i := range n {
			s := 16 * i
			d |= outHalf(t, o, f(inHalf(t, o, a>>s&0xffff), inHalf(t, o, b>>s&0xffff))) << s
		}
		return d
	})
}

// half3 is fma in each half.
func half3(t typ, o rounding) exec {
	n := halves(t)
	return word3(t.mask(), func(a, b, c uint64) uint64 {
		var d uint64
		for i := range n {
			s := 16 * i
			x, y, z := inHalf(t, o, a>>s&0xffff), inHalf(t, o, b>>s&0xffff), inHalf(t, o, c>>s&0xffff)
			d |= outHalf(t, o, sumOdd(x*y, z)) << s
		}
		return d
	})
}
