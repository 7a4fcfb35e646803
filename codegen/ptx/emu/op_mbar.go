package emu

import "math/bits"

// An mbarrier is eight bytes of shared memory that count arrivals and bytes on their way. A phase is over when all have come; then the next one begins. What
// copies bring arrives as late as can be: when a warp asks for the second time whether the phase is over.

// mbarrier is one of them.
type mbarrier struct {
	count, pending int   // arrivals of a phase, and those that are missing
	bytes          int64 // that are missing
	phase          uint32
	asked          bool // somebody has, in vain
	copies         []bulkCopy
	by             int32  // who made it,
	made           uint32 // and when
	arrived        []uint32
	through        []uint32 // what those know who have seen the last phase end (clocks),
	ended          uint32   // and when it did
}

const mostMissing = 1<<20 - 1 // bytes, and arrivals

// end begins the next phase if nothing is missing any more.
func (x *mbarrier) end(c *clocks) {
	if x.pending > 0 || x.bytes != 0 {
		return
	}
	x.phase++
	x.ended = c.now
	x.pending, x.asked = x.count, false
	x.arrived, x.through = x.through, x.arrived
	clear(x.arrived)
}

func compileMbarrier(c *compiler) {
	c.needs(80)
	what := c.need("init", "inval", "expect_tx", "arrive", "try_wait", "test_wait")
	if c.stateSpace() != shared {
		c.fail("want .shared")
	}
	c.typ(b64)
	switch what {
	case "init", "inval":
		c.mbarrierLife(what == "init")
	case "expect_tx":
		c.needs(90)
		if !c.has("relaxed") || c.oneOf("cta", "cluster") == "" {
			c.fail("want .relaxed.cta")
		}
		if c.operands(2) {
			c.address(0, shared)
			c.x.b = c.src(1, u32)
		}
		c.x.exec = expectTx
	case "arrive":
		if c.operands(2) {
			if c.arg(0).kind != argSink {
				c.fail("of the result only _ is supported")
			}
			c.address(1, shared)
		}
		c.x.exec = arriveAt
	default:
		if !c.has("parity") {
			c.fail("want .parity")
		}
		if what == "try_wait" {
			c.needs(90)
		}
		if c.operands(3) {
			c.x.d = c.predDest(c.arg(0).name)
			c.address(1, shared)
			c.x.b = c.src(2, u32)
		}
		c.x.exec = askPhase
	}
}

// mbarrierLife is init and inval.
func (c *compiler) mbarrierLife(init bool) {
	if !init {
		if c.operands(1) {
			c.address(0, shared)
		}
		c.x.exec = func(w *warp, in *inst) {
			w.eachMbarrier(in, func(l int, at uint64, x *mbarrier) bool {
				if len(x.copies) > 0 {
					w.fault(in, l, "copies that tell this mbarrier are on their way")
					return false
				}
				delete(w.b.mbarriers, at)
				return true
			})
		}
		return
	}
	if c.operands(2) {
		c.address(0, shared)
		c.x.b = c.src(1, u32)
	}
	c.x.exec = func(w *warp, in *inst) {
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			at, n := w.r(in.a)[l]+uint64(in.imm), w.r(in.b)[l]
			w.begin(in, true)
			b := w.at(in, l, shared, at, 8) // which refuses one that is an mbarrier
			if b == nil {
				return
			}
			if n < 1 || n > mostMissing {
				w.fault(in, l, "an mbarrier of %d arrivals: 1 to %d are possible", n, mostMissing)
				return
			}
			known := len(w.l.clocks.known)
			w.b.mbarriers[at] = &mbarrier{count: int(n), pending: int(n), by: w.clockID(l), made: w.l.clocks.now, arrived: make([]uint32, known), through: make([]uint32, known)}
		}
		w.changed()
	}
}

// eachMbarrier hands the mbarriers of an instruction to do, lane by lane, until it says no.
func (w *warp) eachMbarrier(in *inst, do func(l int, at uint64, x *mbarrier) bool) {
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		at := w.r(in.a)[l] + uint64(in.imm)
		if x := w.mbarrier(in, l, at); x == nil || !do(l, at, x) {
			return
		}
	}
}

// mbarrier gives the one at an address, nil after a fault. Accesses to one are atomic.
func (w *warp) mbarrier(in *inst, l int, at uint64) *mbarrier {
	x := w.b.mbarriers[at]
	if x == nil {
		w.fault(in, l, "there is no mbarrier at shared address %#x", at)
		return nil
	}
	w.begin(in, true)
	w.access.strong, w.access.atomic, w.access.mbarrier = true, true, true
	if w.at(in, l, shared, at, 8) == nil {
		return nil
	}
	return x
}

func expectTx(w *warp, in *inst) {
	w.eachMbarrier(in, func(l int, at uint64, x *mbarrier) bool {
		n := w.r(in.b)[l]
		if x.bytes += int64(n); n > mostMissing || x.bytes > mostMissing {
			w.fault(in, l, "an mbarrier that waits for %d bytes: %d are possible", x.bytes, mostMissing)
			return false
		}
		return true
	})
	w.changed()
}

func arriveAt(w *warp, in *inst) {
	w.eachMbarrier(in, func(l int, at uint64, x *mbarrier) bool {
		if x.pending == 0 {
			w.fault(in, l, "the %d arrivals of the phase have all been", x.count)
			return false
		}
		x.pending--
		w.l.clocks.leave(w.clock, x.arrived)
		x.end(w.l.clocks)
		return true
	})
	w.changed()
}

// askPhase says whether the phase of a parity is over: the present one has the other.
func askPhase(w *warp, in *inst) {
	var over, late uint32
	w.eachMbarrier(in, func(l int, at uint64, x *mbarrier) bool {
		parity := w.r(in.b)[l]
		switch {
		case parity > 1:
			w.fault(in, l, "parity %d", parity)
			return false
		case uint64(x.phase&1) != parity:
			over |= 1 << l
			join(w.l.clocks.known[w.clock], x.through)
			w.l.clocks.bulk[w.clock] = max(w.l.clocks.bulk[w.clock], x.ended)
		default:
			late |= 1 << l
		}
		return true
	})
	if w.err != nil {
		return
	}
	w.setPred(in.d, over)
	if late == 0 {
		w.spun = false
		return
	}
	w.spun, w.sinceStrong = true, 0
	at := w.r(in.a)[bits.TrailingZeros32(late)] + uint64(in.imm)
	if x := w.b.mbarriers[at]; x.asked {
		w.land(x)
	} else {
		x.asked = true
	}
	w.yield()
}

// land lets all copies arrive that tell an mbarrier.
func (w *warp) land(x *mbarrier) {
	for _, cp := range x.copies {
		copy(w.b.shared[cp.at:], cp.data)
		w.b.shadow.done(w.l.clocks, cp.by, int64(cp.at), int64(len(cp.data)))
		x.bytes -= int64(len(cp.data))
		w.l.clocks.now++
		x.arrived[cp.by/lanes] = w.l.clocks.now
		w.changed()
	}
	x.copies = x.copies[:0]
	x.end(w.l.clocks)
}

// inMbarrier says whether some bytes of shared memory are an mbarrier's.
func (b *block) inMbarrier(addr uint64, n int) bool {
	if len(b.mbarriers) == 0 {
		return false
	}
	for at := addr &^ 7; at < addr+uint64(n); at += 8 {
		if b.mbarriers[at] != nil {
			return true
		}
	}
	return false
}
