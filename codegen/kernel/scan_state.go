package kernel

import (
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// This file holds states that are codes between steps: a tile widens its part of a sequence's state into scratch memory where the sequence's rows of the
// step begin, and makes codes of it where they end. In between it is float32.

// stateScale is what the codes of a state are multiplied by, or the state is to make codes of it: a number, one for each channel, or one for each element.
type stateScale struct {
	scale
	each *external // one for each element, as the state lies
}

// stateCodes is how a state becomes codes; nil: it is float32 in memory.
type stateCodes struct {
	wide, inv stateScale
	op        *ir.Op // the quantize
}

// declareState declares the state, and the scales of its codes.
func (r *recurrence) declareState(t *task, l layout) {
	s := &r.parts
	r.past = t.state(s.H0, l, r.channels, r.states)
	if s.HScale == nil {
		return
	}
	of := func(v *ir.Value) stateScale {
		if v != nil && v.Weight != nil && elements(v) == r.channels*r.states && r.states > 1 {
			return stateScale{each: t.weight(v, packing{layout: l, elem: spmd.F32}, r.channels, r.states)}
		}
		return stateScale{scale: t.scale(v)}
	}
	r.codes = &stateCodes{wide: of(s.HScale), op: s.H1.Def}
	a := &r.codes.op.Attrs
	if r.codes.inv = of(s.HInv); s.HInv == nil {
		r.codes.inv.number = a.Inv
	}
	t.shape.WriteString(" state codes ")
	for _, x := range []float32{r.codes.inv.number, lowestCode(a)} {
		t.shape.WriteString(hex32(x) + " ")
	}
	if counted(s.H1) {
		t.counter(s.H1)
	}
}

// apply multiplies the elements of channels col+off.. at place at of the state.
func (s stateScale) apply(k *code, x, at *spmd.Value, place int64, col *spmd.Value, off int64) *spmd.Value {
	if s.each != nil {
		return k.Mul(x, k.LoadV(s.each.ptr, at, place))
	}
	return s.scale.apply(k, x, col, off)
}

// part is the tile's part of a state: rows of lanes, one for each state index, pad elements apart from element at on; their first channel is col.
type part struct {
	at, col   *spmd.Value
	wide, pad int64 // lanes that are computed, and from row to row
	channels  int64 // of the part that there are: those behind them are not counted
}

// each calls visit for every vector of the part: where it lies in it, and off lanes behind its first channel.
func (p *part) each(k *code, states int64, visit func(row *spmd.Value, off int64)) {
	k.For(k.I(0), k.I(states*p.pad), p.pad, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		for off := int64(0); off < p.wide; off += int64(k.Target.Lanes) {
			visit(row, off)
		}
		return nil
	})
}

// load widens the part of a slot's state into scratch memory.
func (c *stateCodes) load(k *code, r *recurrence, p *part, past, to *spmd.Value) {
	p.each(k, r.states, func(row *spmd.Value, off int64) {
		x := k.ToF32(k.LoadV(past, row, off))
		k.StoreV(to, row, off, c.wide.apply(k, x, k.Add(p.at, row), off, p.col, off))
	})
}

// store makes codes of it.
func (c *stateCodes) store(k *code, r *recurrence, p *part, from, past *spmd.Value) {
	count := k.t.find(useCount, c.op.Result())
	left := k.Truncate(k.Min(k.Sub(k.I(r.channels), p.col), k.I(min(p.channels, math.MaxInt32))))
	p.each(k, r.states, func(row *spmd.Value, off int64) {
		t := c.inv.apply(k, k.LoadV(from, row, off), k.Add(p.at, row), off, p.col, off)
		k.StoreV(past, row, off, k.Round(k.Min(k.Max(t, k.F(lowestCode(&c.op.Attrs))), k.F(127))))
		if count != nil {
			k.addClamped(count, &c.op.Attrs, t, k.Sub(left, k.I32(int32(off))))
		}
	})
}

// widened runs work on the part of a sequence's state in float32. Codes are widened before the sequence's first row of the step, and made behind its last:
// the parts of a sequence that is worked on in several pieces follow each other, so one place in scratch memory is enough.
func (r *recurrence) widened(k *code, p *part, slot, first, last *spmd.Value, work func(past *spmd.Value)) {
	past := k.inSlot(r.past, slot, p.at)
	if r.codes == nil {
		work(past)
		return
	}
	when := func(c *spmd.Value, do func()) {
		if c == nil {
			do()
			return
		}
		k.If(c, func() []*spmd.Value {
			do()
			return nil
		}, nil)
	}
	when(first, func() { r.codes.load(k, r, p, past, r.float) })
	work(r.float)
	when(last, func() { r.codes.store(k, r, p, r.float, past) })
}

// stateAhead is how many sequences ahead of the recurrence states are asked for. One row of one sequence takes less time than memory does.
const stateAhead = 2

// soon is where the state of sequence s lies. Behind the last sequence come the first ones of the next panel, which mostly is the next tile. Roomy targets, which
// load states early instead, have no use for it.
func (r *recurrence) soon(k *code, s, rows *spmd.Value) *spmd.Value {
	if roomy(k.Target) {
		return nil
	}
	beyond := k.Cmp(spmd.GE, s, k.Seqs())
	s = k.Select(beyond, k.Sub(s, k.Seqs()), s)
	_, _, slot := k.sequence(k.Min(s, k.Sub(k.Seqs(), k.I(1))))
	return k.inSlot(r.past, slot, k.Add(rows, k.Select(beyond, k.I(r.states*r.panel), k.I(0))))
}

// fetch asks for as much of a state as there is for n channels, from the place of channel lane on: slots lie anywhere, and no prefetcher knows of them.
func (r *recurrence) fetch(k *code, at, lane *spmd.Value, n int64) {
	if roomy(k.Target) {
		return
	}
	for line := int64(0); line < r.states*n; line += 64 / r.past.elem.Bytes() {
		k.Prefetch(at, k.Mul(lane, k.I(r.states)), line)
	}
}
