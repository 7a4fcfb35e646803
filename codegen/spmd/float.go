package spmd

import (
	"math"

	"github.com/x448/float16"
)

// fma32 is x*y + z with one rounding to float32.
//
// The product of two floats is exact in a double (48 of 53 bits), the sum s is not. Rounding s again gives the wrong float only if s is just half
// way between two floats and the true sum is not; then fmaTie decides. Half way, for normal floats, is a 1 and 28 zeros after the 24 bits.
func fma32(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	b := math.Float64bits(s)
	if b&(1<<29-1) != 1<<28 && b>>52&0x7ff-897 < 2047-897 { // biased exponents of -126 up to infinity's, not included
		return float32(s)
	}
	return fmaTie(p, float64(z), s)
}

// fmaTie rounds p + z to odd, which keeps on which side of half way the true sum is, and then to float32 (Boldo and Melquiond, 2008).
func fmaTie(p, z, s float64) float32 {
	if s == 0 || math.IsInf(s, 0) || math.IsNaN(s) {
		return float32(s)
	}
	t := s - p
	rest := (p - (s - t)) + (z - t) // exactly p + z - s (Knuth's two-sum)
	if b := math.Float64bits(s); rest != 0 && b&1 == 0 {
		if rest > 0 == (s > 0) {
			b++
		} else {
			b--
		}
		s = math.Float64frombits(b)
	}
	return float32(s)
}

// round32 is cvtps2dq: half to even, and the smallest integer for what has none.
func round32(x float32) int32 {
	r := math.RoundToEven(float64(x))
	if r >= -1<<31 && r < 1<<31 {
		return int32(r)
	}
	return math.MinInt32
}

func min32(x, y float32) float32 {
	if x < y {
		return x
	}
	return y
}

func max32(x, y float32) float32 {
	if x > y {
		return x
	}
	return y
}

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }
func neg32(x float32) float32  { return math.Float32frombits(math.Float32bits(x) ^ 1<<31) }
func abs32(x float32) float32  { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func fromF16(u uint16) float32 { return float16.Frombits(u).Float32() }
func toF16(x float32) uint16   { return float16.Fromfloat32(x).Bits() }

func fromBF16(u uint16) float32 { return math.Float32frombits(uint32(u) << 16) }

// toBF16 rounds half to even; a NaN stays one.
func toBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// reduce folds sixteen lanes by the fixed tree: lane l with lane l+8, then +4, +2, +1.
func reduce(x *[16]float32, op func(x, y float32) float32) float32 {
	for half := 8; half > 0; half /= 2 {
		for l := range half {
			x[l] = op(x[l], x[l+half])
		}
	}
	return x[0]
}
