package emu

import "math"

// These make an exec of a function of one lane. The function call costs about what the loop around it does; the commonest instructions have loops
// of their own where they are compiled.

// word1, word2 and word3 work on words; what is above the mask is cut off.
func word1(mask uint64, f func(a uint64) uint64) exec {
	return func(w *warp, in *inst) {
		d, a := w.r(in.d), w.r(in.a)
		if w.act == full {
			for l := range d {
				d[l] = f(a[l]) & mask
			}
			return
		}
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			d[l] = f(a[l]) & mask
		}
	}
}

func word2(mask uint64, f func(a, b uint64) uint64) exec {
	return func(w *warp, in *inst) {
		d, a, b := w.r(in.d), w.r(in.a), w.r(in.b)
		if w.act == full {
			for l := range d {
				d[l] = f(a[l], b[l]) & mask
			}
			return
		}
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			d[l] = f(a[l], b[l]) & mask
		}
	}
}

func word3(mask uint64, f func(a, b, c uint64) uint64) exec {
	return func(w *warp, in *inst) {
		d, a, b, c := w.r(in.d), w.r(in.a), w.r(in.b), w.r(in.c)
		if w.act == full {
			for l := range d {
				d[l] = f(a[l], b[l], c[l]) & mask
			}
			return
		}
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			d[l] = f(a[l], b[l], c[l]) & mask
		}
	}
}

// extend gives a word of type t as 64 bits, with its sign if it has one.
func extend(t typ) func(uint64) uint64 {
	if !t.signed() {
		return func(x uint64) uint64 { return x & t.mask() }
	}
	n := 64 - t.bits()
	return func(x uint64) uint64 { return uint64(int64(x<<n) >> n) }
}

// signed does an operation on two's complement numbers of type t.
func signed2(t typ, f func(a, b int64) int64) exec {
	n := 64 - t.bits()
	return word2(t.mask(), func(a, b uint64) uint64 { return uint64(f(int64(a<<n)>>n, int64(b<<n)>>n)) })
}

// float1, float2 and float3 work on float32 and make a NaN the one that NVIDIA's units give.
func float1(o rounding, f func(a float32) float32) exec {
	return word1(1<<32-1, func(a uint64) uint64 { return o.out(f(o.in(a))) })
}

func float2(o rounding, f func(a, b float32) float32) exec {
	return word2(1<<32-1, func(a, b uint64) uint64 { return o.out(f(o.in(a), o.in(b))) })
}

func float3(o rounding, f func(a, b, c float32) float32) exec {
	return word3(1<<32-1, func(a, b, c uint64) uint64 { return o.out(f(o.in(a), o.in(b), o.in(c))) })
}

// canonicalNaN is what float32 arithmetic gives for every NaN.
const canonicalNaN = 0x7fffffff

// rounding is what modifiers make of the operands and the result of float32 arithmetic.
type rounding struct{ ftz, sat bool }

func (o rounding) in(a uint64) float32 {
	if o.ftz && a&0x7f800000 == 0 {
		a &= 1 << 31
	}
	return math.Float32frombits(uint32(a))
}

func (o rounding) out(x float32) uint64 {
	if x != x {
		if o.sat {
			return 0
		}
		return canonicalNaN
	}
	if o.sat {
		x = min(max(x, 0), 1)
	}
	b := math.Float32bits(x)
	if o.ftz && b&0x7f800000 == 0 {
		b &= 1 << 31
	}
	return uint64(b)
}

// double1 and its like work on float64.
func double1(f func(a float64) float64) exec {
	return word1(^uint64(0), func(a uint64) uint64 { return math.Float64bits(f(math.Float64frombits(a))) })
}

func double2(f func(a, b float64) float64) exec {
	return word2(^uint64(0), func(a, b uint64) uint64 {
		return math.Float64bits(f(math.Float64frombits(a), math.Float64frombits(b)))
	})
}
