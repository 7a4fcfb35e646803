package amd64

import (
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// Which worker runs which tiles of a phase. Each launch is divided evenly, launch by launch, because tiles of two launches may differ in cost; what does not come
// out even goes round: the next launch's odd tiles begin with the worker behind the last that got one. A worker runs its tiles in order, since one asks for the
// memory of the next. But it says how many of the last quarter of them are left, and whoever is done with his own takes of these, from the end: cores differ in
// speed, and others may use them, too.

// A worker's scratch begins with how many of its tiles are spoken for, by itself or others, and how many of them by others: in turn for one phase on the first
// line and for the next on the second, so that one can be set to 0 while the other is in use.
const (
	spokenFor = 0
	taken     = 4
	lineBytes = 64
	headBytes = 2 * lineBytes
)

// part is a worker's tiles a..b-1 of a launch; those from lent on others may take.
type part struct {
	launch, a, lent, b value.Value
	next               value.Value // whose turn it is in the next launch
}

// phase runs the worker's tiles of a phase before which others ran, and then tiles of others.
func (s *step) phase(p, ran value.Value) {
	first := s.entry(s.t.phases, p, phaseFirst)
	n := s.at.NewSub(s.entry(s.t.phases, s.at.NewAdd(p, i64(1)), phaseFirst), first)
	odd := s.at.NewAnd(ran, i64(1))
	line := s.at.NewMul(odd, i64(lineBytes))
	mine := s.bytes(s.head(s.worker), line)
	other := s.bytes(s.head(s.worker), s.at.NewSub(i64(lineBytes), line))
	together := s.at.NewICmp(enum.IPredSGT, s.workers, i64(1))
	// Before the first phase nobody's counts are 0 for certain, so none are taken there.
	begins := s.at.NewICmp(enum.IPredEQ, ran, i64(0))
	s.when(begins, func() { s.clear(mine) })
	s.clear(other)
	s.own(s.parts(first, n, s.worker), mine)
	s.when(s.at.NewAnd(together, s.not(begins)), func() {
		s.countUp(s.at.NewSub(s.workers, i64(1)), func(i value.Value) {
			who := s.wrapped(s.at.NewSub(s.at.NewAdd(s.at.NewAdd(s.worker, i), i64(1)), s.workers))
			s.take(s.parts(first, n, who), s.bytes(s.head(who), line))
		})
	})
}

// head is where a worker's scratch begins.
func (s *step) head(worker value.Value) value.Value {
	return s.bytes(s.get(s.ctx, abi.Team, bytePtr), s.at.NewMul(worker, i64(s.m.teamBytes())))
}

func (s *step) clear(counts value.Value) {
	for _, at := range []int64{spokenFor, taken} {
		s.atomicStore(i32(0), s.field(counts, at, types.I32), enum.AtomicOrderingMonotonic)
	}
}

// count adds one to a count and gives what it was.
func (s *step) count(counts value.Value, at int64) value.Value {
	k := s.at.NewAtomicRMW(enum.AtomicOpAdd, s.field(counts, at, types.I32), i32(1), enum.AtomicOrderingMonotonic)
	return s.at.NewZExt(k, types.I64)
}

// parts goes over a worker's parts of a phase's launches, carrying a number from 0.
type parts func(next func(p part, sum value.Value) value.Value) value.Value

func (s *step) parts(first, n, worker value.Value) parts {
	return func(next func(p part, sum value.Value) value.Value) value.Value {
		from := s.at
		var sum value.Value
		s.countUp(n, func(l value.Value) {
			turn, before := s.phi(i64(0), from), s.phi(i64(0), from)
			p := s.part(s.at.NewAdd(first, l), worker, turn)
			sum = next(p, before)
			enter(turn, p.next, s.at)
			enter(before, sum, s.at)
		})
		return sum
	}
}

func (s *step) part(launch, worker, turn value.Value) part {
	tiles := s.tiles(launch)
	each, odd := s.at.NewUDiv(tiles, s.workers), s.at.NewURem(tiles, s.workers)
	place := s.wrapped(s.at.NewSub(worker, turn)) // among the workers, from whose turn it is on
	a := s.at.NewAdd(s.at.NewMul(place, each), s.min(place, odd))
	n := s.at.NewAdd(each, s.at.NewZExt(s.at.NewICmp(enum.IPredSLT, place, odd), types.I64))
	quarter := s.at.NewLShr(s.at.NewAdd(n, i64(3)), i64(2)) // evens out a core that has 0.6 of the other one's speed
	lent := s.at.NewSelect(s.at.NewICmp(enum.IPredEQ, s.workers, i64(1)), i64(0), quarter)
	b := s.at.NewAdd(a, n)
	return part{launch, a, s.at.NewSub(b, lent), b, s.wrapped(s.at.NewSub(s.at.NewAdd(turn, odd), s.workers))}
}

// lent is how many tiles of its parts a worker lends.
func (s *step) lent(all parts) value.Value {
	return all(func(p part, sum value.Value) value.Value { return s.at.NewAdd(sum, s.at.NewSub(p.b, p.lent)) })
}

// own runs the worker's parts, but for what others take.
func (s *step) own(all parts, counts value.Value) {
	lent := s.lent(all)
	all(func(p part, _ value.Value) value.Value {
		s.when(s.at.NewICmp(enum.IPredSLT, p.a, p.lent), func() { s.launch(p.launch, p.a, p.lent) })
		from := s.at
		head, look, run, out := s.block(), s.block(), s.block(), s.block()
		s.jump(head)
		tile := s.phi(p.lent, from)
		s.branch(s.at.NewICmp(enum.IPredSLT, tile, p.b), look, out)
		s.at = look
		s.branch(s.at.NewICmp(enum.IPredSLT, s.count(counts, spokenFor), lent), run, out)
		s.at = run
		next := s.at.NewAdd(tile, i64(1))
		s.launch(p.launch, tile, next)
		enter(tile, next, s.at)
		s.at.NewBr(head)
		s.at = out
		return i64(0)
	})
}

// take runs what is left of the tiles that a worker lends, the last ones first.
func (s *step) take(all parts, counts value.Value) {
	lent := s.lent(all)
	look, count, run, out := s.block(), s.block(), s.block(), s.block()
	s.jump(look)
	some := s.at.NewZExt(s.atomicLoad(s.field(counts, spokenFor, types.I32), enum.AtomicOrderingMonotonic), types.I64)
	s.branch(s.at.NewICmp(enum.IPredSLT, some, lent), count, out) // seldom, so that its owner keeps the line
	s.at = count
	s.branch(s.at.NewICmp(enum.IPredSLT, s.count(counts, spokenFor), lent), run, out)
	s.at = run
	k := s.at.NewSub(s.at.NewSub(lent, i64(1)), s.count(counts, taken))
	all(func(p part, before value.Value) value.Value {
		tile := s.at.NewAdd(p.lent, s.at.NewSub(k, before))
		within := s.at.NewAnd(s.at.NewICmp(enum.IPredSGE, k, before), s.at.NewICmp(enum.IPredSLT, tile, p.b))
		s.when(within, func() { s.launch(p.launch, tile, s.at.NewAdd(tile, i64(1))) })
		return s.at.NewAdd(before, s.at.NewSub(p.b, p.lent))
	})
	s.at.NewBr(look)
	s.at = out
}

// launch calls a launch's kernel for tiles a..b-1.
func (s *step) launch(launch, a, b value.Value) {
	kernel := s.at.NewGetElementPtr(s.kernelType(), s.kernels, s.entry(s.t.launches, launch, launchKernel))
	args := s.element(s.t.args, s.entry(s.t.launches, launch, launchArgs))
	s.at.NewCall(s.at.NewLoad(s.kernelType(), kernel), s.ctx, args, a, b, s.bytes(s.head(s.worker), i64(headBytes)))
}

// wrapped adds the number of workers to a negative number.
func (s *step) wrapped(x value.Value) value.Value {
	negative := s.at.NewICmp(enum.IPredSLT, x, i64(0))
	return s.at.NewAdd(x, s.at.NewSelect(negative, s.workers, i64(0)))
}

func (s *step) kernelType() types.Type {
	return s.t.kernels.ContentType.(*types.ArrayType).ElemType.(*types.ArrayType).ElemType
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
