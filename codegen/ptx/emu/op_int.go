package emu

import "math/bits"

// Integer arithmetic. add, sub, mul, min, max, neg and abs are of floats too, which is decided by the type.

var integers = []typ{u16, u32, u64, s16, s32, s64}

// args3 sets d, a and b, all of type t.
func (c *compiler) args3(t typ) {
	if c.operands(3) {
		c.x.d, c.x.a, c.x.b = c.dst(0, t), c.src(1, t), c.src(2, t)
	}
}

// args4 sets d, a, b and c.
func (c *compiler) args4(t typ) {
	if c.operands(4) {
		c.x.d, c.x.a, c.x.b, c.x.c = c.dst(0, t), c.src(1, t), c.src(2, t), c.src(3, t)
	}
}

func (c *compiler) args2(t typ) {
	if c.operands(2) {
		c.x.d, c.x.a = c.dst(0, t), c.src(1, t)
	}
}

// floating says whether the instruction at hand has a float type, by the last of its modifiers.
func (c *compiler) floating() bool {
	for _, m := range c.mods {
		if typeOf(m).isFloat() {
			return true
		}
	}
	return false
}

func compileAdd(c *compiler) {
	if c.floating() {
		compileFloat2(c, floatAdd)
		return
	}
	t := c.typ(integers...)
	c.args3(t)
	c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return a + b })
	switch {
	case t.bytes() == 4:
		c.x.exec = add32
	case t.bytes() == 8:
		c.x.exec = add64
	}
	if c.has("sat") {
		if t != s32 {
			c.fail(".sat is for .s32")
		}
		c.x.exec = signed2(s32, func(a, b int64) int64 { return saturate(a + b) })
	}
}

func add32(w *warp, in *inst) {
	d, a, b := w.r(in.d), w.r(in.a), w.r(in.b)
	if w.act == full {
		for l := range d {
			d[l] = uint64(uint32(a[l] + b[l]))
		}
		return
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		d[l] = uint64(uint32(a[l] + b[l]))
	}
}

func add64(w *warp, in *inst) {
	d, a, b := w.r(in.d), w.r(in.a), w.r(in.b)
	if w.act == full {
		for l := range d {
			d[l] = a[l] + b[l]
		}
		return
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		d[l] = a[l] + b[l]
	}
}

func saturate(x int64) int64 { return min(max(x, -1<<31), 1<<31-1) }

func compileSub(c *compiler) {
	if c.floating() {
		compileFloat2(c, floatSub)
		return
	}
	t := c.typ(integers...)
	c.args3(t)
	c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return a - b })
	if c.has("sat") {
		if t != s32 {
			c.fail(".sat is for .s32")
		}
		c.x.exec = signed2(s32, func(a, b int64) int64 { return saturate(a - b) })
	}
}

// product is the part of a*b that .lo, .hi or .wide asks for.
func product(part string, t typ) func(a, b uint64) uint64 {
	x := extend(t)
	switch {
	case part == "lo":
		return func(a, b uint64) uint64 { return a * b }
	case part == "wide":
		return func(a, b uint64) uint64 { return x(a) * x(b) }
	case t == u64:
		return func(a, b uint64) uint64 { h, _ := bits.Mul64(a, b); return h }
	case t == s64:
		return func(a, b uint64) uint64 {
			h, _ := bits.Mul64(a, b)
			return h - uint64(int64(a)>>63)&b - uint64(int64(b)>>63)&a
		}
	}
	return func(a, b uint64) uint64 { return x(a) * x(b) >> t.bits() }
}

// wide is the type of the result of mul and mad.
func (c *compiler) wide(part string, t typ) typ {
	if part != "wide" {
		return t
	}
	if t.bytes() == 8 {
		c.fail(".wide of 64 bits")
		return t
	}
	return sized(t.kind(), 2*t.bytes())
}

func compileMul(c *compiler) {
	if c.floating() {
		compileFloat2(c, floatMul)
		return
	}
	part, t := c.need("lo", "hi", "wide"), c.typ(integers...)
	to := c.wide(part, t)
	if c.operands(3) {
		c.x.d, c.x.a, c.x.b = c.dst(0, to), c.src(1, t), c.src(2, t)
	}
	c.x.exec = word2(to.mask(), product(part, t))
}

func compileMad(c *compiler) {
	if c.floating() {
		c.fail("use fma")
		return
	}
	part, t := c.need("lo", "hi", "wide"), c.typ(integers...)
	to := c.wide(part, t)
	if c.operands(4) {
		c.x.d, c.x.a, c.x.b, c.x.c = c.dst(0, to), c.src(1, t), c.src(2, t), c.src(3, to)
	}
	mul := product(part, t)
	c.x.exec = word3(to.mask(), func(a, b, c uint64) uint64 { return mul(a, b) + c })
}

func compileDiv(c *compiler) {
	if c.floating() {
		compileFloatDiv(c)
		return
	}
	c.divide(func(a, b uint64) uint64 { return a / b }, func(a, b int64) int64 { return a / b })
}

func compileRem(c *compiler) {
	c.divide(func(a, b uint64) uint64 { return a % b }, func(a, b int64) int64 { return a % b })
}

// divide refuses a divisor of zero: what PTX makes of it is not defined. (The quotient of the lowest number and -1 wraps, in Go too.)
func (c *compiler) divide(u func(a, b uint64) uint64, s func(a, b int64) int64) {
	t := c.typ(integers...)
	c.args3(t)
	e := word2(t.mask(), u)
	if t.signed() {
		e = signed2(t, s)
	}
	c.x.exec = func(w *warp, in *inst) {
		b := w.r(in.b)
		for m := w.act; m != 0; m &= m - 1 {
			if b[w.lane(m)] == 0 {
				w.fault(in, w.lane(m), "division by zero")
				return
			}
		}
		e(w, in)
	}
}

func compileMin(c *compiler) {
	if c.floating() {
		compileFloatMinMax(c, true)
		return
	}
	t := c.typ(integers...)
	c.args3(t)
	c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return min(a, b) })
	if t.signed() {
		c.x.exec = signed2(t, func(a, b int64) int64 { return min(a, b) })
	}
}

func compileMax(c *compiler) {
	if c.floating() {
		compileFloatMinMax(c, false)
		return
	}
	t := c.typ(integers...)
	c.args3(t)
	c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return max(a, b) })
	if t.signed() {
		c.x.exec = signed2(t, func(a, b int64) int64 { return max(a, b) })
	}
}

func compileNeg(c *compiler) {
	if c.floating() {
		compileSign(c, func(x, sign uint64) uint64 { return x ^ sign })
		return
	}
	t := c.typ(s16, s32, s64)
	c.args2(t)
	c.x.exec = word1(t.mask(), func(a uint64) uint64 { return -a })
}

func compileAbs(c *compiler) {
	if c.floating() {
		compileSign(c, func(x, sign uint64) uint64 { return x &^ sign })
		return
	}
	t := c.typ(s16, s32, s64)
	c.args2(t)
	x := extend(t)
	c.x.exec = word1(t.mask(), func(a uint64) uint64 {
		if v := int64(x(a)); v < 0 {
			return uint64(-v)
		}
		return a
	})
}

// quad is the four bytes of a word, with their sign if they have one.
func quad(x uint64, signed bool) [4]int64 {
	var out [4]int64
	for i := range out {
		b := byte(x >> (8 * i))
		out[i] = int64(b)
		if signed {
			out[i] = int64(int8(b))
		}
	}
	return out
}

// dotArgs reads two types and four operands: dp4a and dp2a have a 32-bit sum, signed if one of the factors is.
func (c *compiler) dotArgs() (signedA, signedB bool) {
	ts := c.takeTypes(2)
	to := u32
	for _, t := range ts {
		if t != u32 && t != s32 {
			c.fail("type .%v is not supported here", t)
		}
		if t == s32 {
			to = s32
		}
	}
	if c.operands(4) {
		c.x.d, c.x.a, c.x.b, c.x.c = c.dst(0, to), c.src(1, ts[0]), c.src(2, ts[1]), c.src(3, to)
	}
	return ts[0] == s32, ts[1] == s32
}

func compileDp4a(c *compiler) {
	sa, sb := c.dotArgs()
	c.x.exec = word3(1<<32-1, func(a, b, sum uint64) uint64 {
		x, y := quad(a, sa), quad(b, sb)
		return sum + uint64(x[0]*y[0]+x[1]*y[1]+x[2]*y[2]+x[3]*y[3])
	})
}

// dp2a multiplies the two halves of a by the lower or upper two bytes of b.
func compileDp2a(c *compiler) {
	at := 0
	if c.need("lo", "hi") == "hi" {
		at = 2
	}
	sa, sb := c.dotArgs()
	half := extend(u16)
	if sa {
		half = extend(s16)
	}
	c.x.exec = word3(1<<32-1, func(a, b, sum uint64) uint64 {
		y := quad(b, sb)
		return sum + half(a)*uint64(y[at]) + half(a>>16)*uint64(y[at+1])
	})
}
