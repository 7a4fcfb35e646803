package amd64

import (
	"fmt"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// kernel is a kernel in the making.
type kernel struct {
	code
	m       *module
	k       *spmd.Kernel
	rank    int                 // of the level
	varies  map[*spmd.Instr]int // constants that the launch gives
	lanes   uint64
	entry   code // what is done once, before the first tile
	ctx     value.Value
	team    value.Value
	tile    value.Value
	params  []value.Value
	counts  map[spmd.Op]value.Value // rows, seqs, outs
	vals    map[*spmd.Value]value.Value
	homes   map[*spmd.Value]*ir.Block // where values are defined
	limits  map[*spmd.Value]value.Value
	vector  map[types.Type]*types.VectorType
	ids     constant.Constant // <i32 0, 1, ...>
	derived map[derived]value.Value
	chain   map[*spmd.Instr]*spmd.Instr // see dot4u16
	open    map[*spmd.Value]sum16
	tile8   *tileState  // nil: no tiles yet
	doing   *spmd.Instr // for the message when llir panics
}

// kernel emits a kernel's function: its parameters, then the loop over tiles around its body.
func (m *module) kernel(rank int, k *spmd.Kernel, varies map[*spmd.Instr]int) (f *ir.Func, err error) {
	e := &kernel{
		m: m, k: k, rank: rank, varies: varies, lanes: uint64(k.Lanes), counts: map[spmd.Op]value.Value{}, vals: map[*spmd.Value]value.Value{},
		homes: map[*spmd.Value]*ir.Block{}, limits: map[*spmd.Value]value.Value{},
		derived: map[derived]value.Value{}, chain: chains(k), open: map[*spmd.Value]sum16{},
	}
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("%s: %v", e.doing.Describe(), r)
		}
	}()
	e.code = *m.detached(levels[rank].target.Name+"."+k.Name, types.Void, kernelParams()...)
	e.FuncAttrs = append(e.FuncAttrs, levelAttributes(rank)...)
	e.types()
	e.entry = e.code
	e.ctx, e.team = e.Params[0], e.Params[4]
	for i, p := range k.Params {
		off := e.at.NewLoad(types.I64, e.at.NewGetElementPtr(types.I64, e.Params[1], i64(int64(i))))
		at, ok := abi.SpaceAt(p.Space)
		if !ok {
			panic("parameter in unknown " + p.Space.String())
		}
		base := e.get(e.ctx, at, bytePtr)
		e.params = append(e.params, e.cast(e.bytes(base, off), memoryType(p.Elem)))
	}

	head := e.block()
	e.at = head
	tile := e.phi(e.Params[2], e.entry.at)
	e.tile = tile
	e.region(k.Body)
	next := e.at.NewAdd(tile, i64(1))
	again := e.at.NewICmp(enum.IPredSLT, next, e.Params[3])
	done := e.block()
	enter(tile, next, e.at)
	e.branch(again, head, done)
	e.at = done
	e.endTiles()
	e.at.NewRet(nil)
	e.entry.at.NewBr(head)
	m.texts = append(m.texts, e.LLString())
	e.Blocks = nil
	return e.Func, nil
}

// levelAttributes are what makes llc select a level's instructions, at the width that they were written in.
func levelAttributes(rank int) []ir.FuncAttribute {
	features := ""
	for i, f := range allFeatures(rank) {
		if i > 0 {
			features += ","
		}
		features += "+" + f.llvm
	}
	bits := fmt.Sprint(levels[rank].target.Lanes * 32)
	return []ir.FuncAttribute{
		ir.AttrString("stackrealign"), // else spilled vectors lie across cache lines
		attribute("frame-pointer", "none"),
		attribute("min-legal-vector-width", bits),
		attribute("prefer-vector-width", bits),
		attribute("target-cpu", levels[rank].cpu),
		attribute("target-features", features),
	}
}

// region emits the instructions of a region, one after another.
func (e *kernel) region(r *spmd.Region) {
	for _, in := range r.Body {
		e.doing = in
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
				e.define(in.Results[0], v)
			}
		}
	}
}

func (e *kernel) define(v *spmd.Value, x value.Value) {
	e.vals[v], e.homes[v] = x, e.at
}

// arg is the LLVM value of operand i.
func (e *kernel) arg(in *spmd.Instr, i int) value.Value { return e.val(in.Args[i]) }

func (e *kernel) val(v *spmd.Value) value.Value {
	x := e.vals[v]
	if x == nil {
		panic(fmt.Sprintf("%%%d is used before it is defined", v.ID))
	}
	return x
}

// loop emits a rotated loop: one check before it (none if the bounds are constants that pass it), then do ... while. It has a preheader and an exit of its own,
// so that llc's loop passes need not make them.
func (e *kernel) loop(in *spmd.Instr) {
	lo, hi, r := e.arg(in, 0), e.arg(in, 1), in.Regions[0]
	before := e.at
	pre, head, exit := e.block(), e.block(), (*ir.Block)(nil)
	checked := !in.Certain()
	e.at = pre
	e.jump(head)
	phis := []*ir.InstPhi{e.phi(lo, pre)}
	for _, init := range in.Args[2:] {
		phis = append(phis, e.phi(e.val(init), pre))
	}
	for i, p := range r.Params {
		e.define(p, phis[i])
	}
	e.region(r)
	e.doing = in
	nexts := []value.Value{e.at.NewAdd(phis[0], i64(in.Imm))}
	for _, y := range r.Yield {
		nexts = append(nexts, e.val(y))
	}
	again := e.at.NewICmp(enum.IPredSLT, nexts[0], hi)
	last := e.block()
	for i, p := range phis {
		enter(p, nexts[i], e.at)
	}
	e.branch(again, head, last)
	e.at = last
	if checked {
		exit = e.block()
		e.jump(exit)
		before.NewCondBr(before.NewICmp(enum.IPredSLT, lo, hi), pre, exit)
	} else {
		before.NewBr(pre)
	}
	for i, res := range in.Results {
		x := nexts[i+1]
		if checked {
			p := e.phi(e.val(in.Args[i+2]), before)
			enter(p, x, last)
			x = p
		}
		e.define(res, x)
	}
}

// choose emits a uniform branch.
func (e *kernel) choose(in *spmd.Instr) {
	then, els, done := e.block(), e.block(), e.block()
	e.branch(e.arg(in, 0), then, els)
	var ends [2]*ir.Block
	for i, start := range []*ir.Block{then, els} {
		e.at = start
		e.region(in.Regions[i])
		e.doing = in
		ends[i] = e.at
		e.jump(done)
	}
	for i, res := range in.Results {
		p := e.phi(e.val(in.Regions[0].Yield[i]), ends[0])
		enter(p, e.val(in.Regions[1].Yield[i]), ends[1])
		e.define(res, p)
	}
}

// count reads one of the step's sizes, once a call.
func (e *kernel) count(op spmd.Op) value.Value {
	v := e.counts[op]
	if v == nil {
		v = e.entry.get(e.ctx, map[spmd.Op]int64{spmd.OpRows: abi.Rows, spmd.OpSeqs: abi.Seqs, spmd.OpOuts: abi.Outs}[op], types.I64)
		e.counts[op] = v
	}
	return v
}
