package ptx

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// home is the memory that a pointer points into.
type home struct {
	shared  bool
	scratch bool
	space   spmd.Space // unless scratch
}

// home follows a pointer to the parameter or scratch that it comes from. Loops and branches do not mix memories, so any way back will do.
func (e *kernel) home(v *spmd.Value) home {
	h, ok := e.homes[v]
	if !ok {
		h = findHome(e.k, v, e.ranges.loops)
		h.shared = h.scratch && e.shared
		e.homes[v] = h
	}
	return h
}

func findHome(k *spmd.Kernel, v *spmd.Value, loops map[*spmd.Region]*spmd.Instr) home {
	for {
		in := v.Def
		if in == nil { // carried by a loop
			loop := loops[v.In]
			v = loop.Args[1+place1(v.In.Params, v)]
			continue
		}
		switch in.Op {
		case spmd.OpParam:
			return home{space: k.Params[in.Imm].Space}
		case spmd.OpScratch:
			return home{scratch: true}
		case spmd.OpFor:
			v = in.Args[2+place1(in.Results, v)]
		case spmd.OpIf:
			v = in.Regions[0].Yield[place1(in.Results, v)]
		default: // offset
			v = in.Args[0]
		}
	}
}

func place1(list []*spmd.Value, v *spmd.Value) int {
	for i, x := range list {
		if x == v {
			return i
		}
	}
	panic(fmt.Sprintf("%%%d is not where it is defined", v.ID))
}

// place is an address without its constant part: p[i], or this lane's p[i + lanes*lane], or p[v].
type place struct {
	p, i  *spmd.Value
	lanes int64
	v     *spmd.Value
}

// elementsOfLane is how many neighbouring elements each lane loads or stores; 0: all the same one.
func elementsOfLane(in *spmd.Instr) int64 {
	switch in.Op {
	case spmd.OpLoadV, spmd.OpLoadVN, spmd.OpStoreV, spmd.OpStoreVN:
		return 1
	case spmd.OpLoadRun:
		return int64(len(in.Results))
	}
	return 0
}

// moved is a pointer, whose address is x, moved by i elements; i is a 32-bit register.
func (e *kernel) moved(p *spmd.Value, x, i string) string {
	size := fmt.Sprint(p.Type.Elem.Bytes())
	if e.home(p).shared && size == "1" {
		return e.to(offset, "add.s32", i, x)
	}
	if e.home(p).shared {
		return e.to(offset, "mad.lo.s32", i, size, x)
	}
	return e.to(address, "mad.wide.s32", i, size, x)
}

// movedLanes is a pointer, whose address is x, moved by n elements for each lane before this one.
func (e *kernel) movedLanes(p *spmd.Value, x string, n int64) string {
	size := fmt.Sprint(n * p.Type.Elem.Bytes())
	if e.home(p).shared {
		return e.to(offset, "mad.lo.s32", e.lane, size, x)
	}
	return e.to(address, "mad.wide.s32", e.lane, size, x)
}

// address gives p[i + imm], or this lane's, as an operand. Constants that were added to i go into the operand.
func (e *kernel) address(p, i *spmd.Value, imm, lanes int64) string {
	return field(e.parts(p, i, imm, lanes))
}

// parts are the register and the constant of an address.
func (e *kernel) parts(p, i *spmd.Value, imm, lanes int64) (base string, bytes int64) {
	size := p.Type.Elem.Bytes()
	i, more := split(i)
	imm += more
	base = e.base(place{p: e.original(p), i: e.original(i), lanes: lanes})
	imm *= size
	if e.home(p).shared {
		imm = int64(int32(imm))
	} else if imm < math.MinInt32 || imm > math.MaxInt32 {
		base, imm = e.to(address, "add.s64", base, fmt.Sprint(imm)), 0
	}
	return base, imm
}

// split takes constants off an index.
func split(i *spmd.Value) (rest *spmd.Value, imm int64) {
	for i != nil {
		if n, ok := i.Const(); ok {
			return nil, imm + n
		}
		if i.Def == nil {
			break
		}
		x, y := i.Def.Op, i.Def.Args
		if n, ok := constant(y, 1); ok && x == spmd.OpAdd {
			i, imm = y[0], imm+n
		} else if n, ok := constant(y, 0); ok && x == spmd.OpAdd {
			i, imm = y[1], imm+n
		} else if n, ok := constant(y, 1); ok && x == spmd.OpSub {
			i, imm = y[0], imm-n
		} else {
			break
		}
	}
	return i, imm
}

func constant(args []*spmd.Value, i int) (int64, bool) {
	if i >= len(args) {
		return 0, false
	}
	return args[i].Const()
}

// base is the register of a place; it is made once a region.
func (e *kernel) base(at place) string {
	if at.i == nil && at.lanes == 0 {
		return e.val(at.p)
	}
	if x := e.made(at); x != "" {
		return x
	}
	from := e.base(place{p: at.p, lanes: at.lanes})
	x := ""
	switch {
	case e.class(at.i) == word || e.home(at.p).shared:
		x = e.moved(at.p, from, e.val32(at.i))
	case at.p.Type.Elem.Bytes() == 1:
		x = e.to(address, "add.s64", from, e.val(at.i))
	default:
		bytes := e.to(wide, "shl.b64", e.val(at.i), fmt.Sprint(log2(at.p.Type.Elem.Bytes())))
		x = e.to(address, "add.s64", from, bytes)
	}
	e.inner().places[at] = x
	return x
}

// made is the register of a place, "" if there is none yet.
func (e *kernel) made(at place) string {
	for _, s := range e.scopes {
		if x := s.places[at]; x != "" {
			return x
		}
	}
	return ""
}

// log2 of a power of two; -1 for other numbers.
func log2(n int64) int {
	for k := range 63 {
		if n == 1<<k {
			return k
		}
	}
	return -1
}

// index is the second operand of an access if it is an index: operands are those that follow the address.
func index(in *spmd.Instr, operands int) *spmd.Value {
	if len(in.Args)-operands > 1 {
		return in.Args[1]
	}
	return nil
}

// offsetPointer is the instruction offset.
func (e *kernel) offsetPointer(in *spmd.Instr) string {
	p, i := in.Args[0], in.Args[1]
	if n, ok := i.Const(); ok {
		bytes := fmt.Sprint(n * p.Type.Elem.Bytes())
		if e.home(p).shared {
			return e.to(offset, "add.s32", e.val(p), fmt.Sprint(int32(n*p.Type.Elem.Bytes())))
		}
		return e.to(address, "add.s64", e.val(p), bytes)
	}
	return e.base(place{p: e.original(p), i: e.original(i)})
}

// scratch is a pointer into the team's memory.
func (e *kernel) scratch(in *spmd.Instr) string {
	if e.shared && in.Imm == 0 {
		return "%shared"
	}
	if e.shared {
		return e.to(offset, "add.s32", "%shared", fmt.Sprint(in.Imm))
	}
	return e.to(address, "add.s64", "%team", fmt.Sprint(in.Imm))
}

// access is how the elements of a type are moved: the type in memory and the register class there.
var access = [...]struct {
	load, store string
	class       class
}{
	spmd.I8:   {"s8", "b8", word},
	spmd.U8:   {"u8", "b8", word},
	spmd.I32:  {"b32", "b32", word},
	spmd.I64:  {"b64", "b64", wide},
	spmd.F16:  {"b16", "b16", half},
	spmd.BF16: {"u16", "b16", word},
	spmd.F32:  {"f32", "f32", float},
}

// loadName is the load instruction for what p points to. Weights are streamed past the first-level cache: no two warps of a multiprocessor
// read the same ones at about the same time.
func (e *kernel) loadName(p *spmd.Value, lanes bool) string {
	h := e.home(p)
	name := "ld.global."
	switch {
	case h.shared:
		name = "ld.shared."
	case h.scratch || !h.space.Constant():
	case lanes && h.space == spmd.Weights:
		name = "ld.global.nc.L1::no_allocate."
	default:
		name = "ld.global.nc."
	}
	return name + access[p.Type.Elem].load
}

// fetch loads from an address and widens. mask, if it is not "", says in which lanes; the others get 0.
func (e *kernel) fetch(p *spmd.Value, at, mask string, lanes bool) string {
	el := p.Type.Elem
	k := access[el].class
	name := e.loadName(p, lanes)
	if mask == "" {
		return e.widen(el, e.to(k, name, at))
	}
	zero := "0"
	if k == float {
		zero = hex(0)
	}
	d := e.to(k, "mov."+k.bits(), zero)
	e.op("@%s %s %s, %s", mask, name, d, at)
	return e.widen(el, d)
}

// widen makes the register value of one from memory.
func (e *kernel) widen(el spmd.Elem, x string) string {
	switch el {
	case spmd.F16:
		return e.to(float, "cvt.f32.f16", x)
	case spmd.BF16:
		return e.to(float, "shl.b32", x, "16") // instructions on bits take registers of any type
	}
	return x
}

func (e *kernel) load(in *spmd.Instr) string {
	if v := e.wide[in]; v != nil {
		return e.loadTogether(in, v)
	}
	lanes := elementsOfLane(in)
	if l, ok := e.looks[in]; ok {
		e.lookAhead(in, l)
	}
	return e.fetch(in.Args[0], e.address(in.Args[0], index(in, 0), in.Imm, lanes), "", lanes > 0)
}

func (e *kernel) loadMasked(in *spmd.Instr) string {
	mask := e.mask(in.Args[len(in.Args)-1])
	return e.fetch(in.Args[0], e.address(in.Args[0], index(in, 1), in.Imm, 1), mask, true)
}

func (e *kernel) gather(in *spmd.Instr) string {
	return e.fetch(in.Args[0], e.gathered(in), "", false)
}

// gathered is the address that this lane gathers from.
func (e *kernel) gathered(in *spmd.Instr) string {
	p := in.Args[0]
	at := place{p: e.original(p), v: e.original(in.Args[1])}
	base := e.made(at)
	if base == "" {
		base = e.moved(p, e.val(p), e.register(word, e.arg(in, 1)))
		e.inner().places[at] = base
	}
	return field(base, in.Imm*p.Type.Elem.Bytes())
}

// mask is true in the lanes below n.
func (e *kernel) mask(n *spmd.Value) string {
	if e.class(n) == word {
		return e.to(truth, "setp.lt.s32", e.lane, e.val32(n))
	}
	return e.to(truth, "setp.lt.s64", e.to(wide, "cvt.s64.s32", e.lane), e.val64(n))
}

// store writes one element, by lane 0, or one a lane; mask may be "".
func (e *kernel) store(in *spmd.Instr) string {
	switch in.Op {
	case spmd.OpStore:
		e.keep(in, e.address(in.Args[0], index(in, 1), in.Imm, 0), e.first)
	case spmd.OpStoreV:
		e.keep(in, e.address(in.Args[0], index(in, 1), in.Imm, 1), "")
	case spmd.OpStoreVN:
		mask := e.mask(in.Args[len(in.Args)-2])
		e.keep(in, e.address(in.Args[0], index(in, 2), in.Imm, 1), mask)
	}
	return ""
}

// keep narrows the last operand and stores it.
func (e *kernel) keep(in *spmd.Instr, at, mask string) {
	p, v := in.Args[0], in.Args[len(in.Args)-1]
	el := p.Type.Elem
	x := e.val(v)
	switch el {
	case spmd.F16:
		x = e.to(half, "cvt.rn.f16.f32", e.register(float, x))
	case spmd.BF16:
		x = e.to(half, "cvt.rn.bf16.f32", e.register(float, x))
	case spmd.I64:
		x = e.register(wide, e.val64(v))
	default:
		x = e.register(access[el].class, x)
	}
	name := "st.global."
	if e.home(p).shared {
		name = "st.shared."
	}
	guard := ""
	if mask != "" {
		guard = "@" + mask + " "
	}
	e.op("%s%s%s %s, %s", guard, name, access[el].store, at, x)
}

func (e *kernel) prefetch(in *spmd.Instr) string {
	if !e.home(in.Args[0]).shared {
		e.op("prefetch.global.L2 %s", e.address(in.Args[0], index(in, 0), in.Imm, 0))
	}
	return ""
}
