package emu

import (
	"fmt"
	"math/bits"
	"slices"
)

type waitState uint8

const (
	ready     waitState = iota
	together            // at a .sync instruction, for other lanes of the warp to come there too
	atBarrier           // of the block
)

// group is lanes of a warp that run together.
type group struct {
	mask    uint32
	pc      int32
	state   waitState
	frames  []frame
	at      *inst  // that it waits at
	want    uint32 // together: the lanes it waits for
	barrier int32
	turn    bool // it gave way, and is not chosen while another can run
}

// save puts the running group back.
func (w *warp) save() {
	if w.cur < 0 {
		return
	}
	g := &w.groups[w.cur]
	g.mask, g.pc = w.mask, w.pc
	if w.mask == 0 {
		w.groups = slices.Delete(w.groups, w.cur, w.cur+1)
	}
	w.cur = -1
}

// sameCalls says whether two groups came to where they are by the same calls.
func (g *group) sameCalls(h *group) bool {
	return slices.EqualFunc(g.frames, h.frames, func(a, b frame) bool { return a.ret == b.ret && a.call == b.call })
}

// before is the order in which groups run: deeper calls first, then the lower program counter.
func (g *group) before(h *group) bool {
	if g.turn != h.turn {
		return h.turn
	}
	if len(g.frames) != len(h.frames) {
		return len(g.frames) > len(h.frames)
	}
	return g.pc < h.pc
}

// join merges groups that stand at the same place. One that waits there for others runs again, and looks whether they are enough.
func (w *warp) join() {
	for i := 0; i < len(w.groups); i++ {
		for j := i + 1; j < len(w.groups); j++ {
			g, h := &w.groups[i], &w.groups[j]
			if g.pc != h.pc || g.state == atBarrier || h.state == atBarrier || !g.sameCalls(h) {
				continue
			}
			g.mask |= h.mask
			g.state, g.turn = ready, g.turn && h.turn
			w.groups = slices.Delete(w.groups, j, j+1)
			j--
		}
	}
}

// pick chooses the group to run, false if none can. It ends the turn of the warp only through run.
func (w *warp) pick() bool {
	if len(w.groups) > 1 {
		w.join()
	}
	best := -1
	for i := range w.groups {
		if g := &w.groups[i]; g.state == ready && (best < 0 || g.before(&w.groups[best])) {
			best = i
		}
	}
	w.cur = best
	if best < 0 {
		return false
	}
	g := &w.groups[best]
	for i := range w.groups {
		if i != best {
			w.groups[i].turn = false
		}
	}
	w.mask, w.pc, w.limit = g.mask, g.pc, far
	w.top = g.frames[len(g.frames)-1]
	for i := range w.groups {
		if h := &w.groups[i]; i != best && h.state != atBarrier && h.pc > g.pc && h.pc < w.limit && h.sameCalls(g) {
			w.limit = h.pc
		}
	}
	return true
}

// again has the groups looked at anew before the next instruction.
func (w *warp) again() { w.limit = 0 }

// yield ends the warp's turn; a group of the same warp that can run goes first the next time.
func (w *warp) yield() {
	w.stop = true
	if len(w.groups) > 1 {
		w.groups[w.cur].turn = true
	}
}

// split makes a group of the lanes in m, which go on at pc.
func (w *warp) split(m uint32, pc int32) *group {
	w.mask &^= m
	w.groups = append(w.groups, group{mask: m, pc: pc, frames: slices.Clone(w.groups[w.cur].frames)})
	w.again()
	return &w.groups[len(w.groups)-1]
}

// gather says whether all the lanes in want that live stand at this instruction, and else has the group wait for them.
func (w *warp) gather(in *inst, want uint32) bool {
	rest := want & w.live &^ w.act
	if rest == 0 {
		return true
	}
	g := &w.groups[w.cur]
	if rest&w.mask != 0 {
		w.fault(in, w.lane(rest), "is kept away by the guard, where lanes %#x wait for lanes %#x", w.act, want)
		return false
	}
	if w.act != w.mask {
		g = w.split(w.act, w.pc-1)
	} else {
		w.pc-- // to be executed again
	}
	g.state, g.at, g.want = together, in, want
	w.again()
	return false
}

// arrive has lanes wait at a barrier of the block, behind the instruction.
func (w *warp) arrive(in *inst, id int32) {
	g := &w.groups[w.cur]
	if w.act != w.mask {
		g = w.split(w.act, w.pc)
	}
	g.state, g.at, g.barrier = atBarrier, in, id
	w.again()
}

// end takes the lanes in act away.
func (w *warp) end() {
	w.live &^= w.act
	w.mask &^= w.act
	for i := range w.groups { // those who wait for all that live may be enough now
		if w.groups[i].state == together {
			w.groups[i].state = ready
		}
	}
	w.again()
	w.b.exited()
	w.unfinished()
}

// unfinished refuses lanes that end, the last of a warp or of the block, with something under way.
func (w *warp) unfinished() {
	in := &w.code[w.pc-1]
	if w.live == 0 && len(w.products) > 0 {
		w.fault(in, 0, "ends, and nobody has waited for the product of line %d", w.products[0].in.src.line)
	}
	for _, other := range w.b.warps {
		if other.live != 0 {
			return
		}
	}
	for _, x := range w.b.mbarriers {
		if len(x.copies) > 0 {
			w.fault(in, 0, "ends, and nobody has waited for a copy to shared address %#x", x.copies[0].at)
			return
		}
	}
	for _, log := range w.b.warpgroups {
		for _, x := range log {
			w.fault(in, 0, "ends, and only %d warps of a group have come to the product of line %d", x.warps, x.in.src.line)
			return
		}
	}
}

// push goes into a function.
func (w *warp) push(f *function, in *inst) {
	g := &w.groups[w.cur]
	c := w.top.f.code
	w.top = frame{f: f, call: in, ret: w.pc, base: w.top.base + c.slots, pbase: w.top.pbase + c.preds, lbase: w.top.lbase + c.localBytes}
	g.frames = append(g.frames, w.top)
	w.pc = f.code.entry
	w.enter()
}

// where says what the lanes of a warp do, for reports of a deadlock.
func (w *warp) where() []string {
	var out []string
	for i := range w.groups {
		g := &w.groups[i]
		what := "runs at"
		in := &w.code[min(int(g.pc), len(w.code)-1)]
		switch g.state {
		case atBarrier:
			what, in = fmt.Sprintf("waits at barrier %d,", g.barrier), g.at
		case together:
			what, in = fmt.Sprintf("waits for lanes %#x,", g.want&^g.mask), g.at
		}
		who := fmt.Sprintf("block %v warp %d", dims(w.b.at), w.index)
		if g.mask != full {
			who += fmt.Sprintf(" lanes %#x", g.mask)
		}
		out = append(out, fmt.Sprintf("%s %s line %s", who, what, in.src.where()))
	}
	if n := w.b.lanesOf(w.index); w.live != n && len(out) > 0 {
		out[0] += fmt.Sprintf(" (%d lanes of this warp have exited)", bits.OnesCount32(n&^w.live))
	}
	return out
}
