package spmd

import "slices"

// code is a kernel for the interpreter: flat, with jumps for loops and branches.
type code struct {
	once, body []inst // once: what is the same for all tiles of a launch
	f, i, l, p int    // sizes of the arenas
}

type compiler struct {
	code
	lanes int
	slots map[*Value]int
	fixed map[*Value]bool // computed in once
	bars  int64
}

// compile makes code of a verified kernel. SSA lets every value have its own place, so what does not depend on the tile is computed once a launch.
func compile(k *Kernel) *code {
	c := &compiler{lanes: k.Lanes, slots: map[*Value]int{}, fixed: map[*Value]bool{}}
	c.region(k.Body)
	return &c.code
}

// slot gives the place of a value.
func (c *compiler) slot(v *Value) int {
	s, ok := c.slots[v]
	if !ok {
		s = c.place(v.Type)
		c.slots[v] = s
	}
	return s
}

// width is how many elements a value takes.
func (c *compiler) width(t Type) int {
	if t.Kind == Varying {
		return c.lanes
	}
	return 1
}

func (c *compiler) place(t Type) int {
	size := &c.i
	switch {
	case t.Kind == Pointer:
		size = &c.p
	case t.Elem == F32:
		size = &c.f
	case t.Elem == I64:
		size = &c.l
	}
	at := *size
	*size += c.width(t)
	return at
}

func (c *compiler) add(in inst) int {
	c.body = append(c.body, in)
	return len(c.body) - 1
}

func (c *compiler) region(r *Region) {
	for _, in := range r.Body {
		switch in.Op {
		case OpFor:
			c.loop(in)
		case OpIf:
			c.branch(in)
		default:
			c.plain(in)
		}
	}
}

func (c *compiler) plain(in *Instr) {
	if in.Op == OpPrefetch || in.Op == OpPrefetchFar {
		return // a hint, and no access: it may be beyond the end
	}
	x := inst{exec: execs[in.Op](in), imm: in.Imm, d: -1, a: -1, b: -1, c: -1, n: 1, src: in}
	switch {
	case ops[in.Op].imm == immOffset && in.Op != OpGather && in.Op != OpGatherRun:
		c.memory(in, &x)
	default:
		for i, a := range in.Args {
			s := c.slot(a)
			x.list = append(x.list, s)
			if i < 3 {
				*[]*int{&x.a, &x.b, &x.c}[i] = s
			}
		}
	}
	if len(in.Results) > 0 {
		x.d, x.n = c.slot(in.Results[0]), c.width(in.Results[0].Type)
	}
	if len(in.Results) > 1 || in.Op == OpLoadRun || in.Op == OpGatherRun {
		for _, r := range in.Results {
			x.results = append(x.results, c.slot(r))
		}
	}
	switch in.Op {
	case OpGather, OpGatherRun, OpOffset:
		x.size = in.Args[0].Type.Elem.Bytes()
	case OpBarrier:
		x.imm = c.bars
		c.bars++
	}
	if c.invariant(in) {
		c.fixed[in.Results[0]] = true
		c.once = append(c.once, x)
		return
	}
	c.add(x)
}

func (c *compiler) invariant(in *Instr) bool {
	switch in.Op {
	case OpConst, OpParam, OpScratch, OpRows, OpSeqs, OpOuts, OpMember, OpMembers, OpLane:
		return true
	case OpSplat:
		return c.fixed[in.Args[0]]
	}
	return false
}

// memory places p in a, i in b, n in c, and the stored value in d.
func (c *compiler) memory(in *Instr, x *inst) {
	x.size = in.Args[0].Type.Elem.Bytes()
	names, _, _ := in.Op.operands(len(in.Args))
	for i, a := range in.Args {
		s := c.slot(a)
		switch names[i] {
		case "p":
			x.a = s
		case "i":
			x.b = s
		case "n":
			x.c = s
		case "x":
			x.d, x.n = s, c.width(a.Type)
		}
	}
}

// move copies a value to another place.
func (c *compiler) move(t Type, to, from int, src *Instr) {
	if to == from {
		return
	}
	e := moveI
	switch {
	case t.Kind == Pointer:
		e = moveP
	case t.Elem == F32:
		e = moveF
	case t.Elem == I64:
		e = moveL
	}
	c.add(inst{exec: e, d: to, a: from, n: c.width(t), src: src})
}

// loop lays out: carried values, variable, test, body, next values, next variable, jump to the test. Results lie where the carried values do:
// those are dead after the loop.
func (c *compiler) loop(in *Instr) {
	r := in.Regions[0]
	for i, p := range r.Params[1:] {
		c.move(p.Type, c.slot(p), c.slot(in.Args[i+2]), in)
		c.slots[in.Results[i]] = c.slot(p)
	}
	i := c.slot(r.Params[0])
	c.move(r.Params[0].Type, i, c.slot(in.Args[0]), in)
	test := c.add(inst{exec: loopTest, a: i, b: c.slot(in.Args[1]), src: in})
	c.region(r)
	c.next(in, r)
	c.add(inst{exec: loopNext, d: i, imm: in.Imm, to: test, src: in})
	c.body[test].to = len(c.body)
}

// next moves what the body yields to the carried values, all at once: by way of other places if one of them is itself carried.
func (c *compiler) next(in *Instr, r *Region) {
	from := make([]int, len(r.Yield))
	swap := false
	for i, y := range r.Yield {
		from[i] = c.slot(y)
		at := slices.Index(r.Params, y)
		swap = swap || at > 0 && at != i+1
	}
	if swap {
		for i, y := range r.Yield {
			to := c.place(y.Type)
			c.move(y.Type, to, from[i], in)
			from[i] = to
		}
	}
	for i, y := range r.Yield {
		c.move(y.Type, c.slot(r.Params[i+1]), from[i], in)
	}
}

func (c *compiler) branch(in *Instr) {
	test := c.add(inst{exec: jumpUnless, a: c.slot(in.Args[0]), src: in})
	c.arm(in, in.Regions[0])
	end := c.add(inst{exec: jump, src: in})
	c.body[test].to = len(c.body)
	c.arm(in, in.Regions[1])
	c.body[end].to = len(c.body)
}

func (c *compiler) arm(in *Instr, r *Region) {
	c.region(r)
	for i, y := range r.Yield {
		c.move(y.Type, c.slot(in.Results[i]), c.slot(y), in)
	}
}
