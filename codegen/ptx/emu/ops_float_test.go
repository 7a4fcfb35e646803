package emu

import (
	"fmt"
	"math"
	"math/big"
)

func fl(x uint64) float32 { return math.Float32frombits(uint32(x)) }

// nan32 is the bits of a result, NaN as the machine writes it.
func nan32(x float32) uint64 {
	if math.IsNaN(float64(x)) {
		return 0x7fffffff
	}
	return uint64(math.Float32bits(x))
}

// exactFMA is x*y + z rounded once, by arithmetic that is exact.
func exactFMA(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	if math.IsNaN(s) || math.IsInf(s, 0) || s == 0 || x == 0 || y == 0 {
		return float32(s)
	}
	b := new(big.Float).SetPrec(800).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
	b.Add(b, new(big.Float).SetPrec(800).SetFloat64(float64(z)))
	r, _ := b.Float32()
	return r
}

func flush(x float32) float32 {
	if math.Abs(float64(x)) < 0x1p-126 {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}

func clamp01(x float32) float32 {
	if !(x > 0) {
		return 0
	}
	return min(x, 1)
}

func smaller(a, b float64) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	case a == 0 && b == 0 && math.Signbit(b):
		return b
	case b < a:
		return b
	}
	return a
}

func floatOps() []opCase {
	var all []opCase
	one := func(text string, f func(a float32) float32) {
		all = append(all, opCase{text, "f32", "f32", func(x [4]uint64) uint64 { return nan32(f(fl(x[0]))) }})
	}
	two := func(text string, f func(a, b float32) float32) {
		all = append(all, opCase{text, "f32 f32", "f32", func(x [4]uint64) uint64 { return nan32(f(fl(x[0]), fl(x[1]))) }})
	}
	three := func(text string, f func(a, b, c float32) float32) {
		all = append(all, opCase{text, "f32 f32 f32", "f32", func(x [4]uint64) uint64 { return nan32(f(fl(x[0]), fl(x[1]), fl(x[2]))) }})
	}
	add := func(a, b float32) float32 { return a + b }
	two("add.f32 %d, %a, %b;", add)
	two("add.rn.f32 %d, %a, %b;", add)
	two("add.ftz.f32 %d, %a, %b;", func(a, b float32) float32 { return flush(flush(a) + flush(b)) })
	two("add.sat.f32 %d, %a, %b;", func(a, b float32) float32 { return clamp01(a + b) })
	two("sub.rn.f32 %d, %a, %b;", func(a, b float32) float32 { return a - b })
	two("mul.rn.f32 %d, %a, %b;", func(a, b float32) float32 { return a * b })
	two("mul.rn.ftz.f32 %d, %a, %b;", func(a, b float32) float32 { return flush(flush(a) * flush(b)) })
	two("div.rn.f32 %d, %a, %b;", func(a, b float32) float32 { return float32(float64(a) / float64(b)) }) // a double has more than twice the bits
	two("div.approx.f32 %d, %a, %b;", func(a, b float32) float32 { return a / b })
	two("div.full.f32 %d, %a, %b;", func(a, b float32) float32 { return a / b })
	two("min.f32 %d, %a, %b;", func(a, b float32) float32 { return float32(smaller(float64(a), float64(b))) })
	two("max.f32 %d, %a, %b;", func(a, b float32) float32 { return -float32(smaller(-float64(a), -float64(b))) })
	two("max.NaN.f32 %d, %a, %b;", func(a, b float32) float32 {
		if a != a || b != b {
			return float32(math.NaN())
		}
		return -float32(smaller(-float64(a), -float64(b)))
	})
	three("fma.rn.f32 %d, %a, %b, %c;", exactFMA)
	three("fma.rn.ftz.f32 %d, %a, %b, %c;", func(a, b, c float32) float32 { return flush(exactFMA(flush(a), flush(b), flush(c))) })
	three("fma.rn.sat.f32 %d, %a, %b, %c;", func(a, b, c float32) float32 { return clamp01(exactFMA(a, b, c)) })
	one("sqrt.rn.f32 %d, %a;", func(a float32) float32 { return float32(math.Sqrt(float64(a))) })
	one("sqrt.approx.f32 %d, %a;", func(a float32) float32 { return float32(math.Sqrt(float64(a))) })
	one("rcp.rn.f32 %d, %a;", func(a float32) float32 { return float32(1 / float64(a)) })
	one("rcp.approx.ftz.f32 %d, %a;", func(a float32) float32 { return flush(1 / flush(a)) })
	one("rsqrt.approx.f32 %d, %a;", func(a float32) float32 { return float32(1 / math.Sqrt(float64(a))) })
	one("ex2.approx.f32 %d, %a;", func(a float32) float32 { return float32(math.Exp2(float64(a))) })
	one("ex2.approx.ftz.f32 %d, %a;", func(a float32) float32 { return flush(float32(math.Exp2(float64(flush(a))))) })
	one("lg2.approx.f32 %d, %a;", func(a float32) float32 { return float32(math.Log2(float64(a))) })
	one("sin.approx.f32 %d, %a;", func(a float32) float32 { return float32(math.Sin(float64(a))) })
	one("cos.approx.f32 %d, %a;", func(a float32) float32 { return float32(math.Cos(float64(a))) })
	one("tanh.approx.f32 %d, %a;", func(a float32) float32 { return float32(math.Tanh(float64(a))) })
	bits := func(text string, f func(a, b uint64) uint64) {
		all = append(all, opCase{text, "f32 f32", "f32", func(x [4]uint64) uint64 { return f(x[0], x[1]) }})
	}
	bits("neg.f32 %d, %a;", func(a, _ uint64) uint64 { return a ^ 1<<31 })
	bits("abs.f32 %d, %a;", func(a, _ uint64) uint64 { return a &^ (1 << 31) })
	bits("copysign.f32 %d, %a, %b;", func(a, b uint64) uint64 { return a&(1<<31) | b&^(1<<31) })
	d := func(x uint64) float64 { return math.Float64frombits(x) }
	wide := func(text string, f func(a, b, c float64) float64) {
		all = append(all, opCase{text, "f64 f64 f64", "f64", func(x [4]uint64) uint64 {
			v := f(d(x[0]), d(x[1]), d(x[2]))
			return math.Float64bits(v)
		}})
	}
	wide("add.rn.f64 %d, %a, %b;", func(a, b, _ float64) float64 { return a + b })
	wide("sub.f64 %d, %a, %b;", func(a, b, _ float64) float64 { return a - b })
	wide("mul.f64 %d, %a, %b;", func(a, b, _ float64) float64 { return a * b })
	wide("div.rn.f64 %d, %a, %b;", func(a, b, _ float64) float64 { return a / b })
	wide("fma.rn.f64 %d, %a, %b, %c;", math.FMA)
	wide("sqrt.rn.f64 %d, %a;", func(a, _, _ float64) float64 { return math.Sqrt(a) })
	wide("min.f64 %d, %a, %b;", func(a, b, _ float64) float64 { return smaller(a, b) })
	wide("neg.f64 %d, %a;", func(a, _, _ float64) float64 { return math.Float64frombits(math.Float64bits(a) ^ 1<<63) })
	for name, f := range map[string]func(a float64) bool{
		"finite": func(a float64) bool { return a-a == 0 }, "infinite": func(a float64) bool { return math.IsInf(a, 0) },
		"number": func(a float64) bool { return a == a }, "notanumber": func(a float64) bool { return a != a },
		"normal":    func(a float64) bool { return a-a == 0 && math.Abs(a) >= 0x1p-126 },
		"subnormal": func(a float64) bool { return a != 0 && math.Abs(a) < 0x1p-126 }} {
		all = append(all, opCase{fmt.Sprintf("testp.%s.f32 %%d, %%a;", name), "f32", "pred", func(x [4]uint64) uint64 { return truth(f(float64(fl(x[0])))) }})
	}
	return all
}

// roundHalf rounds an exact number to 11 or 8 bits by counting: the candidates are its neighbours.
func roundHalf(t typ, x *big.Float) uint64 {
	digits, least, most := 11, -24, 65504.0
	if t == bf16 {
		digits, least, most = 8, -133, 0x1.fep127
	}
	if x.Sign() == 0 {
		return truth(x.Signbit()) << 15
	}
	e := max(x.MantExp(nil)-digits, least)
	scaled := new(big.Float).SetMantExp(x, -e)
	whole, _ := scaled.Int(nil)
	rest := new(big.Float).Sub(scaled, new(big.Float).SetPrec(900).SetInt(whole))
	half := rest.Abs(rest).Cmp(big.NewFloat(0.5))
	if half > 0 || half == 0 && whole.Bit(0) == 1 {
		whole.Add(whole, big.NewInt(int64(x.Sign())))
	}
	f, _ := new(big.Float).SetMantExp(new(big.Float).SetInt(whole), e).Float64()
	if f == 0 && x.Signbit() {
		f = math.Copysign(0, -1)
	}
	if math.Abs(f) > most {
		f = math.Inf(x.Sign())
	}
	return halfBits(t, f)
}

// halfBits are the bits of a number that the type has.
func halfBits(t typ, f float64) uint64 {
	sign := truth(math.Signbit(f)) << 15
	if t == bf16 {
		return uint64(math.Float32bits(float32(f)) >> 16)
	}
	switch a := math.Abs(f); {
	case math.IsInf(f, 0):
		return sign | 0x7c00
	case a < 0x1p-14:
		return sign | uint64(a*0x1p24)
	default:
		m, e := math.Frexp(a)
		return sign | uint64(e+14)<<10 | uint64(m*2048)&0x3ff
	}
}

func halfValue(t typ, b uint64) float64 {
	if t == bf16 {
		return float64(math.Float32frombits(uint32(b) << 16))
	}
	e, m := b>>10&31, float64(b&0x3ff)
	v := math.Ldexp(m/1024+1, int(e)-15)
	switch {
	case e == 0:
		v = math.Ldexp(m, -24)
	case e == 31 && m == 0:
		v = math.Inf(1)
	case e == 31:
		return math.NaN()
	}
	if b>>15 != 0 {
		v = -v
	}
	return v
}

// exactHalf is a*b + c rounded once.
func exactHalf(t typ, a, b, c float64) uint64 {
	v := a*b + c
	switch {
	case math.IsNaN(v):
		return 0x7fff
	case math.IsInf(v, 0):
		return halfBits(t, v)
	}
	prec := func() *big.Float { return new(big.Float).SetPrec(900) }
	x := prec().Mul(prec().SetFloat64(a), prec().SetFloat64(b))
	x.Add(x, prec().SetFloat64(c))
	if x.Sign() == 0 {
		return halfBits(t, v)
	}
	return roundHalf(t, x)
}

func halfOps() []opCase {
	var all []opCase
	for _, t := range []typ{f16, bf16} {
		name := t.String()
		reg := "b16"
		each := func(f func(a, b, c uint64) uint64) func(x [4]uint64) uint64 {
			return func(x [4]uint64) uint64 { return f(x[0], x[1], x[2]) }
		}
		both := func(f func(a, b, c uint64) uint64) func(x [4]uint64) uint64 {
			return func(x [4]uint64) uint64 {
				return f(x[0]>>16, x[1]>>16, x[2]>>16)<<16 | f(x[0]&0xffff, x[1]&0xffff, x[2]&0xffff)
			}
		}
		fma := func(a, b, c uint64) uint64 {
			return exactHalf(t, halfValue(t, a), halfValue(t, b), halfValue(t, c))
		}
		all = append(all, opCase{"fma.rn." + name + " %d, %a, %b, %c;", reg + " b16 b16", "b16", each(fma)},
			opCase{"fma.rn." + name + "x2 %d, %a, %b, %c;", "b32 b32 b32", "b32", both(fma)},
			opCase{"neg." + name + "x2 %d, %a;", "b32", "b32", func(x [4]uint64) uint64 { return x[0] ^ 0x80008000 }},
			opCase{"max." + name + "x2 %d, %a, %b;", "b32 b32", "b32", both(func(a, b, _ uint64) uint64 {
				v := -smaller(-halfValue(t, a), -halfValue(t, b))
				if v != v {
					return 0x7fff
				}
				return halfBits(t, v)
			})})
	}
	add := func(a, b, c uint64) uint64 { return exactHalf(f16, halfValue(f16, a), 1, halfValue(f16, b)) }
	mul := func(a, b, c uint64) uint64 {
		x, y := halfValue(f16, a), halfValue(f16, b)
		if z := exactHalf(f16, x, y, 0); z&0x7fff != 0 {
			return z
		}
		return halfBits(f16, x*y*0) // the sign of a zero
	}
	all = append(all, opCase{"add.f16 %d, %a, %b;", "b16 b16", "b16", func(x [4]uint64) uint64 { return add(x[0], x[1], 0) }},
		opCase{"mul.rn.f16 %d, %a, %b;", "b16 b16", "b16", func(x [4]uint64) uint64 { return mul(x[0], x[1], 0) }})
	return all
}
