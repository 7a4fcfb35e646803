package emu

import (
	"fmt"
	"strconv"
	"strings"
)

// exec does one instruction for the lanes in warp.act.
type exec func(w *warp, in *inst)

// inst is an instruction with everything looked up. Slots are places in the frame's registers, or in its predicates.
type inst struct {
	exec       exec
	d, a, b, c int32
	pred       int32  // slot of the guard, -1: none
	flip       uint32 // all ones: the guard is negated
	to         int32  // branches: where to
	n, size    int32  // memory: elements, bytes of each
	imm        int64  // memory: offset
	inexact    bool
	signed     bool    // memory: loads keep the sign
	strong     bool    // memory: volatile, relaxed, acquire, release
	order      order   // what a strong access orders
	list       []int32 // vectors and other long lists of slots
	track      *track  // registers that must be watched, or nil
	call       *call
	src        *instruction
}

func (in *instruction) where() string { return fmt.Sprintf("%d: %s", in.line, in.text) }

// code is what is known of a compiled function.
type code struct {
	entry        int32 // index in Module.code
	slots, preds int32
	names        []string // of slots
	predNames    []string
	consts       []constSlot
	localBytes   int64 // of one lane: .local and .param variables
	formals      []int32
	returns      []int32 // slots of register parameters; -1 for those in memory
	watched      []int32 // slots that may be read before they are written
	watchedPreds []int32
}

// constSlot is a register that holds a constant: a number, or the address of a variable plus a number.
type constSlot struct {
	slot  int32
	value uint64
	v     *variable
}

// reg is a declared register.
type reg struct {
	slot int32
	typ  typ
}

// scope is what one pair of braces declares.
type scope struct {
	regs   map[string]reg
	ranges []regDecl
	vars   map[string]*variable
}

func newScope() *scope { return &scope{regs: map[string]reg{}, vars: map[string]*variable{}} }

// constKey finds a constant again.
type constKey struct {
	value uint64
	v     *variable
}

// flow is what an instruction reads and writes, for assigned.go.
type flow struct {
	reads, writes   []int32
	preads, pwrites []int32
	targets         []int32 // of branches
	stops           bool    // nothing follows
	guarded         bool
}

// compiler makes code of one function.
type compiler struct {
	p       *parser
	m       *Module
	f       *function
	code    *code
	scopes  []*scope
	consts  map[constKey]int32
	sink    int32
	labels  map[string]int32
	targets map[string][]string // of .branchtargets
	pending []pending
	flows   []flow
	first   int32 // index of the function's first instruction

	// The instruction at hand.
	in     *instruction
	mods   []string
	x      inst
	fl     flow
	failed bool
}

// pending is a branch whose label was not known yet.
type pending struct {
	at    int32
	label string
	list  bool
	line  int32
}

// declare gives the parameters of a function their places, so that calls know them.
func declare(p *parser, f *function) {
	c := &code{}
	f.code = c
	var at int64
	for _, list := range []struct {
		formals []formal
		slots   *[]int32
	}{{f.params, &c.formals}, {f.returns, &c.returns}} {
		for _, fm := range list.formals {
			if v := fm.variable; v != nil {
				v.at, v.param = roundUp(at, int64(v.align)), true
				if !f.entry {
					v.space = local
				}
				at = v.at + v.bytes
				*list.slots = append(*list.slots, -1)
				continue
			}
			*list.slots = append(*list.slots, c.newSlot(fm.reg.name, fm.reg.typ))
		}
	}
	if f.entry {
		f.paramBytes = at
		if at > 4352 {
			p.note(f.line, "%s has %d bytes of parameters; 4352 are possible", f.name, at)
		}
		return
	}
	c.localBytes = at
}

func (c *code) newSlot(name string, t typ) int32 {
	if t == pred {
		c.predNames = append(c.predNames, name)
		c.preds++
		return c.preds - 1
	}
	c.names = append(c.names, name)
	c.slots++
	return c.slots - 1
}

func newCompiler(p *parser, f *function) *compiler {
	c := &compiler{p: p, m: p.module, f: f, code: f.code, scopes: []*scope{newScope()}, consts: map[constKey]int32{}, sink: -1,
		labels: map[string]int32{}, targets: map[string][]string{}, first: int32(len(p.module.code))}
	c.code.entry = c.first
	top := c.scopes[0]
	for i, fm := range append(f.params[:len(f.params):len(f.params)], f.returns...) {
		if v := fm.variable; v != nil {
			top.vars[v.name] = v
			continue
		}
		slots := append(f.code.formals[:len(f.code.formals):len(f.code.formals)], f.code.returns...)
		top.regs[fm.reg.name] = reg{slots[i], fm.reg.typ}
	}
	return c
}

func (c *compiler) run() {
	for i := range c.f.body {
		c.statement(&c.f.body[i])
	}
	c.instruction(&instruction{line: c.lastLine(), op: "ret", text: "ret (the end of " + c.f.name + ")"})
	c.resolve()
	if len(c.p.errs) == 0 {
		c.assigned()
	}
	if c.code.localBytes > maxLocalBytes {
		c.p.note(c.f.line, "%s has %d bytes of local memory; %d are possible", c.f.name, c.code.localBytes, maxLocalBytes)
	}
}

func (c *compiler) lastLine() int32 {
	if n := len(c.f.body); n > 0 {
		return c.f.body[n-1].line
	}
	return c.f.line
}

func (c *compiler) statement(s *statement) {
	top := c.scopes[len(c.scopes)-1]
	switch s.kind {
	case stmtOpen:
		c.scopes = append(c.scopes, newScope())
	case stmtClose:
		c.scopes = c.scopes[:len(c.scopes)-1]
	case stmtReg:
		for _, r := range s.regs {
			c.declareReg(top, r, s.line)
		}
	case stmtVar:
		if v := s.v; v.space == local || v.space == param {
			v.at = roundUp(c.code.localBytes, int64(v.align))
			c.code.localBytes = v.at + v.bytes
			v.param = v.space == param
			v.space = local
		}
		top.vars[s.v.name] = s.v
	case stmtLabel:
		if _, twice := c.labels[s.label]; twice {
			c.p.note(s.line, "label %s is set twice in %s", s.label, c.f.name)
		}
		c.labels[s.label] = int32(len(c.m.code))
	case stmtTargets:
		c.targets[s.label] = s.targets
	case stmtInstr:
		c.instruction(s.instr)
	}
}

func (c *compiler) declareReg(top *scope, r regDecl, line int32) {
	if specials[r.name].get != nil || specials[r.name+".x"].get != nil {
		c.p.note(line, "%s is the name of a special register", r.name)
		return
	}
	if r.count >= 0 {
		top.ranges = append(top.ranges, r)
		return
	}
	if _, twice := top.regs[r.name]; twice {
		c.p.note(line, "register %s is declared twice", r.name)
		return
	}
	top.regs[r.name] = reg{c.code.newSlot(r.name, r.typ), r.typ}
}

// register finds a register by name. Those of a range get their slot when they are first used.
func (c *compiler) register(name string) (reg, bool) {
	for i := len(c.scopes) - 1; i >= 0; i-- {
		s := c.scopes[i]
		if r, ok := s.regs[name]; ok {
			return r, true
		}
		for _, d := range s.ranges {
			rest, ok := strings.CutPrefix(name, d.name)
			if !ok || rest == "" || rest[0] == '0' && len(rest) > 1 {
				continue
			}
			if n, err := strconv.ParseUint(rest, 10, 32); err == nil && int64(n) < d.count {
				r := reg{c.code.newSlot(name, d.typ), d.typ}
				s.regs[name] = r
				return r, true
			}
		}
	}
	return reg{}, false
}

// variable finds a variable by name, from the innermost braces out.
func (c *compiler) variable(name string) *variable {
	for i := len(c.scopes) - 1; i >= 0; i-- {
		if v := c.scopes[i].vars[name]; v != nil {
			return v
		}
	}
	v := c.m.variables[name]
	if v != nil && v.line > c.in.line {
		return nil
	}
	return v
}

// resolve gives branches their places.
func (c *compiler) resolve() {
	for _, p := range c.pending {
		to, ok := c.labels[p.label]
		if !ok {
			c.p.note(p.line, "label %s is not set in %s", p.label, c.f.name)
			continue
		}
		in := &c.m.code[p.at]
		if p.list {
			in.list = append(in.list, to)
		} else {
			in.to = to
		}
		f := &c.flows[p.at-c.first]
		f.targets = append(f.targets, to)
	}
}
