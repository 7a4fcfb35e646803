package spmd

import (
	"math"

	float "github.com/ssmc/ssmc/internal/f32"
	"github.com/x448/float16"
)

// What internal/f32 defines for everything that computes in float32.
func fma32(x, y, z float32) float32 { return float.FMA(x, y, z) }
func round32(x float32) int32       { return float.Int32(x) }
func min32(x, y float32) float32    { return float.Min(x, y) }
func max32(x, y float32) float32    { return float.Max(x, y) }
func sqrt32(x float32) float32      { return float.Sqrt(x) }
func neg32(x float32) float32       { return float.Neg(x) }
func abs32(x float32) float32       { return float.Abs(x) }

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
