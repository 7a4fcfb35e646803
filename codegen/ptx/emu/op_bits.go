package emu

import "math/bits"

var bitTypes = []typ{b16, b32, b64}

// bitwise is and, or and xor: of words, or of predicates.
func (c *compiler) bitwise(word func(a, b uint64) uint64, mask func(a, b uint32) uint32) {
	t := c.typ(pred, b16, b32, b64)
	if t != pred {
		c.args3(t)
		c.x.exec = word2(t.mask(), word)
		return
	}
	if !c.operands(3) {
		return
	}
	c.x.d = c.predDest(c.arg(0).name)
	var fa, fb uint32
	c.x.a, fa = c.predOrConstant(1)
	c.x.b, fb = c.predOrConstant(2)
	c.x.exec = func(w *warp, in *inst) {
		a, b := fa, fb
		if in.a >= 0 {
			a ^= *w.p(in.a)
		}
		if in.b >= 0 {
			b ^= *w.p(in.b)
		}
		w.setPred(in.d, mask(a, b))
	}
}

// predOrConstant is a predicate, or 0 or 1: then slot is -1 and flip what all lanes have.
func (c *compiler) predOrConstant(i int) (slot int32, flip uint32) {
	if o := c.arg(i); o.kind == argInt {
		if o.value != 0 {
			flip = full
		}
		return -1, flip
	}
	return c.predSource(i)
}

func compileAnd(c *compiler) {
	c.bitwise(func(a, b uint64) uint64 { return a & b }, func(a, b uint32) uint32 { return a & b })
}

func compileOr(c *compiler) {
	c.bitwise(func(a, b uint64) uint64 { return a | b }, func(a, b uint32) uint32 { return a | b })
}

func compileXor(c *compiler) {
	c.bitwise(func(a, b uint64) uint64 { return a ^ b }, func(a, b uint32) uint32 { return a ^ b })
}

func compileNot(c *compiler) {
	t := c.typ(pred, b16, b32, b64)
	if t != pred {
		c.args2(t)
		c.x.exec = word1(t.mask(), func(a uint64) uint64 { return ^a })
		return
	}
	c.movePred(full)
}

func compileCnot(c *compiler) {
	t := c.typ(bitTypes...)
	c.args2(t)
	c.x.exec = word1(1, func(a uint64) uint64 {
		if a == 0 {
			return 1
		}
		return 0
	})
}

// shiftArgs sets d and a of type t, and b of .u32.
func (c *compiler) shiftArgs(t typ) {
	if c.operands(3) {
		c.x.d, c.x.a, c.x.b = c.dst(0, t), c.src(1, t), c.src(2, u32)
	}
}

// Shifts by the width and more give zeros, or the sign: Go's do.
func compileShl(c *compiler) {
	t := c.typ(bitTypes...)
	c.shiftArgs(t)
	c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return a << b })
}

func compileShr(c *compiler) {
	t := c.typ(b16, b32, b64, u16, u32, u64, s16, s32, s64)
	c.shiftArgs(t)
	c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return a >> b })
	if t.signed() {
		x := extend(t)
		c.x.exec = word2(t.mask(), func(a, b uint64) uint64 { return uint64(int64(x(a)) >> b) })
	}
}

// compileShf shifts the 64 bits of two words and gives the upper (l) or lower (r) one.
func compileShf(c *compiler) {
	left, clamp := c.need("l", "r") == "l", c.need("wrap", "clamp") == "clamp"
	c.typ(b32)
	c.args4(b32)
	c.x.exec = word3(1<<32-1, func(a, b, n uint64) uint64 {
		x := b<<32 | a
		if clamp {
			n = min(n, 32)
		} else {
			n &= 31
		}
		if left {
			return x << n >> 32
		}
		return x >> n
	})
}

func compileBfe(c *compiler) {
	t := c.typ(u32, s32, u64, s64)
	if c.operands(4) {
		c.x.d, c.x.a, c.x.b, c.x.c = c.dst(0, t), c.src(1, t), c.src(2, u32), c.src(3, u32)
	}
	x, width := extend(t), uint64(t.bits())
	c.x.exec = word3(t.mask(), func(a, pos, n uint64) uint64 {
		pos, n = pos&255, n&255
		if n == 0 {
			return 0
		}
		if !t.signed() {
			return a >> pos & (1<<n - 1)
		}
		sign := x(a) >> min(pos+n-1, width-1) & 1
		v := uint64(int64(x(a)) >> pos)
		if n >= 64 {
			return v
		}
		return v&(1<<n-1) | -sign<<n
	})
}

func compileBfi(c *compiler) {
	t := c.typ(b32, b64)
	if !c.operands(5) {
		return
	}
	c.x.d, c.x.a, c.x.b, c.x.c = c.dst(0, t), c.src(1, t), c.src(2, t), c.src(3, u32)
	c.x.list = []int32{c.src(4, u32)}
	mask := t.mask()
	c.x.exec = func(w *warp, in *inst) {
		d, a, b, pos, n := w.r(in.d), w.r(in.a), w.r(in.b), w.r(in.c), w.r(in.list[0])
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			field := (uint64(1)<<(n[l]&255) - 1) << (pos[l] & 255)
			d[l] = (b[l]&^field | a[l]<<(pos[l]&255)&field) & mask
		}
	}
}

func compileBfind(c *compiler) {
	shift := c.has("shiftamt")
	t := c.typ(u32, s32, u64, s64)
	if c.operands(2) {
		c.x.d, c.x.a = c.dst(0, u32), c.src(1, t)
	}
	x := extend(t)
	c.x.exec = word1(1<<32-1, func(a uint64) uint64 {
		v := x(a)
		if t.signed() && int64(v) < 0 {
			v = ^v
		}
		n := uint64(bits.Len64(v)) - 1
		if shift && n != ^uint64(0) {
			return uint64(t.bits()) - 1 - n
		}
		return n
	})
}

func compileBrev(c *compiler) {
	t := c.typ(b32, b64)
	c.args2(t)
	c.x.exec = word1(t.mask(), func(a uint64) uint64 { return bits.Reverse64(a) >> (64 - t.bits()) })
}

func compileClz(c *compiler) {
	t := c.typ(b32, b64)
	if c.operands(2) {
		c.x.d, c.x.a = c.dst(0, u32), c.src(1, t)
	}
	c.x.exec = word1(255, func(a uint64) uint64 { return uint64(t.bits() - bits.Len64(a)) })
}

func compilePopc(c *compiler) {
	t := c.typ(b32, b64)
	if c.operands(2) {
		c.x.d, c.x.a = c.dst(0, u32), c.src(1, t)
	}
	c.x.exec = word1(255, func(a uint64) uint64 { return uint64(bits.OnesCount64(a)) })
}

// compileLop3 applies a table of eight bits: that of a, b and c is bit 4a + 2b + c.
func compileLop3(c *compiler) {
	c.typ(b32)
	if !c.operands(5) {
		return
	}
	c.x.d, c.x.a, c.x.b, c.x.c = c.dst(0, b32), c.src(1, b32), c.src(2, b32), c.src(3, b32)
	o := c.arg(4)
	if o.kind != argInt || o.value > 255 {
		c.fail("the table is a constant of eight bits")
	}
	c.x.exec = word3(1<<32-1, func(a, b, c uint64) uint64 {
		var d uint64
		for i := range uint64(8) {
			if o.value>>i&1 != 0 {
				d |= pick(a, i&4) & pick(b, i&2) & pick(c, i&1)
			}
		}
		return d
	})
}

// pick is a where the bit is set, and its complement where not.
func pick(a, bit uint64) uint64 {
	if bit != 0 {
		return a
	}
	return ^a
}

// prmtModes give the selector of the special modes by the two low bits of c.
var prmtModes = map[string][4]uint64{
	"f4e":  {0x3210, 0x4321, 0x5432, 0x6543},
	"b4e":  {0x5670, 0x6701, 0x7012, 0x0123},
	"rc8":  {0x0000, 0x1111, 0x2222, 0x3333},
	"ecl":  {0x3210, 0x3211, 0x3222, 0x3333},
	"ecr":  {0x0000, 0x1110, 0x2210, 0x3210},
	"rc16": {0x1010, 0x3232, 0x1010, 0x3232},
}

func compilePrmt(c *compiler) {
	mode := c.oneOf("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
	c.typ(b32)
	c.args4(b32)
	table, special := prmtModes[mode]
	c.x.exec = word3(1<<32-1, func(a, b, sel uint64) uint64 {
		if special {
			sel = table[sel&3]
		}
		x := b<<32 | a
		var d uint64
		for i := range 4 {
			s := sel >> (4 * i)
			v := x >> (8 * (s & 7)) & 255
			if s&8 != 0 {
				v = -(v >> 7) & 255
			}
			d |= v << (8 * i)
		}
		return d
	})
}
