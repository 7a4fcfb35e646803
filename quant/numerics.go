package quant

import (
	"math"

	"github.com/ssmc/ssmc/internal/f32"
)

// MaxCode is the largest i8 code.
const MaxCode = 127

// MaxK is the longest integer product that is allowed: sums of so many products of codes -127..127 cannot overflow int32.
const MaxK = 133_143

// Range is which i8 codes occur.
type Range uint8

const (
	Narrow Range = iota // -127..127: the sign trick of AVX2 is exact, negation is closed
	Full                // -128..127: imported weights, and comparison with the published code
)

// Min is the lowest code of the range.
func (r Range) Min() int {
	if r == Full {
		return -128
	}
	return -MaxCode
}

// deadBelow is the amax below which a tensor counts as zero and gets scale 1.
const deadBelow = 0x1p-60

// ScaleOf is the scale at which the largest absolute value amax becomes code 127. A dead tensor gets scale 1: all its codes are 0.
func ScaleOf(amax float64) float32 {
	if amax < deadBelow {
		return 1
	}
	return float32(amax / MaxCode)
}

// GoodScale says whether s may be a scale in an artefact: finite and above zero, and so is its reciprocal.
func GoodScale(s float32) bool {
	return s > 0 && !math.IsInf(float64(s), 0) && !math.IsInf(float64(Inverse(s)), 0)
}

// Inverse is the factor that Quantize takes for scale s.
func Inverse(s float32) float32 { return float32(1 / float64(s)) }

// InverseRotated is the factor for a vector that comes out of Hadamard.Sum: division by its length's root and by s are one multiplication.
func (h *Hadamard) InverseRotated(s float32) float32 {
	return float32(1 / float64(math.Sqrt(float64(h.Block()))*float64(s)))
}

// Multiplier is the product of scales over another, in float64, rounded once.
func Multiplier(over float32, scales ...float32) float32 {
	p := 1.0
	for _, s := range scales {
		p = float64(p * float64(s))
	}
	return float32(p / float64(over))
}

// clampRound is the end of every quantization: t below the range, or not a number, is the lowest code. The clamp comes first, so the conversion
// cannot overflow.
func clampRound(t float32, r Range) int8 {
	t = f32.Max(t, float32(r.Min()))
	t = f32.Min(t, MaxCode)
	return int8(f32.RoundHalfEven(t))
}

// Quantize is the code of x under the scale whose Inverse is inv.
func Quantize(x, inv float32, r Range) int8 { return clampRound(float32(x*inv), r) }

// QuantizeAll quantizes x into q, which is as long.
func QuantizeAll(q []int8, x []float32, inv float32, r Range) {
	for i, v := range x {
		q[i] = Quantize(v, inv, r)
	}
}

// Saturated says whether Quantize had to clamp: what `--count-saturation` counts. NaN counts.
func Saturated(x, inv float32, r Range) bool {
	t := float32(x * inv)
	return !(t >= float32(r.Min()) && t <= MaxCode)
}

// Requant is the code that an accumulator becomes, m being the scales of its factors over the scale of the result.
func Requant(acc int32, m float32, r Range) int8 { return clampRound(float32(float32(acc)*m), r) }

// RequantBias is Requant with a bias that is already divided by the scale of the result.
func RequantBias(acc int32, m, bias float32, r Range) int8 {
	return clampRound(f32.FMA(float32(acc), m, bias), r)
}

// Dequant is the float that an accumulator stands for.
func Dequant(acc int32, m float32) float32 { return float32(float32(acc) * m) }

// DequantAdd is Dequant into a sum: c is a bias, or the element of the residual stream.
func DequantAdd(acc int32, m, c float32) float32 { return f32.FMA(float32(acc), m, c) }

// Dot is the exact product of two rows of i8 codes of one length, at most MaxK.
func Dot(a, w []int8) int32 {
	var sum int32
	for i, v := range a {
		sum += int32(v) * int32(w[i])
	}
	return sum
}

// Dot4 is a row of i8 codes times a row of 4-bit weights with one scale a group: the groups' exact sums are joined by FMA, in order. The result
// lacks the scale of a.
func Dot4(a, w []int8, scales []float32, group int) float32 {
	var y float32
	for g, s := range scales {
		lo, hi := g*group, min((g+1)*group, len(a))
		y = f32.FMA(float32(Dot(a[lo:hi], w[lo:hi])), s, y)
	}
	return y
}

// DotFloat is a float row times i8 weight codes (weight-only schemes), in sixteen lanes. The result lacks the weight's scale.
func DotFloat(x []float32, w []int8) float32 {
	var sum [f32.Lanes]float32
	for i, v := range x {
		l := i % f32.Lanes
		sum[l] = f32.FMA(float32(w[i]), v, sum[l])
	}
	return f32.Fold(&sum)
}

// DotFloat4 is a float row times 4-bit weights: DotFloat for each group, joined as in Dot4.
func DotFloat4(x []float32, w []int8, scales []float32, group int) float32 {
	var y float32
	for g, s := range scales {
		lo, hi := g*group, min((g+1)*group, len(x))
		y = f32.FMA(DotFloat(x[lo:hi], w[lo:hi]), s, y)
	}
	return y
}

// Compensation is where an accumulator starts when activations are shifted by 128 to be unsigned (vpdpbusd): -128 times the sum of the weight row.
func Compensation(w []int8) int32 {
	var sum int32
	for _, v := range w {
		sum += int32(v)
	}
	return -128 * sum
}
