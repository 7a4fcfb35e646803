package emu

import "math"

// compileCvt converts between types. Integers are extended or cut; floats become integers rounded as .rni and so on say, and the nearest that the
// type has where it has none (NaN gives 0); .sat does that between integers, and puts floats into 0..1.
func compileCvt(c *compiler) {
	if c.has("pack") {
		compilePack(c)
		return
	}
	round := c.oneOf("rn", "rni", "rzi", "rmi", "rpi", "rna", "rz", "rm", "rp")
	ftz, sat := c.has("ftz"), c.has("sat")
	if c.has("relu") || c.has("satfinite") {
		c.fail(".relu and .satfinite are not supported")
	}
	ts := c.takeTypes(2)
	to, from := ts[0], ts[1]
	if c.failed {
		return
	}
	if to == f16x2 || to == bf16x2 {
		compileCvt2(c, to, from, round, rounding{ftz: ftz})
		return
	}
	c.cvtArgs(to, from)
	f := c.convert(to, from, round, rounding{ftz: ftz, sat: sat})
	if f == nil {
		c.fail("this conversion is not supported")
		return
	}
	c.x.exec = word1(^uint64(0), f)
}

// cvtArgs sets d and a: both registers may be wider than their types. What is above an integer result is its sign.
func (c *compiler) cvtArgs(to, from typ) {
	if !c.operands(2) {
		return
	}
	c.x.d = c.dest(c.arg(0), to, to.integer())
	if o := c.arg(1); specials[o.full()].get != nil {
		c.fail("special registers are read by mov only")
	} else {
		c.x.a = c.source(o, from, from.integer())
	}
}

func (c *compiler) convert(to, from typ, round string, o rounding) func(uint64) uint64 {
	switch {
	case to.integer() && from.integer() && round == "":
		return c.intToInt(to, from, o.sat)
	case to.isFloat() && from.integer() && round == "rn":
		return c.intToFloat(to, from, o)
	case to.integer() && from.isFloat() && len(round) == 3 && round != "rna":
		return floatToInt(to, from, round, o)
	case to.isFloat() && from.isFloat():
		return c.floatToFloat(to, from, round, o)
	}
	return nil
}

// destMask is the width of the register that is written: a signed result fills it.
func (c *compiler) destMask(to typ) uint64 {
	if r, ok := c.register(c.arg(0).name); ok && to.signed() && r.typ.bytes() > to.bytes() {
		return r.typ.mask()
	}
	return to.mask()
}

func (c *compiler) intToInt(to, from typ, sat bool) func(uint64) uint64 {
	x, y, mask := extend(from), extend(to), c.destMask(to)
	if !sat {
		return func(a uint64) uint64 { return y(x(a)) & mask }
	}
	if to.bytes() >= from.bytes() && to.signed() == from.signed() || to.bytes() > from.bytes() && to.signed() {
		c.fail(".sat where nothing can overflow")
	}
	return func(a uint64) uint64 { return clampInt(x(a), from.signed(), to) & mask }
}

// clampInt is the nearest number of a type to a 64-bit one.
func clampInt(v uint64, isSigned bool, to typ) uint64 {
	switch n := to.bits(); {
	case isSigned && int64(v) < 0 && !to.signed():
		return 0
	case isSigned && int64(v) < 0:
		return uint64(max(int64(v), -1<<(n-1)))
	case to.signed():
		return min(v, 1<<(n-1)-1)
	}
	return min(v, to.mask())
}

func (c *compiler) intToFloat(to, from typ, o rounding) func(uint64) uint64 {
	x := extend(from)
	return func(a uint64) uint64 {
		v := x(a)
		switch {
		case to == f64 && from.signed():
			return math.Float64bits(float64(int64(v)))
		case to == f64:
			return math.Float64bits(float64(v))
		case to == f32 && from.signed():
			return o.out(float32(int64(v)))
		case to == f32:
			return o.out(float32(v))
		}
		return outHalf(to, o, intToOdd(v, from.signed()))
	}
}

// intToOdd gives a double that rounds to 16 bits as the integer does.
func intToOdd(v uint64, isSigned bool) float64 {
	if isSigned && int64(v) < 0 {
		return -intToOdd(-v, false)
	}
	return sumOdd(float64(v>>32)*(1<<32), float64(v&(1<<32-1)))
}

// fromFloat gives a number of any float type as a double.
func fromFloat(t typ, o rounding, a uint64) float64 {
	switch t {
	case f64:
		return math.Float64frombits(a)
	case f32:
		return float64(o.in(a))
	}
	return inHalf(t, o, a)
}

func integral(x float64, round string) float64 {
	switch round {
	case "rni":
		return math.RoundToEven(x)
	case "rzi":
		return math.Trunc(x)
	case "rmi":
		return math.Floor(x)
	}
	return math.Ceil(x)
}

func floatToInt(to, from typ, round string, o rounding) func(uint64) uint64 {
	low, high := 0.0, math.Ldexp(1, to.bits())
	if to.signed() {
		low, high = -math.Ldexp(1, to.bits()-1), math.Ldexp(1, to.bits()-1)
	}
	return func(a uint64) uint64 {
		x := integral(fromFloat(from, o, a), round)
		switch {
		case x != x:
			return 0
		case x <= low:
			return uint64(int64(low)) & to.mask()
		case x >= high && to.signed():
			return to.mask() >> 1
		case x >= high:
			return to.mask()
		case to == u64:
			return uint64(x)
		}
		return uint64(int64(x)) & to.mask()
	}
}

func (c *compiler) floatToFloat(to, from typ, round string, o rounding) func(uint64) uint64 {
	narrower := to.bytes() < from.bytes() || to.bytes() == 2 && from.bytes() == 2 && to != from
	switch {
	case to == tf32 && from == f32 && round == "rna":
		return func(a uint64) uint64 { return (a + 1<<12) &^ (1<<13 - 1) & (1<<32 - 1) }
	case to == tf32 || round == "rna":
		return nil
	case narrower && round != "rn":
		c.fail("want .rn")
	case !narrower && round == "rn":
		c.fail(".rn is for conversions that lose bits")
	case to != from && len(round) == 3:
		c.fail("rounding to an integer keeps the type")
	}
	return func(a uint64) uint64 {
		x := fromFloat(from, o, a)
		if len(round) == 3 {
			x = integral(x, round)
		}
		switch to {
		case f64:
			return math.Float64bits(x)
		case f32:
			return o.out(float32(x))
		}
		return outHalf(to, o, x)
	}
}

// compileCvt2 packs two floats: the first into the upper half.
func compileCvt2(c *compiler, to, from typ, round string, o rounding) {
	if from != f32 || round != "rn" {
		c.fail("want .rn.%v.f32", to)
		return
	}
	if c.operands(3) {
		c.x.d, c.x.a, c.x.b = c.dst(0, to), c.src(1, f32), c.src(2, f32)
	}
	c.x.exec = word2(1<<32-1, func(a, b uint64) uint64 {
		return outHalf(to, o, float64(o.in(a)))<<16 | outHalf(to, o, float64(o.in(b)))
	})
}

// compilePack is cvt.pack.sat: a above b, both clamped; for bytes the low half of c above them.
func compilePack(c *compiler) {
	if !c.has("sat") {
		c.fail("want .sat")
	}
	ts := c.takeTypes(len(c.in.args) - 1)
	if c.failed || len(ts) < 2 || ts[1] != s32 || !c.operands(3, 4) {
		c.fail("want .pack.sat.type.s32")
		return
	}
	to := ts[0]
	n := to.bits()
	c.x.d, c.x.a, c.x.b = c.dst(0, b32), c.src(1, s32), c.src(2, s32)
	x := extend(s32)
	pack := func(a, b uint64) uint64 {
		return clampInt(x(a), true, to)&to.mask()<<n | clampInt(x(b), true, to)&to.mask()
	}
	switch {
	case len(ts) == 2 && (to == u16 || to == s16):
		c.x.exec = word2(1<<32-1, pack)
	case len(ts) == 3 && (to == u8 || to == s8) && ts[2] == b32:
		c.x.c = c.src(3, b32)
		c.x.exec = word3(1<<32-1, func(a, b, rest uint64) uint64 { return pack(a, b) | rest<<(2*n) })
	default:
		c.fail("this form is not supported")
	}
}
