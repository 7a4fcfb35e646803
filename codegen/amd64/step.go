package amd64

import (
	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// stopped is what a round gives, beside the results of a step, when the workers are to leave.
const stopped = 1

func workerParams() []*ir.Param {
	return []*ir.Param{ir.NewParam("ctx", bytePtr), ir.NewParam("worker", types.I32), ir.NewParam("workers", types.I32)}
}

// entryPoints emits model_step and model_serve. Both first check what they need for a barrier, each worker for itself; the rest is checked in a round.
func (m *module) entryPoints(round *ir.Func) {
	for _, name := range []string{"step", "serve"} {
		c := m.exported(name, types.I32, workerParams()...)
		ctx, worker, workers := c.Params[0], c.Params[1], c.Params[2]
		c.retWhen(c.isNull(ctx), i32(abi.ErrPointer))
		c.retWhen(c.at.NewICmp(enum.IPredNE, c.get(ctx, abi.ABI, types.I32), i32(abi.Version)), i32(abi.ErrABI))
		c.retWhen(c.at.NewICmp(enum.IPredSLT, workers, i32(1)), i32(abi.ErrCount))
		c.retWhen(c.at.NewICmp(enum.IPredUGE, worker, workers), i32(abi.ErrCount))
		again := c.block()
		c.jump(again)
		result := c.at.NewCall(round, ctx, worker, workers)
		stop := c.at.NewICmp(enum.IPredEQ, result, i32(stopped))
		if name == "step" {
			c.at.NewRet(c.at.NewSelect(stop, i32(abi.Fine), result))
			continue
		}
		out := c.block()
		c.branch(stop, out, again) // an error is worker 0's to report: it has got the same
		out.NewRet(i32(abi.Fine))
	}
}

func (c *code) isNull(p value.Value) value.Value {
	return c.at.NewICmp(enum.IPredEQ, p, newLiteral(p.Type(), "null"))
}

func (c *code) not(x value.Value) value.Value { return c.at.NewXor(x, newLiteral(types.I1, "true")) }

// round emits one step of one worker: barrier, checks, phases. All workers check the same context after the barrier and come to the same result. What does
// not end with a phase's barrier ends with one of its own, so that worker 0 cannot change the context while others still read it.
func (m *module) round(barrier, run *ir.Func) *ir.Func {
	inspect := m.inspect()
	c := m.function("round", types.I32, workerParams()...)
	ctx, worker, workers := c.Params[0], c.Params[1], c.Params[2]
	c.at.NewCall(barrier, ctx, workers)
	result := c.at.NewCall(inspect, ctx)
	good, bad := c.block(), c.block()
	c.branch(c.at.NewICmp(enum.IPredEQ, result, i32(abi.Fine)), good, bad)
	bad.NewCall(barrier, ctx, workers)
	bad.NewRet(result)
	c.at = good
	open := c.at.NewCall(run, ctx, worker, workers)
	c.when(open, func() { c.at.NewCall(barrier, ctx, workers) })
	c.at.NewRet(i32(abi.Fine))
	return c.Func
}

// inspect emits the checks of a context: stopped, an error, or fine.
func (m *module) inspect() *ir.Func {
	p := m.facts
	c := m.function("inspect", types.I32, ir.NewParam("ctx", bytePtr))
	ctx := c.Params[0]
	c.retWhen(c.at.NewICmp(enum.IPredNE, c.get(ctx, abi.Stop, types.I32), i32(0)), i32(stopped))
	c.retWhen(c.at.NewICmp(enum.IPredUGE, c.get(ctx, abi.Level, types.I32), i32(int64(len(m.levels)))), i32(abi.ErrLevel))
	rows, seqs, outs := c.get(ctx, abi.Rows, types.I64), c.get(ctx, abi.Seqs, types.I64), c.get(ctx, abi.Outs, types.I64)
	bounds := []struct {
		x, lo, hi value.Value
	}{
		{rows, i64(1), i64(p.MaxRows)},
		{seqs, i64(1), c.min(rows, i64(p.MaxSeqs))}, // every sequence has a row
		{outs, i64(0), rows},
	}
	for _, b := range bounds {
		c.retWhen(c.at.NewICmp(enum.IPredSLT, b.x, b.lo), i32(abi.ErrCount))
		c.retWhen(c.at.NewICmp(enum.IPredSGT, b.x, b.hi), i32(abi.ErrCount))
	}
	need := m.required()
	pointers := func(offsets []int64) {
		for _, off := range offsets {
			c.retWhen(c.isNull(c.get(ctx, off, bytePtr)), i32(abi.ErrPointer))
		}
	}
	pointers(need.Always)
	c.retWhen(c.at.NewICmp(enum.IPredEQ, outs, i64(0)), i32(abi.Fine))
	pointers(need.Outs)
	c.retWhen(c.isNull(c.get(ctx, abi.Chosen, bytePtr)), i32(abi.Fine))
	pointers(need.Sampled)
	c.at.NewRet(i32(abi.Fine))
	return c.Func
}

// step is what a worker's run through the phases holds on to.
type step struct {
	*code
	m                *module
	t                tables
	ctx              value.Value
	worker, workers  value.Value // i64
	rows, seqs, outs value.Value
	chosen           value.Value // outs, or 0 where no token is to be chosen
	team             value.Value
	trace            value.Value // i64*, or null
	kernels          value.Value // of the level
}

// run emits i1 run(ctx, worker, workers): the worker's tiles of all phases. True says that a barrier is still to be made: no phase ran, so there was none
// since the context was read, or there are time stamps that worker 0 must not miss.
func (m *module) run(t tables, barrier *ir.Func) *ir.Func {
	c := m.function("run", types.I1, workerParams()...)
	s := &step{code: c, m: m, t: t, ctx: c.Params[0]}
	s.worker, s.workers = c.at.NewZExt(c.Params[1], types.I64), c.at.NewZExt(c.Params[2], types.I64)
	s.rows, s.seqs, s.outs = c.get(s.ctx, abi.Rows, types.I64), c.get(s.ctx, abi.Seqs, types.I64), c.get(s.ctx, abi.Outs, types.I64)
	s.chosen = c.at.NewSelect(c.isNull(c.get(s.ctx, abi.Chosen, bytePtr)), i64(0), s.outs)
	s.trace = c.get(s.ctx, abi.Trace, types.I64Ptr)
	s.team = c.bytes(c.get(s.ctx, abi.Team, bytePtr), c.at.NewMul(s.worker, i64(m.teamBytes())))
	s.kernels = c.element(t.kernels, c.at.NewSExt(c.get(s.ctx, abi.Level, types.I32), types.I64), i64(0))

	phases := int64(len(m.facts.Phases))
	var ran *ir.InstPhi
	from := c.at
	c.countUp(i64(phases), func(p value.Value) {
		ran = c.phi(newLiteral(types.I1, "false"), from)
		s.stamp(p)
		skipped := c.at
		active, next := c.block(), c.block()
		c.branch(s.needed(p), active, next)
		c.at = active
		s.phase(p)
		c.at.NewCall(barrier, s.ctx, c.Params[2])
		ended := c.at
		c.jump(next)
		now := c.phi(ran, skipped)
		enter(now, newLiteral(types.I1, "true"), ended)
		enter(ran, now, c.at)
		ran = now
	})
	s.stamp(i64(phases))
	c.at.NewRet(c.at.NewOr(c.not(ran), c.not(c.isNull(s.trace))))
	return c.Func
}

// needed says whether the step has what a phase needs.
func (s *step) needed(p value.Value) value.Value {
	rows := s.at.NewICmp(enum.IPredSGE, s.rows, s.entry(s.t.phases, p, phaseMinRows))
	return s.at.NewAnd(rows, s.at.NewICmp(enum.IPredSGE, s.chosen, s.entry(s.t.phases, p, phaseMinChosen)))
}

// entry reads a field of row i of a table.
func (s *step) entry(table *ir.Global, i value.Value, field int64) value.Value {
	return s.at.NewLoad(types.I64, s.element(table, i, i64(field)))
}

// stamp writes the time into the trace, if there is one.
func (s *step) stamp(phase value.Value) {
	s.when(s.not(s.isNull(s.trace)), func() {
		now := s.at.NewCall(s.m.intrinsic("llvm.readcyclecounter", types.I64))
		i := s.at.NewAdd(s.at.NewMul(phase, s.workers), s.worker)
		s.at.NewStore(now, s.at.NewGetElementPtr(types.I64, s.trace, i))
	})
}

// phase runs the worker's tiles. Of each launch a part is divided evenly, launch by launch, because tiles of two launches may differ in cost; what does not come
// out even goes round: the next launch's odd tiles begin with the worker behind the last that got one. A worker keeps to neighbouring tiles there, of which one
// asks for the memory of the next. Then whoever is done takes from the rest, a tile at a time: cores differ in speed, and others may use them, too.
func (s *step) phase(p value.Value) {
	first := s.entry(s.t.phases, p, phaseFirst)
	n := s.at.NewSub(s.entry(s.t.phases, s.at.NewAdd(p, i64(1)), phaseFirst), first)
	s.sum(n, func(l, turn value.Value) value.Value {
		launch := s.at.NewAdd(first, l)
		tiles := s.tiles(launch)
		tiles = s.at.NewSub(tiles, s.rest(tiles))
		each, odd := s.at.NewUDiv(tiles, s.workers), s.at.NewURem(tiles, s.workers)
		place := s.wrapped(s.at.NewSub(s.worker, turn)) // among the workers, from whose turn it is on
		a := s.at.NewAdd(s.at.NewMul(place, each), s.min(place, odd))
		b := s.at.NewAdd(s.at.NewAdd(a, each), s.at.NewZExt(s.at.NewICmp(enum.IPredSLT, place, odd), types.I64))
		s.when(s.at.NewICmp(enum.IPredSLT, a, b), func() { s.launch(launch, a, b) })
		return s.wrapped(s.at.NewSub(s.at.NewAdd(turn, odd), s.workers))
	})
	s.when(s.at.NewICmp(enum.IPredSGT, s.workers, i64(1)), func() { s.share(first, n) })
}

// rest is how many of a launch's tiles, the last ones, are for whoever comes first: a quarter evens out a core that has 0.6 of the other one's speed.
func (s *step) rest(tiles value.Value) value.Value {
	alone := s.at.NewICmp(enum.IPredEQ, s.workers, i64(1))
	return s.at.NewSelect(alone, i64(0), s.at.NewLShr(tiles, i64(2)))
}

// share takes tiles of a phase's rest, as long as there are any. They are numbered launch after launch; the context counts those that are taken.
func (s *step) share(first, n value.Value) {
	take := func() value.Value {
		k := s.at.NewAtomicRMW(enum.AtomicOpAdd, s.field(s.ctx, abi.Taken, types.I32), i32(1), enum.AtomicOrderingMonotonic)
		return s.at.NewZExt(k, types.I64)
	}
	k0, from := take(), s.at
	head, look, run, skip, out := s.block(), s.block(), s.block(), s.block(), s.block()
	s.jump(head)
	l, before, k := s.phi(i64(0), from), s.phi(i64(0), from), s.phi(k0, from)
	s.branch(s.at.NewICmp(enum.IPredSLT, l, n), look, out)

	s.at = look
	launch := s.at.NewAdd(first, l)
	tiles := s.tiles(launch)
	rest := s.rest(tiles)
	behind := s.at.NewAdd(before, rest)
	s.branch(s.at.NewICmp(enum.IPredSLT, k, behind), run, skip)

	s.at = run
	tile := s.at.NewAdd(s.at.NewSub(tiles, rest), s.at.NewSub(k, before))
	s.launch(launch, tile, s.at.NewAdd(tile, i64(1)))
	next := take()
	enter(l, l, s.at)
	enter(before, before, s.at)
	enter(k, next, s.at)
	s.at.NewBr(head)

	enter(l, skip.NewAdd(l, i64(1)), skip)
	enter(before, behind, skip)
	enter(k, k, skip)
	skip.NewBr(head)
	s.at = out
}

// launch calls a launch's kernel for tiles a..b-1.
func (s *step) launch(launch, a, b value.Value) {
	kernel := s.at.NewGetElementPtr(s.kernelType(), s.kernels, s.entry(s.t.launches, launch, launchKernel))
	args := s.element(s.t.args, s.entry(s.t.launches, launch, launchArgs))
	s.at.NewCall(s.at.NewLoad(s.kernelType(), kernel), s.ctx, args, a, b, s.team)
}

// wrapped adds the number of workers to a negative number.
func (s *step) wrapped(x value.Value) value.Value {
	negative := s.at.NewICmp(enum.IPredSLT, x, i64(0))
	return s.at.NewAdd(x, s.at.NewSelect(negative, s.workers, i64(0)))
}

func (s *step) kernelType() types.Type {
	return s.t.kernels.ContentType.(*types.ArrayType).ElemType.(*types.ArrayType).ElemType
}

// sum carries a number, from 0, over the launches of a phase, of which there is at least one.
func (s *step) sum(n value.Value, next func(l, sum value.Value) value.Value) value.Value {
	from := s.at
	var sum value.Value
	s.countUp(n, func(l value.Value) {
		phi := s.phi(i64(0), from)
		sum = next(l, phi)
		enter(phi, sum, s.at)
	})
	return sum
}

// tiles is how many tiles a launch has: panels * ceil(count / block). See spmd.Grid.
func (s *step) tiles(launch value.Value) value.Value {
	by := s.entry(s.t.launches, launch, launchBy)
	is := func(g spmd.GridBy) value.Value { return s.at.NewICmp(enum.IPredEQ, by, i64(int64(g))) }
	count := s.at.NewSelect(is(spmd.ByRowBlocks), s.rows, i64(1))
	count = s.at.NewSelect(is(spmd.BySeqs), s.seqs, count)
	count = s.at.NewSelect(is(spmd.ByOutBlocks), s.outs, count)
	block := s.entry(s.t.launches, launch, launchBlock)
	up := s.at.NewAdd(count, s.at.NewSub(block, i64(1)))
	return s.at.NewMul(s.entry(s.t.launches, launch, launchPanels), s.at.NewUDiv(up, block))
}
