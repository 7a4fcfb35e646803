package emu

import "slices"

// atomics give the new value of an operation on memory, by its name. b and c are the operands.
func atomic(name string, t typ) func(old, b, c uint64) uint64 {
	x := extend(t)
	isLess := func(a, b uint64) bool { return less(x(a), x(b), t) }
	switch name {
	case "add":
		switch t {
		case f32:
			return func(old, b, c uint64) uint64 { return bitsOf(single(old) + single(b)) }
		case f64:
			return func(old, b, c uint64) uint64 { return doubleBits(double(old) + double(b)) }
		}
		return func(old, b, c uint64) uint64 { return old + b }
	case "exch":
		return func(old, b, c uint64) uint64 { return b }
	case "cas":
		return func(old, b, c uint64) uint64 {
			if old == b {
				return c
			}
			return old
		}
	case "inc":
		return func(old, b, c uint64) uint64 {
			if old >= b {
				return 0
			}
			return old + 1
		}
	case "dec":
		return func(old, b, c uint64) uint64 {
			if old == 0 || old > b {
				return b
			}
			return old - 1
		}
	case "min":
		return func(old, b, c uint64) uint64 {
			if isLess(b, old) {
				return b
			}
			return old
		}
	case "max":
		return func(old, b, c uint64) uint64 {
			if isLess(old, b) {
				return b
			}
			return old
		}
	case "and":
		return func(old, b, c uint64) uint64 { return old & b }
	case "or":
		return func(old, b, c uint64) uint64 { return old | b }
	}
	return func(old, b, c uint64) uint64 { return old ^ b }
}

// atomTypes is what each operation is there for.
var atomTypes = map[string][]typ{
	"add": {u32, s32, u64, f32, f64}, "exch": {b32, b64}, "cas": {b16, b32, b64}, "inc": {u32}, "dec": {u32},
	"min": {u32, s32, u64, s64}, "max": {u32, s32, u64, s64}, "and": {b32, b64}, "or": {b32, b64}, "xor": {b32, b64},
}

func compileAtom(c *compiler) { c.atom(true) }
func compileRed(c *compiler)  { c.atom(false) }

func (c *compiler) atom(result bool) {
	c.semantics("relaxed", "acquire", "release", "acq_rel")
	c.hints()
	c.x.strong = true
	s := c.stateSpace()
	name := c.need("add", "inc", "dec", "exch", "cas", "min", "max", "and", "or", "xor")
	t := c.takeTypes(1)[0]
	at := 0
	if result {
		at = 1
	}
	want := at + 2
	if name == "cas" {
		want++
	}
	if !slices.Contains(atomTypes[name], t) || !result && (name == "cas" || name == "exch") {
		c.fail("%s.%s of .%v is not supported", c.in.op, name, t)
	}
	if s != global && s != shared && s != generic {
		c.fail("atomics are for .global and .shared")
	}
	if !c.operands(want) {
		return
	}
	c.sizes(t, 1)
	s = c.address(at, s)
	c.x.b = c.src(at+1, t)
	if name == "cas" {
		c.x.c = c.src(at+2, t)
	}
	if result {
		c.x.d = c.dst(0, t)
	}
	c.x.exec = atomExec(s, t, atomic(name, t))
}

// atomExec does the lanes one after the other. What it changes is counted, so that those who spin are seen to wait for nothing.
func atomExec(s space, t typ, f func(old, b, c uint64) uint64) exec {
	n := t.bytes()
	return func(w *warp, in *inst) {
		a, b := w.r(in.a), w.r(in.b)
		c := b
		if in.c >= 0 {
			c = w.r(in.c)
		}
		w.begin(in, true)
		w.access.atomic = true
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			mem := w.at(in, l, s, a[l]+uint64(in.imm), n)
			if mem == nil {
				return
			}
			old := get(mem, n)
			v := f(old, b[l], c[l]) & t.mask()
			if v != old {
				w.changed()
			}
			put(mem, v)
			if in.d >= 0 {
				w.r(in.d)[l] = old
			}
		}
	}
}
