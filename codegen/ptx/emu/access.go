package emu

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

var le = binary.LittleEndian

// begin makes the access of an instruction ready for its lanes.
func (w *warp) begin(in *inst, write bool) {
	w.access = access{c: w.l.clocks, warp: w.clock, write: write, strong: in.strong}
	if write {
		w.l.serial++
		w.access.serial = w.l.serial
	}
	if in.strong {
		w.spinning()
	}
}

// spinning ends the turn of a warp that comes to a strong access a second time with nothing of the kind between: it waits for others.
func (w *warp) spinning() {
	w.spun = w.lastStrong == w.pc
	w.lastStrong, w.sinceStrong = w.pc, 0
	if w.spun {
		w.yield()
	}
}

// changed notes that a warp has changed memory.
func (w *warp) changed() {
	w.l.changes++
	w.spun = false
}

// at gives the memory that a lane accesses, nil after a fault. For a strong access it also makes the order.
func (w *warp) at(in *inst, lane int, s space, addr uint64, n int) []byte {
	if s == generic {
		s = spaceAt(addr)
		addr -= windows[s]
	}
	if addr&uint64(n-1) != 0 {
		w.fault(in, lane, "misaligned: %d bytes at %s", n, w.describe(s, addr))
		return nil
	}
	if in.strong && (s == global || s == shared) {
		w.l.clocks.strong(w, s, addr, in.order, !w.access.write || w.access.atomic, w.access.write)
	}
	switch s {
	case global:
		return w.atGlobal(in, lane, addr, n)
	case shared:
		return w.atShared(in, lane, addr, n)
	}
	mem := w.l.params
	switch s {
	case local:
		mem = w.local[lane][:w.top.lbase+w.top.f.code.localBytes]
	case constant:
		mem = w.l.on.consts
		if w.access.write {
			w.fault(in, lane, "stores into %s", w.describe(s, addr))
			return nil
		}
	}
	if addr > uint64(len(mem)) || uint64(len(mem))-addr < uint64(n) {
		w.fault(in, lane, "out of bounds: %d bytes at %s, which has %d", n, w.describe(s, addr), len(mem))
		return nil
	}
	return mem[addr:][:n]
}

// atAll is the access of all lanes of act to one place, for a load. What is wrong with it is found lane by lane.
func (w *warp) atAll(in *inst, lane int, s space, addr uint64, nc bool) []byte {
	w.access.many, w.access.quiet = true, true
	b := w.at(in, lane, s, addr, int(in.size))
	w.access.many = false
	for m := w.act; b == nil && m != 0 && w.err == nil; m &= m - 1 {
		w.access.quiet = false
		w.at(in, w.lane(m), s, addr, int(in.size))
	}
	if b == nil || nc && !w.checkConstant(in, lane, addr) {
		return nil
	}
	return b
}

func (w *warp) describe(s space, addr uint64) string {
	if s == global {
		return w.l.d.describe(addr)
	}
	return fmt.Sprintf("%v address %#x", s, addr)
}

func (w *warp) atGlobal(in *inst, lane int, addr uint64, n int) []byte {
	al := w.lastAlloc
	if al == nil || addr-al.base >= uint64(len(al.data)) {
		al = w.l.d.find(addr)
	}
	if al == nil || addr-al.base >= uint64(len(al.data)) || uint64(len(al.data))-(addr-al.base) < uint64(n) {
		w.fault(in, lane, "out of bounds: %d bytes at %s", n, w.l.d.describe(addr))
		return nil
	}
	w.lastAlloc = al
	off := addr - al.base
	if w.access.write {
		if al.readOnly {
			w.fault(in, lane, "stores into %s, which is read only", w.l.d.describe(addr))
			return nil
		}
		al.soil(off, n)
	}
	if w.l.races && al.shadow != nil && !w.touch(in, lane, al.shadow, global, addr, int64(off), n) {
		return nil
	}
	return al.data[off:][:n]
}

// soil notes that a launch has written some bytes.
func (a *allocation) soil(off uint64, n int) {
	if a.dirty == nil {
		a.dirty = make([]uint64, len(a.data)/256+1)
	}
	for i := off / 4; i <= (off+uint64(n)-1)/4; i++ {
		a.dirty[i/64] |= 1 << (i % 64)
	}
}

// checkConstant refuses ld.global.nc of what this launch has written: the cache that it reads by may not have seen that.
func (w *warp) checkConstant(in *inst, lane int, addr uint64) bool {
	a := w.lastAlloc
	if a.dirty == nil {
		return true
	}
	for i := (addr - a.base) / 4; i <= (addr-a.base+uint64(in.size)-1)/4; i++ {
		if a.dirty[i/64]>>(i%64)&1 != 0 {
			w.fault(in, lane, "ld.global.nc of %s, which this launch has written", w.l.d.describe(addr))
			return false
		}
	}
	return true
}

func (w *warp) atShared(in *inst, lane int, addr uint64, n int) []byte {
	size := uint64(w.l.sharedBytes)
	if addr > size || size-addr < uint64(n) {
		w.fault(in, lane, "out of bounds: %d bytes at shared address %#x; the block has %d bytes", n, addr, size)
		return nil
	}
	if !w.access.mbarrier && w.b.inMbarrier(addr, n) {
		w.fault(in, lane, "%d bytes at shared address %#x: an mbarrier is there", n, addr)
		return nil
	}
	if !w.touch(in, lane, &w.b.shadow, shared, addr, int64(addr), n) {
		return nil
	}
	return w.b.shared[addr:][:n]
}

// touch asks the shadow of the memory, and makes a fault of what is wrong.
func (w *warp) touch(in *inst, lane int, s *shadow, sp space, addr uint64, off int64, n int) bool {
	a := &w.access
	a.thread = w.clockID(lane)
	bad := s.touch(a, off, int64(n))
	if bad.why == "" {
		return true
	}
	if bad.same {
		w.sameWord = bad
		return true
	}
	if !a.quiet {
		w.clash(in, lane, sp, addr, n, bad)
	}
	return false
}

func (w *warp) clash(in *inst, lane int, sp space, addr uint64, n int, bad clash) {
	verb := "reads"
	if w.access.write {
		verb = "writes"
	}
	if bad.other == nobody {
		w.fault(in, lane, "uninitialised: %s %d bytes at %s: %s", verb, n, w.describe(sp, addr), bad.why)
		return
	}
	w.fault(in, lane, "race: %s %d bytes at %s: %s %s", verb, n, w.describe(sp, addr), bad.why, w.l.threadName(bad.other))
}

// threadName says which thread a clock's thread is.
func (l *launch) threadName(id int32) string {
	if id == anotherLane {
		return "another lane of its warp"
	}
	warp, lane := int(id)/lanes, int(id)%lanes
	b := warp / l.warps()
	t := coords(warp%l.warps()*lanes+lane, l.block)
	if len(l.clocks.known) == l.warps() {
		return fmt.Sprintf("thread %s of the block", dims(t))
	}
	return fmt.Sprintf("thread %s of block %s", dims(t), dims(coords(b, l.grid)))
}

// store puts a value into the memory that at gave. Lanes of one instruction may store the same value at one place, but no two.
func (w *warp) store(in *inst, lane int, to, v []byte) bool {
	if w.sameWord.why != "" {
		bad := w.sameWord
		w.sameWord = clash{}
		if !bytes.Equal(to, v) {
			w.fault(in, lane, "race: writes %d bytes: %s %s", len(v), bad.why, w.l.threadName(bad.other))
			return false
		}
	}
	copy(to, v)
	return true
}
