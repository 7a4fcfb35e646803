package emu

import (
	"slices"
	"strconv"
	"strings"
)

// instruction compiles one instruction by its entry in isa.
func (c *compiler) instruction(in *instruction) {
	c.in, c.mods, c.failed = in, slices.Clone(in.mods), false
	c.x = inst{d: -1, a: -1, b: -1, c: -1, pred: -1, src: in}
	c.fl = flow{}
	op, ok := isa[in.op]
	if !ok {
		c.fail("instruction %q is not supported", strings.Join(append([]string{in.op}, in.mods...), "."))
		return
	}
	if in.guard != "" {
		c.x.pred, c.fl.guarded = c.predicate(in.guard), true
		if in.negate {
			c.x.flip = ^uint32(0)
		}
	}
	op.compile(c)
	if len(c.mods) > 0 && !c.failed {
		c.fail("%s does not take .%s here", in.op, strings.Join(c.mods, " ."))
	}
	if c.x.exec == nil && !c.failed {
		c.fail("this form is not supported")
	}
	if !c.failed {
		c.m.code = append(c.m.code, c.x)
		c.flows = append(c.flows, c.fl)
	}
}

// fail notes what is wrong with the instruction at hand, once.
func (c *compiler) fail(format string, args ...any) {
	if !c.failed {
		text := c.in.text
		if text == "" {
			text = c.in.op
		}
		c.p.note(c.in.line, "%s: "+format, append([]any{text}, args...)...)
	}
	c.failed = true
}

// has takes a modifier if it is there.
func (c *compiler) has(name string) bool {
	i := slices.Index(c.mods, name)
	if i >= 0 {
		c.mods = slices.Delete(c.mods, i, i+1)
	}
	return i >= 0
}

// oneOf takes the modifier of a list that is there, or gives "".
func (c *compiler) oneOf(names ...string) string {
	for i, m := range c.mods {
		if slices.Contains(names, m) {
			c.mods = slices.Delete(c.mods, i, i+1)
			return m
		}
	}
	return ""
}

// need takes the modifier of a list that must be there.
func (c *compiler) need(names ...string) string {
	m := c.oneOf(names...)
	if m == "" {
		c.fail("want .%s", strings.Join(names, " or ."))
	}
	return m
}

// takeTypes takes all types among the modifiers, in order; there must be n of them.
func (c *compiler) takeTypes(n int) []typ {
	out := make([]typ, 0, max(n, 4))
	rest := c.mods[:0]
	for _, m := range c.mods {
		if t := typeOf(m); t != noType {
			out = append(out, t)
		} else {
			rest = append(rest, m)
		}
	}
	c.mods = rest
	if len(out) != n {
		c.fail("want %d types, there are %d", n, len(out))
		for len(out) < n {
			out = append(out, b32)
		}
	}
	return out
}

// typ takes the one type of an instruction, which must be among those of a list.
func (c *compiler) typ(allowed ...typ) typ {
	t := c.takeTypes(1)[0]
	if !slices.Contains(allowed, t) {
		c.fail("type .%v is not supported here", t)
	}
	return t
}

// operands checks how many there are.
func (c *compiler) operands(n ...int) bool {
	if !slices.Contains(n, len(c.in.args)) {
		c.fail("%d operands", len(c.in.args))
	}
	return !c.failed
}

// arg is operand i, or an empty one after a failure.
func (c *compiler) arg(i int) operand {
	if i >= len(c.in.args) {
		c.fail("operand %d is missing", i+1)
		return operand{}
	}
	return c.in.args[i]
}

// src is the slot of operand i, read as type t.
func (c *compiler) src(i int, t typ) int32 { return c.source(c.arg(i), t, false) }

// dst is the slot of operand i, written as type t.
func (c *compiler) dst(i int, t typ) int32 { return c.dest(c.arg(i), t, false) }

// source is the slot of an operand that is read; wide: the register may be wider than t.
func (c *compiler) source(o operand, t typ, wide bool) int32 {
	switch o.kind {
	case argInt, argFloat:
		return c.immediate(o, t)
	case argName:
		r, ok := c.plain(o)
		if !ok {
			return 0
		}
		if r.typ == pred || !r.typ.agrees(t) || r.typ.bytes() < t.bytes() || r.typ.bytes() > t.bytes() && !wide {
			c.fail("%s is .%v, not .%v", o.name, r.typ, t)
		}
		c.fl.reads = append(c.fl.reads, r.slot)
		return r.slot
	}
	c.fail("want a register or a number")
	return 0
}

// plain finds the register that an operand is, with nothing beside it.
func (c *compiler) plain(o operand) (reg, bool) {
	r, ok := c.register(o.name)
	switch {
	case specials[o.full()].get != nil:
		c.fail("special registers are read by mov only")
		return r, false
	case !ok:
		c.fail("register %s is not declared", o.name)
	case o.part != "" || o.second != "" || o.not || o.value != 0:
		c.fail("want a plain register, not more than %s", o.name)
		return r, false
	}
	return r, ok
}

func (c *compiler) immediate(o operand, t typ) int32 {
	v := o.value
	switch {
	case o.kind == argInt && t.isFloat():
		c.fail("an integer where .%v is wanted", t)
	case o.kind == argInt:
		if !fitsIn(v, t.bytes(), o.minus) {
			c.fail("%d does not fit .%v", int64(v), t)
		}
		v &= t.mask()
	case t.integer() || t.bytes() < 4 || t == f16x2 || t == bf16x2:
		c.fail("a float constant where .%v is wanted", t)
	default:
		if o.single && t.bytes() == 8 {
			c.fail("0f constants have 32 bits")
		}
		v = floatBits(token{value: v, single: o.single}, t, false)
	}
	return c.constant(v, nil)
}

// constant gives the slot that holds a number or an address.
func (c *compiler) constant(value uint64, v *variable) int32 {
	k := constKey{value, v}
	s, ok := c.consts[k]
	if !ok {
		s = c.code.newSlot("a constant", b64)
		c.consts[k] = s
		c.code.consts = append(c.code.consts, constSlot{s, value, v})
	}
	return s
}

// dest is the slot of an operand that is written; wide: the register may be wider than t.
func (c *compiler) dest(o operand, t typ, wide bool) int32 {
	if o.kind == argSink {
		if c.sink < 0 {
			c.sink = c.code.newSlot("_", b64)
		}
		return c.sink
	}
	if o.kind != argName {
		c.fail("want a register for the result")
		return 0
	}
	r, ok := c.plain(o)
	if !ok {
		return 0
	}
	if r.typ == pred || !r.typ.agrees(t) || r.typ.bytes() < t.bytes() || r.typ.bytes() > t.bytes() && !wide {
		c.fail("%s is .%v, not .%v", o.name, r.typ, t)
	}
	c.fl.writes = append(c.fl.writes, r.slot)
	return r.slot
}

// predicate is the slot of a predicate that is read.
func (c *compiler) predicate(name string) int32 {
	r, ok := c.register(name)
	if !ok || r.typ != pred {
		c.fail("predicate %s is not declared", name)
		return 0
	}
	c.fl.preads = append(c.fl.preads, r.slot)
	return r.slot
}

// predSource is operand i, a predicate that may be negated by !.
func (c *compiler) predSource(i int) (slot int32, flip uint32) {
	o := c.arg(i)
	if o.kind != argName {
		c.fail("want a predicate")
		return 0, 0
	}
	if o.not {
		flip = ^uint32(0)
	}
	return c.predicate(o.name), flip
}

// predDest is a predicate that is written; -1 for _.
func (c *compiler) predDest(name string) int32 {
	if name == "_" {
		return -1
	}
	r, ok := c.register(name)
	if !ok || r.typ != pred {
		c.fail("predicate %s is not declared", name)
		return 0
	}
	c.fl.pwrites = append(c.fl.pwrites, r.slot)
	return r.slot
}

// vector is the slots of an operand {a, b, ...} with n elements, or of a single register if n is 1.
func (c *compiler) vector(i, n int, t typ, write, wide bool) []int32 {
	o := c.arg(i)
	elems := []operand{o}
	if o.kind == argVector {
		elems = o.list
	}
	if len(elems) != n {
		c.fail("operand %d has %d elements, not %d", i+1, len(elems), n)
		return make([]int32, n)
	}
	out := make([]int32, n)
	for j, e := range elems {
		if write {
			out[j] = c.dest(e, t, wide)
		} else {
			out[j] = c.source(e, t, wide)
		}
	}
	return out
}

// needs refuses an instruction that the module's target does not have.
func (c *compiler) needs(sm int) {
	if n := strings.TrimRight(strings.TrimPrefix(c.m.Target, "sm_"), "af"); len(n) < 2 || len(n) == 2 && n < strconv.Itoa(sm) {
		c.fail("wants sm_%d; the module is for %s", sm, c.m.Target)
	}
}
