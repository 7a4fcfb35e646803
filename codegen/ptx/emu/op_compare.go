package emu

import (
	"math"
	"slices"
)

// comparisons of two words of a type. Unordered ones (equ and so on) are true if one is a NaN.
func comparison(name string, t typ, ftz bool) func(a, b uint64) bool {
	if t.isFloat() {
		return floatComparison(name, t, rounding{ftz: ftz})
	}
	x := extend(t)
	if i := slices.Index([]string{"lo", "ls", "hi", "hs"}, name); i >= 0 {
		if t.signed() {
			return nil
		}
		name = []string{"lt", "le", "gt", "ge"}[i]
	}
	switch name {
	case "eq":
		return func(a, b uint64) bool { return a == b }
	case "ne":
		return func(a, b uint64) bool { return a != b }
	case "lt":
		return func(a, b uint64) bool { return less(x(a), x(b), t) }
	case "le":
		return func(a, b uint64) bool { return !less(x(b), x(a), t) }
	case "gt":
		return func(a, b uint64) bool { return less(x(b), x(a), t) }
	case "ge":
		return func(a, b uint64) bool { return !less(x(a), x(b), t) }
	}
	return nil
}

func less(a, b uint64, t typ) bool {
	if t.signed() {
		return int64(a) < int64(b)
	}
	return a < b
}

func floatComparison(name string, t typ, o rounding) func(a, b uint64) bool {
	var f func(x, y float64) bool
	unordered := len(name) == 3 && name != "num" && name != "nan"
	switch name[:2] {
	case "eq":
		f = func(x, y float64) bool { return x == y }
	case "ne":
		f = func(x, y float64) bool { return x < y || x > y }
	case "lt":
		f = func(x, y float64) bool { return x < y }
	case "le":
		f = func(x, y float64) bool { return x <= y }
	case "gt":
		f = func(x, y float64) bool { return x > y }
	case "ge":
		f = func(x, y float64) bool { return x >= y }
	case "nu", "na":
		want := name == "nan"
		f = func(x, y float64) bool { return (x != x || y != y) == want }
	default:
		return nil
	}
	return func(a, b uint64) bool {
		x, y := fromFloat(t, o, a), fromFloat(t, o, b)
		return f(x, y) || unordered && (x != x || y != y)
	}
}

var comparisonNames = []string{"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"}

var comparableTypes = append([]typ{f16, bf16}, movable[1:]...)

// compare reads comparison, combining operation and type, and gives the lanes of act for which it is true.
func (c *compiler) compare(t typ, first int, name, with string, ftz bool) func(w *warp, in *inst) uint32 {
	f := comparison(name, t, ftz)
	if f == nil {
		c.fail(".%s does not go with .%v", name, t)
		return nil
	}
	c.x.a, c.x.b = c.src(first, t), c.src(first+1, t)
	c.x.c = -1
	if len(c.in.args) == first+3 {
		c.x.c, _ = c.predSource(first + 2)
		if with == "" {
			c.fail("want .and, .or or .xor for the third operand")
		}
	} else if with != "" {
		c.fail(".%s wants a third operand", with)
	}
	return func(w *warp, in *inst) uint32 {
		a, b := w.r(in.a), w.r(in.b)
		var out uint32
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			if f(a[l], b[l]) {
				out |= 1 << l
			}
		}
		return out
	}
}

func combine(with string, m, p uint32) uint32 {
	switch with {
	case "and":
		return m & p
	case "or":
		return m | p
	case "xor":
		return m ^ p
	}
	return m
}

func compileSetp(c *compiler) {
	name, with, ftz := c.need(comparisonNames...), c.oneOf("and", "or", "xor"), c.has("ftz")
	t := c.typ(comparableTypes...)
	if c.failed || !c.operands(3, 4) {
		return
	}
	cmp := c.compare(t, 1, name, with, ftz)
	o := c.arg(0)
	c.x.d = c.predDest(o.name)
	second := int32(-1)
	if o.second != "" {
		second = c.predDest(o.second)
	}
	flip := c.flipOf(3)
	c.x.exec = func(w *warp, in *inst) {
		m := cmp(w, in)
		n := ^m
		if in.c >= 0 {
			p := *w.p(in.c) ^ flip
			m, n = combine(with, m, p), combine(with, n, p)
		}
		w.setPred(in.d, m)
		w.setPred(second, n)
	}
}

// flipOf is all ones if operand i is a negated predicate.
func (c *compiler) flipOf(i int) uint32 {
	if i < len(c.in.args) && c.in.args[i].not {
		return full
	}
	return 0
}

func compileSet(c *compiler) {
	name, with, ftz := c.need(comparisonNames...), c.oneOf("and", "or", "xor"), c.has("ftz")
	ts := c.takeTypes(2)
	if c.failed || !c.operands(3, 4) || !slices.Contains([]typ{u32, s32, f32}, ts[0]) || !slices.Contains(comparableTypes, ts[1]) {
		c.fail("want .cmp.{u32,s32,f32}.type")
		return
	}
	cmp := c.compare(ts[1], 1, name, with, ftz)
	c.x.d = c.dst(0, ts[0])
	yes := uint64(1<<32 - 1)
	if ts[0] == f32 {
		yes = uint64(math.Float32bits(1))
	}
	flip := c.flipOf(3)
	c.x.exec = func(w *warp, in *inst) {
		v := cmp(w, in)
		if in.c >= 0 {
			v = combine(with, v, *w.p(in.c)^flip)
		}
		d := w.r(in.d)
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			d[l] = -uint64(v>>l&1) & yes
		}
	}
}
