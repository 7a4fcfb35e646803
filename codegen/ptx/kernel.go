package ptx

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// kernel is a kernel in the making.
type kernel struct {
	code
	m      *module
	k      *spmd.Kernel
	shared bool // its scratch is in shared memory
	ranges *ranges
	meets  map[*spmd.Instr]bool // lanes must meet before these
	vals   map[*spmd.Value]string
	homes  map[*spmd.Value]home
	scopes []map[place]string // addresses that were made, by the region that holds them
	lane   string             // number of the thread in its warp
	lane64 string             // the same as i64, "" until it is wanted
	first  string             // true in lane 0, "" if no store wants it
	tile   string
	params []string
	counts map[spmd.Op]string
	team   string // first team's barrier is 1
	inTeam string // number of the warp in its team
	doing  *spmd.Instr
}

// kernel gives the text of a kernel's function.
func (m *module) kernel(number int) (text string, err error) {
	k := m.p.Kernels[number]
	e := &kernel{m: m, k: k, shared: m.inShared(k), ranges: newRanges(k, m.members), vals: map[*spmd.Value]string{}, homes: map[*spmd.Value]home{}, counts: map[spmd.Op]string{}}
	defer func() {
		if r := recover(); r != nil {
			text, err = "", fmt.Errorf("%s: %v", describe(e.doing), r)
		}
	}()
	e.meets = m.meetings(number)
	e.entry()
	head := e.label("tile")
	e.tile = e.reg(word)
	e.op("mov.b32 %s, %%lo", e.tile)
	e.at(head)
	e.region(k.Body, nil)
	if k.Team > 0 {
		e.meet() // before the next tile writes to scratch
	}
	e.op("add.s32 %s, %s, 1", e.tile, e.tile)
	again := e.to(truth, "setp.lt.s32", e.tile, "%hi")
	e.op("@%s bra.uni %s", again, head)
	e.op("ret")
	return m.headComment(number) + e.function(".func "+m.symbol(number)+" "+kernelParams), nil
}

// kernelParams is how a kernel is called: context, arguments, first tile, the one after the last, the team's scratch in global and in shared memory.
const kernelParams = "(.reg .b64 %ctx, .reg .b64 %args, .reg .b32 %lo, .reg .b32 %hi, .reg .b64 %team, .reg .b32 %shared)"

// entry is what is done once, before the first tile.
func (e *kernel) entry() {
	uses := map[spmd.Op]bool{}
	walk(e.k.Body, func(in *spmd.Instr) { uses[in.Op] = true })
	e.lane = e.to(word, "mov.u32", "%laneid")
	if uses[spmd.OpStore] {
		e.first = e.to(truth, "setp.eq.s32", e.lane, "0")
	}
	for _, op := range [...]spmd.Op{spmd.OpRows, spmd.OpSeqs, spmd.OpOuts} {
		if uses[op] {
			at := map[spmd.Op]int64{spmd.OpRows: ctxRows, spmd.OpSeqs: ctxSeqs, spmd.OpOuts: ctxOuts}[op]
			e.counts[op] = e.to(word, "ld.global.nc.b32", at2("%ctx", at))
		}
	}
	if e.m.members > 1 && (uses[spmd.OpMember] || uses[spmd.OpBarrier] || e.k.Team > 0) {
		tid := e.to(word, "mov.u32", "%tid.x")
		w := e.to(word, "shr.u32", tid, "5")
		t := e.to(word, "div.u32", w, fmt.Sprint(e.m.members))
		e.inTeam = e.to(word, "rem.u32", w, fmt.Sprint(e.m.members))
		e.team = e.to(word, "add.s32", t, "1")
	}
	for i, p := range e.k.Params {
		base := e.to(address, "ld.global.nc.b64", at2("%ctx", spaceFields[p.Space]))
		off := e.to(wide, "ld.global.nc.b64", at2("%args", int64(8*i)))
		e.params = append(e.params, e.to(address, "add.s64", base, off))
	}
}

// meet is a barrier of all members of the team, and of their lanes.
func (e *kernel) meet() {
	if e.m.members > 1 {
		e.op("bar.sync %s, %d", e.team, e.m.members*warp)
		return
	}
	e.op("bar.warp.sync 0xffffffff")
}

// describe names an instruction in an error.
func describe(in *spmd.Instr) string {
	if in == nil {
		return "parameters"
	}
	return strings.TrimSpace(in.String())
}

// region emits the instructions of a region, one after another; before, which may be nil, comes first.
func (e *kernel) region(r *spmd.Region, before func()) {
	e.scopes = append(e.scopes, map[place]string{})
	if before != nil {
		before()
	}
	for _, in := range r.Body {
		e.doing = in
		if e.meets[in] {
			e.op("bar.warp.sync 0xffffffff")
		}
		switch in.Op {
		case spmd.OpFor:
			e.loop(in)
		case spmd.OpIf:
			e.choose(in)
		default:
			emit := emitters[in.Op]
			if emit == nil {
				panic("no code for this operation")
			}
			if v := emit(e, in); len(in.Results) == 1 {
				e.vals[in.Results[0]] = v
			}
		}
	}
	e.scopes = e.scopes[:len(e.scopes)-1]
}

// class is the register class of a value.
func (e *kernel) class(v *spmd.Value) class {
	switch {
	case v.Type.Kind == spmd.Pointer && e.home(v).shared:
		return offset
	case v.Type.Kind == spmd.Pointer:
		return address
	case v.Type.Elem == spmd.Bool:
		return truth
	case v.Type.Elem == spmd.F32:
		return float
	case v.Type.Elem == spmd.I64 && !e.ranges.of(v).fits():
		return wide
	}
	return word
}

// val is the register or constant of a value.
func (e *kernel) val(v *spmd.Value) string {
	x := e.vals[v]
	if x == "" {
		panic(fmt.Sprintf("%%%d is used before it is defined", v.ID))
	}
	return x
}

// arg is operand i, arg64 an integer one with 64 bits, and arg32 the low 32 bits of one.
func (e *kernel) arg(in *spmd.Instr, i int) string { return e.val(in.Args[i]) }

func (e *kernel) val64(v *spmd.Value) string {
	x := e.val(v)
	if isRegister(x) && e.class(v) == word {
		return e.to(wide, "cvt.s64.s32", x)
	}
	return x
}

func (e *kernel) val32(v *spmd.Value) string {
	x := e.val(v)
	if isRegister(x) && e.class(v) == wide {
		return e.to(word, "cvt.u32.u64", x)
	}
	return x
}

// register moves a constant into a register where an instruction wants one.
func (e *kernel) register(k class, x string) string {
	if isRegister(x) {
		return x
	}
	return e.to(k, "mov."+k.bits(), x)
}

// as is a value in the class of another one, which it is to become.
func (e *kernel) as(k class, v *spmd.Value) string {
	switch k {
	case wide:
		return e.val64(v)
	case word:
		return e.val32(v)
	}
	return e.val(v)
}

// assign moves values into registers, all of them at once: a value may be what another register held.
func (e *kernel) assign(to []string, classes []class, from []string) {
	from = append([]string(nil), from...)
	for i, x := range from {
		for j := range i {
			if x == to[j] && from[j] != x { // it is overwritten before it is read
				from[i] = e.to(classes[i], "mov."+classes[i].bits(), x)
				// the copy must come before the moves: see below
			}
		}
	}
	for i, x := range from {
		if x != to[i] {
			e.op("mov.%s %s, %s", classes[i].bits(), to[i], x)
		}
	}
}

// loop emits a rotated loop: one check before it (none if the bounds are constants that pass it), then do ... while. Results are the registers of
// what is carried.
func (e *kernel) loop(in *spmd.Instr) {
	r := in.Regions[0]
	to := make([]string, len(r.Params))
	kinds := make([]class, len(r.Params))
	init := make([]string, len(r.Params))
	for i, p := range r.Params {
		kinds[i] = e.class(p)
		v := in.Args[0]
		if i > 0 {
			v = in.Args[i+1]
		}
		init[i] = e.as(kinds[i], v)
		to[i] = e.reg(kinds[i])
		e.vals[p] = to[i]
	}
	e.assign(to, kinds, init)
	suffix := "s32"
	hi := in.Args[1]
	hiText := e.val(hi)
	if kinds[0] == wide || isRegister(hiText) && e.class(hi) == wide || !e.ranges.of(hi).fits() {
		suffix, hiText = "s64", e.val64(hi)
	}
	compare := func(name string) string {
		i := to[0]
		if suffix == "s64" && kinds[0] == word {
			i = e.to(wide, "cvt.s64.s32", i)
		}
		return e.to(truth, "setp."+name+"."+suffix, i, hiText)
	}
	head, end := e.label("loop"), e.label("end")
	if !certain(in) {
		e.op("@%s bra.uni %s", compare("ge"), end)
	}
	e.at(head)
	e.region(r, nil)
	e.doing = in
	yields := make([]string, len(r.Yield))
	for i, y := range r.Yield {
		yields[i] = e.as(kinds[i+1], y)
	}
	e.assign(to[1:], kinds[1:], yields)
	if kinds[0] == wide {
		e.op("add.s64 %s, %s, %d", to[0], to[0], in.Imm)
	} else {
		e.op("add.s32 %s, %s, %d", to[0], to[0], in.Imm)
	}
	e.op("@%s bra.uni %s", compare("lt"), head)
	e.at(end)
	for i, res := range in.Results {
		e.vals[res] = to[i+1]
	}
}

// certain says that a loop runs at least once.
func certain(in *spmd.Instr) bool {
	lo, ok1 := in.Args[0].Const()
	hi, ok2 := in.Args[1].Const()
	return ok1 && ok2 && lo < hi
}

// choose emits a uniform branch.
func (e *kernel) choose(in *spmd.Instr) {
	els, done := e.label("else"), e.label("end")
	to := make([]string, len(in.Results))
	kinds := make([]class, len(in.Results))
	for i, res := range in.Results {
		kinds[i] = e.class(res)
		to[i] = e.reg(kinds[i])
	}
	e.op("@!%s bra.uni %s", e.arg(in, 0), els)
	for i, r := range in.Regions {
		e.region(r, nil)
		e.doing = in
		yields := make([]string, len(r.Yield))
		for j, y := range r.Yield {
			yields[j] = e.as(kinds[j], y)
		}
		e.assign(to, kinds, yields)
		if i == 0 {
			e.op("bra.uni %s", done)
			e.at(els)
		}
	}
	e.at(done)
	for i, res := range in.Results {
		e.vals[res] = to[i]
	}
}
