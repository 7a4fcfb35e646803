package emu

// cp.async: the copy is done at once, but until its thread has waited for it nobody may touch the bytes.

// asyncCopy is a cp.async of a warp that is under way.
type asyncCopy struct {
	mask  uint32 // lanes that have not waited for it
	bytes int64
	at    [lanes]uint64
	group [lanes]int32 // number of the lane's group that it belongs to
}

func compileCp(c *compiler) {
	if !c.has("async") {
		c.fail("want cp.async")
		return
	}
	switch {
	case c.has("commit_group"):
		c.operands(0)
		c.x.exec = commitGroup
	case c.has("wait_all"):
		c.operands(0)
		c.x.exec = func(w *warp, in *inst) {
			for m := w.act; m != 0; m &= m - 1 {
				w.committed[w.lane(m)]++
			}
			w.waitGroups(0)
		}
	case c.has("wait_group"):
		if c.operands(1) {
			o := c.arg(0)
			if o.kind != argInt || o.value > 1<<20 {
				c.fail("want a number of groups")
			}
			c.x.imm = int64(o.value)
		}
		c.x.exec = func(w *warp, in *inst) { w.waitGroups(int32(in.imm)) }
	case c.has("bulk"):
		compileBulk(c)
	default:
		compileCopy(c)
	}
}

// compileCopy is cp.async.{ca,cg}.shared.global [d], [a], bytes{, of them from memory}.
func compileCopy(c *compiler) {
	c.needs(80)
	level := c.need("ca", "cg")
	c.hints()
	if c.stateSpace() != shared || c.stateSpace() != global {
		c.fail("want .shared.global")
	}
	if !c.operands(3, 4) {
		return
	}
	n := c.arg(2)
	if n.kind != argInt || n.value != 16 && (level == "cg" || n.value != 4 && n.value != 8) {
		c.fail("want 4, 8 or 16 bytes; .cg: 16")
		return
	}
	c.x.size = int32(n.value)
	c.address(0, shared)
	to, plus := c.x.a, c.x.imm
	c.address(1, global)
	c.x.b = to
	c.x.c = -1
	if len(c.in.args) == 4 {
		c.x.c = c.src(3, u32)
	}
	c.x.exec = func(w *warp, in *inst) { w.copyAsync(in, plus) }
}

func (w *warp) copyAsync(in *inst, plus int64) {
	from, to := w.r(in.a), w.r(in.b)
	cp := asyncCopy{mask: w.act, bytes: int64(in.size)}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		n := int(in.size)
		if in.c >= 0 {
			n = int(min(uint64(n), w.r(in.c)[l]))
			if uint64(n) != w.r(in.c)[l] {
				w.fault(in, l, "copies %d of %d bytes", w.r(in.c)[l], in.size)
				return
			}
		}
		var v [16]byte
		if n > 0 && !w.readForCopy(in, l, from[l]+uint64(in.imm), v[:n]) {
			return
		}
		cp.at[l], cp.group[l] = to[l]+uint64(plus), w.committed[l]
		w.begin(in, true)
		w.access.copies = true
		b := w.at(in, l, shared, cp.at[l], int(in.size))
		if b == nil {
			return
		}
		copy(b, v[:in.size])
	}
	w.changed()
	w.asyncs = append(w.asyncs, cp)
}

// readForCopy reads what a lane copies: the whole must be aligned, only what is copied must be there.
func (w *warp) readForCopy(in *inst, lane int, addr uint64, v []byte) bool {
	if addr&uint64(in.size-1) != 0 {
		w.fault(in, lane, "misaligned: %d bytes at %s", in.size, w.l.d.describe(addr))
		return false
	}
	w.begin(in, false)
	b := w.atGlobal(in, lane, addr, len(v))
	copy(v, b)
	return b != nil
}

func commitGroup(w *warp, in *inst) {
	for m := w.act; m != 0; m &= m - 1 {
		w.committed[w.lane(m)]++
	}
}

// waitGroups ends the copies of all groups of the lanes in act but the last n.
func (w *warp) waitGroups(n int32) {
	rest := w.asyncs[:0]
	for _, cp := range w.asyncs {
		for m := cp.mask & w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			if cp.group[l] < w.committed[l]-n {
				w.b.shadow.done(w.l.clocks, w.clockID(l), int64(cp.at[l]), cp.bytes)
				cp.mask &^= 1 << l
			}
		}
		if cp.mask != 0 {
			rest = append(rest, cp)
		}
	}
	w.asyncs = rest
}
