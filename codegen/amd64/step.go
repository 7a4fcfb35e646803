package amd64

import (
	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/abi"
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
	s.kernels = c.element(t.kernels, c.at.NewSExt(c.get(s.ctx, abi.Level, types.I32), types.I64), i64(0))

	phases := int64(len(m.facts.Phases))
	var ran *ir.InstPhi // how many phases
	from := c.at
	c.countUp(i64(phases), func(p value.Value) {
		ran = c.phi(i64(0), from)
		s.stamp(p)
		skipped := c.at
		active, next := c.block(), c.block()
		c.branch(s.needed(p), active, next)
		c.at = active
		s.phase(p, ran)
		c.at.NewCall(barrier, s.ctx, c.Params[2])
		more, ended := c.at.NewAdd(ran, i64(1)), c.at
		c.jump(next)
		now := c.phi(ran, skipped)
		enter(now, more, ended)
		enter(ran, now, c.at)
		ran = now
	})
	s.stamp(i64(phases))
	c.at.NewRet(c.at.NewOr(c.at.NewICmp(enum.IPredEQ, ran, i64(0)), c.not(c.isNull(s.trace))))
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
