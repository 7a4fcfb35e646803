package emu

// Copies of many bytes, by the async proxy: what was stored before must have been shown to it by a fence.proxy.async of who stored it.

// bulkCopy is a cp.async.bulk that is under way.
type bulkCopy struct {
	by   int32 // thread
	at   uint64
	data []byte
}

// compileBulk is cp.async.bulk from global to shared memory, which tells an mbarrier, and the prefetch.
func compileBulk(c *compiler) {
	c.needs(90)
	if c.has("prefetch") {
		if !c.has("L2") || c.stateSpace() != global {
			c.fail("want .prefetch.L2.global")
			return
		}
		c.hints()
		if c.operands(2) {
			c.address(0, global)
			c.src(1, u32)
		}
		c.x.exec = nothing
		return
	}
	if !c.has("shared::cluster") || c.stateSpace() != global || !c.has("mbarrier::complete_tx::bytes") {
		c.fail("want .shared::cluster.global.mbarrier::complete_tx::bytes or .prefetch.L2.global")
		return
	}
	c.hints()
	if !c.operands(4) {
		return
	}
	var slots [3]int32
	var plus [3]uint64
	for i, o := range []struct {
		arg int
		s   space
	}{{0, shared}, {1, global}, {3, shared}} {
		c.address(o.arg, o.s)
		slots[i], plus[i] = c.x.a, uint64(c.x.imm)
	}
	size := c.src(2, u32)
	c.x.exec = func(w *warp, in *inst) {
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			at := func(i int) uint64 { return w.r(slots[i])[l] + plus[i] }
			if !w.copyBulk(in, l, at(0), at(1), w.r(size)[l], at(2)) {
				return
			}
		}
		w.changed()
	}
}

func (w *warp) copyBulk(in *inst, l int, to, from, n, mbar uint64) bool {
	if n == 0 || n%16 != 0 || n > 1<<20 || to%16 != 0 || from%16 != 0 {
		w.fault(in, l, "misaligned: copies %d bytes from %s to shared address %#x: multiples of 16 are wanted", n, w.l.d.describe(from), to)
		return false
	}
	x := w.mbarrier(in, l, mbar)
	if x == nil {
		return false
	}
	if x.made >= w.l.clocks.shown(x.by) {
		w.fault(in, l, "the mbarrier was made with no fence.proxy.async behind it, by %s", w.l.threadName(x.by))
		return false
	}
	w.begin(in, false)
	source := w.atGlobal(in, l, from, int(n))
	if source == nil {
		return false
	}
	cp := bulkCopy{by: w.clockID(l), at: to, data: append([]byte(nil), source...)}
	w.begin(in, true)
	w.access.copies, w.access.async = true, true
	b := w.atShared(in, l, to, int(n))
	if b == nil {
		return false
	}
	for i := range b {
		b[i] = 0xff
	}
	x.copies = append(x.copies, cp)
	return true
}
