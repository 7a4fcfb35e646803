package spmdtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// quadKind is a product of quads, of elements whose sums are exact in any order.
type quadKind struct {
	name string
	elem spmd.Elem
	draw func(r *rand.Rand) uint64
}

var quadKinds = [...]quadKind{
	{"quadi8", spmd.I8, func(r *rand.Rand) uint64 { return uint64(r.Uint32() & 0xff) }},
	{"quadbf16", spmd.BF16, func(r *rand.Rand) uint64 { return uint64(math.Float32bits(float32(r.IntN(65)-32)) >> 16) }},
	{"quadtf32", spmd.F32, func(r *rand.Rand) uint64 {
		return uint64(math.Float32bits(float32(r.IntN(65)-32)) | r.Uint32()&0x1fff) // the low bits are not looked at
	}},
}

// Quads copies columns in pieces and rows lane by lane, in more groups than a backend may keep apart, and multiplies them, narrow and wide.
func Quads(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	d.Program.TeamBytes = 160 << 10
	for _, kind := range quadKinds {
		for _, columns := range []int64{32, 64, 256} {
			d.Kernel(fmt.Sprint(kind.name, columns), spmd.Grid{Panels: 2}, func(k *Body) { multiplyQuads(k, kind, columns) })
		}
	}
	for i := range 8192 {
		d.Weights = append(d.Weights, byte(i*29+i>>7))
	}
	d.Kernel("pieces", One, func(k *Body) { // by a single member
		const stages, chunks, pieces, size, apart = 3, 7, 5, 32, 48
		from, to := k.Arg(spmd.I8, spmd.Weights, 64), k.Output(spmd.I32, chunks*pieces*8*4)
		s := k.Scratch(spmd.I8, stages*pieces*size)
		words := k.View(s, spmd.I32)
		k.ring(stages, chunks, func(i, stage *val) {
			k.CopyBulk(k.Offset(s, k.Mul(stage, k.I(pieces*size))), k.Offset(from, k.Mul(i, k.I(pieces*apart))), pieces, size, size, apart)
		}, func(i, stage *val) {
			for at := int64(0); at < pieces*size/4; at += 8 {
				x := k.LoadVN(words, k.Mul(stage, k.I(pieces*size/4)), at, k.I(8))
				k.StoreVN(to, k.Mul(i, k.I(pieces*size/4)), at, k.I(8), x)
			}
		})
	})
	return d.Done()
}

// multiplyQuads is a tile of 64 rows for each quad of the team by so many columns, over some steps of K.
func multiplyQuads(k *Body, kind quadKind, columns int64) {
	const steps, run = 6, 16
	k.Share()
	members := int64(k.Target.Members)
	rows := members * 16
	r := rand.New(rand.NewPCG(7, uint64(columns)))
	draw := func(bytes int64) *val { // [steps][2][lines][16 bytes]
		bits := make([]uint64, bytes/kind.elem.Bytes())
		for i := range bits {
			bits[i] = kind.draw(r)
		}
		return k.Input(kind.elem, bits)
	}
	x, w := draw(steps*2*run*rows), draw(steps*2*run*columns)
	y := k.Output(sumElem(kind), 2*rows*columns)
	a, b := k.Scratch(kind.elem, steps*2*run*rows/kind.elem.Bytes()), k.Scratch(kind.elem, steps*2*run*columns/kind.elem.Bytes())
	at := func(bytes int64) *val { return k.I(bytes / kind.elem.Bytes()) }
	per := int32(run / kind.elem.Bytes())
	lane := k.Mul(k.Add(k.Mul(k.Truncate(k.Member()), k.I32(Lanes)), k.Lane()), k.I32(per))
	for s := range int64(steps) {
		for half := range int64(2) {
			i := 2*s + half
			k.If(k.Cmp(spmd.EQ, k.Member(), k.I(i%members)), func() []*val {
				n := columns / 32
				k.CopyBulk(k.Offset(b, at(i*run*columns)), k.Offset(w, at(i*run*columns)), n, 32*run, 32*run, 32*run)
				return nil
			}, nil)
			k.If(k.Cmp(spmd.LT, k.Member(), k.I(rows/Lanes)), func() []*val {
				k.CopyAsync(k.Offset(a, at(i*run*rows)), lane, k.Offset(x, at(i*run*rows)), lane)
				return nil
			}, nil)
		}
		k.CopyGroup()
	}
	acc := make([]*val, columns/2)
	for i := range acc {
		if acc[i] = k.Splat(k.F(1)); kind.elem == spmd.I8 {
			acc[i] = k.Splat(k.I32(1))
		}
	}
	strides := spmd.Strides{A: run * rows, B: run * columns}
	step := func(i int64, acc []*val) []*val {
		left := k.Offset(a, k.Add(at(2*i*run*rows), k.Mul(k.Div(k.Member(), k.I(4)), at(64*run))))
		right := k.Offset(b, at(2*i*run*columns))
		switch kind.elem {
		case spmd.I8:
			return k.QuadI8(left, right, acc, strides)
		case spmd.F32:
			return k.QuadTF32(left, right, acc, strides)
		}
		words := k.View(a, spmd.I32)
		var regs []*val
		for r := range int64(4) {
			regs = append(regs, k.LoadV(words, k.Mul(k.Member(), k.I(16*run/4)), (2*i+r/2)*run*rows/4+r%2*8*run/4))
		}
		return k.QuadBF16(regs, right, acc, spmd.Strides{B: strides.B})
	}
	for i := range int64(steps) {
		k.CopyWait(steps - 1 - i)
		k.Barrier()
		acc = step(i, acc)
	}
	out := k.Offset(y, k.Mul(k.Tile(), k.I(rows*columns)))
	if columns < 256 { // for which there are the registers: acc is wanted afterwards, so that the sums must be copied
		for i, sum := range step(0, step(1, acc)) {
			acc[i] = k.Sub(sum, k.Add(acc[i], acc[i]))
		}
	}
	for i, sum := range acc {
		k.StoreV(out, k.Mul(k.Member(), k.I(16*columns)), int64(i)*Lanes, sum)
	}
}

func sumElem(kind quadKind) spmd.Elem {
	if kind.elem == spmd.I8 {
		return spmd.I32
	}
	return spmd.F32
}
