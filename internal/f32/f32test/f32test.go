// Package f32test has what tests of float32 arithmetic compare with.
package f32test

import (
	"math"
	"math/big"
)

// FMA rounds the exact x*y + z, which has at most 700 bits, once.
func FMA(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	if s == 0 || math.IsNaN(s) || math.IsInf(s, 0) {
		return float32(s) // a sum of doubles is 0 only if it is exactly 0, and then has the right sign
	}
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(700).SetFloat64(float64(v)) }
	p := new(big.Float).SetPrec(700).Mul(exact(x), exact(y))
	r, _ := p.Add(p, exact(z)).Float32()
	return r
}

// Same says that two floats have the same bits, or are both no numbers.
func Same(x, y float32) bool {
	return x != x && y != y || math.Float32bits(x) == math.Float32bits(y)
}

// Edges are floats at which arithmetic goes wrong first: zeros, halves, powers of two and their neighbours, denormals, the ends of the ranges of f16 and i32.
var Edges = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.5, 1.5, 2.5, -2.5, 3, 1e-3, 1 << 23, 1<<24 - 1, 1 << 24, 2147483520, 2147483648, -2147483648, 3e9, 0.49999997,
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-126, -0x1p-126, 0x1.fffffcp-127, 0x1p-64, 0x1p64, 0x1.fffffep63, 0x1.000002p0,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 65504, 65520, 65519.996, 0x1p-24, 0x1p-25, 0x1.8p-24, 6.1e-5}
