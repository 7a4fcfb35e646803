// Package f32 is binary32 arithmetic as the compiled kernels do it: one definition, to the bit, of the float32 operations that need more than an operator
// in Go, and of the functions that are fixed sequences of them. The graph evaluator, the interpreter of the kernel language and the quantizer share it,
// so that a value has the same bits wherever it is computed.
//
// The rules are those of IEEE 754: round to nearest, ties to even; denormals are kept; nothing is contracted but a written FMA. Go may fuse x*y + z into
// one operation unless the product is converted by itself, so every product and sum that is rounded is written float32(x * y).
//
//	f32.go   fused multiply-add, rounding, minimum and maximum as the machine has them
//	math.go  exp, softplus, sigmoid, SiLU: polynomials with their error in ulp
//	activation.go  tanh, erf and GELU, made of these
//	sum.go   sums in sixteen lanes, which come out the same whatever the width of the machine's vectors
//	chain.go sums of products in one lane, one FMA after the other
package f32

import "math"

// FMA is x*y + z with one rounding to float32.
//
// The product of two floats is exact in a double (48 of 53 bits), the sum s is not. Rounding s again gives the wrong float only if s is just half
// way between two floats and the true sum is not; then tie decides. Half way, for normal floats, is a 1 and 28 zeros after the 24 bits.
func FMA(x, y, z float32) float32 {
	p := float64(x) * float64(y) // exact, so it is the same fused or not
	s := p + float64(z)
	b := math.Float64bits(s)
	if b&(1<<29-1) != 1<<28 && b>>52&0x7ff-897 < 2047-897 { // biased exponents of -126 up to infinity's, not included
		return float32(s)
	}
	return tie(p, float64(z), s)
}

// tie rounds p + z to odd, which keeps on which side of half way the true sum is, and then to float32 (Boldo and Melquiond, 2008).
func tie(p, z, s float64) float32 {
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

// RoundHalfEven is the nearest integer, the even one of two; infinities, NaN and the sign of zero stay.
func RoundHalfEven(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// Int32 is the machine's conversion (cvtps2dq): half to even, and the smallest integer for what has none.
func Int32(x float32) int32 {
	r := math.RoundToEven(float64(x))
	if r >= -1<<31 && r < 1<<31 {
		return int32(r)
	}
	return math.MinInt32
}

// Min is the machine's minimum (vminps): y unless x < y, so that a NaN in x gives y.
func Min(x, y float32) float32 {
	if x < y {
		return x
	}
	return y
}

// Max is the machine's maximum (vmaxps): y unless x > y, so that a NaN in x gives y.
func Max(x, y float32) float32 {
	if x > y {
		return x
	}
	return y
}

// Sqrt is the correctly rounded square root: the double root of a float, rounded again, is that.
func Sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// Neg flips the sign, of zeros and NaN too.
func Neg(x float32) float32 { return math.Float32frombits(math.Float32bits(x) ^ 1<<31) }

// Abs clears the sign, of zeros and NaN too.
func Abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
