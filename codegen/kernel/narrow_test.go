package kernel

import (
	"encoding/binary"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestBounded takes every code apart, in every byte of a word and beside every kind of neighbour: bounded, above and below must be within what dot4u is
// told of them, and together the code.
func TestBounded(t *testing.T) {
	neighbours := []int8{-128, -81, -80, -1, 0, 47, 48, 49, 127}
	var words []uint64
	for code := range 256 {
		for place := range 4 {
			for _, n := range neighbours {
				w := uint32(uint8(n)) * 0x01010101
				w = w&^(0xff<<(8*place)) | uint32(code)<<(8*place)
				words = append(words, uint64(w))
			}
		}
	}
	d := spmdtest.New(t, targets[0])
	n := int64(len(words))
	d.Work = make([]byte, 64)
	var at [3]int64
	d.Kernel("bounded", spmdtest.One, func(b *spmdtest.Body) {
		k := &code{Builder: b.Builder}
		x := b.Input(spmd.I32, words)
		var to [3]*spmd.Value
		for i := range to {
			at[i] = int64(len(d.Work)+63)&^63 + 64
			to[i] = b.Output(spmd.I32, n)
		}
		k.For(k.I(0), k.I(n), int64(k.Target.Lanes), nil, func(u *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			within, above, below := bounded(k, k.LoadV(x, u, 0))
			for i, v := range []*spmd.Value{within, above, below} {
				k.StoreV(to[i], u, 0, v)
			}
			return nil
		})
	})
	work := d.Done().Interpret(t).Work
	for i, w := range words {
		part := func(which int) uint32 { return binary.LittleEndian.Uint32(work[at[which]+4*int64(i):]) }
		for place := range 4 {
			b := func(x uint32) int { return int(x >> (8 * place) & 0xff) }
			within, above, below := b(part(0)), b(part(1)), b(part(2))
			code := int(int8(b(uint32(w))))
			pair := within + int(part(0)>>(8*(place^1))&0xff)
			if pair > 2*narrowMost || above > cutMost || below > cutMost || within-narrowUp+above-below != code {
				t.Fatalf("code %d in byte %d of %08x: %d within, %d above, %d below", code, place, w, within, above, below)
			}
		}
	}
}
