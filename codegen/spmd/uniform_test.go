package spmd

import (
	"github.com/ssmc/ssmc/internal/f32/f32test"

	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// uniformOp is a kernel of lanes 8 on two i64 (x, y) in the work space, that leaves an i64 in out.
type uniformOp struct {
	body string // defines %9
	want func(x, y int64) int64
}

func boolInt(c bool) int64 { return int64(flag32(c)) }

var uniformOps = []uniformOp{
	{"%9 = add i64 %3 %4", func(x, y int64) int64 { return x + y }},
	{"%9 = sub i64 %3 %4", func(x, y int64) int64 { return x - y }},
	{"%9 = mul i64 %3 %4", func(x, y int64) int64 { return x * y }},
	{"%9 = min i64 %3 %4", func(x, y int64) int64 { return min(x, y) }},
	{"%9 = max i64 %3 %4", func(x, y int64) int64 { return max(x, y) }},
	{"%9 = and i64 %3 %4", func(x, y int64) int64 { return x & y }},
	{"%9 = or i64 %3 %4", func(x, y int64) int64 { return x | y }},
	{"%9 = xor i64 %3 %4", func(x, y int64) int64 { return x ^ y }},
	{"%9 = neg i64 %3", func(x, _ int64) int64 { return -x }},
	{"%9 = shl i64 %3 63", func(x, _ int64) int64 { return x << 63 }},
	{"%9 = shr i64 %3 17", func(x, _ int64) int64 { return x >> 17 }},
	{"%5 = truncate i32 %3\n%9 = extend i64 %5", func(x, _ int64) int64 { return int64(int32(x)) }},
	{"%5 = cmp bool lt %3 %4\n%6 = cmp bool ne %3 %4\n%7 = and bool %5 %6\n%9 = select i64 %7 %4 %3", func(x, y int64) int64 { return max(x, y) }},
	{"%5 = cmp bool lt %3 %4\n%6 = cmp bool gt %3 %4\n%7 = xor bool %5 %6\n%8 = or bool %7 %5\n%20 = const i64 1\n%21 = const i64 0\n%9 = select i64 %8 %20 %21", func(x, y int64) int64 { return boolInt(x != y) }},
	{"%5 = const i64 7\n%6 = and i64 %3 %5\n%7 = const i64 3\n%9 = div i64 %6 %7", func(x, _ int64) int64 { return (x & 7) / 3 }},
	{"%5 = const i64 1023\n%6 = and i64 %3 %5\n%7 = const i64 10\n%9 = rem i64 %6 %7", func(x, _ int64) int64 { return (x & 1023) % 10 }},
	{"%5 = const i64 255\n%6 = and i64 %4 %5\n%7 = truncate i32 %6\n%10 = const i32 7\n%11 = div i32 %7 %10\n%12 = rem i32 %7 %10\n%13 = mul i32 %11 %10\n%14 = add i32 %13 %12\n%9 = extend i64 %14", func(_, y int64) int64 { return y & 255 }},
	{"%5 = cmp bool ge %3 %4\n%9 = if i64 %5 {\n%6 = sub i64 %3 %4\nyield %6\n} else {\nyield %4\n}", func(x, y int64) int64 {
		if x >= y {
			return x - y
		}
		return y
	}},
	{"%5 = rows i64\n%6 = seqs i64\n%7 = outs i64\n%8 = members i64\n%10 = member i64\n%11 = tile i64\n%12 = shl i64 %5 8\n%13 = shl i64 %6 4\n%14 = shl i64 %7 2\n%15 = add i64 %12 %13\n%16 = add i64 %14 %8\n%17 = add i64 %15 %16\n%18 = add i64 %10 %11\n%9 = add i64 %17 %18\nprefetch %0 %3 + 100000\nprefetchfar %0 %3 + 100000",
		func(_, _ int64) int64 { return 3<<8 + 1<<4 + 2<<2 + 1 }},
	{"%5 = const i64 1\n%6 = offset *i64 %0 %5\n%9 = load i64 %6", func(_, y int64) int64 { return y }},
}

func (c uniformOp) kernel(t testing.TB) *Kernel {
	t.Helper()
	text := fmt.Sprintf("kernel k lanes 8 team 0 (x *i64 work) {\n%%0 = param *i64 0\n%%3 = load i64 %%0\n%%4 = load i64 %%0 + 1\n%s\nstore %%0 + 2 = %%9\n}", c.body)
	k, err := ParseKernel(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return k
}

func TestUniformOps(t *testing.T) {
	edges := []int64{0, 1, -1, 2, 77, 1 << 31, -1 << 31, 1<<32 + 5, math.MaxInt64, math.MinInt64, 0x123456789abcdef}
	in := oneSequence(3)
	in.OutRow = []int32{0, 2}
	for _, c := range uniformOps {
		p := program(c.kernel(t), target(8), Grid{Panels: 1}, 0)
		m := machine(t, p, nil)
		for _, x := range edges {
			for _, y := range edges {
				le.PutUint64(m.Memory[Work], uint64(x))
				le.PutUint64(m.Memory[Work][8:], uint64(y))
				step(t, m, p, in)
				if got, want := int64(le.Uint64(m.Memory[Work][16:])), c.want(x, y); got != want {
					t.Fatalf("%s\nof %d and %d gives %d, want %d", c.body, x, y, got, want)
				}
			}
		}
	}
}

// TestMasks: masked loads and stores of -1, 0, 1, W-1, W and W+1 lanes, of each element type, at the very end of memory.
func TestMasks(t *testing.T) {
	for _, lanes := range allLanes {
		for e := I8; e <= F32; e++ {
			if e == I64 {
				continue // there are no lanes of it
			}
			for _, n := range []int{-1, 0, 1, lanes - 1, lanes, lanes + 1} {
				checkMask(t, lanes, e, n)
			}
		}
	}
}

func checkMask(t *testing.T, lanes int, e Elem, n int) {
	tg := target(lanes)
	b := NewBuilder("mask", tg)
	live := max(0, min(n, lanes))
	end := int64(1<<14)/e.Bytes() - int64(live) // so that one lane too many is beyond the end
	x, all := b.Param("x", e, Weights), b.Param("out", e, Work)
	wide := b.Param("wide", e.Reg(), Work)
	v := b.LoadVN(x, b.I(end), 0, b.I(int64(n)))
	b.StoreVN(all, b.I(end), 0, b.I(int64(n)), v)
	b.StoreV(wide, nil, 0, v)
	p := program(finish(t, b), tg, Grid{Panels: 1}, 0, 0, 0)
	w := make([]byte, 1<<14)
	for i := range w {
		w[i] = byte(i*7 + 1)
		if w[i]&0x7c == 0x7c {
			w[i] ^= 0x40 // no NaNs, whose bits need not be kept
		}
	}
	m := machine(t, p, w)
	poison(m.Memory[Work])
	step(t, m, p, oneSequence(1))
	size := int(e.Bytes())
	if d := cmp.Diff(w[int(end)*size:], m.Memory[Work][int(end)*size:]); d != "" {
		t.Errorf("%d lanes of %v below %d: %s", lanes, e, n, d)
	}
	for l := range lanes {
		got, want := le.Uint32(m.Memory[Work][4*l:]), uint32(0)
		if l < live {
			want = widen(e, w[(int(end)+l)*size:])
		}
		if got != want && !f32test.Same(f32(got), f32(want)) {
			t.Errorf("%d lanes of %v below %d: lane %d is %#x, want %#x", lanes, e, n, l, got, want)
		}
	}
}

func widen(e Elem, b []byte) uint32 {
	switch e {
	case I8:
		return uint32(int32(int8(b[0])))
	case U8:
		return uint32(b[0])
	case F16:
		h := uint32(le.Uint16(b))
		x := float32(math.Ldexp(float64(1024+h&1023), int(h>>10&31)-25)) // normal numbers; the test's bytes have no others
		if h>>10&31 == 0 {
			x = float32(math.Ldexp(float64(h&1023), -24))
		}
		if h>>10&31 == 31 {
			x = float32(math.Inf(1))
			if h&1023 != 0 {
				x = float32(math.NaN())
			}
		}
		return b32(x) | h>>15<<31
	case BF16:
		return uint32(le.Uint16(b)) << 16
	}
	return le.Uint32(b)
}

// TestReduce: the tree, for one value or several, over numbers of very different size.
func TestReduce(t *testing.T) {
	for _, lanes := range allLanes {
		tg := target(lanes)
		b := NewBuilder("reduce", tg)
		x, out := b.Param("x", F32, Weights), b.Param("out", F32, Work)
		var vs []*Value
		for i := range max(1, 16/lanes) {
			vs = append(vs, b.LoadV(x, nil, int64(i*lanes)))
		}
		b.Store(out, nil, 0, b.ReduceAdd(vs...))
		b.Store(out, nil, 1, b.ReduceMax(vs...))
		k := finish(t, b)
		xs := make([]float32, 32)
		for i := range xs {
			xs[i] = float32(math.Sin(float64(i)*3)) * float32(math.Pow(10, float64(i%9)-4))
		}
		a := func(i, j, k, l int) float32 {
			return (xs[i] + xs[i+8]) + (xs[j] + xs[j+8]) + ((xs[k] + xs[k+8]) + (xs[l] + xs[l+8]))
		}
		want := []float32{a(0, 4, 2, 6) + a(1, 5, 3, 7), 0}
		for _, v := range xs[:16] {
			want[1] = max(want[1], v)
		}
		w := make([]byte, 128)
		putFloats(w, xs)
		p := program(k, tg, Grid{Panels: 1}, 0, 0)
		m := machine(t, p, w)
		step(t, m, p, oneSequence(1))
		if d := cmp.Diff(want, floats(m.Memory[Work], 2)); d != "" {
			t.Errorf("lanes %d: %s", lanes, d)
		}
	}
}

// TestGather: lanes read backwards from an offset; a varying choice between them and the plain ones by bools that are computed in lanes.
func TestGather(t *testing.T) {
	for _, lanes := range allLanes {
		tg := target(lanes)
		b := NewBuilder("gather", tg)
		x, out := b.Param("x", I8, Weights), b.Param("out", I8, Work)
		lane := b.Lane()
		back := b.Sub(b.I32(int32(lanes-1)), lane)
		odd := b.Cmp(EQ, b.And(lane, b.I32(1)), b.I32(1))
		low := b.Cmp(LT, lane, b.I32(int32(lanes/2)))
		yes := b.Splat(b.Cmp(EQ, b.Tile(), b.I(0)))
		c := b.Or(b.And(odd, low), b.And(b.Xor(odd, yes), b.Xor(low, yes))) // odd and low, or neither
		b.StoreV(out, nil, 0, b.Select(c, b.Gather(x, back, 3), b.LoadV(x, nil, 0)))
		b.StoreV(out, nil, int64(lanes), b.Select(b.Cmp(NE, b.Tile(), b.I(0)), lane, back))
		p := program(finish(t, b), tg, Grid{Panels: 1}, 0, 0)
		w := make([]byte, 64)
		for i := range w {
			w[i] = byte(200 + i)
		}
		m := machine(t, p, w)
		step(t, m, p, oneSequence(1))
		want := make([]byte, 2*lanes)
		for l := range lanes {
			want[l], want[lanes+l] = w[l], byte(lanes-1-l)
			if l%2 == 1 == (l < lanes/2) {
				want[l] = w[lanes-1-l+3]
			}
		}
		if d := cmp.Diff(want, m.Memory[Work][:2*lanes]); d != "" {
			t.Errorf("lanes %d: %s", lanes, d)
		}
	}
}

// TestLoops: no trip, one, many; bounds and steps that do not meet; carried values that change places; nested loops; the largest integer as bound.
func TestLoops(t *testing.T) {
	for _, c := range []struct {
		lo, hi, step int64
		trips        int64
	}{{0, 0, 1, 0}, {5, 5, 3, 0}, {6, 5, 1, 0}, {0, 1, 9, 1}, {0, 17, 4, 5}, {-3, 4, 2, 4}, {math.MaxInt64 - 5, math.MaxInt64, 4, 2}, {math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64, 1}} {
		tg := target(8)
		b := NewBuilder("loop", tg)
		out := b.Param("out", I64, Work)
		at := b.Param("p", I64, Work)
		one := b.I(1)
		r := b.For(b.I(c.lo), b.I(c.hi), c.step, []*Value{b.I(0), b.I(10), b.I(20), at}, func(i *Value, v []*Value) []*Value {
			inner := b.For(b.I(0), v[0], 1, []*Value{b.I(0)}, func(_ *Value, u []*Value) []*Value { return []*Value{b.Add(u[0], one)} })
			b.Store(v[3], nil, 0, i)
			return []*Value{b.Add(inner[0], one), v[2], v[1], b.Offset(v[3], one)}
		})
		for i := range 3 {
			b.Store(out, nil, int64(i), r[i])
		}
		p := program(finish(t, b), tg, Grid{Panels: 1}, 0, 64)
		m := machine(t, p, nil)
		step(t, m, p, oneSequence(1))
		got := []int64{int64(le.Uint64(m.Memory[Work])), int64(le.Uint64(m.Memory[Work][8:])), int64(le.Uint64(m.Memory[Work][16:]))}
		want := []int64{c.trips, 10, 20}
		if c.trips%2 == 1 {
			want = []int64{c.trips, 20, 10}
		}
		for i := range c.trips {
			got, want = append(got, int64(le.Uint64(m.Memory[Work][64+8*i:]))), append(want, c.lo+i*c.step)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("for %d to %d step %d: %s", c.lo, c.hi, c.step, d)
		}
	}
}

// TestLoadRun: neighbours of a lane, and what is refused.
func TestLoadRun(t *testing.T) {
	for _, lanes := range allLanes {
		tg := target(lanes)
		b := NewBuilder("run", tg)
		x, out := b.Param("x", U8, Weights), b.Param("out", I32, Work)
		for r, v := range b.LoadRun(x, b.Tile(), 8, 4) {
			b.StoreV(out, nil, int64(r*lanes), v)
		}
		p := program(finish(t, b), tg, Grid{Panels: 1}, 0, 0)
		w := make([]byte, 256)
		for i := range w {
			w[i] = byte(i)
		}
		m := machine(t, p, w)
		step(t, m, p, oneSequence(1))
		for i := range 4 * lanes {
			if got, want := m.Memory[Work][4*i], w[8+i%lanes*4+i/lanes]; got != want {
				t.Errorf("lanes %d: result %d of lane %d is %d, want %d", lanes, i/lanes, i%lanes, got, want)
			}
		}
		p.Kernels[0].Body.Body[3].Imm = 6
		if err := machine(t, p, w).Step(p, oneSequence(1)); err == nil || !strings.Contains(err.Error(), "not at a multiple of a lane's 4 bytes") {
			t.Errorf("a run that is not aligned: %v", err)
		}
	}
	refused(t, "%1, %2, %3 = loadrun <f32>, <f32>, <f32> %0", "%1, %2, %3, %4, %5, %6, %7, %8 = loadrun <f32>, <f32>, <f32>, <f32>, <f32>, <f32>, <f32>, <f32> %0", "loadrun %0", "%1, %2 = loadrun <f32>, <i32> %0")
}

// refused wants the verifier to refuse each line behind a parameter %0 of floats.
func refused(t *testing.T, lines ...string) {
	t.Helper()
	for _, text := range lines {
		k, err := ParseKernel("kernel k lanes 8 team 0 (x *f32 weights) {\n%0 = param *f32 0\n" + text + "\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Verify(); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// gatherRuns stores four neighbours of each lane, the last lane's first.
func gatherRuns(t testing.TB, lanes int) *Program {
	tg := target(lanes)
	b := NewBuilder("run", tg)
	x, out := b.Param("x", U8, Weights), b.Param("out", I32, Work)
	back := b.Shl(b.Sub(b.I32(int32(lanes-1)), b.Lane()), 2)
	for r, v := range b.GatherRun(x, back, 8, 4) {
		b.StoreV(out, nil, int64(r*lanes), v)
	}
	return program(finish(t, b), tg, Grid{Panels: 1}, 0, 0)
}

// TestGatherRun: neighbours from where each lane says, and what is refused.
func TestGatherRun(t *testing.T) {
	for _, lanes := range allLanes {
		p := gatherRuns(t, lanes)
		w := make([]byte, 8+4*lanes)
		for i := range w {
			w[i] = byte(i)
		}
		m := machine(t, p, w)
		step(t, m, p, oneSequence(1))
		for i := range 4 * lanes {
			if got, want := m.Memory[Work][4*i], w[8+(lanes-1-i%lanes)*4+i/lanes]; got != want {
				t.Errorf("lanes %d: result %d of lane %d is %d, want %d", lanes, i/lanes, i%lanes, got, want)
			}
		}
		for imm, want := range map[int64]string{6: "not at a multiple of a lane's 4 bytes", 1 << 20: "of weights, which has"} {
			p.Kernels[0].Body.Walk(func(in *Instr) {
				if in.Op == OpGatherRun {
					in.Imm = imm
				}
			})
			if err := machine(t, p, w).Step(p, oneSequence(1)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a run from %d: error %v, want %q", imm, err, want)
			}
		}
	}
	refused(t, "%1 = lane <i32>\n%2, %3, %4 = gatherrun <f32>, <f32>, <f32> %0 %1", "%1 = lane <i32>\ngatherrun %0 %1", "%1 = lane <i32>\n%2, %3 = gatherrun <f32>, <i32> %0 %1", "%1, %2 = gatherrun <f32>, <f32> %0")
}
