package emu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// The layouts of fragments as the PTX ISA gives them: where element i of a lane's A, B and sums stands, written out from its figures.
type layout struct {
	k          int
	a, b       func(lane, i int) (row, col int)
	na, nb     int // elements of a lane
	perWord    int
	shape, typ string
}

func rowC(lane, i int) (row, col int) {
	row = lane >> 2
	if i >= 2 {
		row += 8
	}
	return row, lane%4*2 + i&1
}

var layouts = []layout{
	{32, func(l, i int) (int, int) {
		row, col := l>>2, l%4*4+i&3
		if i >= 4 && i < 8 || i >= 12 {
			row += 8
		}
		if i >= 8 {
			col += 16
		}
		return row, col
	}, func(l, i int) (int, int) {
		row := l%4*4 + i&3
		if i >= 4 {
			row += 16
		}
		return row, l >> 2
	}, 16, 8, 4, "m16n8k32", "s32"},
	{16, func(l, i int) (int, int) {
		row := l >> 2
		if i >= 4 {
			row += 8
		}
		return row, l%4*4 + i&3
	}, func(l, i int) (int, int) { return l%4*4 + i&3, l >> 2 }, 8, 4, 4, "m16n8k16", "s32"},
	{16, func(l, i int) (int, int) {
		row, col := l>>2, l%4*2+i&1
		if i == 2 || i == 3 || i >= 6 {
			row += 8
		}
		if i >= 4 {
			col += 8
		}
		return row, col
	}, func(l, i int) (int, int) {
		row := l%4*2 + i&1
		if i >= 2 {
			row += 8
		}
		return row, l >> 2
	}, 8, 4, 2, "m16n8k16", "f32"},
	{8, func(l, i int) (int, int) {
		row := l >> 2
		if i >= 2 {
			row += 8
		}
		return row, l%4*2 + i&1
	}, func(l, i int) (int, int) { return l%4*2 + i&1, l >> 2 }, 4, 2, 2, "m16n8k8", "f32"},
	{8, func(l, i int) (int, int) {
		row, col := l>>2, l%4
		if i&1 != 0 {
			row += 8
		}
		if i >= 2 {
			col += 4
		}
		return row, col
	}, func(l, i int) (int, int) { return l%4 + 4*i, l >> 2 }, 4, 2, 1, "m16n8k8", "f32 tf32"},
}

// TestMMA multiplies matrices by fragments and compares with plain loops.
func TestMMA(t *testing.T) {
	for _, y := range layouts {
		types := [][2]string{{"bf16", "bf16"}, {"f16", "f16"}}
		switch y.perWord {
		case 4:
			types = [][2]string{{"s8", "s8"}, {"u8", "s8"}, {"s8", "u8"}, {"u8", "u8"}}
		case 1:
			types = [][2]string{{"tf32", "tf32"}}
		}
		for _, ab := range types {
			for _, sat := range []bool{false, true} {
				if !sat || y.perWord == 4 {
					y.check(t, ab[0], ab[1], sat)
				}
			}
		}
	}
}

func list(reg string, from, n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s%d", reg, from+i))
	}
	return "{" + strings.Join(out, ", ") + "}"
}

func (y layout) check(t *testing.T, ta, tb string, sat bool) {
	name := strings.Join([]string{y.shape, ta, tb}, " ")
	acc, reg, mod := "s32", "%r", ""
	if y.perWord < 4 {
		acc, reg = "f32", "%f"
	}
	if sat {
		mod = ".satfinite"
	}
	wa, wb := y.na/y.perWord, y.nb/y.perWord
	// Each lane has 16 words: a, b, then the sums at 8, results at 12.
	var b strings.Builder
	b.WriteString("mad.wide.u32 %rd1, %ln, 64, %out;\n")
	for i := range wa + wb {
		fmt.Fprintf(&b, "ld.global.b32 %%r%d, [%%rd1+%d];\n", 20+i, 4*i)
	}
	for i := range 4 {
		fmt.Fprintf(&b, "ld.global.b32 %s%d, [%%rd1+%d];\n", reg, i, 32+4*i)
	}
	fmt.Fprintf(&b, "mma.sync.aligned.%s.row.col%s.%s.%s.%s.%s %s, %s, %s, %s;\n", y.shape, mod, acc, ta, tb, acc,
		list(reg, 4, 4), list("%r", 20, wa), list("%r", 20+wa, wb), list(reg, 0, 4))
	for i := range 4 {
		fmt.Fprintf(&b, "st.global.b32 [%%rd1+%d], %s%d;\n", 48+4*i, reg, 4+i)
	}
	d := device(t, one(b.String()))
	out := d.Alloc("out", 64*32)
	mem := d.Bytes(out)
	rng := rand.New(rand.NewPCG(5, uint64(y.k)))
	var ma, mb, mc [16][32]float64
	at := func(l, word int) []byte { return mem[64*l+4*word:][:4] }
	for l := range 32 {
		for i := range y.na {
			row, col := y.a(l, i)
			ma[row][col] = element1(ta, at(l, i/y.perWord), i%y.perWord, rng)
		}
		for i := range y.nb {
			row, col := y.b(l, i)
			mb[col][row] = element1(tb, at(l, wa+i/y.perWord), i%y.perWord, rng)
		}
		for i := range 4 {
			row, col := rowC(l, i)
			if acc == "f32" {
				v := float32(rng.NormFloat64())
				mc[row][col] = float64(v)
				le.PutUint32(at(l, 8+i), math.Float32bits(v))
				continue
			}
			v := int32(rng.Uint32() >> 1)
			if rng.IntN(2) == 0 {
				v = -v
			}
			if rng.IntN(4) == 0 {
				v = math.MaxInt32 - int32(rng.IntN(1000))
			}
			mc[row][col] = float64(v)
			le.PutUint32(at(l, 8+i), uint32(v))
		}
	}
	if err := d.Launch("k", [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, U64(out)); err != nil {
		t.Fatal(err)
	}
	for l := range 32 {
		for i := range 4 {
			row, col := rowC(l, i)
			sum := mc[row][col]
			size := math.Abs(sum)
			for k := range y.k {
				sum += ma[row][k] * mb[col][k]
				size += math.Abs(ma[row][k] * mb[col][k])
			}
			got := le.Uint32(at(l, 12+i))
			if acc == "f32" { // one rounding of a sum that double keeps nearly exact
				if e := math.Abs(float64(math.Float32frombits(got)) - sum); e > size*0x1p-24 {
					t.Fatalf("%s: [%d][%d] is off by %g of %g", name, row, col, e, size)
				}
				continue
			}
			want := uint32(int64(sum))
			if sat {
				want = uint32(int32(min(max(sum, math.MinInt32), math.MaxInt32)))
			}
			if got != want {
				t.Fatalf("%s: [%d][%d] is %d, want %d", name, row, col, int32(got), int32(want))
			}
		}
	}
}

// element1 draws an element, puts it into part i of a word and gives its value.
func element1(typ string, word []byte, i int, rng *rand.Rand) float64 {
	switch typ {
	case "s8", "u8":
		word[i] = byte(rng.Uint32())
		if typ == "s8" {
			return float64(int8(word[i]))
		}
		return float64(word[i])
	case "tf32":
		b := math.Float32bits(float32(rng.NormFloat64()))
		le.PutUint32(word, b)
		return float64(math.Float32frombits(b &^ 0x1fff))
	}
	b := toHalf(typeOf(typ), rng.NormFloat64())
	le.PutUint16(word[2*i:], uint16(b))
	return halfValue(typeOf(typ), b)
}

// TestLdmatrix loads tiles of 8 rows of 8 halves: element (row, col) is 256*tile + 16*row + col.
func TestLdmatrix(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		for _, trans := range []string{"", ".trans"} {
			var b strings.Builder
			b.WriteString("mov.u32 %r1, tiles; mad.lo.u32 %r2, %ln, 16, %r1;\n")
			for i := range 8 { // lane l writes row l: elements 16l + i
				fmt.Fprintf(&b, "shr.u32 %%r3, %%ln, 3; and.b32 %%r4, %%ln, 7; mul.lo.u32 %%r3, %%r3, 256; mad.lo.u32 %%r3, %%r4, 16, %%r3; add.u32 %%r3, %%r3, %d; st.shared.u16 [%%r2+%d], %%r3;\n", i, 2*i)
			}
			b.WriteString("bar.warp.sync -1;\n")
			fmt.Fprintf(&b, "ldmatrix.sync.aligned.m8n8.x%d%s.shared.b16 %s, [%%r2];\n", n, trans, list("%r", 10, n))
			b.WriteString("mad.wide.u32 %rd1, %ln, 16, %out;\n")
			for i := range n {
				fmt.Fprintf(&b, "st.global.u32 [%%rd1+%d], %%r%d;\n", 4*i, 10+i)
			}
			got, err := runOne(t, ".shared .align 16 .b8 tiles[512];\n"+one(b.String()), 32, 128)
			if err != nil {
				t.Fatal(err)
			}
			for l := range 32 {
				for i := range n {
					row, col := l/4, l%4*2
					want := uint32(256*i+16*row+col) | uint32(256*i+16*row+col+1)<<16
					if trans != "" {
						want = uint32(256*i+16*col+row) | uint32(256*i+16*(col+1)+row)<<16
					}
					if got[4*l+i] != want {
						t.Fatalf("x%d%s: lane %d tile %d: %#x, want %#x", n, trans, l, i, got[4*l+i], want)
					}
				}
			}
		}
	}
}
