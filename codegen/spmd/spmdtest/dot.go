package spmdtest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// FourBytes makes words of four bytes that f gives, the first in the lowest.
func FourBytes(n int, f func(i int) int) []uint64 {
	words := make([]uint64, n)
	for i := range words {
		for b := range 4 {
			words[i] |= uint64(uint8(f(4*i+b))) << (8 * b)
		}
	}
	return words
}

// byteWords are operands of products: first each of the edge bytes with each other, then random ones, then the extremes in all four places.
func byteWords(a, b []int, least, most func(which int) int) (x, y []uint64) {
	r := rand.New(rand.NewPCG(1, 9))
	pairs := len(a) * len(b)
	at := func(i int) (int, int) {
		if i < pairs {
			return a[i/len(b)], b[i%len(b)]
		}
		return least(0) + r.IntN(most(0)-least(0)+1), least(1) + r.IntN(most(1)-least(1)+1)
	}
	n := (pairs+3)/4 + 256
	n = (n + 31) / 32 * 32
	var second []int
	x = FourBytes(n, func(i int) int {
		p, q := at(i)
		second = append(second, q)
		return p
	})
	y = FourBytes(n, func(i int) int { return second[i] })
	for range 8 {
		for _, p := range []int{least(0), most(0)} {
			for _, q := range []int{least(1), most(1)} {
				x = append(x, FourBytes(1, func(int) int { return p })[0])
				y = append(y, FourBytes(1, func(int) int { return q })[0])
			}
		}
	}
	return x, y
}

// addDot adds two kernels of an op on words x and y: with a varying, and with a uniform a.
func addDot(d *Bed, name string, x, y []uint64, op func(b *builder, acc, a, b2 *val) *val) {
	n, w := int64(len(x)), int64(d.Target.Lanes)
	acc := Edges(spmd.I32)
	for int64(len(acc)) < n {
		acc = append(acc, acc...)
	}
	d.Kernel(name, One, func(k *Body) {
		accs, xs, ys, to := k.Input(spmd.I32, acc[:n]), k.Input(spmd.I32, x), k.Input(spmd.I32, y), k.Output(spmd.I32, n)
		k.For(k.I(0), k.I(n), w, nil, func(i *val, _ []*val) []*val {
			k.StoreV(to, i, 0, op(k.Builder, k.LoadV(accs, i, 0), k.LoadV(xs, i, 0), k.LoadV(ys, i, 0)))
			return nil
		})
	})
	d.Kernel(name+"_uniform", One, func(k *Body) {
		xs, ys, to := k.Input(spmd.I32, x), k.Input(spmd.I32, y), k.Output(spmd.I32, Lanes*n)
		k.For(k.I(0), k.I(n), 1, nil, func(i *val, _ []*val) []*val {
			// All lanes have a's word; its bytes are as many as those of b that are 0 where they are not allowed to meet.
			k.StoreV(to, k.Mul(i, k.I(Lanes)), 0, op(k.Builder, k.Splat(k.I32(3)), k.Load(xs, i, 0), k.Splat(k.Load(ys, i, 0))))
			return nil
		})
	})
}

var edgeBytes = []int{-127, -126, -65, -64, -2, -1, 0, 1, 2, 63, 64, 126, 127}

// Dot runs each product over the edges of its bytes: a sum that saturates somewhere, or a sign that is lost, shows.
func Dot(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	constant := func(a, b int) func(int) int { return func(which int) int { return [...]int{a, b}[which] } }
	x, y := byteWords(edgeBytes, edgeBytes, constant(-127, -127), constant(127, 127))
	addDot(d, "dot4", x, y, (*builder).Dot4)
	for _, most := range []int{1, 15, 127, 128, 129, 255} {
		var unsigned []int
		for _, b := range []int{0, 1, 2, 14, 15, 63, 126, 127, 128, 129, 254, 255} {
			if b <= most {
				unsigned = append(unsigned, b)
			}
		}
		x, y := byteWords(unsigned, append([]int{-128}, edgeBytes...), constant(0, -128), constant(most, 127))
		for i := range Lanes { // one byte of a pair may be above, if the other makes up for it
			large := min(255, 2*most)
			pair := uint64(large | (2*most-large)<<8)
			x = append(x, pair|pair<<16)
			y = append(y, FourBytes(1, func(int) int { return [...]int{127, -128}[i%2] })[0])
		}
		addDot(d, fmt.Sprint("dot4u_", most), x, y, func(b *builder, acc, p, q *val) *val { return b.Dot4U(acc, p, q, int64(most)) })
	}
	words := append(Edges(spmd.I32), 0x80008000, 0x7fff7fff, 0x80007fff, 0x8000ffff)
	for len(words)%Lanes != 0 {
		words = append(words, words[len(words)-7]*0x9e3779b1&0xffffffff)
	}
	var p, q []uint64
	for _, a := range words {
		for _, b := range words {
			p, q = append(p, a), append(q, b)
		}
	}
	addDot(d, "dot2", p, q, (*builder).Dot2)
	for which := range int64(2) {
		addDot(d, fmt.Sprint("byte16_", which), p, q, func(b *builder, acc, x, y *val) *val {
			return b.Xor(b.Byte16(x, which), b.Add(acc, b.Byte16(y, which)))
		})
	}
	return d.Done()
}

// DotChains adds products of small bytes to each other: over loops and branches too.
func DotChains(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	const n = Lanes
	for i, bounds := range [][]int64{
		{15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15}, {15}, {15, 127, 1, 1}, {127, 127}, {128, 128}, {1, 128, 1},
		{64, 63, 1}, {64, 64}, {15, 255, 15, 15}, {255, 255}, {3, 3, 15, 100, 3, 3, 3, 3, 200, 1, 1},
	} {
		for _, b := range []int{-128, 127} {
			d.Kernel(fmt.Sprintf("chain%d_%d", i, b+128), One, func(k *Body) {
				y := k.Input(spmd.I32, FourBytes(n, func(int) int { return b }))
				acc, seen, to := k.Splat(k.I32(-7)), []*val(nil), k.Output(spmd.I32, int64(n*(len(bounds)+2)))
				for j, most := range bounds {
					x := k.Input(spmd.I32, FourBytes(n, func(int) int { return int(most) }))
					acc = k.Dot4U(acc, k.LoadV(x, nil, 0), k.LoadV(y, nil, 0), most)
					if j%7 == 6 { // a sum that is also used otherwise must be there
						seen = append(seen, acc)
					}
				}
				k.StoreV(to, nil, 0, acc)
				for j, s := range seen {
					k.StoreV(to, nil, int64(n*(1+j)), s)
				}
			})
		}
	}
	d.Kernel("chain_regions", One, func(k *Body) { // over loops and branches
		x, y, to := k.Input(spmd.I32, FourBytes(n, func(i int) int { return i % 16 })), k.Input(spmd.I32, FourBytes(n, func(i int) int { return 3*i - 90 })), k.Output(spmd.I32, 3*n)
		dot := func(acc *val) *val { return k.Dot4U(acc, k.LoadV(x, nil, 0), k.LoadV(y, nil, 0), 15) }
		start := dot(k.Splat(k.I32(1)))
		loop := k.For(k.I(0), k.Rows(), 1, []*val{start}, func(_ *val, c []*val) []*val {
			inner := dot(dot(c[0]))
			branch := k.If(k.Cmp(spmd.GT, k.Rows(), k.I(3)), func() []*val { return []*val{dot(inner)} }, func() []*val { return []*val{k.Splat(k.I32(0))} })
			return []*val{dot(dot(branch[0]))}
		})
		k.StoreV(to, nil, 0, dot(dot(loop[0])))
		k.StoreV(to, nil, n, dot(k.Splat(k.I32(9))))
	})
	return d.Done()
}
