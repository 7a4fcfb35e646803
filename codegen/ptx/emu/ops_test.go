package emu

import (
	"fmt"
	"math"
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
