package emu

import (
	"fmt"
	"math/bits"
)

const (
	lanes = 32
	full  = ^uint32(0)
	far   = int32(1<<31 - 1)
)

// vec is one register of a warp: a word for each lane. Types of fewer bits have zeros above.
type vec = [lanes]uint64

// warp is 32 threads. Registers lie in an arena, those of a called function behind those of its caller: groups of lanes that are in different
// functions write different lanes of the same places, so the arena is one.
type warp struct {
	l     *launch
	b     *block
	index int // in the block
	clock int // in launch.clocks
	code  []inst

	regs          []vec
	preds         []uint32
	set           []uint32 // for each register: lanes that have written it; kept for watched ones only
	predSet       []uint32
	local         [lanes][]byte
	asyncs        []asyncCopy
	committed     [lanes]int32
	products      []*wgmma // wgmma that are under way
	productGroups int32
	begun         int   // products
	lastStrong    int32 // where the last strong access was, and how many instructions ago
	sinceStrong   int
	lastAlloc     *allocation
	access        access
	sameWord      clash // what the last access met of its own instruction

	groups []group
	live   uint32 // lanes that have not exited

	// The group that runs.
	cur   int // -1: none
	mask  uint32
	act   uint32 // lanes of the instruction at hand
	pc    int32
	limit int32 // at or behind it the next group is chosen anew
	top   frame

	stop bool // ends run: a fault, or the others' turn
	spun bool // it looks at memory again and again
	err  error
}

// frame is a function that runs.
type frame struct {
	f           *function
	call        *inst // in the caller; nil: the entry
	ret         int32
	base, pbase int32
	lbase       int64
}

func (w *warp) r(slot int32) *vec      { return &w.regs[w.top.base+slot] }
func (w *warp) p(slot int32) *uint32   { return &w.preds[w.top.pbase+slot] }
func (w *warp) lane(m uint32) int      { return bits.TrailingZeros32(m) & (lanes - 1) }
func (w *warp) thread(lane int) int    { return w.index*lanes + lane }
func (w *warp) clockID(lane int) int32 { return int32(w.clock*lanes + lane) }

// setPred writes the lanes of act.
func (w *warp) setPred(slot int32, m uint32) {
	if slot >= 0 {
		p := w.p(slot)
		*p = *p&^w.act | m&w.act
	}
}

// start sets a warp to the beginning of a kernel.
func (w *warp) start(mask uint32) {
	w.live, w.err, w.stop, w.spun, w.lastStrong = mask, nil, false, false, -1
	w.asyncs, w.committed = w.asyncs[:0], [lanes]int32{}
	w.products, w.productGroups, w.begun = nil, 0, 0
	f := frame{f: w.l.kernel}
	w.groups = append(w.groups[:0], group{mask: mask, pc: f.f.code.entry, frames: []frame{f}})
	w.cur, w.top, w.act = -1, f, mask
	w.enter()
}

// enter makes the registers of the function on top ready for the lanes of act.
func (w *warp) enter() {
	c := w.top.f.code
	if n := int(w.top.base + c.slots); n > len(w.regs) {
		w.regs = append(w.regs, make([]vec, n-len(w.regs))...)
		w.set = append(w.set, make([]uint32, n-len(w.set))...)
	}
	if n := int(w.top.pbase + c.preds); n > len(w.preds) {
		w.preds = append(w.preds, make([]uint32, n-len(w.preds))...)
		w.predSet = append(w.predSet, make([]uint32, n-len(w.predSet))...)
	}
	for _, k := range c.consts {
		v := k.value
		if k.v != nil {
			v += w.l.address(k.v, w.top.lbase)
		}
		r := w.r(k.slot)
		for l := range r {
			r[l] = v
		}
	}
	for _, s := range c.watched {
		w.set[w.top.base+s] &^= w.act
	}
	for _, s := range c.watchedPreds {
		w.predSet[w.top.pbase+s] &^= w.act
	}
	if c.localBytes > 0 {
		w.enterLocal(c.localBytes)
	}
}

// enterLocal poisons the local memory of a function.
func (w *warp) enterLocal(n int64) {
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		b := append(w.local[l][:w.top.lbase], make([]byte, n)...)
		for i := range b[w.top.lbase:] {
			b[int(w.top.lbase)+i] = 0xff
		}
		w.local[l] = b
	}
}

// run executes up to so many instructions: until all lanes wait or have ended, or another warp shall have its turn. It says how many there were.
func (w *warp) run(quantum int) int {
	w.stop = false
	n := 0
	if !w.pick() {
		return 0
	}
	for n < quantum && !w.stop {
		if w.pc >= w.limit {
			w.save()
			if !w.pick() {
				break
			}
		}
		in := &w.code[w.pc]
		w.pc++
		n++
		act := w.mask
		if in.pred >= 0 {
			if in.track != nil && !w.checkGuard(in) {
				break
			}
			act &= *w.p(in.pred) ^ in.flip
			if act == 0 {
				continue
			}
		}
		w.act = act
		w.l.lanes += int64(bits.OnesCount32(act))
		if in.track != nil {
			w.tracked(in)
			continue
		}
		in.exec(w, in)
	}
	if n >= quantum && w.cur >= 0 && len(w.groups) > 1 {
		w.groups[w.cur].turn = true
	}
	w.save()
	w.l.count += int64(n)
	if w.sinceStrong += n; w.sinceStrong > longSpin {
		w.spun = false
	}
	return n
}

// tracked executes an instruction with registers that are watched.
func (w *warp) tracked(in *inst) {
	t := in.track
	for _, s := range t.reads {
		if miss := w.act &^ w.set[w.top.base+s]; miss != 0 {
			w.fault(in, w.lane(miss), "reads %s, which it has not written", w.top.f.code.names[s])
			return
		}
	}
	for _, s := range t.preads {
		if miss := w.act &^ w.predSet[w.top.pbase+s]; miss != 0 {
			w.fault(in, w.lane(miss), "reads %s, which it has not written", w.top.f.code.predNames[s])
			return
		}
	}
	for _, s := range t.writes { // before: a call or branch goes elsewhere
		w.set[w.top.base+s] |= w.act
	}
	for _, s := range t.pwrites {
		w.predSet[w.top.pbase+s] |= w.act
	}
	in.exec(w, in)
}

// checkGuard does the same for the guard, which is read by all lanes of the group.
func (w *warp) checkGuard(in *inst) bool {
	for _, s := range in.track.guard {
		if miss := w.mask &^ w.predSet[w.top.pbase+s]; miss != 0 {
			w.fault(in, w.lane(miss), "reads %s, which it has not written", w.top.f.code.predNames[s])
			return false
		}
	}
	return true
}

// fault ends the launch with an error about a lane.
func (w *warp) fault(in *inst, lane int, format string, args ...any) {
	if w.err == nil {
		w.err = w.l.fault(w, in.src.line, lane, fmt.Sprintf(format, args...))
	}
	w.stop = true
}
