package spmd

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// TestSwap runs every distance at every number of lanes.
func TestSwap(t *testing.T) {
	for _, lanes := range []int{8, 16, 32} {
		for d := int64(1); d < int64(lanes); d *= 2 {
			t.Run(fmt.Sprintf("%d of %d", d, lanes), func(t *testing.T) {
				b := NewBuilder("swap", Target{Lanes: lanes, Members: 1})
				x := b.Param("x", I32, Work)
				b.StoreV(x, nil, 0, b.Swap(b.Lane(), d))
				f := b.Param("f", F32, Work)
				b.StoreV(f, nil, 0, b.Swap(b.ToF32(b.Lane()), d))
				k, err := b.Finish()
				if err != nil {
					t.Fatal(err)
				}
				p := &Program{Name: "swap", Target: Target{Name: "t", Lanes: lanes, Registers: 16, Members: 1}, Kernels: []*Kernel{k}, WorkBytes: 512, TeamBytes: 64,
					WeightBytes: 64, SlotBytes: 64, LogitsStride: 1, Vocab: 1, MaxRows: 1, MaxSeqs: 1,
					Phases: []Phase{{Name: "p", Launches: []Launch{{Args: []int64{0, 256}, Grid: Grid{Panels: 1}}}}}}
				m, err := NewMachine(p, make([]byte, 64), 1)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Step(p, StepInput{IDs: []int32{0}, SeqStart: []int32{0, 1}, SeqSlot: []int32{0}}); err != nil {
					t.Fatal(err)
				}
				for l := range lanes {
					got := binary.LittleEndian.Uint32(m.Memory[Work][4*l:])
					float := math.Float32frombits(binary.LittleEndian.Uint32(m.Memory[Work][256+4*l:]))
					if want := l ^ int(d); int(got) != want || float != float32(want) {
						t.Errorf("lane %d: %d and %v, want %d", l, got, float, want)
					}
				}
			})
		}
	}
}
