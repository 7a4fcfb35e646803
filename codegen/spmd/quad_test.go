package spmd

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

const quadTestCols = 64

func quadTarget() Target {
	tg := target(32)
	tg.Members, tg.Tiles, tg.Quads = 8, true, true
	return tg
}

// quadProgram has one member copy a and b into scratch, in pieces, and two quads multiply them twice: by op, which adds to 3.
func quadProgram(t testing.TB, op Op) *Program {
	b := NewBuilder("quad", quadTarget())
	b.Share()
	x, out := b.Param("x", I8, Weights), b.Param("out", I32, Work)
	rows, cols := b.Scratch(I8, 2*runBytes*quadRows), b.Scratch(I8, 2*runBytes*quadTestCols)
	b.If(b.Cmp(EQ, b.Member(), b.I(5)), func() []*Value {
		b.CopyBulk(rows, x, 2, runBytes*quadRows, runBytes*quadRows, runBytes*quadRows)
		b.CopyBulk(b.Offset(cols, b.I(512)), b.Offset(x, b.I(2048+512)), 2, 512, 1024, 1024) // the second half of the columns
		b.CopyBulk(cols, b.Offset(x, b.I(2048)), 2, 512, 1024, 1024)
		return nil
	}, nil)
	b.CopyGroup()
	b.CopyWait(0)
	b.Barrier()
	e := I32
	zero := b.Splat(b.I32(3))
	if op != OpQuadI8 {
		e, zero = F32, b.Splat(b.F(3))
	}
	c := make([]*Value, quadTestCols/2)
	for i := range c {
		c[i] = zero
	}
	s := Strides{A: runBytes * quadRows, B: runBytes * quadTestCols}
	for range 2 {
		switch op {
		case OpQuadI8:
			c = b.QuadI8(rows, cols, c, s)
		case OpQuadTF32:
			c = b.QuadTF32(b.View(rows, F32), b.View(cols, F32), c, s)
		case OpQuadBF16:
			at := b.Mul(b.Rem(b.Member(), b.I(4)), b.I(fragmentRows*runBytes/4))
			var a []*Value
			for i := range int64(4) { // a lane's word of a row: sixteen bytes of a row are four words
				a = append(a, b.LoadV(b.View(rows, I32), at, i%2*8*runBytes/4+i/2*runBytes*quadRows/4))
			}
			c = b.QuadBF16(a, b.View(cols, BF16), c, Strides{B: s.B})
		}
	}
	to := b.Offset(out, b.Mul(b.Member(), b.I(32*int64(len(c)))))
	for i, v := range c {
		if e == F32 {
			v = b.Bitcast(v)
		}
		b.StoreV(to, nil, int64(i)*32, v)
	}
	p := program(finish(t, b), quadTarget(), Grid{Panels: 1}, 0, 0)
	p.WorkBytes = 1 << 16
	return p
}

// TestQuad multiplies by plain loops what the quads multiply.
func TestQuad(t *testing.T) {
	for _, c := range []struct {
		op   Op
		size int
		get  func(b []byte) float64
		put  func(b []byte, r *rand.Rand)
	}{
		{OpQuadI8, 1, func(b []byte) float64 { return float64(int8(b[0])) }, func(b []byte, r *rand.Rand) { b[0] = byte(r.Uint32()) }},
		{OpQuadBF16, 2, func(b []byte) float64 { return float64(fromBF16(le.Uint16(b))) }, func(b []byte, r *rand.Rand) { le.PutUint16(b, toBF16(float32(r.IntN(33)-16))) }},
		{OpQuadTF32, 4, func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b) &^ 0x1fff)) },
			func(b []byte, r *rand.Rand) {
				le.PutUint32(b, math.Float32bits(float32(r.IntN(33)-16))|r.Uint32()&0x1fff)
			}},
	} {
		p := quadProgram(t, c.op)
		again, err := ParseProgram(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%v: the text does not come back: %v", c.op, err)
		}
		w := make([]byte, p.WeightBytes)
		r := rand.New(rand.NewPCG(1, uint64(c.op)))
		for i := 0; i < len(w); i += c.size {
			c.put(w[i:], r)
		}
		m := machine(t, p, w)
		m.Seed = 7
		step(t, m, p, oneSequence(1))
		at := func(first, n, i, k int) float64 { // element k of line i, of n lines
			return c.get(w[first+k*c.size/runBytes*runBytes*n+i*runBytes+k*c.size%runBytes:])
		}
		for member := range 8 {
			for reg := range quadTestCols / 2 {
				for l := range 32 {
					row, col := member%4*16+reg%4/2*8+l/4, reg/4*8+l%4*2+reg%2
					want := 3.0
					for k := range quadBytes / c.size {
						want += 2 * at(0, quadRows, row, k) * at(2048, quadTestCols, col, k)
					}
					word := le.Uint32(m.Memory[Work][4*((member*quadTestCols/2+reg)*32+l):])
					got := float64(int32(word))
					if c.op != OpQuadI8 {
						got = float64(math.Float32frombits(word))
					}
					if got != want {
						t.Fatalf("%v: row %d column %d of member %d: %g, want %g", c.op, row, col, member, got, want)
					}
				}
			}
		}
	}
}

// TestQuadFaults: what the verifier refuses, and what the machine does.
func TestQuadFaults(t *testing.T) {
	good := quadProgram(t, OpQuadI8).String()
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"no quads", " quads", "", "the target has no quads"},
		{"members", "members 8 team", "members 1 team", "a multiple of 4 members, the kernel has 32 and 1"},
		{"stride of a", "strides 1024 1024\n", "strides 1000 1024\n", "stride 1000 of a: wanted is a multiple of 16 in 1024"},
		{"stride of b", "strides 1024 1024\n", "strides 1024 512\n", "stride 512 of b: wanted is a multiple of 16 in 1024"},
		{"pieces", "pieces 2", "pieces 33", "1..32 pieces are wanted"},
		{"bytes", "bytes 512", "bytes 8", "pieces of 8 bytes: wanted is a multiple of 16"},
		{"apart", "strides 1024 1024 bytes 512", "strides 1024 500 bytes 512", "stride 500: wanted is a multiple of 16 in 512"},
		{"into memory", "copybulk %2", "copybulk %0", "copies into weights, not into scratch"},
		{"not waited for", "copywait 0", "copywait 1", "a copy to them may not have arrived"},
		{"no barrier", "  barrier\n", "", "of scratch were written since the last barrier"},
		{"misaligned", "const i64 512", "const i64 500", "copies from byte 2560 to byte 2548: multiples of 16"},
		{"beyond the end", "const i64 2560", "const i64 16000", "of weights, which has 16384"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if c.name == "nothing" {
			text = good
		} else if text == good {
			t.Errorf("%s: the text has no %q", c.name, c.old)
			continue
		}
		p, err := ParseProgram(text)
		if err == nil {
			var m *Machine
			if m, err = NewMachine(p, make([]byte, p.WeightBytes), 1); err == nil {
				err = m.Step(p, oneSequence(1))
			}
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want ...%s...", c.name, err, c.want)
		}
	}
}

// TestQuadParts: a member that stays away from a product of its quad is found.
func TestQuadParts(t *testing.T) {
	for _, same := range []bool{true, false} {
		b := NewBuilder("parts", quadTarget())
		b.Share()
		a := b.Scratch(I8, 4096)
		few := b.I(4) // a whole quad
		if !same {
			few = b.I(3)
		}
		c := make([]*Value, 16)
		for i := range c {
			c[i] = b.Splat(b.I32(0))
		}
		b.If(b.Cmp(LT, b.Member(), few), func() []*Value {
			b.QuadI8(a, a, c, Strides{A: 1024, B: 512})
			return nil
		}, nil)
		p := program(finish(t, b), quadTarget(), Grid{Panels: 1})
		err := machine(t, p, nil).Step(p, oneSequence(1))
		if same && err != nil || !same && (err == nil || !strings.Contains(err.Error(), "members 0 and 3 have not done the same products of a quad")) {
			t.Errorf("whole quad %v: error %v", same, err)
		}
	}
}
