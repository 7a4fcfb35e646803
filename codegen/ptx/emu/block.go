package emu

import (
	"fmt"
	"math/bits"
)

// block is a thread block that is resident: its warps, shared memory and barriers.
type block struct {
	l          *launch
	index      int
	at         [3]int
	warps      []*warp
	shared     []byte
	shadow     shadow
	barriers   [16]barrier
	mbarriers  map[uint64]*mbarrier // by shared address
	warpgroups []map[int]*joint     // products that some warps of one have come to, by their number
}

// barrier counts threads as they arrive.
type barrier struct {
	arrived  int
	count    int      // operand of those who arrived; 0: all threads that have not exited
	through  []uint32 // what those know who come through (clocks)
	trues    int      // bar.red: threads whose predicate was true
	anyFalse bool
}

// newBlock makes room for a block, which start gives its number.
func newBlock(l *launch, firstClock int) *block {
	threads := l.block[0] * l.block[1] * l.block[2]
	b := &block{l: l, shared: make([]byte, roundUp(l.sharedBytes, 16))}
	b.shadow = shadow{words: make([]cell, len(b.shared)/4), blank: !l.d.Unwritten}
	for i := range (threads + lanes - 1) / lanes {
		b.warps = append(b.warps, &warp{l: l, b: b, index: i, clock: firstClock + i, code: l.m.code})
	}
	return b
}

func (b *block) start(index int) {
	b.index, b.at = index, coords(index, b.l.grid)
	for i := range b.shared {
		b.shared[i] = 0xff
	}
	b.shadow.reset()
	clear(b.barriers[:])
	b.mbarriers, b.warpgroups = map[uint64]*mbarrier{}, nil
	for i, w := range b.warps {
		w.start(b.lanesOf(i))
	}
}

// lanesOf is the mask of the threads that a warp has.
func (b *block) lanesOf(warp int) uint32 {
	threads := b.l.block[0]*b.l.block[1]*b.l.block[2] - warp*lanes
	if threads >= lanes {
		return full
	}
	return 1<<threads - 1
}

// arrive counts the lanes in act in at a barrier; wait: they stay there until it opens.
func (b *block) arrive(w *warp, in *inst, id, count int, wait bool) {
	x := &b.barriers[id]
	if x.arrived > 0 && x.count != count {
		w.fault(in, w.lane(w.act), "%s at barrier %d, where others wait for %s", threadsOrAll(count), id, threadsOrAll(x.count))
		return
	}
	x.count = count
	x.arrived += bits.OnesCount32(w.act)
	if x.through == nil {
		x.through = make([]uint32, len(b.l.clocks.known))
	}
	b.l.clocks.leave(w.clock, x.through)
	if count > 0 && x.arrived > count {
		w.fault(in, w.lane(w.act), "%d threads at barrier %d, which is for %d", x.arrived, id, count)
		return
	}
	if wait {
		w.arrive(in, int32(id))
	}
	b.open(id)
}

func threadsOrAll(count int) string {
	if count == 0 {
		return "all threads"
	}
	return fmt.Sprintf("%d threads", count)
}

// open lets those who wait at a barrier go if all have come.
func (b *block) open(id int) {
	x := &b.barriers[id]
	want := x.count
	if want == 0 {
		for _, w := range b.warps {
			want += bits.OnesCount32(w.live)
		}
	}
	if x.arrived == 0 || x.arrived < want {
		return
	}
	for _, w := range b.warps {
		for i := range w.groups {
			g := &w.groups[i]
			if g.state == atBarrier && g.barrier == int32(id) {
				g.state = ready
				join(b.l.clocks.known[w.clock], x.through)
				b.reduced(w, g, x)
				w.again()
			}
		}
	}
	clear(x.through)
	*x = barrier{through: x.through}
}

// exited looks at all barriers after threads have ended: those who wait need not wait for them.
func (b *block) exited() {
	for id := range b.barriers {
		if x := &b.barriers[id]; x.arrived > 0 && x.count == 0 {
			b.open(id)
		}
	}
}

// reduced gives the result of a bar.red to the lanes that waited at it.
func (b *block) reduced(w *warp, g *group, x *barrier) {
	in := g.at
	f := g.frames[len(g.frames)-1]
	setPred := func(v bool) {
		p := &w.preds[f.pbase+in.d]
		*p &^= g.mask
		if v {
			*p |= g.mask
		}
	}
	switch in.imm {
	case barPopc:
		r := &w.regs[f.base+in.d]
		for m := g.mask; m != 0; m &= m - 1 {
			r[w.lane(m)] = uint64(x.trues)
		}
	case barAnd:
		setPred(!x.anyFalse)
	case barOr:
		setPred(x.trues > 0)
	}
}

// What a barrier instruction computes, in inst.imm.
const (
	barPlain = iota
	barPopc
	barAnd
	barOr
)
