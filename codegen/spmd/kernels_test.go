package spmd

import (
	"encoding/binary"
	"math"
	"testing"
)

// Hand-written kernels that the tests print, parse and run.

func finish(t testing.TB, b *Builder) *Kernel {
	t.Helper()
	k, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// saxpy is y = 2.5*x + y over one row of n floats, n being the number of rows of the step, with a masked tail.
func saxpy(t testing.TB, tg Target) *Kernel {
	b := NewBuilder("saxpy", tg)
	w := int64(tg.Lanes)
	x, y, n := b.Param("x", F32, Weights), b.Param("y", F32, Work), b.Rows()
	a := b.Splat(b.F(2.5))
	whole := b.Mul(b.Div(n, b.I(w)), b.I(w))
	b.For(b.I(0), whole, w, nil, func(i *Value, _ []*Value) []*Value {
		b.StoreV(y, i, 0, b.FMA(a, b.LoadV(x, i, 0), b.LoadV(y, i, 0)))
		return nil
	})
	rest := b.Sub(n, whole)
	b.If(b.Cmp(GT, rest, b.I(0)), func() []*Value {
		b.StoreVN(y, whole, 0, rest, b.FMA(a, b.LoadVN(x, whole, 0, rest), b.LoadVN(y, whole, 0, rest)))
		return nil
	}, nil)
	return finish(t, b)
}

// rowSum is out[row] = the sum of 32 bf16 of each row; a tile is a row.
func rowSum(t testing.TB, tg Target) *Kernel {
	b := NewBuilder("rowsum", tg)
	x, out := b.Param("x", BF16, Weights), b.Param("out", F32, Work)
	row := b.Mul(b.Tile(), b.I(32))
	var zero []*Value
	for range max(1, 16/tg.Lanes) {
		zero = append(zero, b.Splat(b.F(0)))
	}
	sums := b.For(b.I(0), b.I(32), 16, zero, func(i *Value, c []*Value) []*Value {
		next := make([]*Value, len(c))
		for j := range c {
			at := b.Add(row, i)
			next[j] = b.Add(c[j], b.LoadVN(x, at, int64(j*tg.Lanes), b.I(int64(min(16, tg.Lanes)))))
		}
		return next
	})
	b.Store(out, b.Tile(), 0, b.ReduceAdd(sums...))
	return finish(t, b)
}

// matmul is out[m, n] = sum_k x[m, k] * w[k, n] with n = 32 columns, in tiles of one row and two blocks of columns.
func matmul(t testing.TB, tg Target, k int64) *Kernel {
	b := NewBuilder("matmul", tg)
	w := int64(tg.Lanes)
	x, wt, out := b.Param("x", F32, Work), b.Param("w", F16, Weights), b.Param("out", F32, Work)
	m := b.Tile()
	for n := int64(0); n < 32; n += w {
		acc := b.For(b.I(0), b.I(k), 1, []*Value{b.Splat(b.F(0))}, func(i *Value, c []*Value) []*Value {
			xv := b.Load(x, b.Add(b.Mul(m, b.I(k)), i), 0)
			return []*Value{b.FMA(b.Splat(xv), b.LoadV(wt, b.Mul(i, b.I(32)), n), c[0])}
		})
		b.StoreV(out, b.Mul(m, b.I(32)), n, acc[0])
	}
	return finish(t, b)
}

// team4: four members put their number into scratch, meet, and the first adds what all have written; twice, so that the barrier is in a loop.
func team4(t testing.TB, tg Target) *Kernel {
	b := NewBuilder("team", tg)
	b.Share()
	out := b.Param("out", F32, Work)
	s := b.Scratch(F32, 4*int64(tg.Lanes))
	me, w := b.Member(), b.I(int64(tg.Lanes))
	acc := b.For(b.I(0), b.I(2), 1, []*Value{b.Splat(b.F(0))}, func(i *Value, c []*Value) []*Value {
		x := b.ToF32(b.Truncate(b.Add(b.Mul(me, b.I(10)), i)))
		b.StoreV(s, b.Mul(me, w), 0, b.Splat(x))
		b.Barrier()
		sum := c[0]
		for j := int64(0); j < 4; j++ {
			sum = b.Add(sum, b.LoadV(s, nil, j*int64(tg.Lanes)))
		}
		b.Barrier()
		return []*Value{sum}
	})
	b.If(b.Cmp(EQ, me, b.I(3)), func() []*Value {
		b.StoreV(out, b.Mul(b.Tile(), w), 0, acc[0])
		return nil
	}, func() []*Value { return nil })
	return finish(t, b)
}

func target(lanes int) Target {
	return Target{Name: "test", Lanes: lanes, Registers: 16, L1: 32768, L2: 1 << 20, Members: 1}
}

// program is a program of one phase with one launch.
func program(k *Kernel, tg Target, g Grid, args ...int64) *Program {
	return &Program{
		Name: "test", Target: tg, Kernels: []*Kernel{k},
		Phases:      []Phase{{Name: "only", Launches: []Launch{{Args: args, Grid: g}}}},
		WeightBytes: 1 << 14, WorkBytes: 1 << 14, TeamBytes: 4096, SlotBytes: 64, LogitsStride: 16, Vocab: 10, MaxRows: 1 << 10, MaxSeqs: 4,
	}
}

// testPrograms are programs of all hand-written kernels.
func testPrograms(t testing.TB, lanes int) []*Program {
	tg := target(lanes)
	team := tg
	team.Members = 4
	return append([]*Program{
		program(saxpy(t, tg), tg, Grid{Panels: 1}, 0, 64),
		program(rowSum(t, tg), tg, Grid{Panels: 1, By: ByRowBlocks, Block: 1}, 0, 0),
		program(matmul(t, tg, 7), tg, Grid{Panels: 1, By: ByRowBlocks, Block: 1}, 0, 0, 8192),
		program(team4(t, team), team, Grid{Panels: 3}, 128),
	}, dotPrograms(t, lanes)...)
}

func putFloats(b []byte, xs []float32) {
	for i, x := range xs {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
}

func floats(b []byte, n int) []float32 {
	xs := make([]float32, n)
	for i := range xs {
		xs[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return xs
}

// oneSequence is the input of a step of one sequence of n rows.
func oneSequence(n int) StepInput {
	return StepInput{IDs: make([]int32, n), SeqStart: []int32{0, int32(n)}, SeqSlot: []int32{0}}
}

func machine(t testing.TB, p *Program, weights []byte) *Machine {
	t.Helper()
	w := make([]byte, p.WeightBytes)
	copy(w, weights)
	m, err := NewMachine(p, w, 2)
	if err != nil {
		t.Fatal(err)
	}
	m.Races = true
	return m
}
