package f32

import "math"

var (
	log2E = math.Float32frombits(0x3fb8aa3b)

	// exp(r) = 1 + r + r^2 (c0 + c1 r + ...) for |r| <= ln(2)/2; least squares, 1.05 ulp.
	expC = coefficients(0x3f000000, 0x3e2aaa6e, 0x3d2aaa74, 0x3c09065f, 0x3ab6a25b)
	// log1p(e) = e (d0 + d1 e + ...) for e in [0, 1]; softplus 2.1 ulp.
	log1pC = coefficients(0x3f800000, 0xbeffffe0, 0x3eaaa64e, 0xbe7f88e1, 0x3e498101, 0xbe1ccb21, 0x3dd96151, 0xbd69bc27, 0x3ca31458, 0xbb5568f7)
)

// ln(2) in two parts: n times the first is exact for the few n that occur.
const (
	ln2High = 0.693359375
	ln2Low  = -2.12194440e-4
)

func coefficients(bits ...uint32) []float32 {
	c := make([]float32, len(bits))
	for i, b := range bits {
		c[i] = math.Float32frombits(b)
	}
	return c
}

// horner is c[0] + c[1] x + ... by FMA, from the last coefficient on.
func horner(x float32, c []float32) float32 {
	p := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		p = FMA(p, x, c[i])
	}
	return p
}

// Exp is e^x for x clamped to [-87, 88], so that it neither overflows nor is denormal; NaN gives Exp(-87). 1.05 ulp.
func Exp(x float32) float32 {
	t := Min(Max(x, -87), 88)
	n := RoundHalfEven(float32(t * log2E))
	r := FMA(n, -ln2High, t)
	r = FMA(n, -ln2Low, r)
	p := FMA(horner(r, expC), float32(r*r), r)
	return math.Float32frombits(math.Float32bits(float32(p+1)) + uint32(int32(n))<<23)
}

// Softplus is max(x, 0) + log1p(exp(-|x|)): no branch, no threshold from which it is x. 2.1 ulp; NaN gives what the lowest x gives.
func Softplus(x float32) float32 {
	e := Exp(Neg(Abs(x)))
	return FMA(horner(e, log1pC), e, Max(x, 0))
}

// Sigmoid is 1 / (1 + exp(-x)). 2.5 ulp.
func Sigmoid(x float32) float32 { return 1 / float32(1+Exp(Neg(x))) }

// SiLU is x / (1 + exp(-x)), one true division. 2.5 ulp.
func SiLU(x float32) float32 { return x / float32(1+Exp(Neg(x))) }
