package spmdtest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// matrices are where an mma8 finds its operands: rows of a and columns of b, packed in groups of four bytes.
type matrices struct {
	a, b    *val // *i8
	strides spmd.Strides
	tiles   int64
}

func (m matrices) multiply(k *Body, c, groups, rows *val) {
	k.MMA8(c, m.a, m.b, groups, rows, m.strides, m.tiles)
}

// MMA multiplies in tiles of all heights and depths, with what is beyond a row, a column or a group in use by others or not mapped.
func MMA(t testing.TB, target spmd.Target) *Bed { return mma(t, target, 0) }

// MMARuns does the same with columns in runs of four groups.
func MMARuns(t testing.TB, target spmd.Target) *Bed { return mma(t, target, 4) }

func mma(t testing.TB, target spmd.Target, run int64) *Bed {
	d := New(t, target)
	each := max(1, run)                                                    // groups that lie together
	runs := func(groups int64) int64 { return (groups + each - 1) / each } // what so many groups take
	r := rand.New(rand.NewPCG(3, 5))
	random := func(n int64) []uint64 {
		x := make([]uint64, n)
		for i := range x {
			x[i] = uint64(uint8(r.IntN(255) - 127))
		}
		return x
	}
	// One kernel goes through all sizes: the configuration of the tiles changes from one to the next, or stays.
	var rows, groups []uint64
	for _, m := range []uint64{1, 2, 15, 16} {
		for _, g := range []uint64{0, 1, 15, 16, 17, 31, 32, 48, 49} {
			rows, groups = append(rows, m, m), append(groups, g, g)
		}
	}
	n := int64(len(rows))
	for tiles := int64(1); tiles <= 2; tiles++ {
		s := spmd.Strides{C: 16*tiles + 3, A: 4 * 49, B: (64*tiles + 4) * each, Run: run, Ahead: (tiles - 1) << 28}
		d.Kernel(fmt.Sprint("sizes", tiles), One, func(k *Body) {
			m := matrices{k.Input(spmd.I8, random(16*s.A)), k.Input(spmd.I8, random(runs(49)*s.B)), s, tiles}
			ms, gs := k.Input(spmd.I64, rows), k.Input(spmd.I64, groups)
			to := k.Output(spmd.I32, n*16*s.C)
			k.For(k.I(0), k.I(n), 1, nil, func(i *val, _ []*val) []*val {
				c := k.Offset(to, k.Mul(i, k.I(16*s.C)))
				m.multiply(k, c, k.Load(gs, i, 0), k.Load(ms, i, 0))
				m.multiply(k, c, k.Load(gs, i, 0), k.Load(ms, i, 0)) // twice: the sums are added to what is there
				return nil
			})
		})
	}
	// In scratch, of several tiles and two kinds in one kernel; known sizes.
	d.Kernel("scratch", spmd.Grid{Panels: 3}, func(k *Body) {
		s := spmd.Strides{C: 32, A: 80, B: 128 * each, Run: run}
		a, b := k.Input(spmd.I8, random(16*s.A+64)), k.Input(spmd.I8, random(runs(20)*s.B+64))
		to := k.Output(spmd.I32, 3*16*32)
		c := k.Scratch(spmd.I32, 16*32)
		clear := func() {
			for i := int64(0); i < 16*32; i += int64(k.Target.Lanes) {
				k.StoreV(c, nil, i, k.I32(int32(i)))
			}
		}
		clear()
		matrices{k.Offset(a, k.Tile()), k.Offset(b, k.Mul(k.Tile(), k.I(4*each))), s, 2}.multiply(k, c, k.I(20), k.I(16))
		matrices{a, b, s, 1}.multiply(k, c, k.I(16), k.I(7))
		k.For(k.I(0), k.I(16*32), int64(k.Target.Lanes), nil, func(i *val, _ []*val) []*val {
			k.StoreV(to, k.Add(k.Mul(k.Tile(), k.I(16*32)), i), 0, k.LoadV(c, i, 0))
			return nil
		})
	})
	// a and b end where memory does. (Both are whole cache lines.)
	last := d.room(15*52 + 20)
	for i := range d.Work[last : last+15*52+20] {
		d.Work[last+int64(i)] = byte(r.IntN(255) - 127)
	}
	d.Weights = make([]byte, runs(5)*each*64)
	for i := range d.Weights {
		d.Weights[i] = byte(r.IntN(255) - 127)
	}
	d.Kernel("ends", One, func(k *Body) {
		a, b := k.Arg(spmd.I8, spmd.Work, int64(len(d.Work))-(15*52+20)), k.Arg(spmd.I8, spmd.Weights, 0)
		c := k.Scratch(spmd.I32, 16*16)
		for i := int64(0); i < 16*16; i += int64(k.Target.Lanes) {
			k.StoreV(c, nil, i, k.I32(0))
		}
		matrices{a, b, spmd.Strides{C: 16, A: 52, B: 64 * each, Run: run}, 1}.multiply(k, c, k.I(5), k.I(16))
		to := k.Arg(spmd.I32, spmd.State, 0)
		for i := int64(0); i < 16; i++ {
			k.Store(to, nil, i, k.Load(c, nil, 15*16+i))
		}
	})
	return d.Done()
}
