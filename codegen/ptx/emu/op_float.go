package emu

import (
	"math"

	float "github.com/ssmc/ssmc/internal/f32"
)

// Float arithmetic. f32 is exact as internal/f32 has it; f16 and bf16 are rounded once from a sum or product that keeps all that matters (half.go).

// floatOp is an operation of two operands for each type.
type floatOp struct {
	single func(a, b float32) float32
	double func(a, b float64) float64
	fast   exec // of f32, full warp or not, without .ftz and .sat
}

var (
	floatAdd = floatOp{func(a, b float32) float32 { return a + b }, func(a, b float64) float64 { return a + b }, addF32}
	floatSub = floatOp{func(a, b float32) float32 { return a - b }, func(a, b float64) float64 { return a - b }, nil}
	floatMul = floatOp{func(a, b float32) float32 { return a * b }, func(a, b float64) float64 { return a * b }, mulF32}
)

func bitsOf(x float32) uint64 {
	if x != x {
		return canonicalNaN
	}
	return uint64(math.Float32bits(x))
}

func single(x uint64) float32 { return math.Float32frombits(uint32(x)) }

func addF32(w *warp, in *inst) {
	d, a, b := w.r(in.d), w.r(in.a), w.r(in.b)
	if w.act == full {
		for l := range d {
			d[l] = bitsOf(single(a[l]) + single(b[l]))
		}
		return
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		d[l] = bitsOf(single(a[l]) + single(b[l]))
	}
}

func mulF32(w *warp, in *inst) {
	d, a, b := w.r(in.d), w.r(in.a), w.r(in.b)
	if w.act == full {
		for l := range d {
			d[l] = bitsOf(single(a[l]) * single(b[l]))
		}
		return
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		d[l] = bitsOf(single(a[l]) * single(b[l]))
	}
}

func fmaF32(w *warp, in *inst) {
	d, a, b, c := w.r(in.d), w.r(in.a), w.r(in.b), w.r(in.c)
	if w.act == full {
		for l := range d {
			d[l] = bitsOf(float.FMA(single(a[l]), single(b[l]), single(c[l])))
		}
		return
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		d[l] = bitsOf(float.FMA(single(a[l]), single(b[l]), single(c[l])))
	}
}

var floats = []typ{f32, f64, f16, f16x2, bf16, bf16x2}

// rounding reads .rn, .ftz and .sat. Other directions of rounding are not supported.
func (c *compiler) rounding() rounding {
	if m := c.oneOf("rz", "rm", "rp"); m != "" {
		c.fail("only .rn is supported")
	}
	c.has("rn")
	return rounding{ftz: c.has("ftz"), sat: c.has("sat")}
}

func compileFloat2(c *compiler, op floatOp) {
	o, t := c.rounding(), c.typ(floats...)
	c.args3(t)
	switch {
	case t == f64:
		c.x.exec = double2(op.double)
	case t != f32:
		c.x.exec = half2(t, o, op.double)
	case op.fast != nil && o == rounding{}:
		c.x.exec = op.fast
	default:
		c.x.exec = float2(o, op.single)
	}
	if t == f64 && (o.ftz || o.sat) {
		c.fail(".ftz and .sat are not for .f64")
	}
}

func compileFMA(c *compiler) {
	if c.oneOf("rz", "rm", "rp") != "" || !c.has("rn") {
		c.fail("want .rn")
		return
	}
	o, t := rounding{ftz: c.has("ftz"), sat: c.has("sat")}, c.typ(floats...)
	c.args4(t)
	switch {
	case t == f64:
		c.x.exec = word3(^uint64(0), func(a, b, c uint64) uint64 {
			return math.Float64bits(math.FMA(math.Float64frombits(a), math.Float64frombits(b), math.Float64frombits(c)))
		})
	case t != f32:
		c.x.exec = half3(t, o)
	case o == rounding{}:
		c.x.exec = fmaF32
	default:
		c.x.exec = float3(o, float.FMA)
	}
}

// approximate marks an instruction whose result is not defined to the bit.
func (c *compiler) approximate() { c.x.inexact = true }

func compileFloatDiv(c *compiler) {
	if c.oneOf("approx", "full") != "" {
		c.approximate()
	} else if c.oneOf("rn") == "" {
		c.fail("want .rn, .approx or .full")
	}
	o, t := rounding{ftz: c.has("ftz")}, c.typ(f32, f64)
	c.args3(t)
	if t == f64 {
		c.x.exec = double2(func(a, b float64) float64 { return a / b })
		return
	}
	c.x.exec = float2(o, func(a, b float32) float32 { return a / b })
}

// compileFloatMinMax: a NaN loses unless .NaN is there; -0 is below +0.
func compileFloatMinMax(c *compiler, isMin bool) {
	keep, o := c.has("NaN"), rounding{ftz: c.has("ftz")}
	if c.has("xorsign") || c.has("abs") {
		c.fail(".xorsign.abs is not supported")
	}
	t := c.typ(floats...)
	c.args3(t)
	f := func(a, b float64) float64 {
		switch {
		case keep && (a != a || b != b):
			return math.NaN()
		case a != a:
			return b
		case b != b:
			return a
		case isMin:
			return math.Min(a, b)
		}
		return math.Max(a, b)
	}
	switch t {
	case f64:
		c.x.exec = double2(f)
	case f32:
		c.x.exec = float2(o, func(a, b float32) float32 { return float32(f(float64(a), float64(b))) })
	default:
		c.x.exec = half2(t, o, f)
	}
}

// compileSign is neg and abs: of the sign bit only, of NaNs too.
func compileSign(c *compiler, f func(x, sign uint64) uint64) {
	o, t := rounding{ftz: c.has("ftz")}, c.typ(floats...)
	c.args2(t)
	sign := uint64(1) << (t.bits() - 1)
	if t == f16x2 || t == bf16x2 {
		sign |= 1 << 15
	}
	c.x.exec = word1(t.mask(), func(a uint64) uint64 {
		if o.ftz && t == f32 && a&0x7f800000 == 0 {
			a &= 1 << 31
		}
		return f(a, sign)
	})
}

// root is sqrt and rcp: rounded, or approximate.
func (c *compiler) root(double func(float64) float64, single func(float32) float32) {
	if c.need("rn", "approx") == "approx" {
		c.approximate()
	}
	o, t := rounding{ftz: c.has("ftz")}, c.typ(f32, f64)
	c.args2(t)
	if t == f64 {
		c.x.exec = double1(double)
		return
	}
	c.x.exec = float1(o, single)
}

func compileSqrt(c *compiler) { c.root(math.Sqrt, float.Sqrt) }

func compileRcp(c *compiler) {
	c.root(func(a float64) float64 { return 1 / a }, func(a float32) float32 { return 1 / a })
}

// approx is a function of f32 that is only there as an approximation: computed in double and rounded once.
func (c *compiler) approx(f func(float64) float64, ts ...typ) {
	if !c.has("approx") {
		c.fail("want .approx")
	}
	c.approximate()
	o, t := rounding{ftz: c.has("ftz")}, c.typ(ts...)
	c.args2(t)
	if t == f64 {
		c.x.exec = double1(f)
		return
	}
	c.x.exec = float1(o, func(a float32) float32 { return float32(f(float64(a))) })
}

func compileRsqrt(c *compiler) {
	c.approx(func(a float64) float64 { return 1 / math.Sqrt(a) }, f32, f64)
}
func compileEx2(c *compiler)  { c.approx(math.Exp2, f32) }
func compileLg2(c *compiler)  { c.approx(math.Log2, f32) }
func compileSin(c *compiler)  { c.approx(math.Sin, f32) }
func compileCos(c *compiler)  { c.approx(math.Cos, f32) }
func compileTanh(c *compiler) { c.approx(math.Tanh, f32) }

// compileCopysign gives b the sign of a.
func compileCopysign(c *compiler) {
	t := c.typ(f32, f64)
	c.args3(t)
	sign := uint64(1) << (t.bits() - 1)
	c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return b&^sign | a&sign })
}

func compileTestp(c *compiler) {
	what := c.need("finite", "infinite", "number", "notanumber", "normal", "subnormal")
	t := c.typ(f32, f64)
	if !c.operands(2) {
		return
	}
	c.x.d, c.x.a = c.predDest(c.arg(0).name), c.src(1, t)
	smallest := 0x1p-126
	if t == f64 {
		smallest = 0x1p-1022
	}
	c.x.exec = func(w *warp, in *inst) {
		var out uint32
		a := w.r(in.a)
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			x := math.Float64frombits(a[l])
			if t == f32 {
				x = float64(single(a[l]))
			}
			if classOf(x, smallest)[what] {
				out |= 1 << l
			}
		}
		w.setPred(in.d, out)
	}
}

// classOf says which of testp's names a number has.
func classOf(x, smallest float64) map[string]bool {
	nan, inf, small := x != x, math.IsInf(x, 0), math.Abs(x) < smallest
	return map[string]bool{"finite": !nan && !inf, "infinite": inf, "number": !nan, "notanumber": nan,
		"normal": !nan && !inf && !small, "subnormal": small && x != 0}
}
