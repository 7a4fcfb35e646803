package emu

// call is what a call instruction passes.
type call struct {
	f             *function
	args, results []transfer
}

// transfer is one argument or result: a register, or a variable in the .param space of both.
type transfer struct {
	from, to int32 // slots; results: of the function and of the caller
	pred     bool
	bytes    int64 // not 0: memory, from and to are places
	scalar   bool  // argument: a register that goes into memory of bytes
}

// label adds a branch to a label of this function.
func (c *compiler) label(name string, list bool) {
	c.pending = append(c.pending, pending{int32(len(c.m.code)), name, list, c.in.line})
}

func compileBra(c *compiler) {
	uni := c.has("uni")
	if !c.operands(1) {
		return
	}
	o := c.arg(0)
	if o.kind != argName || o.part != "" {
		c.fail("want a label")
		return
	}
	c.label(o.name, false)
	c.fl.stops = !c.fl.guarded
	c.x.exec = branch
	if uni {
		c.x.exec = branchUni
	}
}

func branch(w *warp, in *inst) {
	if w.act == w.mask {
		w.pc = in.to
		if len(w.groups) > 1 { // who is first now, and whom do they meet?
			w.again()
		}
		return
	}
	w.split(w.act, in.to)
}

func branchUni(w *warp, in *inst) {
	if w.act != w.mask {
		w.fault(in, w.lane(w.mask&^w.act), "bra.uni: lanes %#x branch, lanes %#x do not", w.act, w.mask&^w.act)
		return
	}
	branch(w, in)
}

func compileBrx(c *compiler) {
	if !c.has("idx") {
		c.fail("want .idx")
	}
	uni := c.has("uni")
	if !c.operands(2) {
		return
	}
	c.x.a = c.src(0, u32)
	list, ok := c.targets[c.arg(1).name]
	if !ok {
		c.fail("no .branchtargets %s before it", c.arg(1).name)
		return
	}
	for _, l := range list {
		c.label(l, true)
	}
	c.fl.stops = !c.fl.guarded
	c.x.exec = func(w *warp, in *inst) {
		a := *w.r(in.a)
		for w.act != 0 {
			first := w.lane(w.act)
			if a[first] >= uint64(len(in.list)) {
				w.fault(in, first, "brx.idx to target %d of %d", a[first], len(in.list))
				return
			}
			var same uint32
			for m := w.act; m != 0; m &= m - 1 {
				if l := w.lane(m); a[l] == a[first] {
					same |= 1 << l
				}
			}
			to := in.list[a[first]]
			if same == w.mask {
				w.pc = to
				w.again()
				return
			}
			if uni {
				w.fault(in, w.lane(w.mask&^same), "brx.idx.uni: lanes go different ways")
				return
			}
			w.act &^= same
			w.split(same, to)
		}
	}
}

func compileCall(c *compiler) {
	c.has("uni")
	args := c.in.args
	var results, params []operand
	if len(args) > 0 && args[0].kind == argList {
		results, args = args[0].list, args[1:]
	}
	if len(args) == 0 || args[0].kind != argName {
		c.fail("want the name of a function")
		return
	}
	if len(args) > 2 || len(args) == 2 && args[1].kind != argList {
		c.fail("only direct calls are supported")
		return
	}
	if len(args) == 2 {
		params = args[1].list
	}
	f := c.m.functions[args[0].name]
	switch {
	case f == nil || f.entry || !f.defined:
		c.fail("no function %q with a body", args[0].name)
		return
	case f.line > c.in.line:
		c.fail("%s is declared below", f.name)
		return
	case len(params) != len(f.params) || len(results) != len(f.returns):
		c.fail("%d arguments and %d results; %s has %d and %d", len(params), len(results), f.name, len(f.params), len(f.returns))
		return
	}
	k := &call{f: f}
	for i, o := range params {
		k.args = append(k.args, c.argument(o, f.params[i], f.code.formals[i]))
	}
	for i, o := range results {
		k.results = append(k.results, c.result(o, f.returns[i], f.code.returns[i]))
	}
	c.x.call = k
	c.x.exec = callFunction
}

// maxDepth is how deep calls may go.
const maxDepth = 64

func (c *compiler) argument(o operand, to formal, slot int32) transfer {
	v := to.variable
	if v == nil {
		if to.reg.typ == pred {
			return transfer{from: c.predicate(o.name), to: slot, pred: true}
		}
		return transfer{from: c.source(o, to.reg.typ, false), to: slot}
	}
	if from := c.variable(o.name); o.kind == argName && from != nil {
		if from.bytes != v.bytes || !from.param {
			c.fail("%s has %d bytes, parameter %s has %d", from.name, from.bytes, v.name, v.bytes)
		}
		return transfer{from: int32(from.at), to: int32(v.at), bytes: v.bytes}
	}
	if v.count != 1 {
		c.fail("parameter %s is an array", v.name)
	}
	return transfer{from: c.source(o, v.typ, true), to: int32(v.at), bytes: v.bytes, scalar: true}
}

func (c *compiler) result(o operand, from formal, slot int32) transfer {
	v := from.variable
	if v == nil {
		if from.reg.typ == pred {
			return transfer{from: slot, to: c.predDest(o.name), pred: true}
		}
		return transfer{from: slot, to: c.dest(o, from.reg.typ, false)}
	}
	to := c.variable(o.name)
	if to == nil || to.bytes != v.bytes || !to.param {
		c.fail("the result %s wants a .param variable of %d bytes", v.name, v.bytes)
		return transfer{}
	}
	return transfer{from: int32(v.at), to: int32(to.at), bytes: v.bytes}
}

func callFunction(w *warp, in *inst) {
	if len(w.groups[w.cur].frames) >= maxDepth {
		w.fault(in, w.lane(w.act), "more than %d calls deep", maxDepth)
		return
	}
	if w.act != w.mask { // the others go on behind the call
		others := w.mask &^ w.act
		w.split(others, w.pc)
	}
	caller := w.top
	w.push(in.call.f, in)
	for _, t := range in.call.args {
		w.transfer(t, caller, w.top)
	}
	w.again()
}

// transfer copies the lanes of act from one frame to the other.
func (w *warp) transfer(t transfer, from, to frame) {
	switch {
	case t.pred:
		if t.to >= 0 {
			v, d := w.preds[from.pbase+t.from], &w.preds[to.pbase+t.to]
			*d = *d&^w.act | v&w.act
		}
	case t.bytes == 0:
		a, d := &w.regs[from.base+t.from], &w.regs[to.base+t.to]
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			d[l] = a[l]
		}
	default:
		for m := w.act; m != 0; m &= m - 1 {
			l := w.lane(m)
			d := w.local[l][to.lbase+int64(t.to):][:t.bytes]
			if t.scalar {
				put(d, w.regs[from.base+t.from][l])
			} else {
				copy(d, w.local[l][from.lbase+int64(t.from):][:t.bytes])
			}
		}
	}
}

func compileRet(c *compiler) {
	c.has("uni")
	c.operands(0)
	c.fl.stops = !c.fl.guarded
	for _, s := range c.code.returns { // what the caller will read
		if s >= 0 && !c.f.entry {
			c.returned(s)
		}
	}
	if c.f.entry {
		c.x.exec = exit
		return
	}
	c.x.exec = func(w *warp, in *inst) {
		top := w.top
		callers := w.groups[w.cur].frames
		for _, t := range top.call.call.results {
			w.transfer(t, top, callers[len(callers)-2])
		}
		g := &w.groups[w.cur]
		if w.act != w.mask {
			g = w.split(w.act, top.ret)
		} else {
			w.pc = top.ret
			w.top = g.frames[len(g.frames)-2]
		}
		g.frames = g.frames[:len(g.frames)-1]
		w.again()
	}
}

// returned notes that a result register is read.
func (c *compiler) returned(slot int32) {
	for i, s := range c.code.returns {
		if s == slot && c.f.returns[i].reg.typ == pred {
			c.fl.preads = append(c.fl.preads, slot)
			return
		}
	}
	c.fl.reads = append(c.fl.reads, slot)
}

func exit(w *warp, in *inst) { w.end() }

func compileExit(c *compiler) {
	c.operands(0)
	c.fl.stops = !c.fl.guarded
	c.x.exec = exit
}

func compileTrap(c *compiler) {
	c.operands(0)
	c.fl.stops = !c.fl.guarded
	c.x.exec = func(w *warp, in *inst) { w.fault(in, w.lane(w.act), "%s", in.src.op) }
}

func compileNanosleep(c *compiler) {
	c.typ(u32)
	if c.operands(1) {
		c.x.a = c.src(0, u32)
	}
	c.x.exec = func(w *warp, in *inst) {
		w.spun = true
		w.yield()
	}
}

func compilePmevent(c *compiler) {
	c.operands(1)
	c.x.exec = nothing
}

func compileGriddep(c *compiler) {
	c.needs(90)
	c.need("wait", "launch_dependents")
	c.operands(0)
	c.x.exec = nothing
}
