// Package sampletest makes programs that choose tokens from given logits, with what internal/sample chooses from them. The interpreter and every backend run them.
package sampletest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
	"github.com/ssmc/ssmc/internal/sample"
)

// Row is logits and how a token is chosen from them.
type Row struct {
	Logits []float32
	sample.Params
}

// Want is what the definition chooses.
func Want(rows []Row) []int32 {
	var c sample.Chooser
	ids := make([]int32, len(rows))
	for i, r := range rows {
		ids[i] = c.Choose(r.Logits, r.Params)
	}
	return ids
}

// Bed makes a program of two phases: one puts the logits where a model would, the other chooses. Behind the last column of a row lies what must not matter.
func Bed(t testing.TB, target spmd.Target, rows []Row) *spmdtest.Bed {
	t.Helper()
	d := spmdtest.New(t, target)
	n := int64(len(rows[0].Logits))
	stride := (n + 31) / 32 * 32
	p := d.Program
	p.Vocab, p.LogitsStride, p.MaxRows = n, stride, int64(len(rows))
	d.Input = spmd.StepInput{SeqStart: []int32{0, int32(len(rows))}, SeqSlot: []int32{1}}
	for i, r := range rows {
		d.Input.IDs = append(d.Input.IDs, 0)
		d.Input.OutRow = append(d.Input.OutRow, int32(i))
		words := r.Words()
		d.Input.Sampling = append(d.Input.Sampling, words[:]...)
		for at := range stride {
			x := float32(math.NaN())
			if at < n {
				x = r.Logits[at]
			} else if at%2 == 0 {
				x = math.MaxFloat32
			}
			d.Weights = binary.LittleEndian.AppendUint32(d.Weights, math.Float32bits(x))
		}
	}
	byRow := spmd.Grid{Panels: 1, By: spmd.ByOutBlocks, Block: 1}
	d.Kernel("give", byRow, func(k *spmdtest.Body) {
		from, to := k.Arg(spmd.F32, spmd.Weights, 0), k.Arg(spmd.F32, spmd.Logits, 0)
		at := k.Mul(k.Tile(), k.I(stride))
		k.For(at, k.Add(at, k.I(stride)), 32, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			for off := int64(0); off < 32; off += int64(target.Lanes) {
				k.StoreV(to, i, off, k.LoadV(from, i, off))
			}
			return nil
		})
	})
	s, err := kernel.Sampler(target, n, stride)
	if err != nil {
		t.Fatal(err)
	}
	p.Kernels = append(p.Kernels, s)
	p.TeamBytes = max(p.TeamBytes, s.Team)
	p.Phases = append(p.Phases, spmd.Phase{Name: "sample", Needs: spmd.Needs{MinChosen: 1},
		Launches: []spmd.Launch{{Kernel: len(p.Kernels) - 1, Args: make([]int64, len(s.Params)), Grid: byRow}}})
	return d.Done()
}

// Sizes are vocabularies around the widths of vectors and blocks, primes, and one as published models have it.
var Sizes = []int{1, 2, 15, 16, 17, 31, 32, 33, 101, 509, 512, 513, 1031}

// Large is the vocabulary of the published Mamba models.
const Large = 50280

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// Rows draws rows of n logits of every kind, with parameters of every kind: count of them.
func Rows(n, count int, seed uint64) []Row {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	pick := func(xs ...float32) float32 { return xs[rng.IntN(len(xs))] }
	rows := make([]Row, count)
	for i := range rows {
		r := &rows[i]
		r.Logits = kinds[i%len(kinds)](rng, n)
		r.Temperature = pick(0, 1, 1, 1, 0.7, 1.5, 30, 0.01)
		r.TopK = int32(pick(0, 0, 1, 2, 3, 40, float32(n/2), float32(n-1), float32(n), float32(n+5)))
		r.TopP = pick(0, 0, 1, 0.5, 0.9, 0.95, 0.1, 0.999999, 0.9999)
		r.U = pick(0, 0.5, 1-1.0/(1<<24), rng.Float32(), rng.Float32(), rng.Float32())
		if rng.IntN(6) == 0 { // what nobody should give
			r.Temperature = pick(-1, nan, inf, 1e-45, 1e-39, 1e-30, 1e38)
			r.TopK = int32(pick(-3, 0, 7, math.MaxInt32/2))
			r.TopP = pick(nan, -1, 2, 1e-45, 1e-30, inf, 0.5)
			r.U = pick(nan, -1, 1, 7, 0.5)
		}
	}
	return rows
}

// kinds are the kinds of rows.
var kinds = []func(rng *rand.Rand, n int) []float32{
	normal(2),
	normal(0.1), // hardly any difference
	normal(12),  // a few tokens have nearly all
	func(rng *rand.Rand, n int) []float32 {
		return fill(n, func(int) float32 { return float32(rng.IntN(5)) })
	}, // ties
	func(rng *rand.Rand, n int) []float32 { return fill(n, func(int) float32 { return -3.25 }) },
	func(rng *rand.Rand, n int) []float32 { // most tokens are forbidden
		x := fill(n, func(int) float32 { return -inf })
		for range 1 + n/8 {
			x[rng.IntN(n)] = float32(rng.NormFloat64())
		}
		return x
	},
	func(rng *rand.Rand, n int) []float32 { // all numbers that there are
		return fill(n, func(int) float32 {
			x := math.Float32frombits(rng.Uint32())
			if x != x || x > math.MaxFloat32 {
				x = 0
			}
			return x
		})
	},
	func(rng *rand.Rand, n int) []float32 { // both zeros, and nearly
		return fill(n, func(int) float32 { return math.Float32frombits(rng.Uint32() & 0x80000003) })
	},
	one(nan), one(math.Float32frombits(0xffc00001)), one(inf), one(-inf), one(math.MaxFloat32), one(90),
	func(rng *rand.Rand, n int) []float32 { return fill(n, func(int) float32 { return -inf }) },
	func(rng *rand.Rand, n int) []float32 { // weights that only just are not 0
		return fill(n, func(i int) float32 { return -float32(rng.IntN(12)) * 8 })
	},
}

func fill(n int, x func(i int) float32) []float32 {
	xs := make([]float32, n)
	for i := range xs {
		xs[i] = x(i)
	}
	return xs
}

func normal(deviation float64) func(rng *rand.Rand, n int) []float32 {
	return func(rng *rand.Rand, n int) []float32 {
		return fill(n, func(int) float32 { return float32(rng.NormFloat64() * deviation) })
	}
}

// one is a row with one special logit.
func one(x float32) func(rng *rand.Rand, n int) []float32 {
	return func(rng *rand.Rand, n int) []float32 {
		xs := normal(3)(rng, n)
		xs[rng.IntN(n)] = x
		return xs
	}
}
