package emu

import (
	"fmt"
	"strings"
)

// Loads, stores and what else names memory. access.go does the access itself.

// semantics reads .volatile, .relaxed.gpu and so on into the instruction; none of them is .weak.
func (c *compiler) semantics(allowed ...string) {
	sem := c.oneOf(allowed...)
	scope := c.oneOf("cta", "cluster", "gpu", "sys")
	c.x.strong = sem != "" && sem != "weak"
	c.x.order = order{acquire: sem == "acquire" || sem == "acq_rel", release: sem == "release" || sem == "acq_rel", cta: scope == "cta"}
	if scope == "" && c.x.strong && sem != "volatile" && c.in.op != "atom" && c.in.op != "red" {
		c.fail(".%s wants a scope", sem)
	}
}

// hints passes over what is said to the caches.
func (c *compiler) hints() {
	rest := c.mods[:0]
	policy := false
	for _, m := range c.mods {
		if strings.HasPrefix(m, "L1::") || strings.HasPrefix(m, "L2::") {
			policy = policy || m == "L2::cache_hint"
			continue
		}
		rest = append(rest, m)
	}
	c.mods = rest
	if policy && len(c.in.args) > 1 {
		n := len(c.in.args) - 1
		c.source(c.in.args[n], b64, false)
		in := *c.in
		in.args = in.args[:n]
		c.in = &in
	}
}

// stateSpace reads the space; none is generic.
func (c *compiler) stateSpace() space {
	for i, m := range c.mods {
		if s, ok := spaceOf(m); ok {
			c.mods = append(c.mods[:i:i], c.mods[i+1:]...)
			return s
		}
	}
	return generic
}

// address reads operand i: base into slot a, offset into imm. It gives the space, which for a parameter of a .func is local memory.
func (c *compiler) address(i int, s space) space {
	o := c.arg(i)
	if o.kind != argAddress {
		c.fail("want an address in brackets")
		return s
	}
	c.x.imm = int64(o.value)
	if o.name == "" {
		c.x.a = c.constant(0, nil)
		return s
	}
	if v := c.variable(o.name); v != nil {
		in := v.space
		if s == param && in == local && v.param {
			s = local
		}
		if in != s && !(s == generic && in == global) {
			c.fail("%s is in .%v space", v.name, in)
		}
		if c.x.imm < 0 || c.x.imm+int64(c.x.size) > v.bytes && !(v.extern && v.bytes == 0) {
			c.fail("bytes %d to %d of %s, which has %d", c.x.imm, c.x.imm+int64(c.x.size), v.name, v.bytes)
		}
		c.x.a = c.constant(0, v)
		return s
	}
	r, ok := c.register(o.name)
	wide := ok && r.typ.bytes() == 8
	switch {
	case !ok:
		c.fail("%s is not declared", o.name)
	case r.typ == pred || r.typ.isFloat() || r.typ.bytes() < 4:
		c.fail("%s is .%v, no address", o.name, r.typ)
	case !wide && (s == global || s == generic):
		c.fail("%s is .%v; an address in .%v space has 64 bits", o.name, r.typ, s)
	}
	c.x.a = r.slot
	c.fl.reads = append(c.fl.reads, r.slot)
	return s
}

// vecCount reads .v2 or .v4.
func (c *compiler) vecCount() int {
	switch c.oneOf("v2", "v4") {
	case "v2":
		return 2
	case "v4":
		return 4
	}
	return 1
}

var storable = []typ{b8, b16, b32, b64, u8, u16, u32, u64, s8, s16, s32, s64, f32, f64}

func compileLd(c *compiler) {
	c.semantics("weak", "volatile", "relaxed", "acquire")
	c.hints()
	s := c.stateSpace()
	nc := c.has("nc")
	c.oneOf("ca", "cg", "cs", "lu", "cv")
	n := c.vecCount()
	t := c.typ(storable...)
	if !c.operands(2) {
		return
	}
	c.sizes(t, n)
	s = c.address(1, s)
	c.x.list = c.vector(0, n, t, true, true)
	if c.failed {
		return
	}
	if nc && s != global {
		c.fail(".nc is for .global")
	}
	if t.signed() {
		c.x.signed = true
	}
	mask := ^uint64(0)
	if o := c.arg(0); t.signed() && (o.kind == argName || len(o.list) > 0) { // the sign fills the register, not what is above it
		name := o.name
		if o.kind == argVector {
			name = o.list[0].name
		}
		if r, ok := c.register(name); ok {
			mask = r.typ.mask()
		}
	}
	c.x.exec = loader(s, t, n, mask, nc)
}

// sizes sets how much an instruction accesses: n elements of type t.
func (c *compiler) sizes(t typ, n int) {
	c.x.n, c.x.size = int32(n), int32(n*t.bytes())
	if c.x.size > 16 {
		c.fail("%d bytes at a time; at most 16", c.x.size)
	}
}

// get reads a little-endian number of n bytes.
func get(b []byte, n int) uint64 {
	switch n {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(le.Uint16(b))
	case 4:
		return uint64(le.Uint32(b))
	}
	return le.Uint64(b)
}

// loader makes what loads n elements of type t from a space.
func loader(s space, t typ, n int, mask uint64, nc bool) exec {
	bytes := t.bytes()
	x := extend(t)
	convert := func(v uint64) uint64 { return v }
	if t.signed() {
		convert = func(v uint64) uint64 { return x(v) & mask }
	}
	return func(w *warp, in *inst) {
		a := w.r(in.a)
		if s == global && !nc && !in.strong && bytes == 4 && !w.l.races {
			if w.loadWords(in, a) {
				return
			}
		}
		w.begin(in, false)
		var addr [lanes]uint64 // a result may be the address
		first, same := w.lane(w.act), true
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			addr[l] = a[l] + uint64(in.imm)
			same = same && addr[l] == addr[first]
		}
		private := s == local || s == generic && spaceAt(addr[first]) == local
		if same && w.act&(w.act-1) != 0 && !private {
			if b := w.atAll(in, first, s, addr[first], nc); b != nil {
				for i, d := range in.list {
					w.spread(d, convert(get(b[i*bytes:], bytes)))
				}
			}
			return
		}
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			b := w.at(in, l, s, addr[l], int(in.size))
			if b == nil || nc && !w.checkConstant(in, l, addr[l]) {
				return
			}
			for i, d := range in.list {
				w.r(d)[l] = convert(get(b[i*bytes:], bytes))
			}
		}
	}
}

// spread writes one word to all lanes of act.
func (w *warp) spread(slot int32, v uint64) {
	d := w.r(slot)
	for m := w.act; m != 0; m &= m - 1 {
		d[w.lane(m)] = v
	}
}

// loadWords is the commonest load: words or vectors of them from one allocation. It says no if something is not plain; the slow way finds out what.
func (w *warp) loadWords(in *inst, a *vec) bool {
	al := w.lastAlloc
	if al == nil {
		return false
	}
	size, align := uint64(in.size), uint64(in.size-1)
	end := uint64(len(al.data))
	if end < size {
		return false
	}
	var off [lanes]uint64
	for m := w.act; m != 0; m &= m - 1 {
		l := w.lane(m)
		addr := a[l] + uint64(in.imm)
		if off[l] = addr - al.base; off[l] > end-size || addr&align != 0 {
			return false
		}
	}
	for i, s := range in.list {
		d := w.r(s)
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			d[l] = uint64(le.Uint32(al.data[off[l]+uint64(4*i):]))
		}
	}
	return true
}

func compileSt(c *compiler) {
	c.semantics("weak", "volatile", "relaxed", "release")
	c.hints()
	s := c.stateSpace()
	c.oneOf("wb", "cg", "cs", "wt")
	n := c.vecCount()
	t := c.typ(storable...)
	if !c.operands(2) {
		return
	}
	c.sizes(t, n)
	s = c.address(0, s)
	c.x.list = c.vector(1, n, t, false, true)
	if s == constant || s == param {
		c.fail("stores into .%v", s)
	}
	bytes := t.bytes()
	c.x.exec = func(w *warp, in *inst) {
		a := w.r(in.a)
		w.begin(in, true)
		var v [16]byte
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			for i, x := range in.list {
				put(v[i*bytes:][:bytes], w.r(x)[l])
			}
			b := w.at(in, l, s, a[l]+uint64(in.imm), int(in.size))
			if b == nil || !w.store(in, l, b, v[:in.size]) {
				return
			}
		}
		w.changed()
	}
}

func compilePrefetch(c *compiler) {
	c.hints()
	s := c.stateSpace()
	c.need("L1", "L2")
	if c.operands(1) {
		c.x.size = 0
		c.address(0, s)
	}
	c.x.exec = nothing // a hint, and no access: it may be beyond the end
}

func nothing(*warp, *inst) {}

func compileCreatePolicy(c *compiler) {
	c.hints()
	c.oneOf("fractional", "range")
	c.typ(b64)
	if len(c.in.args) == 0 {
		c.fail("want a result")
		return
	}
	c.x.d = c.dst(0, b64)
	c.x.exec = func(w *warp, in *inst) { w.spread(in.d, 0) }
}

// windows are where the spaces lie in generic addresses.
var windows = map[space]uint64{shared: sharedBase, local: localBase, constant: constBase, global: 0}

func compileCvta(c *compiler) {
	to := c.has("to")
	s := c.stateSpace()
	base, ok := windows[s]
	if !ok || s == generic {
		c.fail("want .global, .shared, .local or .const")
		return
	}
	t := c.typ(u64)
	if !c.operands(2) {
		return
	}
	c.x.d = c.dst(0, t)
	if v := c.variable(c.arg(1).name); c.arg(1).kind == argName && v != nil && !to {
		if v.space != s {
			c.fail("%s is in .%v space", v.name, v.space)
		}
		c.x.a = c.constant(c.arg(1).value, v)
	} else {
		c.x.a = c.src(1, t)
	}
	what := fmt.Sprintf("no generic address of .%v memory", s)
	c.x.exec = func(w *warp, in *inst) {
		d, a := w.r(in.d), w.r(in.a)
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			if to && base != 0 && a[l]-base >= windowBytes {
				w.fault(in, l, "%#x is %s", a[l], what)
				return
			}
			if to {
				d[l] = a[l] - base
			} else {
				d[l] = a[l] + base
			}
		}
	}
}

// spaceAt is the space that a generic address is in.
func spaceAt(addr uint64) space {
	for _, s := range []space{shared, local, constant} {
		if addr-windows[s] < windowBytes {
			return s
		}
	}
	return global
}

func compileIsspacep(c *compiler) {
	s := c.stateSpace()
	if _, ok := windows[s]; !ok || s == generic {
		c.fail("want .global, .shared, .local or .const")
		return
	}
	if !c.operands(2) {
		return
	}
	c.x.d, c.x.a = c.predDest(c.arg(0).name), c.src(1, u64)
	c.x.exec = func(w *warp, in *inst) {
		var out uint32
		a := w.r(in.a)
		for m := w.act; m != 0; m &= m - 1 {
			if l := w.lane(m); spaceAt(a[l]) == s {
				out |= 1 << l
			}
		}
		w.setPred(in.d, out)
	}
}
