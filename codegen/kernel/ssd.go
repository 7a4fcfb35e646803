package kernel

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// ChunkRows is the length of a chunk of the chunked scan (SSD). A sequence that brings at least so many rows in a step runs in chunks, counted
// from its first row of the step; its last bits then differ from those of the stepwise form, so callers that cut a prompt cut it at multiples.
//
// Within a chunk, with s_t = sum_{i<=t} dt_i A (Mamba-2, section 6; all exponents are <= 0 and are formed as differences):
//
//	y_t   = exp(s_t) C_t . S_in + sum_{j<=t} exp(s_t - s_j) dt_j (C_t . B_j) u_j
//	S_out = exp(s_last) S_in + sum_j exp(s_last - s_j) dt_j u_j B_j'
//
// A token and head then cost ChunkRows/2 * P + 2 * N * P multiplications in register blocks, where the stepwise form costs 3 * N * P with a
// load and a store of the state each. 32 is where both parts are small for N = 64..128.
const ChunkRows = 32

// scores are C_t . B_j within the chunks of a sequence, [T, groups * ChunkRows]: they are the same for all heads of a group.
type scores struct {
	task  *task
	value *ir.Value
}

func (p *planner) newScores(g *ir.Group, r *recurrence) scores {
	v := &ir.Value{Name: r.parts.Y.Name + ".scores", Type: ir.TypeOf(ir.F32, ir.Rows, ir.Dim(r.groups*ChunkRows)), From: "chunked scan"}
	t := newTask(g, "chunk scores C B' of "+g.Note)
	fmt.Fprintf(&t.shape, "scores %d x %d", r.groups, r.states)
	b, c := t.rowsOf(r.parts.B, r.parts.BScale), t.rowsOf(r.parts.C, r.parts.CScale)
	t.input(useSeqStart)
	t.input(useSeqSlot)
	out := t.write(v)
	t.needs.MinRows = ChunkRows
	t.flops = 2 * r.groups * ChunkRows * r.states
	t.grid = spmd.Grid{Panels: r.groups, By: spmd.BySeqs}
	states := r.states
	t.build = func(k *code) { buildScores(k, b, c, out, states) }
	return scores{t, v}
}

// buildScores emits one group of one sequence: B of a chunk is turned, so that lanes run over its rows.
func buildScores(k *code, b, c rows, out *external, states int64) {
	w := int64(k.Target.Lanes)
	lo, hi, _ := k.sequence(k.block)
	turned := k.Scratch(spmd.F32, states*ChunkRows)
	first := k.Mul(k.panel, k.I(states))
	k.If(k.Cmp(spmd.GE, k.Sub(hi, lo), k.I(ChunkRows)), func() []*spmd.Value {
		k.For(lo, hi, ChunkRows, nil, func(from *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			to := k.Min(k.Add(from, k.I(ChunkRows)), hi)
			k.For(k.I(0), k.I(states*ChunkRows), w, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
				k.StoreV(turned, i, 0, k.F(0))
				return nil
			})
			k.For(from, to, 1, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
				src, at := b.at(k, row), k.Sub(row, from)
				k.For(k.I(0), k.I(states), 1, nil, func(n *spmd.Value, _ []*spmd.Value) []*spmd.Value {
					k.Store(turned, k.Add(k.Mul(n, k.I(ChunkRows)), at), 0, b.one(k, src, k.Add(first, n), 0))
					return nil
				})
				return nil
			})
			rowLoop(k.Builder, from, to, rowSizes(k.Target), func(row *spmd.Value, rows int) {
				columnPasses(accumulators(k.Target), rows, vecs(k.Builder, ChunkRows), func(v, n int) {
					acc := zeros(k, rows, n)
					at := each(make([]*spmd.Value, rows), func(i int) *spmd.Value { return c.at(k, k.Add(row, k.I(int64(i)))) })
					outer(k.Builder, acc, k.I(0), k.I(states), 2, k.FMA,
						func(i int, s *spmd.Value, u int64) *spmd.Value { return c.one(k, at[i], k.Add(first, s), u) },
						func(j int, s *spmd.Value, u int64) *spmd.Value {
							return k.LoadV(turned, k.Mul(s, k.I(ChunkRows)), u*ChunkRows+int64(v+j)*w)
						})
					for i := range acc {
						at := k.Add(k.Mul(k.Add(row, k.I(int64(i))), k.I(stride(out.value))), k.Mul(k.panel, k.I(ChunkRows)))
						for j := range acc[i] {
							k.StoreV(out.ptr, at, int64(v+j)*w, acc[i][j])
						}
					}
				})
			})
			return nil
		})
		return nil
	}, nil)
}

// chunk is the scratch memory of one chunk.
type chunk struct {
	from, to, n   *spmd.Value // rows, and how many
	sum, dt       *spmd.Value // s_j and dt_j
	decay, weight *spmd.Value // exp(s_j) and exp(s_last - s_j) dt_j
	mix           *spmd.Value // [ChunkRows, ChunkRows]: what u_j contributes to y_t
	scaled        *spmd.Value // [ChunkRows, pad]: u_j times weight_j
}

// chunks is the recurrence in chunks of rows.
func (r *recurrence) chunks(k *code, lo, hi, past, decay, group *spmd.Value) {
	c := &chunk{
		sum: k.Scratch(spmd.F32, ChunkRows), dt: k.Scratch(spmd.F32, ChunkRows),
		decay: k.Scratch(spmd.F32, ChunkRows), weight: k.Scratch(spmd.F32, ChunkRows),
		mix: k.Scratch(spmd.F32, ChunkRows*ChunkRows), scaled: k.Scratch(spmd.F32, ChunkRows*r.pad),
	}
	k.For(lo, hi, ChunkRows, nil, func(from *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		c.from, c.to = from, k.Min(k.Add(from, k.I(ChunkRows)), hi)
		c.n = k.Sub(c.to, from)
		r.chunkDecays(k, c, decay)
		r.chunkMix(k, c, group)
		r.chunkOutputs(k, c, past, group)
		r.chunkState(k, c, past, group)
		return nil
	})
}

// chunkDecays sums the exponents in order and makes what depends on one row only. Lanes behind the chunk's last row hold anything.
func (r *recurrence) chunkDecays(k *code, c *chunk, decay *spmd.Value) {
	last := k.For(k.I(0), c.n, 1, []*spmd.Value{k.F(0)}, func(j *spmd.Value, s []*spmd.Value) []*spmd.Value {
		dt := r.headStep(k, k.Add(c.from, j))
		sum := k.FMA(dt, decay, s[0])
		k.Store(c.dt, j, 0, dt)
		k.Store(c.sum, j, 0, sum)
		return []*spmd.Value{sum}
	})[0]
	for off := int64(0); off < ChunkRows; off += int64(k.Target.Lanes) {
		sum := k.LoadV(c.sum, nil, off)
		k.StoreV(c.decay, nil, off, exp(k.Builder, sum))
		k.StoreV(c.weight, nil, off, k.Mul(exp(k.Builder, k.Sub(last, sum)), k.LoadV(c.dt, nil, off)))
	}
}

// chunkMix makes exp(s_t - s_j) dt_j (C_t . B_j) for j <= t, and 0 above.
func (r *recurrence) chunkMix(k *code, c *chunk, group *spmd.Value) {
	k.For(k.I(0), c.n, 1, nil, func(t *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		sum := k.Load(c.sum, t, 0)
		scores := k.Add(k.Mul(k.Add(c.from, t), k.I(stride(r.scores.value))), k.Mul(group, k.I(ChunkRows)))
		row := k.Mul(t, k.I(ChunkRows))
		for off := int64(0); off < ChunkRows; off += int64(k.Target.Lanes) {
			x := k.Mul(exp(k.Builder, k.Sub(sum, k.LoadV(c.sum, nil, off))), k.LoadV(c.dt, nil, off))
			x = k.Mul(x, k.LoadV(r.scores.ptr, scores, off))
			seen := k.Cmp(spmd.LE, k.Add(k.Lane(), k.I32(int32(off))), k.Truncate(t))
			k.StoreV(c.mix, row, off, k.Select(seen, x, k.F(0)))
		}
		return nil
	})
}

// chunkOutputs makes y of the chunk's rows: what the state gives, decayed, and what the chunk's own rows give.
func (r *recurrence) chunkOutputs(k *code, c *chunk, past, group *spmd.Value) {
	w, states := int64(k.Target.Lanes), k.Mul(group, k.I(r.states))
	rowLoop(k.Builder, k.I(0), c.n, rowSizes(k.Target), func(t *spmd.Value, rows int) {
		at := make([]*spmd.Value, rows)
		mix := make([]*spmd.Value, rows)
		for i := range at {
			at[i] = r.c.at(k, k.Add(k.Add(c.from, t), k.I(int64(i))))
			mix[i] = k.Offset(c.mix, k.Mul(k.Add(t, k.I(int64(i))), k.I(ChunkRows)))
		}
		columnPasses(accumulators(k.Target), rows, vecs(k.Builder, r.wide(k)), func(first, n int) {
			acc := zeros(k, rows, n)
			outer(k.Builder, acc, k.I(0), k.I(r.states), 2, k.FMA,
				func(i int, s *spmd.Value, u int64) *spmd.Value { return r.c.one(k, at[i], k.Add(states, s), u) },
				func(j int, s *spmd.Value, u int64) *spmd.Value {
					return k.LoadV(past, k.Mul(s, k.I(r.pad)), u*r.pad+int64(first+j)*w)
				})
			for i := range acc {
				d := k.Load(c.decay, t, int64(i))
				for j := range acc[i] {
					acc[i][j] = k.Mul(acc[i][j], d)
				}
			}
			outer(k.Builder, acc, k.I(0), k.Add(t, k.I(int64(rows))), 1, k.FMA,
				func(i int, j *spmd.Value, u int64) *spmd.Value { return k.Load(mix[i], j, u) },
				func(v int, j *spmd.Value, u int64) *spmd.Value {
					return r.headRow(k, k.Add(k.Add(c.from, j), k.I(u)), k.I(0), int64(first+v)*w)
				})
			for i := range acc {
				for j := range acc[i] {
					r.finishHead(k, acc[i][j], k.Add(k.Add(c.from, t), k.I(int64(i))), k.I(0), int64(first+j)*w)
				}
			}
		})
	})
}

// chunkState moves the state over the chunk.
func (r *recurrence) chunkState(k *code, c *chunk, past, group *spmd.Value) {
	w, pad := int64(k.Target.Lanes), r.pad
	k.For(k.I(0), c.n, 1, nil, func(j *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		x := k.Load(c.weight, j, 0)
		for off := int64(0); off < r.wide(k); off += w {
			k.StoreV(c.scaled, k.Mul(j, k.I(pad)), off, k.Mul(x, r.headRow(k, k.Add(c.from, j), k.I(0), off)))
		}
		return nil
	})
	last := k.Load(c.decay, k.Sub(c.n, k.I(1)), 0)
	b, states := r.b.at(k, c.from), k.Mul(group, k.I(r.states))
	rowLoop(k.Builder, k.I(0), k.I(r.states), rowSizes(k.Target), func(n *spmd.Value, rows int) {
		columnPasses(accumulators(k.Target), rows, vecs(k.Builder, r.wide(k)), func(first, cols int) {
			at := k.Mul(n, k.I(pad))
			acc := zeros(k, rows, cols)
			for i := range acc {
				for j := range acc[i] {
					acc[i][j] = k.Mul(last, k.LoadV(past, at, int64(i)*pad+int64(first+j)*w))
				}
			}
			outer(k.Builder, acc, k.I(0), c.n, 1, k.FMA,
				func(i int, j *spmd.Value, u int64) *spmd.Value {
					at := k.Offset(b, k.Mul(j, k.I(stride(r.b.e.value))))
					return r.b.real(k, k.Load(at, k.Add(states, n), u*stride(r.b.e.value)+int64(i)), k.Add(states, n), int64(i))
				},
				func(v int, j *spmd.Value, u int64) *spmd.Value {
					return k.LoadV(c.scaled, k.Mul(j, k.I(pad)), u*pad+int64(first+v)*w)
				})
			for i := range acc {
				for j := range acc[i] {
					k.StoreV(past, at, int64(i)*pad+int64(first+j)*w, acc[i][j])
				}
			}
		})
	})
}

// zeros is a register block of zeros.
func zeros(k *code, rows, cols int) [][]*spmd.Value {
	acc := make([][]*spmd.Value, rows)
	for i := range acc {
		acc[i] = make([]*spmd.Value, cols)
		for j := range acc[i] {
			acc[i][j] = k.Splat(k.F(0))
		}
	}
	return acc
}
