package amd64

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// fourBytes makes words of four bytes that f gives, the first in the lowest.
func fourBytes(n int, f func(i int) int) []uint64 {
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
	n = (n + 15) / 16 * 16
	var second []int
	x = fourBytes(n, func(i int) int {
		p, q := at(i)
		second = append(second, q)
		return p
	})
	y = fourBytes(n, func(i int) int { return second[i] })
	for range 4 {
		for _, p := range []int{least(0), most(0)} {
			for _, q := range []int{least(1), most(1)} {
				x = append(x, fourBytes(1, func(int) int { return p })[0])
				y = append(y, fourBytes(1, func(int) int { return q })[0])
			}
		}
	}
	return x, y
}

// addDot adds two kernels of an op on words x and y: with a varying, and with a uniform a.
func addDot(d *bed, name string, x, y []uint64, op func(b *builder, acc, a, b2 *val) *val) {
	n, w := int64(len(x)), int64(d.target.Lanes)
	acc := edges(spmd.I32)
	for int64(len(acc)) < n {
		acc = append(acc, acc...)
	}
	d.kernel(name, one, func(k *body) {
		accs, xs, ys, to := k.input(spmd.I32, acc[:n]), k.input(spmd.I32, x), k.input(spmd.I32, y), k.output(spmd.I32, n)
		k.For(k.I(0), k.I(n), w, nil, func(i *val, _ []*val) []*val {
			k.StoreV(to, i, 0, op(k.builder, k.LoadV(accs, i, 0), k.LoadV(xs, i, 0), k.LoadV(ys, i, 0)))
			return nil
		})
	})
	d.kernel(name+"_uniform", one, func(k *body) {
		xs, ys, to := k.input(spmd.I32, x), k.input(spmd.I32, y), k.output(spmd.I32, 16*n)
		k.For(k.I(0), k.I(n), 1, nil, func(i *val, _ []*val) []*val {
			// All lanes have a's word; its bytes are as many as those of b that are 0 where they are not allowed to meet.
			k.StoreV(to, k.Mul(i, k.I(16)), 0, op(k.builder, k.Splat(k.I32(3)), k.Load(xs, i, 0), k.Splat(k.Load(ys, i, 0))))
			return nil
		})
	})
}

var edgeBytes = []int{-127, -126, -65, -64, -2, -1, 0, 1, 2, 63, 64, 126, 127}

// TestDot runs each product over the edges of its bytes, at all levels: a sum that saturates somewhere, or a sign that is lost, shows.
func TestDot(t *testing.T) {
	checkBedOf(t, ByteNames(), "dot", func(t *testing.T, target spmd.Target) *bed {
		d := newBed(t, target)
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
			addDot(d, fmt.Sprint("dot4u_", most), x, y, func(b *builder, acc, p, q *val) *val { return b.Dot4U(acc, p, q, int64(most)) })
		}
		words := append(edges(spmd.I32), 0x80008000, 0x7fff7fff, 0x80007fff, 0x8000ffff)
		for len(words)%16 != 0 {
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
		return d.done()
	}, 1)
}

// TestDotChains adds products of small bytes to each other: levels without VNNI keep such sums in 16 bits as long as these cannot overflow.
func TestDotChains(t *testing.T) {
	checkBedOf(t, ByteNames(), "dotchains", func(t *testing.T, target spmd.Target) *bed {
		d := newBed(t, target)
		const n = 16
		for i, bounds := range [][]int64{
			{15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15}, {15}, {15, 127, 1, 1}, {127, 127}, {128, 128}, {1, 128, 1},
			{64, 63, 1}, {64, 64}, {15, 255, 15, 15}, {255, 255}, {3, 3, 15, 100, 3, 3, 3, 3, 200, 1, 1},
		} {
			for _, b := range []int{-128, 127} {
				d.kernel(fmt.Sprintf("chain%d_%d", i, b+128), one, func(k *body) {
					y := k.input(spmd.I32, fourBytes(n, func(int) int { return b }))
					acc, seen, to := k.Splat(k.I32(-7)), []*val(nil), k.output(spmd.I32, int64(n*(len(bounds)+2)))
					for j, most := range bounds {
						x := k.input(spmd.I32, fourBytes(n, func(int) int { return int(most) }))
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
		d.kernel("chain_regions", one, func(k *body) { // over loops and branches
			x, y, to := k.input(spmd.I32, fourBytes(n, func(i int) int { return i % 16 })), k.input(spmd.I32, fourBytes(n, func(i int) int { return 3*i - 90 })), k.output(spmd.I32, 3*n)
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
		return d.done()
	}, 1)
}

// TestDotBlocks runs register blocks of each kind over rows of 1, 15, 16 and 17 times as many groups as are unrolled.
func TestDotBlocks(t *testing.T) {
	checkBedOf(t, ByteNames(), "dotblocks", func(t *testing.T, target spmd.Target) *bed {
		d := newBed(t, target)
		r := rand.New(rand.NewPCG(7, 7))
		for _, op := range []string{"dot4", "dot4u", "dot4u_15", "dot2"} {
			for _, groups := range []int64{8, 120, 128, 136} {
				s := dotShape{op, 3, 2, 8}
				d.kernel(fmt.Sprint("block_", op, "_", groups), one, func(k *body) {
					w := k.input(spmd.I32, fourBytes(int(2*16*groups), func(int) int { return r.IntN(255) - 127 }))
					x := k.input(spmd.I32, fourBytes(int(2*groups*18), func(int) int { return r.IntN(255) - 127 }))
					s.block(k, x, w, k.output(spmd.I32, 18*2*16), groups)
				})
			}
		}
		return d.done()
	}, 1)
}

// dotAssembly is what the loops that matter are made of: one row and four vectors of columns, and blocks of rows.
var dotAssembly = []asmCase{
	{
		name:  "dot4_1x4",
		build: func(k *body) { dotShape{"dot4", 1, 4, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 1, `^vpabsb %ymm`: 1, `^vmovdqu .*\(%r.*, %ymm`: 4, `^vpsignb %ymm`: 4, `^vpmaddubsw %ymm`: 4, `^vpmaddwd %ymm`: 4, `^vpaddd %ymm`: 4, loopControl: 4},
			"x86-64-v4": {`^vpbroadcastd .*\(%r.*, %zmm`: 1, `^vpabsb %zmm`: 1, `^vmovdqu.* .*\(%r.*, %zmm`: 4, `^vpsubb %zmm.* \{%k`: 4, `^vpmaddubsw %zmm`: 4, `^vpmaddwd %zmm`: 4, `^vpaddd %zmm`: 4, `^vpmovb2m`: 1, loopControl: 4},
		},
	},
	{
		name:  "dot4u_1x4",
		build: func(k *body) { dotShape{"dot4u", 1, 4, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3+avxvnni":  {`^vpbroadcastd .*\(%r.*, %ymm`: 1, `^\{vex\} vpdpbusd .*\(%r.*\), %ymm\d+, %ymm`: 4, loopControl: 4},
			"x86-64-v4+vnni":     {`^vpbroadcastd .*\(%r.*, %zmm`: 1, `^vpdpbusd .*\(%r.*\), %zmm\d+, %zmm`: 4, loopControl: 4},
			"x86-64-v4+vnni+amx": {`^vpbroadcastd .*\(%r.*, %zmm`: 1, `^vpdpbusd .*\(%r.*\), %zmm\d+, %zmm`: 4, loopControl: 4},
		},
	},
	{
		name:  "dot4_3x2",
		build: func(k *body) { dotShape{"dot4", 3, 2, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 3, `^vpabsb %ymm`: 3, `^vmovdqu .*\(%r.*, %ymm`: 2, `^vpsignb %ymm`: 6, `^vpmaddubsw %ymm`: 6, `^vpmaddwd %ymm`: 6, `^vpaddd %ymm`: 6, loopControl: 4},
		},
	},
	{
		name:  "dot4u_8x2",
		build: func(k *body) { dotShape{"dot4u", 8, 2, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v4+vnni": {`^vpbroadcastd .*\(%r.*, %zmm`: 8, `^vmovdqu.* .*\(%r.*, %zmm`: 2, `^vpdpbusd %zmm`: 16, loopControl: 4},
		},
	},
	{
		name:  "dot2_4x2",
		build: func(k *body) { dotShape{"dot2", 4, 2, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 8, `^vmovdqu .*\(%r.*, %ymm`: 2, `^vps(ll|ra)w \$8, %ymm`: 6, `^vpmaddwd %ymm`: 16, `^vpaddd %ymm`: 16, loopControl: 4},
		},
	},
	{
		name:  "dot4u_15_2x1",
		build: func(k *body) { dotShape{"dot4u_15", 2, 1, 8}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 16, `^vmovdqu .*\(%r.*, %ymm`: 4, `^vps[rl]+[wd] \$4, %ymm`: 4, `^vpand %ymm`: 8, `^vpmaddubsw %ymm`: 16, `^vpaddw %ymm`: 14, `^vpmaddwd %ymm`: 2, `^vpaddd %ymm`: 2, `^(movq|shlq|andq) `: 3, loopControl: 4},
		},
	},
}

func TestDotAssembly(t *testing.T) { checkAssembly(t, ByteNames(), dotAssembly) }
