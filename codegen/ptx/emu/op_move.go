package emu

import "slices"

var movable = []typ{pred, b16, b32, b64, u16, u32, u64, s16, s32, s64, f32, f64}

// full is a name with its part: %tid.x.
func (o operand) full() string {
	if o.part == "" {
		return o.name
	}
	return o.name + "." + o.part
}

func copyReg(w *warp, in *inst) {
	d, a := w.r(in.d), w.r(in.a)
	if w.act == full {
		*d = *a
		return
	}
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		d[l] = a[l]
	}
}

func compileMov(c *compiler) {
	t := c.typ(movable...)
	if !c.operands(2) {
		return
	}
	from, to := c.arg(1), c.arg(0)
	switch {
	case t == pred:
		c.movePred(0)
	case to.kind == argVector:
		c.unpack(t)
	case from.kind == argVector:
		c.pack(t)
	case specials[from.full()].get != nil:
		s := specials[from.full()]
		if s.bytes != t.bytes() || t.isFloat() {
			c.fail("%s has %d bits", from.full(), 8*s.bytes)
		}
		c.x.d = c.dst(0, t)
		c.x.exec = func(w *warp, in *inst) {
			d := w.r(in.d)
			for m := w.act; m != 0; m &= m - 1 {
				l := w.lane(m)
				d[l] = s.get(w, l)
			}
		}
	default:
		c.x.exec = copyReg
		c.x.d = c.dst(0, t)
		if v := c.variable(from.name); from.kind == argName && v != nil {
			c.x.a = c.addressOf(v, from.value, t)
			return
		}
		c.x.a = c.source(from, t, false)
	}
}

// addressOf is the slot with a variable's address in its space.
func (c *compiler) addressOf(v *variable, plus uint64, t typ) int32 {
	if t.bytes() != 8 && (t.bytes() != 4 || v.space == global) || t.isFloat() {
		c.fail("the address of %s does not fit .%v", v.name, t)
	}
	return c.constant(plus, v)
}

// movePred is mov.pred, and not.pred if flip is all ones.
func (c *compiler) movePred(flip uint32) {
	if !c.operands(2) {
		return
	}
	c.x.d = c.predDest(c.arg(0).name)
	slot, f := c.predOrConstant(1)
	c.x.a = slot
	flip ^= f
	c.x.exec = func(w *warp, in *inst) {
		v := flip
		if in.a >= 0 {
			v ^= *w.p(in.a)
		}
		w.setPred(in.d, v)
	}
}

// parts is the type of the elements of a vector in mov.
func (c *compiler) parts(t typ, v operand) typ {
	n := len(v.list)
	if n != 2 && n != 4 || t.bytes()/n < 2 || t.isFloat() {
		c.fail("%d parts of .%v", n, t)
		return b16
	}
	return sized(kindBits, t.bytes()/n)
}

func (c *compiler) unpack(t typ) {
	part := c.parts(t, c.arg(0))
	c.x.a = c.source(c.arg(1), t, false)
	if c.failed {
		return
	}
	c.x.list = c.vector(0, len(c.arg(0).list), part, true, false)
	c.x.exec = func(w *warp, in *inst) {
		a := *w.r(in.a) // one of the parts may be the register itself
		for i, s := range in.list {
			d := w.r(s)
			for m := w.act; m != 0; m &= m - 1 {
				l := w.lane(m)
				d[l] = a[l] >> (i * part.bits()) & part.mask()
			}
		}
	}
}

func (c *compiler) pack(t typ) {
	part := c.parts(t, c.arg(1))
	if c.failed {
		return
	}
	c.x.list = c.vector(1, len(c.arg(1).list), part, false, false)
	c.x.d = c.dst(0, t)
	c.x.exec = func(w *warp, in *inst) {
		d := w.r(in.d)
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			var x uint64
			for i, s := range in.list {
				x |= w.r(s)[l] << (i * part.bits())
			}
			d[l] = x
		}
	}
}

func compileSelp(c *compiler) {
	t := c.typ(movable[1:]...)
	if !c.operands(4) {
		return
	}
	c.x.d, c.x.a, c.x.b = c.dst(0, t), c.src(1, t), c.src(2, t)
	slot, flip := c.predSource(3)
	c.x.c = slot
	c.x.exec = func(w *warp, in *inst) {
		d, a, b, p := w.r(in.d), w.r(in.a), w.r(in.b), *w.p(in.c)^flip
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			x := b[l]
			if p>>l&1 != 0 {
				x = a[l]
			}
			d[l] = x
		}
	}
}

// compileSlct chooses a where c is not below 0.
func compileSlct(c *compiler) {
	ts := c.takeTypes(2)
	t, by := ts[0], ts[1]
	c.has("ftz")
	if !slices.Contains(movable[1:], t) || by != s32 && by != f32 || !c.operands(4) {
		c.fail("want .type.s32 or .type.f32")
		return
	}
	c.x.d, c.x.a, c.x.b, c.x.c = c.dst(0, t), c.src(1, t), c.src(2, t), c.src(3, by)
	c.x.exec = word3(t.mask(), func(a, b, c uint64) uint64 {
		if by == s32 && int32(c) >= 0 || by == f32 && single(c) >= 0 {
			return a
		}
		return b
	})
}

// special is a register that the machine gives.
type special struct {
	bytes int
	get   func(w *warp, lane int) uint64
}

var specials = makeSpecials()

func makeSpecials() map[string]special {
	word := func(f func(w *warp, lane int) uint64) special { return special{4, f} }
	long := func(f func(w *warp, lane int) uint64) special { return special{8, f} }
	m := map[string]special{
		"%laneid":              word(func(w *warp, l int) uint64 { return uint64(l) }),
		"%warpid":              word(func(w *warp, l int) uint64 { return uint64(w.index) }),
		"%nwarpid":             word(func(w *warp, l int) uint64 { return uint64(len(w.b.warps)) }),
		"%smid":                word(func(w *warp, l int) uint64 { return uint64(w.b.index % max(1, w.l.d.SMs)) }),
		"%nsmid":               word(func(w *warp, l int) uint64 { return uint64(max(1, w.l.d.SMs)) }),
		"%gridid":              long(func(w *warp, l int) uint64 { return uint64(w.l.d.Stats.Launches) }),
		"%clock":               word(func(w *warp, l int) uint64 { return uint64(uint32(w.l.lanes)) }),
		"%clock64":             long(func(w *warp, l int) uint64 { return uint64(w.l.lanes) }),
		"%globaltimer":         long(func(w *warp, l int) uint64 { return uint64(w.l.lanes) }),
		"%globaltimer_lo":      word(func(w *warp, l int) uint64 { return uint64(uint32(w.l.lanes)) }),
		"%dynamic_smem_size":   word(func(w *warp, l int) uint64 { return uint64(w.l.dynamic) }),
		"%total_smem_size":     word(func(w *warp, l int) uint64 { return uint64(w.l.sharedBytes) }),
		"%lanemask_eq":         word(func(w *warp, l int) uint64 { return 1 << l }),
		"%lanemask_lt":         word(func(w *warp, l int) uint64 { return 1<<l - 1 }),
		"%lanemask_le":         word(func(w *warp, l int) uint64 { return 2<<l - 1 }),
		"%lanemask_gt":         word(func(w *warp, l int) uint64 { return uint64(full &^ (2<<l - 1)) }),
		"%lanemask_ge":         word(func(w *warp, l int) uint64 { return uint64(full &^ (1<<l - 1)) }),
		"WARP_SZ":              word(func(w *warp, l int) uint64 { return lanes }),
		"%is_explicit_cluster": word(func(w *warp, l int) uint64 { return 0 }),
	}
	for i, part := range []string{"x", "y", "z"} {
		m["%tid."+part] = word(func(w *warp, l int) uint64 { return uint64(coords(w.thread(l), w.l.block)[i]) })
		m["%ntid."+part] = word(func(w *warp, l int) uint64 { return uint64(w.l.block[i]) })
		m["%ctaid."+part] = word(func(w *warp, l int) uint64 { return uint64(w.b.at[i]) })
		m["%nctaid."+part] = word(func(w *warp, l int) uint64 { return uint64(w.l.grid[i]) })
	}
	return m
}
