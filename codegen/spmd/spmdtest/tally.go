package spmdtest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// tallies are how many tiles the launches of a tally's phases have.
var tallies = [][]int64{{1}, {2, 1}, {3}, {5, 5, 1}, {8}, {13, 2}, {1, 1, 1}, {40}, {7, 23}}

// Tally counts in which tiles run: a tile that two workers run, or none, shows. Its phases come again and again.
func Tally(t testing.TB, target spmd.Target, times int) *Bed {
	d := New(t, target)
	var counted []spmd.Phase
	for p, launches := range tallies {
		phase := spmd.Phase{Name: fmt.Sprint("tally ", p)}
		for l, tiles := range launches {
			cells := d.room(8 * tiles)
			d.Kernel(fmt.Sprint("count", p, "_", l), spmd.Grid{Panels: tiles}, func(k *Body) {
				x := k.Arg(spmd.I64, spmd.Work, cells)
				k.Store(x, k.Tile(), 0, k.Add(k.Load(x, k.Tile(), 0), k.I(1)))
			})
			phase.Launches = append(phase.Launches, d.Program.Phases[len(d.Program.Phases)-1].Launches...)
		}
		counted = append(counted, phase)
	}
	d.Program.Phases = nil
	for range times {
		d.Program.Phases = append(d.Program.Phases, counted...)
	}
	return d.Done()
}

// TallyWrong lists the tiles that ran another number of times.
func TallyWrong(work []byte, times int) (wrong []string) {
	at := int64(64)
	for p, launches := range tallies {
		for l, tiles := range launches {
			for i := range tiles {
				if n := binary.LittleEndian.Uint64(work[at+8*i:]); n != uint64(times) {
					wrong = append(wrong, fmt.Sprintf("tile %d of launch %d of phase %d ran %d times, not %d", i, l, p, n, times))
				}
			}
			at += (8*tiles+63)&^63 + 64 // as room leaves it
		}
	}
	return wrong
}
