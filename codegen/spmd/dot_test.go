package spmd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Columns, and groups of four bytes of a row, in the kernels below.
const (
	dotCols   = 32
	dotGroups = 11
)

// narrow stores a row of i32 as bytes, whole vectors and then the rest; a tile is a row.
func narrow(t testing.TB, tg Target) *Kernel {
	b := NewBuilder("narrow", tg)
	w := int64(tg.Lanes)
	x, q := b.Param("x", I32, Work), b.Param("q", I8, Work)
	at := b.Mul(b.Tile(), b.I(4*dotGroups))
	for n := int64(0); n < 4*dotGroups; n += w {
		if n+w <= 4*dotGroups {
			b.StoreV(q, at, n, b.LoadV(x, at, n))
		} else {
			rest := b.I(4*dotGroups - n)
			b.StoreVN(q, at, n, rest, b.LoadVN(x, at, n, rest))
		}
	}
	return finish(t, b)
}

// dotRows multiplies a row of bytes by 8-bit weights [groups][cols][4], and by 4-bit ones of which a word holds two groups: the first in the low
// halves of its bytes, and by the 8-bit ones again in halves of 16 bits. A tile is a row, which gives cols sums of each.
func dotRows(t testing.TB, tg Target) *Kernel {
	b := NewBuilder("dotrows", tg)
	a, w8, w4, out := b.Param("a", I32, Work), b.Param("w8", I32, Weights), b.Param("w4", I32, Weights), b.Param("out", I32, Work)
	m, low := b.Tile(), b.I32(0x0f0f0f0f)
	for n := int64(0); n < dotCols; n += int64(tg.Lanes) {
		row := b.Mul(m, b.I(dotGroups))
		acc := b.For(b.I(0), b.I(dotGroups), 1, []*Value{b.Splat(b.I32(-5))}, func(g *Value, c []*Value) []*Value {
			return []*Value{b.Dot4(c[0], b.Load(a, b.Add(row, g), 0), b.LoadV(w8, b.Mul(g, b.I(dotCols)), n))}
		})
		b.StoreV(out, b.Mul(m, b.I(3*dotCols)), n, acc[0])
		acc[0] = b.Splat(b.I32(-5))
		for g := int64(0); g < dotGroups; g++ {
			x, y := b.Load(a, row, g), b.LoadV(w8, nil, g*dotCols+n)
			acc[0] = b.Dot2(b.Dot2(acc[0], b.Byte16(x, 0), b.Byte16(y, 0)), b.Byte16(x, 1), b.Byte16(y, 1))
		}
		b.StoreV(out, b.Mul(m, b.I(3*dotCols)), 2*dotCols+n, acc[0])
		acc[0] = b.Splat(b.I32(7))
		for g := int64(0); g < dotGroups; g++ {
			code := b.LoadV(w4, nil, g/2*dotCols+n)
			if g%2 == 1 {
				code = b.Shrl(code, 4)
			}
			acc[0] = b.Dot4U(acc[0], b.And(code, low), b.Load(a, row, g), 15)
		}
		b.StoreV(out, b.Mul(m, b.I(3*dotCols)), dotCols+n, acc[0])
	}
	return finish(t, b)
}

// mmaRows is 8-bit dotRows by one mma8 of all rows of the step, 16 columns a tile.
func mmaRows(t testing.TB, tg Target) *Kernel {
	b := NewBuilder("mmarows", tg)
	a, w8, out := b.Param("a", I8, Work), b.Param("w8", I8, Weights), b.Param("out", I32, Work)
	c := b.Scratch(I32, 16*16)
	for m := range int64(16) {
		for n := int64(0); n < 16; n += int64(tg.Lanes) {
			b.StoreVN(c, nil, 16*m+n, b.I(16-n), b.I32(-5))
		}
	}
	at := b.Mul(b.Tile(), b.I(16))
	b.MMA8(c, a, b.Offset(w8, b.Mul(at, b.I(4))), b.I(dotGroups), b.Rows(), Strides{C: 16, A: 4 * dotGroups, B: 4 * dotCols}, 1)
	b.For(b.I(0), b.Rows(), 1, nil, func(m *Value, _ []*Value) []*Value {
		b.For(b.I(0), b.I(16), 1, nil, func(n *Value, _ []*Value) []*Value {
			b.Store(out, b.Add(b.Mul(m, b.I(dotCols)), b.Add(at, n)), 0, b.Load(c, b.Add(b.Mul(m, b.I(16)), n), 0))
			return nil
		})
		return nil
	})
	return finish(t, b)
}

func tiled(lanes int) Target {
	t := target(lanes)
	t.Dot, t.Tiles = DotUnsigned, true
	return t
}

// dotPrograms run the kernels on what the bytes of the memory happen to be: for texts.
func dotPrograms(t testing.TB, lanes int) []*Program {
	tg := tiled(lanes)
	return []*Program{
		program(narrow(t, tg), tg, Grid{Panels: 1, By: ByRowBlocks, Block: 1}, 0, 8192),
		program(dotRows(t, tg), tg, Grid{Panels: 1, By: ByRowBlocks, Block: 1}, 8192, 0, 4096, 0),
		program(mmaRows(t, tg), tg, Grid{Panels: dotCols / 16}, 8192, 0, 0),
	}
}

// dotCase is the matrices of a product as the kernels read them, and what comes out.
type dotCase struct {
	x              []int32 // whose low bytes are the rows
	w8, w4         []byte
	want8, want4   []int32
	rows           int
	weightsWithPad []byte
}

func newDotCase(rows int) *dotCase {
	r := rand.New(rand.NewPCG(uint64(rows), 2))
	const k = 4 * dotGroups
	c := &dotCase{rows: rows, w8: make([]byte, k*dotCols), w4: make([]byte, (dotGroups+1)/2*4*dotCols)}
	a := make([]int8, rows*k)
	code := func() int8 { return int8(r.IntN(255) - 127) }
	if rows == 1 { // the largest sums
		code = func() int8 { return 127 }
	}
	for i := range a {
		a[i] = code()
		c.x = append(c.x, int32(r.Uint32())&^0xff|int32(uint8(a[i])))
	}
	w8, w4 := make([]int8, k*dotCols), make([]int8, k*dotCols)
	for i := range w8 {
		w8[i], w4[i] = code(), int8(r.IntN(16))
		g, rest := i/(4*dotCols), i%(4*dotCols)
		c.w8[i] = byte(w8[i])
		c.w4[g/2*4*dotCols+rest] |= byte(w4[i]) << (4 * (g % 2))
	}
	for m := range rows {
		for n := range dotCols {
			sum8, sum4 := int32(-5), int32(7)
			for i := range k {
				at := i/4*4*dotCols + 4*n + i%4
				sum8 += int32(a[m*k+i]) * int32(w8[at])
				sum4 += int32(a[m*k+i]) * int32(w4[at])
			}
			c.want8, c.want4 = append(c.want8, sum8), append(c.want4, sum4)
		}
	}
	c.weightsWithPad = append(append(append([]byte(nil), c.w8...), make([]byte, 4096-len(c.w8))...), c.w4...)
	return c
}

// TestDot writes rows as bytes in one phase, and reads them as words of four in the next, and as the rows of an mma8 in the last.
func TestDot(t *testing.T) {
	for _, lanes := range allLanes {
		for _, rows := range []int{1, 2, 7, 16} {
			tg := tiled(lanes)
			c := newDotCase(rows)
			p := program(narrow(t, tg), tg, Grid{Panels: 1, By: ByRowBlocks, Block: 1}, 0, 3000)
			p.WorkBytes = 1 << 15
			p.Kernels = append(p.Kernels, dotRows(t, tg), mmaRows(t, tg))
			p.Phases = append(p.Phases,
				Phase{Name: "dot", Launches: []Launch{{Kernel: 1, Args: []int64{3000, 0, 4096, 8192}, Grid: Grid{Panels: 1, By: ByRowBlocks, Block: 1}}}},
				Phase{Name: "mma", Launches: []Launch{{Kernel: 2, Args: []int64{3000, 0, 16384}, Grid: Grid{Panels: dotCols / 16}}}})
			m := machine(t, p, c.weightsWithPad)
			m.Seed = uint64(rows)
			for i, x := range c.x {
				le.PutUint32(m.Memory[Work][4*i:], uint32(x))
			}
			step(t, m, p, oneSequence(rows))
			var got8, got4, got16, gotMMA []int32
			for i := range rows * dotCols {
				at := 8192 + 4*(i/dotCols*3*dotCols+i%dotCols)
				got8 = append(got8, int32(le.Uint32(m.Memory[Work][at:])))
				got4 = append(got4, int32(le.Uint32(m.Memory[Work][at+4*dotCols:])))
				got16 = append(got16, int32(le.Uint32(m.Memory[Work][at+8*dotCols:])))
				gotMMA = append(gotMMA, int32(le.Uint32(m.Memory[Work][16384+4*i:])))
			}
			for name, got := range map[string][2][]int32{"dot4": {c.want8, got8}, "dot4u": {c.want4, got4}, "dot2": {c.want8, got16}, "mma8": {c.want8, gotMMA}} {
				if d := cmp.Diff(got[0], got[1]); d != "" {
					t.Errorf("%s, lanes %d, %d rows: %s", name, lanes, rows, d)
				}
			}
		}
	}
}

// TestDotWraps: sums wrap, and what is multiplied by 0 may be any byte.
func TestDotWraps(t *testing.T) {
	for _, c := range []struct {
		op        string
		acc, a, b uint32
		want      int32
		err       string
	}{
		{op: "dot4", acc: 0x7fffffff, a: 0x01010101, b: 0x01010101, want: -2147483645},
		{op: "dot4", a: 0x81818181, b: 0x7f7f7f7f, want: -4 * 127 * 127},
		{op: "dot4", a: 0x80800001, b: 0x00000180, want: 128 - 256, err: "bytes 1 and -128"},
		{op: "dot4", a: 0x80800002, b: 0x00000103, want: 6},
		{op: "dot4", a: 0x00000080, b: 0x00000001, err: "lane 0: bytes -128 and 1: dot4 is for -127..127"},
		{op: "dot4u", a: 0xffffffff, b: 0x80808080, want: 4 * 255 * -128},
		{op: "dot4u", a: 0xffffffff, b: 0x7f7f7f7f, want: 4 * 255 * 127},
		{op: "dot4u 15", a: 0x0f0f100f, b: 0x80800080, want: 3 * 15 * -128},
		{op: "dot2", acc: 5, a: 0x8000_8000, b: 0x8000_8000, want: -2147483643},
		{op: "dot2", a: 0x0003_ffff, b: 0xfffe_7fff, want: -6 - 32767},
		{op: "dot4u 15", a: 0x011d, b: 0x0101, want: 30},
		{op: "dot4u 15", a: 0x021d, b: 0x0001, want: 29},
		{op: "dot4u 15", a: 0x021d, b: 0x0101, err: "lane 0: two bytes of a are 31 together: they were to be 30 at most"},
	} {
		op, most, _ := strings.Cut(c.op, " ")
		if op == "dot4u" && most == "" {
			most = "255"
		}
		text := fmt.Sprintf("kernel k lanes 8 team 0 (y *i32 work) {\n%%0 = param *i32 0\n%%1 = const i32 %d\n%%2 = const i32 %d\n%%3 = const i32 %d\n"+
			"%%4 = splat <i32> %%1\n%%5 = splat <i32> %%2\n%%6 = splat <i32> %%3\n%%7 = %s <i32> %%4 %%5 %%6 %s\nstorev %%0 = %%7\n}", int32(c.acc), int32(c.a), int32(c.b), op, most)
		k, err := ParseKernel(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		p := program(k, target(8), Grid{Panels: 1}, 0)
		m := machine(t, p, nil)
		err = m.Step(p, oneSequence(1))
		switch got := int32(le.Uint32(m.Memory[Work])); {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%+v: error %v", c, err)
		case c.err == "" && err != nil:
			t.Errorf("%+v: %v", c, err)
		case c.err == "" && got != c.want:
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestMMAFaults: an mma8 touches its rows, groups and columns, and no more; memory that other tiles write is not for it.
func TestMMAFaults(t *testing.T) {
	for _, c := range []struct{ name, call, want string }{
		{"all that there is", "mma8 %1 %0 %0 %4 %5 strides 16 64 64 tiles 1", ""},
		{"no rows", "mma8 %1 %0 %0 %4 %3 strides 16 64 64 tiles 1", "0 rows of 2 groups"},
		{"17 rows", "mma8 %1 %0 %0 %4 %6 strides 16 64 64 tiles 1", "17 rows"},
		{"fewer groups than none", "mma8 %1 %0 %0 %7 %5 strides 16 64 64 tiles 1", "-1 groups"},
		{"more groups than bytes of a row", "mma8 %1 %0 %0 %8 %5 strides 16 4 64 tiles 1", "of work, which has 16384"},
		{"columns beyond the scratch", "mma8 %1 %0 %0 %4 %5 strides 32 64 128 tiles 2", "of team scratch, which has 1024"},
		{"rows beyond the scratch", "mma8 %1 %0 %0 %4 %5 strides 17 64 64 tiles 1", "of team scratch, which has 1024"},
		{"other tiles write it", "mma8 %2 %0 %0 %4 %5 strides 16 64 64 tiles 1", "in this phase"},
	} {
		// Rows are 16 less what the number of tiles hides, so that they are no constant.
		text := "kernel k lanes 8 team 1024 (a *i8 work, c *i32 work) {\n%0 = param *i8 0\n%1 = scratch *i32 0\n%2 = param *i32 1\n%10 = rows i64\n%11 = const i64 1\n%3 = sub i64 %10 %11\n" +
			"%4 = add i64 %10 %11\n%12 = const i64 15\n%5 = add i64 %10 %12\n%6 = add i64 %5 %11\n%7 = sub i64 %3 %11\n%13 = const i64 1000000\n%8 = add i64 %10 %13\n" + c.call + "\n}"
		k, err := ParseKernel(text)
		if err != nil {
			t.Fatal(err)
		}
		tg := tiled(8)
		p := program(k, tg, Grid{Panels: 2}, 0, 8192)
		err = machine(t, p, nil).Step(p, oneSequence(1))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want ...%s...", c.name, err, c.want)
		}
	}
}
