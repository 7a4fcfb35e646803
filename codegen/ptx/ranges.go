package ptx

import (
	"math"
	"math/bits"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// A GPU has 32-bit integers: 64-bit arithmetic costs two to four times as much, a division ten times. The kernel language counts in i64, so it
// is worth to know which values fit in 32 bits. This file finds out, from the bounds of what a step and a launch can be.

// interval is what a uniform i64 can be.
type interval struct{ lo, hi int64 }

var anything = interval{math.MinInt64, math.MaxInt64}

// fits says that all values of an interval are 32-bit integers.
func (r interval) fits() bool { return r.lo >= math.MinInt32 && r.hi <= math.MaxInt32 }

// within is the part of r that lies in s.
func (r interval) within(s interval) interval {
	r = interval{max(r.lo, s.lo), min(r.hi, s.hi)}
	if r.lo > r.hi { // cannot be, if the kernel keeps its promises
		return s
	}
	return r
}

func (r interval) join(s interval) interval { return interval{min(r.lo, s.lo), max(r.hi, s.hi)} }

// ranges knows the intervals of a kernel's values.
type ranges struct {
	p     *spmd.Program
	k     *spmd.Kernel
	known map[*spmd.Value]interval
	loops map[*spmd.Region]*spmd.Instr // the loop whose body a region is
	tiles int64                        // most of a launch
}

func newRanges(p *spmd.Program, kernel int) *ranges {
	k := p.Kernels[kernel]
	r := &ranges{p: p, k: k, known: map[*spmd.Value]interval{}, loops: map[*spmd.Region]*spmd.Instr{}}
	for _, ph := range p.Phases {
		for _, l := range ph.Launches {
			if l.Kernel == kernel {
				r.tiles = max(r.tiles, l.Grid.Panels*l.Grid.MostBlocks(p.MaxRows, p.MaxSeqs))
			}
		}
	}
	k.Body.Walk(func(in *spmd.Instr) {
		if in.Op == spmd.OpFor {
			r.loops[in.Regions[0]] = in
		}
	})
	return r
}

// of is the interval of a uniform i64.
func (r *ranges) of(v *spmd.Value) interval {
	x, ok := r.known[v]
	if !ok {
		x = r.find(v)
		r.known[v] = x
	}
	return x
}

func (r *ranges) find(v *spmd.Value) interval {
	if v.Def == nil {
		return r.counter(v)
	}
	in := v.Def
	arg := func(i int) interval { return r.of(in.Args[i]) }
	switch in.Op {
	case spmd.OpConst:
		return interval{in.Imm, in.Imm}
	case spmd.OpTile:
		return interval{0, max(0, r.tiles-1)}
	case spmd.OpRows:
		return interval{1, r.p.MaxRows}
	case spmd.OpSeqs:
		return interval{1, r.p.MaxSeqs}
	case spmd.OpOuts:
		return interval{0, r.p.MaxRows}
	case spmd.OpMember:
		return interval{0, int64(r.k.Members) - 1}
	case spmd.OpMembers:
		return interval{int64(r.k.Members), int64(r.k.Members)}
	case spmd.OpExtend:
		return r.extended(in.Args[0])
	case spmd.OpSelect:
		return arg(1).join(arg(2))
	case spmd.OpIf:
		for i, res := range in.Results {
			if res == v {
				return r.of(in.Regions[0].Yield[i]).join(r.of(in.Regions[1].Yield[i]))
			}
		}
	case spmd.OpAdd, spmd.OpSub, spmd.OpMul, spmd.OpDiv, spmd.OpRem, spmd.OpMin, spmd.OpMax, spmd.OpAnd, spmd.OpOr, spmd.OpXor:
		return arithmetic(in.Op, arg(0), arg(1))
	case spmd.OpShl, spmd.OpShr, spmd.OpShrl, spmd.OpNeg:
		return shifted(in, arg(0))
	}
	return anything
}

// extended is the interval of an i32; numbers of rows are what the caller of a step promises.
func (r *ranges) extended(v *spmd.Value) interval {
	all := interval{math.MinInt32, math.MaxInt32}
	if v.Def == nil || v.Def.Op != spmd.OpLoad {
		return all
	}
	switch h := findHome(r.k, v.Def.Args[0], r.loops); {
	case h.scratch:
		return all
	case h.space == spmd.SeqStart, h.space == spmd.OutRow:
		return interval{0, r.p.MaxRows}
	case h.space == spmd.SeqSlot, h.space == spmd.IDs:
		return interval{0, math.MaxInt32}
	}
	return all
}

// counter is the interval of a loop's variable, up to the value with which the loop ends; what a loop carries can be anything.
func (r *ranges) counter(v *spmd.Value) interval {
	in := r.loops[v.In]
	if in == nil || v.In.Params[0] != v {
		return anything
	}
	lo, hi := r.of(in.Args[0]), r.of(in.Args[1])
	last, ok := plus(max(lo.lo, hi.hi), in.Imm)
	if !ok {
		return anything
	}
	return interval{lo.lo, max(lo.hi, last)}
}

func plus(x, y int64) (int64, bool) {
	s := x + y
	return s, (s > x) == (y > 0)
}

func times(x, y int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(max(x, -x)), uint64(max(y, -y)))
	return x * y, hi == 0 && lo < 1<<63 && x != math.MinInt64 && y != math.MinInt64
}

// arithmetic is the interval of x op y.
func arithmetic(op spmd.Op, x, y interval) interval {
	corners := func(f func(x, y int64) (int64, bool)) interval {
		out := interval{math.MaxInt64, math.MinInt64}
		for _, a := range [...]int64{x.lo, x.hi} {
			for _, b := range [...]int64{y.lo, y.hi} {
				v, ok := f(a, b)
				if !ok {
					return anything
				}
				out = out.join(interval{v, v})
			}
		}
		return out
	}
	switch op {
	case spmd.OpAdd:
		return corners(plus)
	case spmd.OpSub:
		return corners(func(x, y int64) (int64, bool) {
			s, ok := plus(x, -y)
			return s, ok && y != math.MinInt64
		})
	case spmd.OpMul:
		return corners(times)
	case spmd.OpMin:
		return interval{min(x.lo, y.lo), min(x.hi, y.hi)}
	case spmd.OpMax:
		return interval{max(x.lo, y.lo), max(x.hi, y.hi)}
	case spmd.OpDiv: // of what is not negative, by what is positive
		x, y = x.within(interval{0, math.MaxInt64}), y.within(interval{1, math.MaxInt64})
		return interval{x.lo / y.hi, x.hi / y.lo}
	case spmd.OpRem:
		return interval{0, min(max(0, x.hi), max(0, y.hi-1))}
	case spmd.OpAnd:
		if y.lo >= 0 {
			return interval{0, y.hi}
		}
		if x.lo >= 0 {
			return interval{0, x.hi}
		}
	}
	if x.fits() && y.fits() { // and, or, xor of sign extensions
		return interval{math.MinInt32, math.MaxInt32}
	}
	return anything
}

// shifted is the interval of a shift by a constant, or of a negation.
func shifted(in *spmd.Instr, x interval) interval {
	n := uint(in.Imm)
	switch {
	case in.Op == spmd.OpNeg && x.lo > math.MinInt64:
		return interval{-x.hi, -x.lo}
	case in.Op == spmd.OpShr, in.Op == spmd.OpShrl && x.lo >= 0:
		return interval{x.lo >> n, x.hi >> n}
	case in.Op == spmd.OpShl && x.lo<<n>>n == x.lo && x.hi<<n>>n == x.hi:
		return interval{x.lo << n, x.hi << n}
	}
	return anything
}
