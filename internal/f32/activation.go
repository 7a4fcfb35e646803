package f32

import "math"

var (
	sqrtHalf   = float32(math.Sqrt(0.5))
	sqrtTwoPi  = float32(math.Sqrt(2 / math.Pi)) // of 2/pi
	tanhLinear = float32(1.0 / 4096)
)

// Tanh is sign(x) (1 - 2 / (1 + exp(2|x|))), and x itself below 2^-12, where the difference would lose all digits.
func Tanh(x float32) float32 {
	a := Abs(x)
	t := float32(1 - 2/float32(1+Exp(float32(a+a))))
	if x < 0 {
		t = Neg(t)
	}
	if a < tanhLinear {
		return x
	}
	return t
}

// GELUTanh is x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
func GELUTanh(x float32) float32 {
	u := FMA(float32(0.044715*float32(x*x)), x, x)
	h := float32(0.5 * x)
	return FMA(h, Tanh(float32(sqrtTwoPi*u)), h)
}

// Erf is the error function by Abramowitz and Stegun 7.1.26: absolute error 1.5e-7 and a few roundings.
func Erf(x float32) float32 {
	a := Abs(x)
	t := 1 / FMA(0.3275911, a, 1)
	p := float32(1.061405429)
	for _, c := range [...]float32{-1.453152027, 1.421413741, -0.284496736, 0.254829592} {
		p = FMA(p, t, c)
	}
	e := float32(1 - float32(float32(p*t)*Exp(Neg(float32(a*a)))))
	if x < 0 {
		return Neg(e)
	}
	return e
}

// GELU is x/2 (1 + erf(x / sqrt 2)).
func GELU(x float32) float32 {
	h := float32(0.5 * x)
	return FMA(h, Erf(float32(x*sqrtHalf)), h)
}
