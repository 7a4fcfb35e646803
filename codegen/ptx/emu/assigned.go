package emu

import "slices"

// Registers must be written before they are read. A lane takes one way through its function, so what has been written on every way to an
// instruction is written; only registers for which that cannot be shown are watched while the code runs.

// track is which registers of an instruction are watched.
type track struct {
	reads, preads   []int32
	writes, pwrites []int32
	guard           []int32 // predicate slots of the guard: read by those too whom it keeps away
}

// bitset holds registers, and behind them predicates.
type bitset []uint64

func (s bitset) has(i int32) bool { return s[i/64]>>(i%64)&1 != 0 }
func (s bitset) add(i int32)      { s[i/64] |= 1 << (i % 64) }

// intersect takes out what is not in t, and says whether that changed anything.
func (s bitset) intersect(t bitset) bool {
	changed := false
	for i, x := range t {
		changed = changed || s[i]&^x != 0
		s[i] &= x
	}
	return changed
}

// assigned finds the registers to watch and notes them in the instructions.
func (c *compiler) assigned() {
	slots, preds := c.code.slots, c.code.preds
	starts := c.blockStarts()
	in := make([]bitset, len(starts))
	size := (slots + preds + 63) / 64
	entry := make(bitset, size)
	for _, k := range c.code.consts {
		entry.add(k.slot)
	}
	if c.sink >= 0 {
		entry.add(c.sink)
	}
	for i, s := range c.code.formals {
		switch {
		case s < 0:
		case c.f.params[i].reg.typ == pred:
			entry.add(slots + s)
		default:
			entry.add(s)
		}
	}
	in[0] = entry
	watched := make(bitset, size)
	work := []int{0}
	for len(work) > 0 {
		b := work[len(work)-1]
		work = work[:len(work)-1]
		out, next := c.through(starts, b, slices.Clone(in[b]), nil)
		for _, n := range next {
			if in[n] == nil {
				in[n] = slices.Clone(out)
				work = append(work, n)
			} else if in[n].intersect(out) {
				work = append(work, n)
			}
		}
	}
	any := false
	for b := range starts {
		if in[b] != nil {
			c.through(starts, b, in[b], func(slot int32) { watched.add(slot); any = true })
		}
	}
	if any {
		c.watch(watched)
	}
}

// blockStarts gives the first instructions of the basic blocks, counted from the function's first.
func (c *compiler) blockStarts() []int32 {
	starts := []int32{0}
	for i, f := range c.flows {
		for _, t := range f.targets {
			starts = append(starts, t-c.first)
		}
		if (len(f.targets) > 0 || f.stops) && i+1 < len(c.flows) {
			starts = append(starts, int32(i+1))
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

// through goes through block b with what is written at its start. It gives that at its end and the blocks that may follow; miss gets what is read
// and may not have been written.
func (c *compiler) through(starts []int32, b int, have bitset, miss func(slot int32)) (bitset, []int) {
	slots := c.code.slots
	end := int32(len(c.flows))
	if b+1 < len(starts) {
		end = starts[b+1]
	}
	var next []int
	follow := func(at int32) {
		if n, ok := slices.BinarySearch(starts, at); ok {
			next = append(next, n)
		}
	}
	for i := starts[b]; i < end; i++ {
		f := &c.flows[i]
		if miss != nil {
			for _, s := range f.reads {
				if !have.has(s) {
					miss(s)
				}
			}
			for _, s := range f.preads {
				if !have.has(slots + s) {
					miss(slots + s)
				}
			}
		}
		if !f.guarded {
			for _, s := range f.writes {
				have.add(s)
			}
			for _, s := range f.pwrites {
				have.add(slots + s)
			}
		}
		for _, t := range f.targets {
			follow(t - c.first)
		}
		if i == end-1 && !f.stops {
			follow(end)
		}
	}
	return have, next
}

// watch notes the watched registers in the instructions that read or write them.
func (c *compiler) watch(watched bitset) {
	slots := c.code.slots
	for s := range slots {
		if watched.has(s) {
			c.code.watched = append(c.code.watched, s)
		}
	}
	for s := range c.code.preds {
		if watched.has(slots + s) {
			c.code.watchedPreds = append(c.code.watchedPreds, s)
		}
	}
	some := func(list []int32, first int32) []int32 {
		var out []int32
		for _, s := range list {
			if watched.has(first + s) {
				out = append(out, s)
			}
		}
		return out
	}
	for i := range c.flows {
		f := &c.flows[i]
		in := &c.m.code[c.first+int32(i)]
		t := track{reads: some(f.reads, 0), preads: some(f.preads, slots), writes: some(f.writes, 0), pwrites: some(f.pwrites, slots)}
		if f.guarded { // the first predicate that an instruction reads is its guard
			t.guard = some(f.preads[:1], slots)
			t.preads = some(f.preads[1:], slots)
		}
		if len(t.reads)+len(t.preads)+len(t.writes)+len(t.pwrites)+len(t.guard) > 0 {
			in.track = &t
		}
	}
}
