package spmdtest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// ChainTiles are the tiles of each phase of a chain.
const ChainTiles = 8

const chainFactor = 0x5851f42d4c957f2d // odd: nothing is forgotten on the way

// Chain is a long chain of tiny phases: each tile needs what two tiles of the phase before made, so a barrier that lets one through early shows.
func Chain(t testing.TB, target spmd.Target, phases int) *Bed {
	d := New(t, target)
	a, b := d.room(8*ChainTiles), d.room(8*ChainTiles)
	d.Kernel("link", spmd.Grid{Panels: ChainTiles}, func(k *Body) {
		x, y := k.Arg(spmd.I64, spmd.Work, a), k.Arg(spmd.I64, spmd.Work, b)
		next := k.Rem(k.Add(k.Tile(), k.I(1)), k.I(ChainTiles))
		mixed := k.Xor(k.Mul(k.Load(x, next, 0), k.I(chainFactor)), k.Shr(k.Load(x, k.Tile(), 0), 9))
		k.Store(y, k.Tile(), 0, k.Add(mixed, k.Add(k.Tile(), k.Rows())))
	})
	link := d.Program.Phases[0].Launches[0]
	d.Program.Phases = nil
	for i := range phases {
		l := link
		l.Args = []int64{a, b}
		if i%2 == 1 {
			l.Args = []int64{b, a}
		}
		d.Program.Phases = append(d.Program.Phases, spmd.Phase{Name: fmt.Sprint("link ", i), Launches: []spmd.Launch{l}})
	}
	return d.Done()
}

// ChainStep does in Go what a step of the chain does, and gives what lies where the last phase wrote.
func ChainStep(x *[ChainTiles]uint64, phases int, rows uint64) {
	for range phases {
		var y [ChainTiles]uint64
		for i := range y {
			y[i] = x[(i+1)%ChainTiles]*chainFactor ^ uint64(int64(x[i])>>9)
			y[i] += uint64(i) + rows
		}
		*x = y
	}
}

// ChainState reads what an even number of phases left in work memory.
func ChainState(work []byte) (x [ChainTiles]uint64) {
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(work[64+8*i:])
	}
	return x
}
