package ptx

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// kernel is a kernel in the making.
type kernel struct {
	code
	m      *module
	k      *spmd.Kernel
	number int
	shared bool // its scratch is in shared memory
	ranges *ranges
	forms  *forms
	meets  map[*spmd.Instr]bool    // lanes must meet before these
	wide   map[*spmd.Instr]*vector // loads that are done together
	looks  map[*spmd.Instr]look    // loads that look ahead
	vals   map[*spmd.Value]string
	homes  map[*spmd.Value]home
	lanes  map[*spmd.Value][]int64 // pointers to elements of which each lane takes so many
	scopes []scope                 // what was made, by the region that holds it
	same   map[*spmd.Value]*spmd.Value
	lane   string // number of the thread in its warp
	first  string // true in lane 0, "" if no store wants it
	tile   string
	params []string
	counts map[spmd.Op]string
	varied map[*spmd.Instr]string // constants that the launch gives
	team   string                 // first team's barrier is 1
	inTeam string                 // number of the warp in its team
	doing  *spmd.Instr
	next   *spmd.Instr         // behind it in its region
	here   *spmd.Region        // that it is in
	async  bool                // shared memory is also used by what is ordered by proxy fences
	always string              // true in all lanes
	group  bool                // of products, which has not been waited for
	used   map[*spmd.Value]int // how often a value is read, where there are quads
	bulk   *bulk               // nil: none
}

// kernel gives the text of a kernel's function.
func (m *module) kernel(number int) (text string, err error) {
	k := m.p.Kernels[number]
	e := &kernel{m: m, k: k, number: number, shared: m.inShared(k), ranges: newRanges(m.p.Program, number), vals: map[*spmd.Value]string{}, same: map[*spmd.Value]*spmd.Value{}, homes: map[*spmd.Value]home{}, forms: newForms(m.p.Program, number),
		wide: map[*spmd.Instr]*vector{}, looks: map[*spmd.Instr]look{}, lanes: map[*spmd.Value][]int64{}, counts: map[spmd.Op]string{}, varied: map[*spmd.Instr]string{}}
	defer func() {
		if r := recover(); r != nil {
			text, err = "", fmt.Errorf("%s: %v", e.doing.Describe(), r)
		}
	}()
	e.meets = m.meetings(number)
	inline := hasQuads(k)
	if inline {
		e.within = fmt.Sprintf("k%d_", number)
		e.used = map[*spmd.Value]int{}
		countUses(k.Body, e.used)
	}
	e.async = inline || slotsOf(k) > 0
	e.entry()
	if k.Members > 1 && k.Team > 0 {
		e.meet() // a warp may still be at work in its part of the team's scratch
	}
	if slotsOf(k) > 0 {
		e.beginBulk()
	}
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
	if e.bulk != nil {
		e.endBulk()
	}
	if inline {
		m.inlined[number] = m.headComment(number) + e.function("")
		return "", nil
	}
	e.op("ret")
	return m.headComment(number) + e.function(".func "+m.symbol(number)+" "+kernelParams), nil
}

// kernelParams is how a kernel is called: context, arguments, first tile, the one after the last, the team's scratch in global and in shared memory.
const kernelParams = "(.reg .b64 %ctx, .reg .b64 %args, .reg .b32 %lo, .reg .b32 %hi, .reg .b64 %team, .reg .b32 %shared)"

// entry is what is done once, before the first tile.
func (e *kernel) entry() {
	uses := map[spmd.Op]bool{}
	e.k.Body.Walk(func(in *spmd.Instr) {
		uses[in.Op] = true
		if at, ok := e.m.p.Varies[in]; ok {
			e.varied[in] = e.to(float, "ld.global.nc.f32", field("%args", int64(8*at)))
		}
		switch in.Op {
		case spmd.OpLoadV, spmd.OpLoadVN, spmd.OpLoadRun, spmd.OpStoreV, spmd.OpStoreVN:
			if p, n := in.Args[0], elementsOfLane(in); !slices.Contains(e.lanes[p], n) {
				e.lanes[p] = append(e.lanes[p], n)
			}
		}
	})
	e.lane = e.to(word, "mov.u32", "%laneid")
	if uses[spmd.OpStore] || uses[spmd.OpCopyBulk] {
		e.first = e.to(truth, "setp.eq.s32", e.lane, "0")
	}
	if e.used != nil {
		e.always = e.to(truth, "setp.eq.s32", "0", "0")
	}
	for _, op := range [...]spmd.Op{spmd.OpRows, spmd.OpSeqs, spmd.OpOuts} {
		if uses[op] {
			at := map[spmd.Op]int64{spmd.OpRows: abi.Rows, spmd.OpSeqs: abi.Seqs, spmd.OpOuts: abi.Outs}[op]
			e.counts[op] = e.to(word, "ld.global.nc.b32", field("%ctx", at))
		}
	}
	if e.k.Members > 1 && (uses[spmd.OpMember] || uses[spmd.OpBarrier] || e.k.Team > 0) {
		tid := e.to(word, "mov.u32", "%tid.x")
		w := e.to(word, "shr.u32", tid, "5")
		t := e.to(word, "div.u32", w, fmt.Sprint(e.k.Members))
		e.inTeam = e.to(word, "rem.u32", w, fmt.Sprint(e.k.Members))
		e.team = e.to(word, "add.s32", t, "1")
	}
	bases := map[int64]string{}
	for i, p := range e.k.Params {
		if j := e.m.sameArgument(e.number, i); j < i {
			e.params = append(e.params, e.params[j])
			continue
		}
		at, _ := abi.SpaceAt(p.Space) // the verifier has refused unknown ones
		base := bases[at]
		if base == "" {
			base = e.to(address, "ld.global.nc.b64", field("%ctx", at))
			bases[at] = base
		}
		off := e.to(wide, "ld.global.nc.b64", field("%args", int64(8*i)))
		e.params = append(e.params, e.to(address, "add.s64", base, off))
	}
}

// meet is a barrier of all members of the team, and of their lanes.
func (e *kernel) meet() {
	if e.k.Members == 1 {
		e.meetLanes()
		return
	}
	e.fence()
	e.op("bar.sync %s, %d", e.team, e.k.Members*warp)
}

// meetLanes is a barrier of the lanes of a member.
func (e *kernel) meetLanes() {
	e.fence()
	e.op("bar.warp.sync 0xffffffff")
}

// fence lets copies of many bytes and products of quads see what was stored, and follow what was read.
func (e *kernel) fence() {
	if e.async {
		e.op("fence.proxy.async.shared::cta")
	}
}

// define says where a value is. The address that a pointer means to this lane is made right behind it, outside of the loops that use it.
func (e *kernel) define(v *spmd.Value, x string) {
	e.vals[v] = x
	e.placeLanes(v, e.lanes[v])
}

// region emits the instructions of a region, one after another. Its parameters are in registers.
func (e *kernel) region(r *spmd.Region, params []string) {
	e.scopes = append(e.scopes, newScope())
	for i, p := range r.Params {
		e.define(p, params[i])
	}
	e.together(r)
	for i, in := range r.Body {
		e.doing, e.here, e.next = in, r, nil
		if i+1 < len(r.Body) {
			e.next = r.Body[i+1]
		}
		if e.meets[in] {
			if in.Op == spmd.OpCopyBulk {
				e.fence()
			}
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
			if v := e.again(in); v != nil {
				e.repeat(in.Results[0], v)
			} else if v := emit(e, in); len(in.Results) == 1 {
				e.define(in.Results[0], v)
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

// arg is operand i.
func (e *kernel) arg(in *spmd.Instr, i int) string { return e.val(in.Args[i]) }

// val64 is an i64 with all its bits, val32 the low 32 bits of one.
func (e *kernel) val64(v *spmd.Value) string {
	x := e.val(v)
	if isRegister(x) && e.class(v) == word {
		return e.to(wide, "cvt.s64.s32", x)
	}
	return x
}

func (e *kernel) val32(v *spmd.Value) string {
	if n, ok := v.Const(); ok {
		return fmt.Sprint(int32(n))
	}
	x := e.val(v)
	if e.class(v) == wide {
		return e.to(word, "cvt.u32.u64", x)
	}
	return x
}

// signed is the type of integer arithmetic of a class.
func signed(k class) string {
	if k == wide {
		return "s64"
	}
	return "s32"
}

// register moves a constant into a register where an instruction wants one.
func (e *kernel) register(k class, x string) string {
	if isRegister(x) {
		return x
	}
	return e.to(k, "mov."+k.bits(), x)
}

// as is a value in a class, which it has or, as an integer, can be brought to.
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
			if x == to[j] && from[j] != x { // it would be overwritten before it is read
				from[i] = e.to(classes[i], "mov."+classes[i].bits(), x)
				break
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
	}
	e.assign(to, kinds, init)
	kind, hi := word, in.Args[1]
	if kinds[0] == wide || e.class(hi) == wide {
		kind = wide
	}
	bound := e.as(kind, hi)
	compare := func(name string) string {
		i := to[0]
		if kind != kinds[0] {
			i = e.to(wide, "cvt.s64.s32", i)
		}
		return e.to(truth, "setp."+name+"."+signed(kind), i, bound)
	}
	head, end := e.label("loop"), e.label("end")
	if !in.Certain() {
		e.op("@%s bra.uni %s", compare("ge"), end)
	}
	e.at(head)
	e.findLooks(in)
	e.region(r, to)
	e.doing = in
	yields := make([]string, len(r.Yield))
	for i, y := range r.Yield {
		yields[i] = e.as(kinds[i+1], y)
	}
	e.assign(to[1:], kinds[1:], yields)
	e.op("add.%s %s, %s, %d", signed(kinds[0]), to[0], to[0], in.Imm)
	e.op("@%s bra.uni %s", compare("lt"), head)
	e.at(end)
	for i, res := range in.Results {
		e.define(res, to[i+1])
	}
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
	regions := in.Regions
	if last := len(regions) - 1; last > 0 && len(regions[last].Body) == 0 && len(to) == 0 { // nothing else is done
		els, regions = done, regions[:last]
	}
	e.op("@!%s bra.uni %s", e.arg(in, 0), els)
	for i, r := range regions {
		e.region(r, nil)
		e.doing = in
		yields := make([]string, len(r.Yield))
		for j, y := range r.Yield {
			yields[j] = e.as(kinds[j], y)
		}
		e.assign(to, kinds, yields)
		if i == 0 && els != done {
			e.op("bra.uni %s", done)
			e.at(els)
		}
	}
	e.at(done)
	for i, res := range in.Results {
		e.define(res, to[i])
	}
}
