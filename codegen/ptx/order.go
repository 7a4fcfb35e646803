package ptx

import (
	"slices"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// The lanes of a warp are threads: what one stores another sees only behind a bar.warp.sync, and a store may overtake another lane's load of
// what it overwrites. In the kernel language a member is one, so this file finds where lanes must meet: before an access that may touch,
// in another lane, what was touched since they met last, if one of the two is a store.
//
// Addresses are compared as sums of values times numbers. Where two differ by a known number of bytes, they cannot meet if that is more than an
// access covers. Two accesses of one element a lane cannot cross lanes when the difference is a multiple of what a warp covers: then whatever address both
// touch, the same lane does.

// touch is an access.
type touch struct {
	store  bool
	lanes  bool   // one element a lane, else one element: a load of it by all lanes, a store by lane 0
	bytes  int64  // of the element; 0: anything
	terms  string // the address: a sum of values, and a number
	plain  int64
	modulo string // the address modulo what a warp covers, with parameters as the launches have them
}

// unknown are the terms of an address that is known by its modulo alone.
const unknown = "?"

// wild is a touch that may cross lanes with any other.
func wild(store bool) touch { return touch{store: store} }

// covers is how many bytes lie between the first one that is touched and the one behind the last.
func (t touch) covers() int64 {
	if t.lanes {
		return warp * t.bytes
	}
	return t.bytes
}

// crosses says that two accesses of one memory must not be reordered between lanes.
func (t touch) crosses(u touch) bool {
	switch {
	case !t.store && !u.store:
		return false
	case t.bytes == 0 || u.bytes == 0:
		return true
	case t.store && u.store && !t.lanes && !u.lanes: // both by lane 0
		return false
	}
	comparable := t.terms == u.terms && t.terms != unknown
	if comparable && (t.plain >= u.plain+u.covers() || u.plain >= t.plain+t.covers()) {
		return false
	}
	alike := t.lanes && u.lanes && t.bytes == u.bytes
	return !alike || t.modulo != u.modulo && !(comparable && t.plain == u.plain)
}

// memory is which accesses can meet: those of one space, or of scratch.
type memory int

const scratchMemory memory = -1

// pending is what lanes did since they met last, by memory.
type pending map[memory]map[touch]bool

func (p pending) add(m memory, t touch) bool {
	if p[m][t] {
		return false
	}
	if p[m] == nil {
		p[m] = map[touch]bool{}
	}
	p[m][t] = true
	return true
}

// join adds q to p and says whether that was anything new.
func (p pending) join(q pending) bool {
	grown := false
	for m, ts := range q {
		for t := range ts {
			grown = p.add(m, t) || grown
		}
	}
	return grown
}

func (p pending) clone() pending {
	q := pending{}
	q.join(p)
	return q
}

// meetings finds the instructions of a kernel before which its lanes must meet.
func (m *module) meetings(number int) map[*spmd.Instr]bool {
	k := m.p.Kernels[number]
	o := &order{forms: newForms(m.p.Program, number), k: k, meets: map[*spmd.Instr]bool{}, entries: map[*spmd.Instr]pending{}}
	for o.grown = true; o.grown; {
		o.grown = false
		o.region(k.Body, pending{})
	}
	return o.meets
}

// order is the search: it goes through the kernel until nothing new is found. Meeting places are only ever added, and so is what a loop's body may
// begin with.
type order struct {
	*forms
	k       *spmd.Kernel
	meets   map[*spmd.Instr]bool
	entries map[*spmd.Instr]pending // of loops
	grown   bool
}

// region gives what is pending at its end.
func (o *order) region(r *spmd.Region, p pending) pending {
	for _, in := range r.Body {
		if o.meets[in] {
			p = pending{}
		}
		switch in.Op {
		case spmd.OpFor:
			p = o.loop(in, p)
		case spmd.OpIf:
			q := o.region(in.Regions[1], p.clone())
			p = o.region(in.Regions[0], p)
			p.join(q)
		case spmd.OpBarrier:
			p = pending{}
		default:
			p = o.access(in, p)
		}
	}
	return p
}

// loop prefers to meet before the loop where anything inside crosses what came before it.
func (o *order) loop(in *spmd.Instr, p pending) pending {
	in.Regions[0].Walk(func(inner *spmd.Instr) {
		if o.crossing(inner, p) && !o.meets[in] {
			o.meets[in], o.grown = true, true
		}
	})
	if o.meets[in] {
		p = pending{}
	}
	if o.entries[in] == nil {
		o.entries[in] = pending{}
	}
	entry := o.entries[in]
	o.grown = entry.join(p) || o.grown
	end := o.region(in.Regions[0], entry.clone())
	inside := o.defines(in.Regions[0])
	for m, ts := range end {
		for t := range ts {
			t = t.behind(inside)
			o.grown = entry.add(m, t) || o.grown
			p.add(m, t)
		}
	}
	return p
}

// defines lists what a loop's body defines, as forms name it.
func (o *order) defines(r *spmd.Region) []string {
	var names []string
	add := func(vs []*spmd.Value) {
		for _, v := range vs {
			names = append(names, name(v))
		}
	}
	add(r.Params)
	r.Walk(func(in *spmd.Instr) {
		add(in.Results)
		for _, inner := range in.Regions {
			add(inner.Params)
		}
	})
	return names
}

// behind is what an access is once the values of these names have changed: the next iteration has others.
func (t touch) behind(names []string) touch {
	changed := func(form string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(form, n) })
	}
	switch {
	case !changed(t.terms):
		return t
	case !t.lanes || changed(t.modulo):
		return wild(t.store)
	}
	t.terms, t.plain = unknown, 0
	return t
}

// access looks at one instruction.
func (o *order) access(in *spmd.Instr, p pending) pending {
	if !o.meets[in] && o.crossing(in, p) {
		o.meets[in], o.grown = true, true
		p = pending{}
	}
	for _, a := range o.touches(in) {
		p.add(a.in, a.touch)
	}
	return p
}

// crossing says whether an access may cross lanes with one that is pending.
func (o *order) crossing(in *spmd.Instr, p pending) bool {
	for _, a := range o.touches(in) {
		for t := range p[a.in] {
			if t.crosses(a.touch) {
				return true
			}
		}
	}
	return false
}

type touched struct {
	in memory
	touch
}

// touches are the accesses of an instruction to memory that the step writes. Products of quads read what lies there since the last barrier, and are done by all
// lanes together.
func (o *order) touches(in *spmd.Instr) []touched {
	switch in.Op {
	case spmd.OpLoad:
		return o.touch(in, touch{}, 0)
	case spmd.OpLoadV:
		return o.touch(in, touch{lanes: true}, 0)
	case spmd.OpLoadVN:
		return o.touch(in, touch{lanes: true}, 1)
	case spmd.OpStore:
		return o.touch(in, touch{store: true}, 1)
	case spmd.OpStoreV:
		return o.touch(in, touch{store: true, lanes: true}, 1)
	case spmd.OpStoreVN:
		return o.touch(in, touch{store: true, lanes: true}, 2)
	case spmd.OpGather, spmd.OpGatherRun, spmd.OpLoadRun:
		return o.anywhere(in.Args[0], false)
	case spmd.OpCopyAsync:
		return append(o.anywhere(in.Args[0], true), o.anywhere(in.Args[2], false)...)
	case spmd.OpCopyBulk:
		return append(o.anywhere(in.Args[0], true), o.anywhere(in.Args[1], false)...)
	case spmd.OpMMA8:
		return append(o.anywhere(in.Args[0], true), append(o.anywhere(in.Args[1], false), o.anywhere(in.Args[2], false)...)...)
	}
	return nil
}

// anywhere is an access by lanes to places that are not known.
func (o *order) anywhere(p *spmd.Value, store bool) []touched {
	m, ok := o.memory(p)
	if !ok {
		return nil
	}
	return []touched{{m, wild(store)}}
}

// touch fills in the address of an access; operands are those that follow it.
func (o *order) touch(in *spmd.Instr, t touch, operands int) []touched {
	m, ok := o.memory(in.Args[0])
	if !ok {
		return nil
	}
	t.bytes = in.Args[0].Type.Elem.Bytes()
	f := o.address(in, operands)
	t.terms, t.plain = f.text(0), f.plain
	if t.lanes {
		t.modulo = o.reduced(f).text(warp * t.bytes)
	}
	return []touched{{m, t}}
}

// memory is where a pointer points, if that is written at all.
func (o *order) memory(p *spmd.Value) (memory, bool) {
	h := findHome(o.k, p, o.loops)
	if h.scratch {
		return scratchMemory, true
	}
	return memory(h.space), h.space.Writable()
}
