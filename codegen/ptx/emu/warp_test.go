package emu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestShfl compares all modes with their definition, over segments and distances.
func TestShfl(t *testing.T) {
	for _, mode := range []string{"idx", "up", "down", "bfly"} {
		var b strings.Builder
		var want []uint32
		for _, width := range []int{32, 16, 8, 1} {
			for _, n := range []int{0, 1, 2, 3, 7, 8, 15, 16, 31} {
				last := 31
				if mode == "up" {
					last = 0
				}
				c := (32-width)<<8 | last
				fmt.Fprintf(&b, "shfl.sync.%s.b32 %%r2|%%p2, %%r1, %d, %d, 0xffffffff;\nselp.u32 %%r3, 1000, 0, %%p2;\nadd.u32 %%r2, %%r2, %%r3;\n", mode, n, c)
				fmt.Fprintf(&b, "mad.wide.u32 %%rd1, %%ln, 4, %%out;\nst.global.u32 [%%rd1+%d], %%r2;\n", 4*len(want))
				for l := range 32 {
					from, ok := shflModel(mode, l, n, width)
					x := uint32(3 * l)
					if ok {
						x = uint32(3*from) + 1000
					}
					want = append(want, x)
				}
			}
		}
		got, err := runOne(t, one("mul.lo.u32 %r1, %ln, 3;\n"+b.String()), 32, len(want))
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: case %d lane %d: %d, want %d", mode, i/32, i%32, got[i], want[i])
			}
		}
	}
}

// shflModel is which lane of its segment of so many lanes a lane reads, and whether that is there.
func shflModel(mode string, l, n, width int) (from int, ok bool) {
	first := l / width * width
	at := l - first
	switch mode {
	case "idx":
		at = n % width
	case "up":
		at -= n
	case "down":
		at += n
	default: // may read earlier segments
		return l ^ n, l^n < first+width
	}
	return first + at, at >= 0 && at < width
}

// TestReduce runs votes, matches and reductions on whole warps and on halves with masks of their own.
func TestReduce(t *testing.T) {
	value := func(l int) uint32 { return uint32(l*l*977+l) % 19 * 0x08080801 }
	bit := func(l int) bool { return value(l)%3 == 0 }
	fold := func(f func(a, b uint32) uint32) func(lanes []int, l int) uint32 {
		return func(lanes []int, l int) uint32 {
			v := value(lanes[0])
			for _, k := range lanes[1:] {
				v = f(v, value(k))
			}
			return v
		}
	}
	ballot := func(lanes []int) (m uint32) {
		for _, k := range lanes {
			if bit(k) {
				m |= 1 << k
			}
		}
		return m
	}
	mask := func(lanes []int) (m uint32) {
		for _, k := range lanes {
			m |= 1 << k
		}
		return m
	}
	vote := func(f func(votes, all uint32) bool) func(lanes []int, l int) uint32 {
		return func(lanes []int, l int) uint32 { return uint32(truth(f(ballot(lanes), mask(lanes)))) }
	}
	const pick = " selp.u32 %r2, 1, 0, %p2;"
	var all strings.Builder
	var checks []func(d *Device)
	for _, c := range []struct {
		text string
		want func(lanes []int, l int) uint32
	}{
		{"redux.sync.add.u32 %r2, %r1, %r3;", fold(func(a, b uint32) uint32 { return a + b })},
		{"redux.sync.min.s32 %r2, %r1, %r3;", fold(func(a, b uint32) uint32 { return uint32(min(int32(a), int32(b))) })},
		{"redux.sync.max.u32 %r2, %r1, %r3;", fold(func(a, b uint32) uint32 { return max(a, b) })},
		{"redux.sync.and.b32 %r2, %r1, %r3;", fold(func(a, b uint32) uint32 { return a & b })},
		{"redux.sync.or.b32 %r2, %r1, %r3;", fold(func(a, b uint32) uint32 { return a | b })},
		{"redux.sync.xor.b32 %r2, %r1, %r3;", fold(func(a, b uint32) uint32 { return a ^ b })},
		{"vote.sync.ballot.b32 %r2, %p1, %r3;", func(lanes []int, l int) uint32 { return ballot(lanes) }},
		{"vote.sync.ballot.b32 %r2, !%p1, %r3;", func(lanes []int, l int) uint32 { return mask(lanes) &^ ballot(lanes) }},
		{"vote.sync.all.pred %p2, %p1, %r3;" + pick, vote(func(v, all uint32) bool { return v == all })},
		{"vote.sync.any.pred %p2, %p1, %r3;" + pick, vote(func(v, all uint32) bool { return v != 0 })},
		{"vote.sync.uni.pred %p2, %p1, %r3;" + pick, vote(func(v, all uint32) bool { return v == 0 || v == all })},
		{"match.any.sync.b32 %r2, %r1, %r3;", func(lanes []int, l int) (m uint32) {
			for _, k := range lanes {
				if value(k) == value(l) {
					m |= 1 << k
				}
			}
			return m
		}},
	} {
		for _, masks := range []string{"mov.u32 %r3, 0xffffffff;", // all
			"setp.lt.u32 %p3, %ln, 5; selp.b32 %r3, 31, 0xffffffe0, %p3;"} { // two sets, together at the instruction
			for _, apart := range []bool{false, true} {
				text := c.text
				if apart && strings.Contains(masks, "setp") { // and one after the other
					text = "@%p3 bra $a;\n" + c.text + "\nbra $b;\n$a:\n" + c.text + "\n$b:\n"
				}
				body := "mul.lo.u32 %r1, %ln, %ln; mad.lo.u32 %r1, %r1, 977, %ln; rem.u32 %r1, %r1, 19; mul.lo.u32 %r1, %r1, 0x08080801;\n" +
					"rem.u32 %r4, %r1, 3; setp.eq.u32 %p1, %r4, 0;\n" + masks + "\n" + text + "\n" + save("%r2")
				name := fmt.Sprint("k", len(checks))
				all.WriteString(named(name, body))
				checks = append(checks, func(d *Device) {
					got, err := runNamed(d, name, 32, 32)
					if err != nil {
						t.Fatal(err)
					}
					for l := range 32 {
						lanes := members(l, strings.Contains(masks, "setp"))
						if want := c.want(lanes, l); got[l] != want {
							t.Fatalf("%s, %s, apart %v: lane %d: %#x, want %#x", c.text, masks, apart, l, got[l], want)
						}
					}
				})
			}
		}
	}
	d := device(t, all.String())
	for _, check := range checks {
		check(d)
	}
}

// members are the lanes that take part with lane l: all, or those on its side of lane 5.
func members(l int, apart bool) (lanes []int) {
	for k := range 32 {
		if !apart || (k < 5) == (l < 5) {
			lanes = append(lanes, k)
		}
	}
	return lanes
}

// TestAtomics runs each operation by all lanes on one word and compares with one after the other; old values too.
func TestAtomics(t *testing.T) {
	type op struct {
		text string
		f    func(old, b uint64) uint64
		bits int
	}
	ops := []op{
		{"add.u32", func(a, b uint64) uint64 { return a + b }, 32},
		{"add.s32", func(a, b uint64) uint64 { return a + b }, 32},
		{"add.u64", func(a, b uint64) uint64 { return a + b }, 64},
		{"add.f32", func(a, b uint64) uint64 { return nan32(fl(a) + fl(b)) }, 32},
		{"add.f64", func(a, b uint64) uint64 {
			return math.Float64bits(math.Float64frombits(a) + math.Float64frombits(b))
		}, 64},
		{"min.u32", func(a, b uint64) uint64 { return min(a, b) }, 32},
		{"min.s32", func(a, b uint64) uint64 { return u(32, min(s(32, a), s(32, b))) }, 32},
		{"max.u64", func(a, b uint64) uint64 { return max(a, b) }, 64},
		{"max.s64", func(a, b uint64) uint64 { return uint64(max(int64(a), int64(b))) }, 64},
		{"and.b32", func(a, b uint64) uint64 { return a & b }, 32},
		{"or.b64", func(a, b uint64) uint64 { return a | b }, 64},
		{"xor.b32", func(a, b uint64) uint64 { return a ^ b }, 32},
		{"inc.u32", func(a, b uint64) uint64 { return map[bool]uint64{true: 0, false: a + 1}[a >= b] }, 32},
		{"dec.u32", func(a, b uint64) uint64 { return map[bool]uint64{true: b, false: a - 1}[a == 0 || a > b] }, 32},
		{"exch.b32", func(a, b uint64) uint64 { return b }, 32},
		{"exch.b64", func(a, b uint64) uint64 { return b }, 64},
		{"cas.b32", func(a, b uint64) uint64 { return map[bool]uint64{true: b + 1, false: a}[a == b] }, 32},
		{"cas.b64", func(a, b uint64) uint64 { return map[bool]uint64{true: b + 1, false: a}[a == b] }, 64},
		{"cas.b16", func(a, b uint64) uint64 { return map[bool]uint64{true: b + 1, false: a}[a == b] }, 16},
	}
	var all strings.Builder
	var checks []func(d *Device)
	for _, o := range ops {
		for _, space := range []string{".global", ".shared", ""} {
			for _, red := range []bool{false, true} {
				name, typ, _ := strings.Cut(o.text, ".")
				if red && (name == "exch" || name == "cas") {
					continue
				}
				kernel := fmt.Sprint("k", len(checks))
				all.WriteString(named(kernel, atomicBody(name, typ, space, red, o.bits)))
				checks = append(checks, func(d *Device) { checkAtomic(t, d, kernel, o.text+space, o.f, red) })
			}
		}
	}
	d := device(t, ".shared .align 8 .b64 word;\n"+all.String())
	for _, check := range checks {
		check(d)
	}
}

func atomicBody(name, typ, space string, red bool, bits int) string {
	reg, cell := map[int]string{16: "%h", 32: "%r", 64: "%rd"}[bits], "[%rd10]"
	if typ[0] == 'f' {
		reg = map[int]string{32: "%f", 64: "%fd"}[bits]
	}
	place := map[string]string{".global": "add.s64 %rd10, %out, 512;", ".shared": "mov.u64 %rd10, word;", "": "mov.u64 %rd10, word; cvta.shared.u64 %rd10, %rd10;"}[space]
	third := ""
	if name == "cas" {
		third = fmt.Sprintf(", %s3", reg)
	}
	in := fmt.Sprintf("ld.global.b%d %s1, [%%rd11];", bits, reg)
	init := fmt.Sprintf("ld.global.b%d %s2, [%%out+520]; @%%p1 st%s.b%d %s, %s2; bar.warp.sync -1;", bits, reg, space, bits, cell, reg)
	atom := fmt.Sprintf("atom.relaxed.gpu%s.%s.%s %s4, %s, %s1%s; st.global.b%d [%%rd11], %s4;", space, name, typ, reg, cell, reg, third, bits, reg)
	if red {
		atom = fmt.Sprintf("red%s.%s.%s %s, %s1;", space, name, typ, cell, reg)
	}
	more := ""
	if name == "cas" {
		more = fmt.Sprintf("add.u%d %s3, %s1, 1;", bits, reg, reg)
	}
	end := fmt.Sprintf("bar.warp.sync -1; @%%p1 ld%s.b%d %s5, %s; @%%p1 st.global.b%d [%%out+528], %s5;", space, bits, reg, cell, bits, reg)
	return strings.Join([]string{place, "mad.wide.u32 %rd11, %ln, 8, %out;", "setp.eq.u32 %p1, %ln, 0;", in, init, more, atom, end}, "\n")
}

func checkAtomic(t *testing.T, d *Device, kernel, text string, f func(old, b uint64) uint64, red bool) {
	name, typ, _ := strings.Cut(text, ".")
	typ, _, _ = strings.Cut(typ, ".")
	out := d.Alloc("out", 544)
	mem := d.Bytes(out)
	rng := rand.New(rand.NewPCG(uint64(len(text)), 3))
	ty := typeOf(typ)
	var x [32]uint64
	for l := range x {
		x[l] = anyValue(ty, rng)
		if name == "inc" || name == "dec" || name == "cas" {
			x[l] = uint64(rng.IntN(9))
		}
		put(mem[8*l:][:8], x[l])
	}
	old := x[7]
	put(mem[520:][:8], old)
	if err := d.Launch(kernel, [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, U64(out)); err != nil {
		t.Fatal(err)
	}
	for l := range x {
		if got := le.Uint64(mem[8*l:]) & ty.mask(); !red && got != old {
			t.Fatalf("%s: lane %d gets %#x, want %#x", text, l, got, old)
		}
		old = f(old, x[l]) & ty.mask()
	}
	if got := le.Uint64(mem[528:]) & ty.mask(); got != old {
		t.Fatalf("%s ends with %#x, want %#x", text, got, old)
	}
}
