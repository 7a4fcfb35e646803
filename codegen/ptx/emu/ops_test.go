package emu

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

// opCase is an instruction on registers %a, %b, %c and %e of types in, with its result in %d, and its meaning in Go.
type opCase struct {
	text string
	in   string // types, space separated
	out  string
	want func(x [4]uint64) uint64
}

// opThreads is how many operands each case is run on.
const opThreads = 512

var edges = map[kind][]uint64{
	kindBits: {0, 1, 2, 3, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x80807f01,
		0x12345678, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1, 0xfedcba9876543210},
}

var floatEdges = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 1.5, 2.5, -2.5, 3.4999, 1e-40, -1e-40, 0x1p-149, 0x1p-126, 0x1.fffffep127, -0x1.fffffep127, 1e9, 1 << 24, 1<<24 + 1, 2147483647,
	-2147483648, 4294967296, 127.5, -128.5, 65504, 65520, 6e-8, 1e-7, 0.1, math.Pi, math.Inf(1), math.Inf(-1), math.NaN(), 87.3, -100, 1.00390625, 255.5}

func anyFloat(rng *rand.Rand) float64 {
	if rng.IntN(3) > 0 {
		return floatEdges[rng.IntN(len(floatEdges))]
	}
	return (rng.Float64() - 0.5) * math.Ldexp(1, rng.IntN(60)-30)
}

// anyValue draws an operand of a type.
func anyValue(t typ, rng *rand.Rand) uint64 {
	switch t {
	case f32:
		return uint64(math.Float32bits(float32(anyFloat(rng))))
	case f64:
		return math.Float64bits(anyFloat(rng))
	case f16, bf16:
		return toHalf(t, anyFloat(rng))
	case f16x2, bf16x2:
		return toHalf(t, anyFloat(rng))<<16 | toHalf(t, anyFloat(rng))
	case pred:
		return uint64(rng.IntN(2))
	}
	if rng.IntN(4) == 0 {
		return rng.Uint64() & t.mask()
	}
	e := edges[kindBits]
	return e[rng.IntN(len(e))] & t.mask()
}

// kernel loads operands and stores the result, 8 bytes each, 64 for a thread.
func (c opCase) kernel(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".visible .entry %s(.param .u64 %s_p) {\n.reg .b64 %%base, %%wide;\n.reg .b32 %%t0, %%one;\n.reg .b16 %%half;\n.reg .pred %%q;\n", name, name)
	regs := []string{"%a", "%b", "%c", "%e"}
	for i, t := range strings.Fields(c.in) {
		fmt.Fprintf(&b, ".reg .%s %s;\n", t, regs[i])
	}
	fmt.Fprintf(&b, ".reg .%s %%d;\n.reg .b32 %%t1, %%t2, %%t3, %%t4;\nld.param.u64 %%base, [%s_p];\nmov.u32 %%t0, %%tid.x;\nmad.wide.u32 %%base, %%t0, 64, %%base;\n", c.out, name)
	for i, t := range strings.Fields(c.in) {
		at := fmt.Sprintf("[%%base+%d]", 8*i)
		switch typeOf(t) {
		case pred:
			fmt.Fprintf(&b, "ld.global.b32 %%one, %s;\nsetp.ne.b32 %s, %%one, 0;\n", at, regs[i])
		default:
			fmt.Fprintf(&b, "ld.global.b%d %s, %s;\n", typeOf(t).bits(), regs[i], at)
		}
	}
	fmt.Fprintf(&b, "mov.b64 %%wide, 0;\nst.global.b64 [%%base+56], %%wide;\n%s\n", c.text)
	if c.out == "pred" {
		b.WriteString("selp.b32 %one, 1, 0, %d;\nst.global.b32 [%base+56], %one;\nret;\n}\n")
	} else {
		fmt.Fprintf(&b, "st.global.b%d [%%base+56], %%d;\nret;\n}\n", typeOf(c.out).bits())
	}
	return b.String()
}

func (c opCase) run(t *testing.T, d *Device, name string) {
	in := strings.Fields(c.in)
	rng := rand.New(rand.NewPCG(1, uint64(len(c.text))))
	mem := d.Alloc("operands", 64*opThreads)
	defer d.Free(mem)
	b := d.Bytes(mem)
	for i := range opThreads {
		for j, typ := range in {
			put(b[64*i+8*j:][:8], anyValue(typeOf(typ), rng))
		}
	}
	if err := d.Launch(name, [3]int{1, 1, 1}, [3]int{opThreads, 1, 1}, 0, U64(mem)); err != nil {
		t.Errorf("%s: %v", c.text, err)
		return
	}
	for i := range opThreads {
		var x [4]uint64
		for j := range in {
			x[j] = le.Uint64(b[64*i+8*j:])
		}
		got, want := le.Uint64(b[64*i+56:]), c.want(x)
		if got != want {
			t.Errorf("%s: %#x gives %#x, want %#x", c.text, x[:len(in)], got, want)
			return
		}
	}
}

// TestOps runs every case of the tables.
func TestOps(t *testing.T) {
	cases := allOps()
	var b strings.Builder
	for i, c := range cases {
		b.WriteString(c.kernel(fmt.Sprint("k", i)))
	}
	d := device(t, b.String())
	for i, c := range cases {
		c.run(t, d, fmt.Sprint("k", i))
	}
}

func allOps() []opCase {
	var all []opCase
	for _, f := range []func() []opCase{intOps, bitOps, floatOps, halfOps, compareOps, convertOps, moveOps} {
		all = append(all, f()...)
	}
	return all
}

// Meanings on two's complement numbers.
func s(bits int, x uint64) int64 { return int64(x<<(64-bits)) >> (64 - bits) }

func u(bits int, x int64) uint64 { return uint64(x) << (64 - bits) >> (64 - bits) }

func intOps() []opCase {
	var all []opCase
	for _, n := range []int{16, 32, 64} {
		for _, sign := range []string{"u", "s"} {
			t := fmt.Sprintf("%s%d", sign, n)
			two, three := t+" "+t, t+" "+t+" "+t
			val := func(x uint64) int64 {
				if sign == "s" {
					return s(n, x)
				}
				return int64(x)
			}
			add := func(text, in string, f func(x [4]uint64) uint64) {
				all = append(all, opCase{strings.ReplaceAll(text, "T", t), in, t, f})
			}
			add("add.T %d, %a, %b;", two, func(x [4]uint64) uint64 { return u(n, int64(x[0]+x[1])) })
			add("sub.T %d, %a, %b;", two, func(x [4]uint64) uint64 { return u(n, int64(x[0]-x[1])) })
			add("mul.lo.T %d, %a, %b;", two, func(x [4]uint64) uint64 { return u(n, int64(x[0]*x[1])) })
			add("mad.lo.T %d, %a, %b, %c;", three, func(x [4]uint64) uint64 { return u(n, int64(x[0]*x[1]+x[2])) })
			hi := func(x [4]uint64) uint64 {
				if n < 64 {
					return u(n, val(x[0])*val(x[1])>>n)
				}
				h, _ := bits.Mul64(x[0], x[1])
				if sign == "s" {
					if int64(x[0]) < 0 {
						h -= x[1]
					}
					if int64(x[1]) < 0 {
						h -= x[0]
					}
				}
				return h
			}
			add("mul.hi.T %d, %a, %b;", two, hi)
			add("mad.hi.T %d, %a, %b, %c;", three, func(x [4]uint64) uint64 { return u(n, int64(hi(x)+x[2])) })
			isLess := func(a, b uint64) bool {
				if sign == "s" {
					return s(n, a) < s(n, b)
				}
				return a < b
			}
			add("min.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if isLess(x[1], x[0]) {
					return x[1]
				}
				return x[0]
			})
			add("max.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if isLess(x[0], x[1]) {
					return x[1]
				}
				return x[0]
			})
			// or 1, so that nothing is divided by zero
			or := fmt.Sprintf("or.b%d %%b, %%b, 1; ", n)
			add(or+"div.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if x[1] |= 1; sign == "u" {
					return x[0] / x[1]
				}
				return u(n, val(x[0])/val(x[1]))
			})
			add(or+"rem.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if x[1] |= 1; sign == "u" {
					return x[0] % x[1]
				}
				return u(n, val(x[0])%val(x[1]))
			})
			if n < 64 {
				wide := fmt.Sprintf("%s%d", sign, 2*n)
				all = append(all,
					opCase{"mul.wide." + t + " %d, %a, %b;", two, wide, func(x [4]uint64) uint64 { return u(2*n, val(x[0])*val(x[1])) }},
					opCase{"mad.wide." + t + " %d, %a, %b, %c;", two + " " + wide, wide, func(x [4]uint64) uint64 { return u(2*n, val(x[0])*val(x[1])+int64(x[2])) }})
			}
			if sign == "s" {
				add("neg.T %d, %a;", t, func(x [4]uint64) uint64 { return u(n, -int64(x[0])) })
				add("abs.T %d, %a;", t, func(x [4]uint64) uint64 { return u(n, max(val(x[0]), -val(x[0]))) })
			}
		}
	}
	return append(all, dotOps()...)
}

// dotOps are sums that saturate, and products of bytes.
func dotOps() []opCase {
	var all []opCase
	clamp := func(v int64) uint64 { return u(32, min(max(v, math.MinInt32), math.MaxInt32)) }
	all = append(all,
		opCase{"add.sat.s32 %d, %a, %b;", "s32 s32", "s32", func(x [4]uint64) uint64 { return clamp(s(32, x[0]) + s(32, x[1])) }},
		opCase{"sub.sat.s32 %d, %a, %b;", "s32 s32", "s32", func(x [4]uint64) uint64 { return clamp(s(32, x[0]) - s(32, x[1])) }})
	for _, a := range []string{"u", "s"} {
		for _, b := range []string{"u", "s"} {
			out := "u32"
			if a+b != "uu" {
				out = "s32"
			}
			in := a + "32 " + b + "32 " + out
			part := func(sign string, bits int, x uint64, i int) int64 {
				x = x >> (bits * i) & (1<<bits - 1)
				if sign == "s" {
					return s(bits, x)
				}
				return int64(x)
			}
			all = append(all, opCase{fmt.Sprintf("dp4a.%s32.%s32 %%d, %%a, %%b, %%c;", a, b), in, out, func(x [4]uint64) uint64 {
				sum := int64(x[2])
				for i := range 4 {
					sum += part(a, 8, x[0], i) * part(b, 8, x[1], i)
				}
				return u(32, sum)
			}})
			for at, half := range []string{"lo", "hi"} {
				all = append(all, opCase{fmt.Sprintf("dp2a.%s.%s32.%s32 %%d, %%a, %%b, %%c;", half, a, b), in, out, func(x [4]uint64) uint64 {
					return u(32, int64(x[2])+part(a, 16, x[0], 0)*part(b, 8, x[1], 2*at)+part(a, 16, x[0], 1)*part(b, 8, x[1], 2*at+1))
				}})
			}
		}
	}
	return all
}

func bitOps() []opCase {
	var all []opCase
	add := func(text, in, out string, f func(x [4]uint64) uint64) { all = append(all, opCase{text, in, out, f}) }
	for _, n := range []int{16, 32, 64} {
		t := fmt.Sprintf("b%d", n)
		sub := func(text string) string { return strings.ReplaceAll(text, "T", t) }
		add(sub("and.T %d, %a, %b;"), t+" "+t, t, func(x [4]uint64) uint64 { return x[0] & x[1] })
		add(sub("or.T %d, %a, %b;"), t+" "+t, t, func(x [4]uint64) uint64 { return x[0] | x[1] })
		add(sub("xor.T %d, %a, %b;"), t+" "+t, t, func(x [4]uint64) uint64 { return x[0] ^ x[1] })
		add(sub("not.T %d, %a;"), t, t, func(x [4]uint64) uint64 { return u(n, int64(^x[0])) })
		add(sub("cnot.T %d, %a;"), t, t, func(x [4]uint64) uint64 { return truth(x[0] == 0) })
		add(sub("shl.T %d, %a, %b;"), t+" u32", t, func(x [4]uint64) uint64 { return u(n, int64(x[0]<<min(x[1], 64))) })
		add(sub("shr.T %d, %a, %b;"), t+" u32", t, func(x [4]uint64) uint64 { return x[0] >> min(x[1], 64) })
		add(fmt.Sprintf("shr.s%d %%d, %%a, %%b;", n), t+" u32", t, func(x [4]uint64) uint64 { return u(n, s(n, x[0])>>min(x[1], uint64(n-1))) })
	}
	for _, n := range []int{32, 64} {
		t := fmt.Sprintf("b%d", n)
		sub := func(text string) string { return strings.ReplaceAll(text, "T", t) }
		add(sub("popc.T %d, %a;"), t, "u32", func(x [4]uint64) uint64 { return uint64(strings.Count(fmt.Sprintf("%b", x[0]), "1")) })
		add(sub("clz.T %d, %a;"), t, "u32", func(x [4]uint64) uint64 {
			c := uint64(0)
			for i := n - 1; i >= 0 && x[0]>>i&1 == 0; i-- {
				c++
			}
			return c
		})
		add(sub("brev.T %d, %a;"), t, t, func(x [4]uint64) (r uint64) {
			for i := range n {
				r |= x[0] >> i & 1 << (n - 1 - i)
			}
			return r
		})
		add(sub("bfi.T %d, %a, %b, %c, 5;"), t+" "+t+" u32", t, func(x [4]uint64) uint64 {
			r := x[1]
			for i := range uint64(5) {
				if at := x[2]&255 + i; at < uint64(n) {
					r = r&^(1<<at) | x[0]>>i&1<<at
				}
			}
			return r
		})
		for _, sign := range []string{"u", "s"} {
			ty := fmt.Sprintf("%s%d", sign, n)
			add(fmt.Sprintf("bfe.%s %%d, %%a, %%b, %%c;", ty), ty+" u32 u32", ty, func(x [4]uint64) (r uint64) {
				pos, length := x[1]&255, x[2]&255
				msb := uint64(n - 1)
				var sbit uint64
				if sign == "s" && length > 0 {
					sbit = x[0] >> min(pos+length-1, msb) & 1
				}
				for i := range uint64(n) {
					bit := sbit
					if i < length && pos+i <= msb {
						bit = x[0] >> (pos + i) & 1
					}
					r |= bit << i
				}
				return r
			})
			add(fmt.Sprintf("bfind.%s %%d, %%a;", ty), ty, "u32", func(x [4]uint64) uint64 { return findBit(n, sign == "s", x[0], false) })
			add(fmt.Sprintf("bfind.shiftamt.%s %%d, %%a;", ty), ty, "u32", func(x [4]uint64) uint64 { return findBit(n, sign == "s", x[0], true) })
		}
	}
	return append(all, byteOps()...)
}

// byteOps take words apart: by tables of bits, selectors of bytes, and shifts of two words.
func byteOps() []opCase {
	var all []opCase
	add := func(text, in, out string, f func(x [4]uint64) uint64) { all = append(all, opCase{text, in, out, f}) }
	for _, table := range []uint64{0x80, 0xfe, 0x96, 0xe8, 0xca, 0x1b} {
		add(fmt.Sprintf("lop3.b32 %%d, %%a, %%b, %%c, %d;", table), "b32 b32 b32", "b32", func(x [4]uint64) (r uint64) {
			for i := range 32 {
				r |= table >> (x[0]>>i&1<<2 | x[1]>>i&1<<1 | x[2]>>i&1) & 1 << i
			}
			return r
		})
	}
	for mode, sel := range map[string][4]string{"": {}, ".f4e": {"3210", "4321", "5432", "6543"}, ".b4e": {"5670", "6701", "7012", "0123"}, ".rc8": {"0000", "1111", "2222", "3333"},
		".ecl": {"3210", "3211", "3222", "3333"}, ".ecr": {"0000", "1110", "2210", "3210"}, ".rc16": {"1010", "3232", "1010", "3232"}} {
		add("prmt.b32"+mode+" %d, %a, %b, %c;", "b32 b32 b32", "b32", func(x [4]uint64) (r uint64) {
			bytes := x[1]<<32 | x[0]
			for i := range 4 {
				n := x[2] >> (4 * i) & 15
				if mode != "" {
					n = uint64(sel[x[2]&3][3-i] - '0')
				}
				b := bytes >> (8 * (n & 7)) & 255
				if n&8 != 0 {
					b = uint64(uint8(int8(b) >> 7))
				}
				r |= b << (8 * i)
			}
			return r
		})
	}
	for _, mode := range []string{"wrap", "clamp"} {
		amount := func(n uint64) uint64 {
			if mode == "wrap" {
				return n % 32
			}
			return min(n, 32)
		}
		add("shf.l."+mode+".b32 %d, %a, %b, %c;", "b32 b32 u32", "b32", func(x [4]uint64) uint64 {
			n := amount(x[2])
			return u(32, int64(x[1]<<n|x[0]>>(32-n)))
		})
		add("shf.r."+mode+".b32 %d, %a, %b, %c;", "b32 b32 u32", "b32", func(x [4]uint64) uint64 {
			n := amount(x[2])
			return u(32, int64(x[1]<<(32-n)|x[0]>>n))
		})
	}
	for _, op := range []struct {
		name string
		f    func(a, b bool) bool
	}{{"and", func(a, b bool) bool { return a && b }}, {"or", func(a, b bool) bool { return a || b }}, {"xor", func(a, b bool) bool { return a != b }}} {
		add(op.name+".pred %d, %a, %b;", "pred pred", "pred", func(x [4]uint64) uint64 { return truth(op.f(x[0] != 0, x[1] != 0)) })
	}
	add("not.pred %d, %a;", "pred", "pred", func(x [4]uint64) uint64 { return 1 - x[0] })
	return all
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func findBit(n int, signed bool, x uint64, shift bool) uint64 {
	if signed && x>>(n-1) != 0 {
		x = u(n, int64(^x))
	}
	for i := n - 1; i >= 0; i-- {
		if x>>i&1 != 0 {
			if shift {
				return uint64(n - 1 - i)
			}
			return uint64(i)
		}
	}
	return 0xffffffff
}
