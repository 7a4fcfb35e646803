package kernel

import (
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// The transcendental functions of the kernel language, each one fixed sequence of float32 operations, so that every machine gives the same
// bits. Coefficients: least-squares fits with the largest error given in ulp over the whole domain.
var (
	// exp(r) = 1 + r + r^2 (c0 + c1 r + ...) for |r| <= ln(2)/2; 1.05 ulp
	expC = [...]uint32{0x3f000000, 0x3e2aaa6e, 0x3d2aaa74, 0x3c09065f, 0x3ab6a25b}
	// log1p(e) = e (d0 + d1 e + ...) for e in [0, 1]; softplus 2.1 ulp
	log1pC = [...]uint32{0x3f800000, 0xbeffffe0, 0x3eaaa64e, 0xbe7f88e1, 0x3e498101,
		0xbe1ccb21, 0x3dd96151, 0xbd69bc27, 0x3ca31458, 0xbb5568f7}
)

// exp is e^x for x clamped to [-87, 88]; NaN gives exp(-87).
func exp(b *spmd.Builder, x *spmd.Value) *spmd.Value { return exps(b, []*spmd.Value{x})[0] }

// exps is exp of several values, step by step side by side: a chain of twenty dependent operations keeps a core's units idle, and its
// scheduler sees too few operations ahead to find the next chain by itself.
func exps(b *spmd.Builder, x []*spmd.Value) []*spmd.Value {
	return expsBelow(b, each(x, func(i int) *spmd.Value { return b.Min(b.Max(x[i], b.F(-87)), b.F(88)) }))
}

// expNegative is exp for x that is never above 88: it saves the upper clamp and gives the same bits.
func expNegative(b *spmd.Builder, x *spmd.Value) *spmd.Value {
	return expsBelow(b, []*spmd.Value{b.Max(x, b.F(-87))})[0]
}

// each makes a list of as many values as x has.
func each(x []*spmd.Value, f func(i int) *spmd.Value) []*spmd.Value {
	y := make([]*spmd.Value, len(x))
	for i := range y {
		y[i] = f(i)
	}
	return y
}

func expsBelow(b *spmd.Builder, x []*spmd.Value) []*spmd.Value {
	t := each(x, func(i int) *spmd.Value { return b.Mul(x[i], b.Bits(0x3fb8aa3b)) })
	n := each(x, func(i int) *spmd.Value { return b.Round(t[i]) })
	nf := each(x, func(i int) *spmd.Value { return b.ToF32(n[i]) })
	r := each(x, func(i int) *spmd.Value { return b.FMA(nf[i], b.F(-0.693359375), x[i]) })
	r = each(x, func(i int) *spmd.Value { return b.FMA(nf[i], b.F(2.12194440e-4), r[i]) })
	p := each(x, func(int) *spmd.Value { return b.Bits(expC[len(expC)-1]) })
	for c := len(expC) - 2; c >= 0; c-- {
		p = each(x, func(i int) *spmd.Value { return b.FMA(p[i], r[i], b.Bits(expC[c])) })
	}
	square := each(x, func(i int) *spmd.Value { return b.Mul(r[i], r[i]) })
	p = each(x, func(i int) *spmd.Value { return b.FMA(p[i], square[i], r[i]) })
	one := each(x, func(i int) *spmd.Value { return b.Bitcast(b.Add(p[i], b.F(1))) })
	return each(x, func(i int) *spmd.Value { return b.Bitcast(b.Add(one[i], b.Shl(n[i], 23))) })
}

// softplus is max(x, 0) + log1p(exp(-|x|)), without a branch.
func softplus(b *spmd.Builder, x *spmd.Value) *spmd.Value { return softpluses(b, []*spmd.Value{x})[0] }

// softpluses is softplus of several values, side by side as exps.
func softpluses(b *spmd.Builder, x []*spmd.Value) []*spmd.Value {
	e := expsBelow(b, each(x, func(i int) *spmd.Value { return b.Max(b.Neg(b.Abs(x[i])), b.F(-87)) }))
	p := each(x, func(int) *spmd.Value { return b.Bits(log1pC[len(log1pC)-1]) })
	for c := len(log1pC) - 2; c >= 0; c-- {
		p = each(x, func(i int) *spmd.Value { return b.FMA(p[i], e[i], b.Bits(log1pC[c])) })
	}
	return each(x, func(i int) *spmd.Value { return b.FMA(p[i], e[i], b.Max(x[i], b.F(0))) })
}

// sigmoid is 1 / (1 + exp(-x)); silu is x times it, by one division.
func sigmoid(b *spmd.Builder, x *spmd.Value) *spmd.Value {
	return b.Div(b.F(1), b.Add(b.F(1), exp(b, b.Neg(x))))
}

func silu(b *spmd.Builder, x *spmd.Value) *spmd.Value { return silus(b, []*spmd.Value{x})[0] }

// silus is silu of several values, side by side as exps.
func silus(b *spmd.Builder, x []*spmd.Value) []*spmd.Value {
	e := exps(b, each(x, func(i int) *spmd.Value { return b.Neg(x[i]) }))
	return each(x, func(i int) *spmd.Value { return b.Div(x[i], b.Add(b.F(1), e[i])) })
}

// tanh is sign(x) (1 - 2 / (1 + exp(2|x|))), and x itself below 2^-12, where the difference would lose all digits.
func tanh(b *spmd.Builder, x *spmd.Value) *spmd.Value {
	a := b.Abs(x)
	t := b.Sub(b.F(1), b.Div(b.F(2), b.Add(b.F(1), exp(b, b.Add(a, a)))))
	t = b.Select(b.Cmp(spmd.LT, x, b.F(0)), b.Neg(t), t)
	return b.Select(b.Cmp(spmd.LT, a, b.F(1.0/4096)), x, t)
}

// geluTanh is x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
func geluTanh(b *spmd.Builder, x *spmd.Value) *spmd.Value {
	u := b.FMA(b.Mul(b.F(0.044715), b.Mul(x, x)), x, x)
	t := tanh(b, b.Mul(b.F(float32(math.Sqrt(2/math.Pi))), u))
	h := b.Mul(b.F(0.5), x)
	return b.FMA(h, t, h)
}

// erf by Abramowitz and Stegun 7.1.26: absolute error 1.5e-7.
func erf(b *spmd.Builder, x *spmd.Value) *spmd.Value {
	a := b.Abs(x)
	t := b.Div(b.F(1), b.FMA(b.F(0.3275911), a, b.F(1)))
	p := b.F(1.061405429)
	for _, c := range [...]float32{-1.453152027, 1.421413741, -0.284496736, 0.254829592} {
		p = b.FMA(p, t, b.F(c))
	}
	e := b.Sub(b.F(1), b.Mul(b.Mul(p, t), expNegative(b, b.Neg(b.Mul(a, a)))))
	return b.Select(b.Cmp(spmd.LT, x, b.F(0)), b.Neg(e), e)
}

func gelu(b *spmd.Builder, x *spmd.Value) *spmd.Value {
	h := b.Mul(b.F(0.5), x)
	return b.FMA(h, erf(b, b.Mul(x, b.F(float32(math.Sqrt(0.5))))), h)
}
