package emu

import (
	"math/bits"
	"slices"
)

// What lanes of a warp tell each other. Each instruction names the lanes that take part; they must all stand at it, with the same names.

// members checks the masks of the lanes in act and waits until all stand here. It says no if they do not, or after a fault.
func (w *warp) members(in *inst, masks *vec) bool {
	want := uint32(0)
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		mask := uint32(masks[l])
		if mask>>l&1 == 0 {
			w.fault(in, l, "is not one of the lanes %#x that it names", mask)
			return false
		}
		want |= mask
	}
	if !w.gather(in, want) {
		return false
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		for o := uint32(masks[l]) & w.live; o != 0; o &= o - 1 {
			if k := w.lane(o); masks[k] != masks[l] {
				w.fault(in, l, "names lanes %#x; lane %d, one of them, names %#x", uint32(masks[l]), k, uint32(masks[k]))
				return false
			}
		}
	}
	return true
}

func compileShfl(c *compiler) {
	if !c.has("sync") {
		c.fail("want .sync")
	}
	mode := c.need("idx", "up", "down", "bfly")
	c.typ(b32)
	if !c.operands(5) {
		return
	}
	o := c.arg(0)
	second := o.second
	o.second = ""
	p := int32(-1)
	if second != "" {
		p = c.predDest(second)
	}
	c.x.d, c.x.a, c.x.b, c.x.c = c.dest(o, b32, false), c.src(1, b32), c.src(2, b32), c.src(3, b32)
	mask := c.src(4, b32)
	c.x.list = []int32{mask}
	c.x.exec = func(w *warp, in *inst) {
		if w.members(in, w.r(mask)) {
			w.shuffle(in, mode, p)
		}
	}
}

// shuffle: c has the last lane of a segment in its low bits (the first, for .up) and the bits of a lane number that choose the segment above.
func (w *warp) shuffle(in *inst, mode string, p int32) {
	d, a, b, cc, masks := w.r(in.d), *w.r(in.a), w.r(in.b), w.r(in.c), w.r(in.list[0])
	var out vec
	var inRange uint32
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		n, clamp, seg := int(b[l]&31), int(cc[l]&31), int(cc[l]>>8&31)
		last := l&seg | clamp&^seg
		first := l & seg
		j, ok := 0, false
		switch mode {
		case "up":
			j = l - n
			ok = j >= last
		case "down":
			j = l + n
			ok = j <= last
		case "bfly":
			j = l ^ n
			ok = j <= last
		default:
			j = first | n&^seg
			ok = j <= last
		}
		if !ok {
			j = l
		} else {
			inRange |= 1 << l
		}
		if w.act>>j&1 == 0 || masks[l]>>j&1 == 0 {
			w.fault(in, l, "reads lane %d, which takes no part", j)
			return
		}
		out[l] = a[j]
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		d[l] = out[l]
	}
	w.setPred(p, inRange)
}

func compileVote(c *compiler) {
	if !c.has("sync") {
		c.fail("want .sync")
	}
	mode := c.need("all", "any", "uni", "ballot")
	t := c.typ(pred, b32)
	if !c.operands(3) {
		return
	}
	if (t == b32) != (mode == "ballot") {
		c.fail("want .ballot.b32 or .%s.pred", mode)
	}
	if mode == "ballot" {
		c.x.d = c.dst(0, b32)
	} else {
		c.x.d = c.predDest(c.arg(0).name)
	}
	slot, flip := c.predOrConstant(1)
	c.x.a = slot
	mask := c.src(2, b32)
	c.x.exec = func(w *warp, in *inst) {
		masks := w.r(mask)
		if !w.members(in, masks) {
			return
		}
		votes := flip
		if in.a >= 0 {
			votes ^= *w.p(in.a)
		}
		votes &= w.act
		var yes uint32
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			group := uint32(masks[l]) & w.act
			v := votes & group
			switch {
			case mode == "ballot":
				w.r(in.d)[l] = uint64(v)
			case mode == "all" && v == group, mode == "any" && v != 0, mode == "uni" && (v == 0 || v == group):
				yes |= 1 << l
			}
		}
		if mode != "ballot" {
			w.setPred(in.d, yes)
		}
	}
}

// compileMatch gives the lanes that have the same value.
func compileMatch(c *compiler) {
	if !c.has("sync") || !c.has("any") {
		c.fail("want .sync.any")
	}
	t := c.typ(b32, b64)
	if !c.operands(3) {
		return
	}
	c.x.d, c.x.a = c.dst(0, b32), c.src(1, t)
	mask := c.src(2, b32)
	c.x.exec = func(w *warp, in *inst) {
		masks := w.r(mask)
		if !w.members(in, masks) {
			return
		}
		d, a := w.r(in.d), *w.r(in.a)
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			var same uint64
			for o := uint32(masks[l]) & w.act; o != 0; o &= o - 1 {
				if k := w.lane(o); a[k] == a[l] {
					same |= 1 << k
				}
			}
			d[l] = same
		}
	}
}

func compileRedux(c *compiler) {
	if !c.has("sync") {
		c.fail("want .sync")
	}
	c.needs(80)
	name := c.need("add", "min", "max", "and", "or", "xor")
	t := c.typ(u32, s32, b32)
	if arith := slices.Contains([]string{"add", "min", "max"}, name); arith == (t == b32) {
		c.fail("type .%v is not supported here", t)
		return
	}
	if !c.operands(3) {
		return
	}
	c.x.d, c.x.a = c.dst(0, t), c.src(1, t)
	mask := c.src(2, b32)
	f := atomic(name, t)
	c.x.exec = func(w *warp, in *inst) {
		masks := w.r(mask)
		if !w.members(in, masks) {
			return
		}
		d, a := w.r(in.d), *w.r(in.a)
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			group := uint32(masks[l]) & w.act
			v := a[w.lane(group)]
			for o := group & (group - 1); o != 0; o &= o - 1 {
				v = f(v, a[w.lane(o)], 0)
			}
			d[l] = v & (1<<32 - 1)
		}
	}
}

func compileActivemask(c *compiler) {
	c.typ(b32)
	if c.operands(1) {
		c.x.d = c.dst(0, b32)
	}
	c.x.exec = func(w *warp, in *inst) { w.spread(in.d, uint64(w.act)) }
}

// compileBar is bar and barrier: of a warp, or of a block.
func compileBar(c *compiler) {
	if c.has("warp") {
		if !c.has("sync") || !c.operands(1) {
			c.fail("want bar.warp.sync mask")
			return
		}
		mask := c.src(0, b32)
		c.x.exec = func(w *warp, in *inst) {
			if w.members(in, w.r(mask)) {
				w.l.clocks.meetLanes(w.clock)
			}
		}
		return
	}
	c.has("cta")
	aligned := c.has("aligned") || c.in.op == "bar"
	switch what := c.need("sync", "arrive", "red"); what {
	case "red":
		c.barRed(aligned)
	default:
		if !c.operands(1, 2) {
			return
		}
		if what == "arrive" && len(c.in.args) == 1 {
			c.fail("want a number of threads")
		}
		c.barOperands(0)
		wait := what == "sync"
		c.x.exec = func(w *warp, in *inst) { w.barrier(in, aligned, wait, 0) }
	}
}

// barOperands reads the barrier's number, operand i, and the number of threads, if that is there.
func (c *compiler) barOperands(i int) {
	c.x.a, c.x.b = c.src(i, u32), -1
	if n := len(c.in.args) - i; n > 1 && c.in.args[i+1].kind != argName || n > 1 && !c.isPred(c.in.args[i+1]) {
		c.x.b = c.src(i+1, u32)
	}
}

func (c *compiler) isPred(o operand) bool {
	r, ok := c.register(o.name)
	return ok && r.typ == pred
}

func (c *compiler) barRed(aligned bool) {
	op := c.need("popc", "and", "or")
	t := c.typ(u32, pred)
	if !c.operands(3, 4) {
		return
	}
	if (t == u32) != (op == "popc") {
		c.fail("want .popc.u32 or .%s.pred", op)
	}
	switch op {
	case "popc":
		c.x.d, c.x.imm = c.dst(0, u32), barPopc
	case "and":
		c.x.d, c.x.imm = c.predDest(c.arg(0).name), barAnd
	default:
		c.x.d, c.x.imm = c.predDest(c.arg(0).name), barOr
	}
	c.barOperands(1)
	slot, flip := c.predSource(len(c.in.args) - 1)
	c.x.c = slot
	c.x.exec = func(w *warp, in *inst) { w.barrier(in, aligned, true, flip) }
}

// barrier counts the lanes in act in at a barrier of the block.
func (w *warp) barrier(in *inst, aligned, wait bool, flip uint32) {
	if aligned && !w.gather(in, w.live) {
		return
	}
	id, count := w.r(in.a)[w.lane(w.act)], uint64(0)
	if in.b >= 0 {
		count = w.r(in.b)[w.lane(w.act)]
		if count == 0 || count%lanes != 0 || count > 1024 {
			w.fault(in, w.lane(w.act), "%d threads at a barrier: want a multiple of 32", count)
			return
		}
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		if w.r(in.a)[l] != id || in.b >= 0 && w.r(in.b)[l] != count {
			w.fault(in, l, "lanes of a warp go to different barriers")
			return
		}
	}
	if id >= uint64(len(w.b.barriers)) {
		w.fault(in, w.lane(w.act), "barrier %d; there are %d", id, len(w.b.barriers))
		return
	}
	if in.imm != barPlain {
		x := &w.b.barriers[id]
		votes := (*w.p(in.c) ^ flip) & w.act
		x.trues += bits.OnesCount32(votes)
		x.anyFalse = x.anyFalse || votes != w.act
	}
	w.b.arrive(w, in, int(id), int(count), wait)
}

func compileFence(c *compiler) {
	if c.has("proxy") {
		c.proxyFence()
		return
	}
	if c.in.op == "fence" {
		if c.oneOf("sc", "acq_rel") == "" {
			c.fail("want .sc or .acq_rel")
		}
	}
	scope := c.need("cta", "cluster", "gpu", "sys", "gl")
	c.operands(0)
	cta := scope == "cta"
	c.x.exec = func(w *warp, in *inst) { w.l.clocks.fenced(w.clock, cta) }
}

// proxyFence shows what the lanes have stored to copies of many bytes and wgmma.
func (c *compiler) proxyFence() {
	c.needs(90)
	if !c.has("async") {
		c.fail("want .proxy.async")
	}
	if s := c.stateSpace(); s != shared && s != generic {
		c.fail("want .shared::cta")
	}
	c.operands(0)
	c.x.exec = func(w *warp, in *inst) {
		for m := w.act; m != 0; m &= m - 1 {
			w.l.clocks.show(w.clockID(w.lane(m)))
		}
	}
}
