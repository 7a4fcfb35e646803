package spmdtest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Random makes kernels that nobody would write, one for each seed: random instructions on random values, in random loops and branches.
func Random(t testing.TB, target spmd.Target, from, to uint64) *Bed {
	d := New(t, target)
	for seed := from; seed < to; seed++ {
		d.Kernel(fmt.Sprint("random", seed), spmd.Grid{Panels: 3}, func(k *Body) {
			s := &soup{Body: k, rng: rand.New(rand.NewPCG(seed, 1)), x: k.Input(spmd.F32, Edges(spmd.F32)), n: k.Input(spmd.I32, append(Edges(spmd.I32), make([]uint64, Lanes)...))}
			f, i := k.Output(spmd.F32, 3*soupRoom), k.Output(spmd.I32, 3*soupRoom)
			s.vals = []*val{k.Rows(), k.Tile(), k.Lane(), k.F(1.25), k.I32(3), k.LoadV(s.x, nil, 7), k.Load(s.n, k.Tile(), 5)}
			s.some(30, 2)
			s.store(f, i)
		})
	}
	return d.Done()
}

const soupRoom = 16 * 64

// soup is a kernel in the making out of random instructions; vals are the values that it may use.
type soup struct {
	*Body
	rng  *rand.Rand
	x, n *val
	vals []*val
}

// pick gives a value of a type; a recent one more likely.
func (s *soup) pick(t spmd.Type) *val {
	var fit []*val
	for _, v := range s.vals {
		if v.Type == t {
			fit = append(fit, v)
		}
	}
	if len(fit) == 0 {
		return s.fresh(t)
	}
	i := max(s.rng.IntN(len(fit)), s.rng.IntN(len(fit)))
	return fit[i]
}

// fresh makes a value of a type out of nothing.
func (s *soup) fresh(t spmd.Type) *val {
	var v *val
	switch t.Elem {
	case spmd.F32:
		v = s.F([]float32{0, -1, 0.1, 3e9, 1e-40, 7}[s.rng.IntN(6)])
	case spmd.I32:
		v = s.I32(int32(s.rng.Uint32()))
	case spmd.I64:
		v = s.I(int64(s.rng.Uint64()))
	case spmd.Bool:
		v = s.Cmp(spmd.Pred(s.rng.IntN(6)), s.Rows(), s.I(s.rng.Int64N(8)))
	}
	if t.Kind == spmd.Varying {
		v = s.Splat(v)
	}
	return v
}

func (s *soup) keep(v *val) { s.vals = append(s.vals, v) }

var soupTypes = []spmd.Type{
	{Elem: spmd.F32}, {Elem: spmd.F32, Kind: spmd.Varying}, {Elem: spmd.I32}, {Elem: spmd.I32, Kind: spmd.Varying},
	{Elem: spmd.I64}, {Elem: spmd.Bool}, {Elem: spmd.Bool, Kind: spmd.Varying},
}

// some adds n instructions; depth is how many loops and branches may be inside of each other.
func (s *soup) some(n, depth int) {
	for range n {
		switch s.rng.IntN(12) {
		case 0:
			if depth > 0 {
				s.loop(depth - 1)
			}
		case 1:
			if depth > 0 {
				s.branch(depth - 1)
			}
		case 2:
			s.memory()
		default:
			s.arithmetic()
		}
	}
}

func (s *soup) arithmetic() {
	t := soupTypes[s.rng.IntN(len(soupTypes))]
	x, y := s.pick(t), s.pick(t)
	b := s.Builder
	integer := []func(x, y *val) *val{b.Add, b.Sub, b.Mul, b.Min, b.Max, b.And, b.Or, b.Xor}
	float := []func(x, y *val) *val{b.Add, b.Sub, b.Mul, b.Min, b.Max, b.Div}
	switch op := s.rng.IntN(10); {
	case op < 4 && t.Elem == spmd.F32:
		s.keep(float[s.rng.IntN(len(float))](x, y))
	case op < 4 && t.Elem == spmd.Bool:
		s.keep(integer[5+s.rng.IntN(3)](x, y))
	case op < 4:
		s.keep(integer[s.rng.IntN(len(integer))](x, y))
	case op == 4 && t.Elem != spmd.Bool:
		s.keep(b.Cmp(spmd.Pred(s.rng.IntN(6)), x, y))
	case op == 5:
		c := s.pick(spmd.Type{Elem: spmd.Bool, Kind: []spmd.Kind{spmd.Uniform, t.Kind}[s.rng.IntN(2)]})
		s.keep(b.Select(c, x, y))
	case op == 6 && t.Elem == spmd.F32:
		s.keep(b.FMA(x, y, s.pick(t)))
	case op == 7 && t.Elem != spmd.Bool:
		s.keep(b.Neg(x))
	default:
		s.convert(t, x, y)
	}
}

func (s *soup) convert(t spmd.Type, x, y *val) {
	b := s.Builder
	switch {
	case t.Elem == spmd.F32 && s.rng.IntN(2) == 0:
		s.keep(b.Round(b.Max(b.Min(x, b.F(1e6)), b.F(-1e6))))
	case t.Elem == spmd.F32:
		number := b.Max(b.Min(x, b.F(1e30)), b.F(-1e30)) // the bits of a NaN mean nothing, and would be seen
		s.keep([]*val{b.Abs(x), b.Sqrt(x), b.Bitcast(number)}[s.rng.IntN(3)])
	case t.Elem == spmd.I32 && s.rng.IntN(2) == 0:
		s.keep([]func(*val) *val{b.ToF32, b.Bitcast}[s.rng.IntN(2)](x))
	case t.Elem == spmd.I32 && s.rng.IntN(2) == 0: // any byte is right in these
		s.keep([]*val{b.Dot4U(s.pick(t), x, y, 255), b.Dot2(s.pick(t), x, y), b.Byte16(x, s.rng.Int64N(2)), b.Shrl(x, s.rng.Int64N(32))}[s.rng.IntN(4)])
	case t.Elem == spmd.I32 && t.Kind == spmd.Uniform:
		s.keep(b.Extend(x))
	case t.Elem == spmd.I32:
		s.keep(b.Shl(b.Shr(x, s.rng.Int64N(32)), s.rng.Int64N(32)))
	case t.Elem == spmd.I64 && s.rng.IntN(2) == 0:
		s.keep(b.Truncate(x))
	case t.Elem == spmd.I64:
		top := b.I(1<<40 - 1)
		s.keep([]func(x, y *val) *val{b.Div, b.Rem}[s.rng.IntN(2)](b.And(x, top), b.Add(b.And(y, top), b.I(1))))
	}
}

func (s *soup) memory() {
	b := s.Builder
	i := b.And(s.pick(spmd.Type{Elem: spmd.I64}), b.I(7))
	switch s.rng.IntN(6) {
	case 0:
		s.keep(b.Load(s.x, i, 3))
	case 1:
		s.keep(b.LoadV(s.x, i, 2))
	case 2:
		s.keep(b.LoadVN(s.n, i, 1, s.pick(spmd.Type{Elem: spmd.I64})))
	case 3:
		s.keep(b.Gather(s.x, b.And(s.pick(spmd.Type{Elem: spmd.I32, Kind: spmd.Varying}), b.I32(15)), 4))
	default:
		var vs []*val
		for range max(1, 16/s.Bed.Target.Lanes) {
			vs = append(vs, b.Splat(s.pick(spmd.Type{Elem: spmd.F32})))
		}
		s.keep([]func(...*val) *val{b.ReduceAdd, b.ReduceMax}[s.rng.IntN(2)](vs...))
	}
}

// carried are values to carry or to yield, one of each type.
func (s *soup) carried() (vs []*val) {
	for _, t := range soupTypes {
		vs = append(vs, s.pick(t))
	}
	return vs
}

func (s *soup) loop(depth int) {
	hi := s.And(s.pick(spmd.Type{Elem: spmd.I64}), s.I(3))
	outer := s.vals
	got := s.For(s.I(s.rng.Int64N(2)), hi, 1, s.carried(), func(i *val, c []*val) []*val {
		s.vals = append(append(append([]*val{}, outer...), c...), i)
		s.some(8, depth)
		return s.carried()
	})
	s.vals = append(outer, got...)
}

func (s *soup) branch(depth int) {
	outer := s.vals
	arm := func() []*val {
		s.vals = append([]*val{}, outer...)
		s.some(6, depth)
		return s.carried()
	}
	got := s.If(s.pick(spmd.Type{Elem: spmd.Bool}), arm, arm)
	s.vals = append(outer, got...)
}

// store writes one value of each type, and some more, where they can be compared.
func (s *soup) store(f, n *val) {
	at := s.Mul(s.Tile(), s.I(soupRoom))
	for j, v := range append(s.carried(), s.vals[max(0, len(s.vals)-50):]...) {
		to, off := f, int64(16*j)
		switch v.Type.Elem {
		case spmd.Bool:
			to, v = n, s.Select(v, s.I32(1), s.I32(0))
		case spmd.I64:
			to, v = n, s.Xor(s.Truncate(v), s.Truncate(s.Shr(v, 32)))
		case spmd.I32:
			to = n
		}
		if v.Type.Kind == spmd.Varying {
			s.StoreVN(to, at, off, s.I(8), v) // what all levels have
		} else {
			s.Store(to, at, off, v)
		}
	}
}
