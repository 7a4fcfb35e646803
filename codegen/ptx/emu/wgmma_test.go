package emu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// wgmmaCase is a product of 64 rows by n columns, twice, whose operands lie in an image of shared memory.
type wgmmaCase struct {
	typ  string // of A and B
	n    int
	regs bool // A is in registers
}

const (
	imageBytes = 24 << 10
	atB        = 8 << 10 // A lies before it
	apart      = 144     // from eight rows to the next: more than they have
)

// leading is how far the second sixteen bytes of K are from the first, for so many rows or columns.
func leading(n int) int { return n/8*apart + 16 }

func (c wgmmaCase) size() int { return map[string]int{"s8": 1, "bf16": 2, "tf32": 4}[c.typ] }

// place is where byte k of line i lies, from the operand's start.
func place(n, i, k int) int { return k/16*leading(n) + i/8*apart + i%8*16 + k%16 }

// text is a kernel of a warpgroup: it copies the image from %out into shared memory, multiplies and stores the sums behind the image.
func (c wgmmaCase) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".extern .shared .align 128 .b8 image[];\n.visible .entry k(.param .u64 p0) {\n.reg .pred %%p<4>; .reg .b32 %%r<16>; .reg .b64 %%rd<16>; .reg .b32 %%i<%d>; .reg .f32 %%f<%d>; .reg .b64 %%out;\n", c.n/2, c.n/2)
	b.WriteString("ld.param.u64 %out, [p0]; mov.u32 %r0, %tid.x; mov.u32 %r1, image; mov.b32 %r2, 0;\n$copy:\n")
	b.WriteString("mad.lo.u32 %r3, %r2, 512, 0; mad.lo.u32 %r3, %r0, 4, %r3; cvt.u64.u32 %rd1, %r3; add.u64 %rd1, %rd1, %out; ld.global.b32 %r4, [%rd1]; add.u32 %r3, %r3, %r1; st.shared.b32 [%r3], %r4;\n")
	fmt.Fprintf(&b, "add.u32 %%r2, %%r2, 1; setp.lt.u32 %%p1, %%r2, %d; @%%p1 bra $copy;\n", imageBytes/512)
	b.WriteString("fence.proxy.async.shared::cta;\nbar.sync 0;\n")
	descriptor := func(reg string, at, n int) {
		fmt.Fprintf(&b, "add.u32 %%r5, %%r1, %d; shr.u32 %%r5, %%r5, 4; cvt.u64.u32 %s, %%r5; or.b64 %s, %s, %d;\n", at, reg, reg, reg, leading(n)/16<<16|apart/16<<32)
	}
	descriptor("%rd2", 0, 64)
	descriptor("%rd3", atB, c.n)
	a, sum, mov, shape, last := "%rd2", "%i", "b32", "k32.s32.s8.s8", ""
	switch c.typ {
	case "bf16":
		sum, mov, shape, last = "%f", "f32", "k16.f32.bf16.bf16", ", 1, 1, 0, 0"
	case "tf32":
		sum, mov, shape, last = "%f", "f32", "k8.f32.tf32.tf32", ", 1, 1"
	}
	if c.regs { // the warp's rows: 16 of them are two times eight
		a, last = "{%r8, %r9, %r10, %r11}", ", 1, 1, 0"
		fmt.Fprintf(&b, "shr.u32 %%r6, %%r0, 5; mad.lo.u32 %%r6, %%r6, %d, %%r1; and.b32 %%r7, %%r0, 31; mad.lo.u32 %%r6, %%r7, 4, %%r6;\n", 2*apart)
		for i := range 4 {
			fmt.Fprintf(&b, "ld.shared.b32 %%r%d, [%%r6+%d];\n", 8+i, i%2*apart+i/2*leading(64))
		}
	}
	for i := range c.n / 2 {
		v := fmt.Sprint(i)
		if sum == "%f" {
			v = fmt.Sprintf("0f%08X", math.Float32bits(float32(i)))
		}
		fmt.Fprintf(&b, "mov.%s %s%d, %s;\n", mov, sum, i, v)
	}
	b.WriteString("setp.eq.u32 %p0, %r0, %r0;\nwgmma.fence.sync.aligned;\n")
	for range 2 {
		fmt.Fprintf(&b, "wgmma.mma_async.sync.aligned.m64n%d%s %s, %s, %%rd3, %%p0%s;\n", c.n, shape, list(sum, 0, c.n/2), a, last)
	}
	b.WriteString("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n")
	fmt.Fprintf(&b, "mad.wide.u32 %%rd4, %%r0, %d, %%out;\n", 2*c.n)
	for i := range c.n / 2 {
		fmt.Fprintf(&b, "st.global.%s [%%rd4+%d], %s%d;\n", mov, imageBytes+4*i, sum, i)
	}
	b.WriteString("}\n")
	return b.String()
}

func (c wgmmaCase) run(t *testing.T, text string, image []byte) ([]uint32, error) {
	t.Helper()
	d := device(t, text)
	out := d.Alloc("out", imageBytes+128*2*c.n)
	copy(d.Bytes(out), image)
	err := d.Launch("k", [3]int{1, 1, 1}, [3]int{128, 1, 1}, imageBytes, U64(out))
	return words(d.Bytes(out)[imageBytes:]), err
}

// TestWgmma compares products with plain loops. Sums are exact: floats are small integers.
func TestWgmma(t *testing.T) {
	for _, c := range []wgmmaCase{{"s8", 8, false}, {"s8", 24, false}, {"s8", 48, false}, {"s8", 256, false}, {"bf16", 8, false}, {"bf16", 40, true}, {"bf16", 256, true}, {"tf32", 8, false}, {"tf32", 136, false}} {
		r := rand.New(rand.NewPCG(uint64(c.n), 9))
		image := make([]byte, imageBytes)
		var x [64][32]float64
		var y [256][32]float64
		size := c.size()
		draw := func(at []byte) float64 {
			n := r.IntN(33) - 16
			switch c.typ {
			case "s8":
				at[0] = byte(r.Uint32())
				return float64(int8(at[0]))
			case "bf16":
				le.PutUint16(at, uint16(math.Float32bits(float32(n))>>16))
			default:
				le.PutUint32(at, math.Float32bits(float32(n))|r.Uint32()&0x1fff)
			}
			return float64(n)
		}
		for k := range 32 / size {
			for i := range 64 {
				x[i][k] = draw(image[place(64, i, k*size):])
			}
			for i := range c.n {
				y[i][k] = draw(image[atB+place(c.n, i, k*size):])
			}
		}
		got, err := c.run(t, c.text(), image)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		for thread := range 128 {
			for i := range c.n / 2 {
				row, col := thread/32*16+thread%32>>2+i>>1&1*8, i>>2*8+thread&3*2+i&1
				want := float64(i)
				for k := range 32 / size {
					want += 2 * x[row][k] * y[col][k]
				}
				word := got[thread*c.n/2+i]
				have := float64(int32(word))
				if c.typ != "s8" {
					have = float64(math.Float32frombits(word))
				}
				if have != want {
					t.Fatalf("%v: row %d column %d: %g, want %g", c, row, col, have, want)
				}
			}
		}
	}
}

// TestWgmmaFaults changes a kernel that is right.
func TestWgmmaFaults(t *testing.T) {
	for _, tc := range []struct {
		name, old, new, want string
		regs                 bool
	}{
		{"nothing", "", "", "", false},
		{"no fence", "wgmma.fence.sync.aligned;\n", "", "is written by line 30, behind the last wgmma.fence", false},
		{"a label behind the fence", "wgmma.fence.sync.aligned;\n", "wgmma.fence.sync.aligned;\n$here:\n", "no wgmma.fence between the last label and this", false},
		{"written behind the fence", "wgmma.fence.sync.aligned;\n", "wgmma.fence.sync.aligned;\nmov.b32 %i3, 7;\n", "%i3 is written by line", false},
		{"no wait", "wgmma.wait_group.sync.aligned 0;\n", "", "nobody has waited for the product of line", false},
		{"sums written", "wgmma.commit_group.sync.aligned;\n", "wgmma.commit_group.sync.aligned;\nmov.b32 %i3, 7;\n", "were changed before this", false},
		{"rows written", "wgmma.commit_group.sync.aligned;\n", "wgmma.commit_group.sync.aligned;\nmov.b32 %r9, 7;\n", "registers of A of line", true},
		{"operand overwritten", "wgmma.commit_group.sync.aligned;\n", "wgmma.commit_group.sync.aligned;\nsetp.eq.u32 %p2, %r0, 5; @%p2 st.shared.b32 [%r1], %r0;\n", "race: ", false},
		{"no proxy fence", "fence.proxy.async.shared::cta;\n", "", "written, with no fence.proxy.async behind it, by", false},
		{"no barrier", "bar.sync 0;\n", "", "race: ", false},
		{"a warp stays away", "setp.eq.u32 %p0, %r0, %r0;\n", "setp.eq.u32 %p0, %r0, %r0; setp.ge.u32 %p3, %r0, 96; @%p3 bra $end;\n", "only 3 warps of a group have come to the product of line", false},
		{"other operands", "wgmma.fence.sync.aligned;\n", "setp.ge.u32 %p3, %r0, 96; @%p3 add.u64 %rd3, %rd3, 1;\nwgmma.fence.sync.aligned;\n", "another warp of its group has other operands", false},
		{"a lane's own", "wgmma.fence.sync.aligned;\n", "setp.eq.u32 %p3, %r0, 9; @%p3 add.u64 %rd3, %rd3, 1;\nwgmma.fence.sync.aligned;\n", "lanes of a warp have different operands", false},
		{"swizzle", "wgmma.fence.sync.aligned;\n", "or.b64 %rd3, %rd3, 0x4000000000000000;\nwgmma.fence.sync.aligned;\n", "swizzles and base offsets are not supported", false},
		{"beyond the end", "wgmma.fence.sync.aligned;\n", "add.u64 %rd3, %rd3, 1024;\nwgmma.fence.sync.aligned;\n", "out of bounds", false},
		{"some of the sums", "wgmma.commit_group", "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 {%i0, %i1, %i2, %i3}, %rd2, %rd3, %p0;\nwgmma.commit_group", "has some of the sums of line", false},
	} {
		c := wgmmaCase{"s8", 32, false}
		if tc.regs {
			c = wgmmaCase{"bf16", 32, true}
		}
		text := strings.Replace(c.text(), "}\n", "$end:\nret;\n}\n", 1)
		err := c.fault(t, strings.Replace(text, tc.old, tc.new, 1))
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

// fault is what is wrong with a text that ptxas need not take.
func (c wgmmaCase) fault(t *testing.T, text string) error {
	t.Helper()
	m, err := Parse("test.ptx", header+text)
	if err != nil {
		return err
	}
	d := NewDevice()
	d.Unwritten = true
	if err := d.Load(m); err != nil {
		t.Fatal(err)
	}
	return d.Launch("k", [3]int{1, 1, 1}, [3]int{128, 1, 1}, imageBytes, U64(d.Alloc("out", imageBytes+128*2*c.n)))
}
