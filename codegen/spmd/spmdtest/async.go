package spmdtest

import (
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Async copies in groups, with one and two of them on their way, out of weights and of work memory, and packs floats two to a word.
func Async(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	w := int64(target.Lanes)
	for i := range 8192 {
		d.Weights = append(d.Weights, byte(i*29+i>>7))
	}
	const stages, chunks = 3, 7
	ring := func(k *Body, from *val, elem spmd.Elem) {
		per := 16 / elem.Bytes() // elements that a lane copies
		size := w * per          // of a stage
		s := k.Scratch(elem, stages*size)
		words := k.View(s, spmd.I32)
		to := k.Output(spmd.I32, 4*Lanes*chunks)
		at := k.Mul(k.Lane(), k.I32(int32(per)))
		other := k.Mul(k.Xor(k.Lane(), k.I32(5)), k.I32(int32(per))) // not the lane's own place
		k.ring(stages, chunks, func(i, stage *val) {
			k.CopyAsync(k.Offset(s, k.Mul(stage, k.I(size))), other, from, k.Add(at, k.Truncate(k.Mul(i, k.I(size)))))
		}, func(i, stage *val) {
			for r, x := range k.LoadRun(words, k.Mul(stage, k.I(4*w)), 0, 4) {
				k.StoreV(to, k.Mul(i, k.I(4*Lanes)), int64(r)*w, x)
			}
		})
	}
	d.Kernel("copy_weights", One, func(k *Body) { ring(k, k.Arg(spmd.I8, spmd.Weights, 64), spmd.I8) })
	work := make([]uint64, 4*Lanes*chunks)
	for i := range work {
		work[i] = uint64(i * 0x01030507)
	}
	d.Kernel("copy_work", One, func(k *Body) { ring(k, k.Input(spmd.F32, work), spmd.F32) })
	d.Kernel("pack", One, func(k *Body) {
		var bits []uint64 // without NaNs, whose bits mean nothing
		for _, u := range Edges(spmd.F32) {
			if u&0x7fffffff <= 0x7f800000 {
				bits = append(bits, u)
			}
		}
		for len(bits)%Lanes != 0 {
			bits = append(bits, 0)
		}
		n := int64(len(bits))
		x, to := k.Input(spmd.F32, append(bits, bits...)), k.Output(spmd.I32, n)
		k.For(k.I(0), k.I(n), w, nil, func(i *val, _ []*val) []*val {
			k.StoreV(to, i, 0, k.PackBF16(k.LoadV(x, i, 0), k.LoadV(x, i, 3)))
			return nil
		})
	})
	return d.Done()
}

// Fragments multiplies fragments whose bytes are all different ones. It is for targets of 32 lanes.
func Fragments(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	d.Kernel("mmai8", One, func(k *Body) {
		load := func(n int, f func(i int) int) (regs []*val) {
			p := k.Input(spmd.I32, FourBytes(n*Lanes, f))
			for r := range n {
				regs = append(regs, k.LoadV(p, nil, int64(r)*Lanes))
			}
			return regs
		}
		c, a, b := load(4, func(i int) int { return i * 31 }), load(4, func(i int) int { return i*i + 5*i }), load(2, func(i int) int { return 127 - i*7 })
		to := k.Output(spmd.I32, 4*Lanes)
		for r, x := range k.MMAI8(k.MMAI8(c, a, b), a, b) {
			k.StoreV(to, nil, int64(r)*Lanes, x)
		}
	})
	d.Kernel("mmabf16", One, func(k *Body) { // small integers: exact in any order
		load := func(n int, e spmd.Elem, f func(i int) uint64) (regs []*val) {
			bits := make([]uint64, n*Lanes)
			for i := range bits {
				bits[i] = f(i)
			}
			p := k.Input(e, bits)
			for r := range n {
				regs = append(regs, k.LoadV(p, nil, int64(r)*Lanes))
			}
			return regs
		}
		bf16 := [...]uint64{0x0000, 0x3f80, 0xbf80, 0x4000, 0x4040, 0xc080, 0x40a0, 0xc0c0}
		pair := func(i int) uint64 { return bf16[i*5%8] | bf16[i*3%7]<<16 }
		c := load(4, spmd.F32, func(i int) uint64 { return [...]uint64{0, 0x3f800000, 0x42c80000}[i%3] })
		a, b := load(4, spmd.I32, pair), load(2, spmd.I32, func(i int) uint64 { return pair(i + 3) })
		to := k.Output(spmd.F32, 4*Lanes)
		for r, x := range k.MMABF16(k.MMABF16(c, a, b), a, b) {
			k.StoreV(to, nil, int64(r)*Lanes, x)
		}
	})
	return d.Done()
}

// ring takes chunks through stages of scratch memory: ask begins the copies of a chunk into a stage, use gets a chunk that has arrived for all.
func (k *Body) ring(stages, chunks int64, ask, use func(chunk, stage *val)) {
	in := func(i *val) *val { return k.Rem(i, k.I(stages)) }
	begin := func(i *val) {
		k.If(k.Cmp(spmd.LT, i, k.I(chunks)), func() []*val {
			ask(i, in(i))
			return nil
		}, nil)
		k.CopyGroup()
	}
	for i := range stages - 1 {
		begin(k.I(i))
	}
	k.For(k.I(0), k.I(chunks), 1, nil, func(i *val, _ []*val) []*val {
		k.CopyWait(stages - 2)
		k.Barrier()
		begin(k.Add(i, k.I(stages-1)))
		use(i, in(i))
		return nil
	})
	k.CopyWait(0)
}
