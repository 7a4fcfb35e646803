package kernel

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
)

// scanBlock is how many rows of step sizes are made ahead of the recurrence: they stay in the first-level cache.
const scanBlock = 64

// recurrence is a scan group: h[t] = exp(dt[t] A) h[t-1] + dt[t] u[t] B[t], y[t] = C[t] . h[t], with the step size in front and skip and gate
// behind (Mamba eq. 2; with one decay a head, SSD, Mamba-2 section 6).
type recurrence struct {
	parts passes.ScanParts

	channels, states, heads, groups int64 // heads: 0 if every channel and state has its own decay
	head                            int64 // channels of a head
	pad                             int64 // lanes of a head's state row
	panel                           int64 // channels of a tile without heads

	dt        rows    // step sizes before scale, bias and softplus
	proj      *matrix // dt_proj; nil: dt is there as rows
	dtScale   scale
	bias      *external // of dt, behind its scale; nil: none, or in proj
	u, b, c   rows
	gate      rows
	a, d      *external
	past, out *external
	codes     *stateCodes // the state is codes between steps; nil: it is float32
	float     *spmd.Value // of the kernel being built: that state in scratch memory
	scores    *external   // C B' within chunks; nil: no chunked form
}

func (p *planner) newScan(g *ir.Group) ([]*task, error) {
	parts, err := passes.MatchScan(p.m.Func, g)
	if err != nil {
		return nil, err
	}
	r := &recurrence{parts: parts, channels: int64(parts.E), states: int64(parts.N), groups: int64(parts.G)}
	t := newTask(g, g.Note)
	var before []*task
	if parts.P == 1 && parts.G == 1 && (parts.AState || parts.N == 1) {
		r.panel = p.panelWidth(r.channels)
	} else if !parts.AState && parts.DTProj == nil {
		r.heads = int64(parts.H)
		r.head = r.channels / r.heads
		r.pad = roundUp(r.head, p.lanes)
		scores := p.newScores(g, r)
		before = append(before, scores.task)
		r.scores = t.read(scores.value)
	} else {
		return nil, fmt.Errorf("a decay of %v with %d heads and %d groups: want one a channel and state, or one a head", parts.A.Type, parts.H, parts.G)
	}
	if err := r.declare(p, t); err != nil {
		return nil, err
	}
	t.flops += 6 * r.channels * r.states
	if r.heads > 0 {
		t.grid = spmd.Grid{Panels: r.heads, By: spmd.BySeqs}
		t.build = func(k *code) { r.buildHead(k) }
	} else {
		t.grid = spmd.Grid{Panels: panels(r.panel).blocks(r.channels)}
		t.build = func(k *code) { r.buildPanel(k) }
	}
	return append(before, t), nil
}

func (r *recurrence) declare(p *planner, t *task) error {
	s := &r.parts
	fmt.Fprintf(&t.shape, "scan %d x %d heads %d groups %d: softplus %v bounds %v %v", r.channels, r.states, r.heads, r.groups, s.Softplus, s.Lo, s.Hi)
	t.input(useSeqStart)
	t.input(useSeqSlot)
	r.dtScale = t.scale(s.DTScale)
	bias := s.DTBias
	if s.DTProj != nil {
		t.shape.WriteString(" dt_proj ")
		o := operands{x: s.DT, w: s.DTProj}
		if s.DTScale == nil {
			o.bias, bias = bias, nil // the product begins at it
		}
		m, err := p.newMatrix(t, o, r.panel)
		if err != nil {
			return err
		}
		m.coarse = true
		r.proj = m
	} else {
		r.dt = rows{t.read(s.DT), scale{number: 1}}
	}
	if bias != nil {
		t.shape.WriteString(" bias")
		r.bias = t.vector(bias)
	}
	r.u, r.b, r.c = t.rowsOf(s.U, s.UScale), t.rowsOf(s.B, s.BScale), t.rowsOf(s.C, s.CScale)
	if s.D != nil {
		fmt.Fprintf(&t.shape, " skip %v", s.DHead)
		r.d = t.vector(s.D)
	}
	r.gate = t.rowsOf(s.Gate, s.GateScale)
	fmt.Fprintf(&t.shape, " gate %v %v", s.Gate != nil, s.GateSiLU)
	if r.heads > 0 {
		r.a = t.vector(s.A)
		r.declareState(t, layout{r.head, r.pad})
	} else {
		r.a = t.weight(s.A, packing{layout: panels(r.panel), elem: spmd.F32}, r.channels, r.states)
		r.declareState(t, panels(r.panel))
	}
	r.out = t.write(s.Y)
	return nil
}

// stepBefore is scale and bias of what the projection gave, or of the rows dt is read from; col and off say which columns.
func (r *recurrence) stepBefore(k *code, x, col *spmd.Value, off int64) *spmd.Value {
	if x.Type.Elem == spmd.I32 {
		x = k.ToF32(x)
	}
	if r.bias == nil {
		return r.dtScale.apply(k, x, col, off)
	}
	return r.biased(k, x, col, off)
}

// stepSizesOf is softplus and bounds of some of these.
func (r *recurrence) stepSizesOf(k *code, x []*spmd.Value) []*spmd.Value {
	s := &r.parts
	if s.Softplus {
		x = softpluses(k.Builder, x)
	}
	return each(x, func(i int) *spmd.Value {
		dt := x[i]
		if !math.IsInf(s.Lo, -1) {
			dt = k.Max(dt, k.F(float32(s.Lo)))
		}
		if !math.IsInf(s.Hi, 1) {
			dt = k.Min(dt, k.F(float32(s.Hi)))
		}
		return dt
	})
}

// biased is fma(x, scale, bias), or x + bias without a scale.
func (r *recurrence) biased(k *code, x, col *spmd.Value, off int64) *spmd.Value {
	load := func(e *external) *spmd.Value {
		if x.Type.Kind == spmd.Varying {
			return k.LoadV(e.ptr, col, off)
		}
		return k.Load(e.ptr, col, off)
	}
	switch s := r.dtScale; {
	case s.vector != nil && s.vector.c > 1:
		return k.FMA(x, load(s.vector), load(r.bias))
	case s.vector != nil:
		return k.FMA(x, k.Load(s.vector.ptr, nil, 0), load(r.bias))
	case s.number != 1:
		return k.FMA(x, k.F(s.number), load(r.bias))
	}
	return k.Add(x, load(r.bias))
}

// finish is skip and gate behind the recurrence, for W channels: (y + D u) gate. channel is the
// index of the first, and e exp(-gate) where that has been computed.
func (r *recurrence) finish(k *code, y, u, row, channel *spmd.Value, off int64, count, e *spmd.Value) {
	if r.d != nil {
		d := k.LoadV(r.d.ptr, channel, off)
		if r.parts.DHead && r.heads > 0 {
			d = k.Load(r.d.ptr, k.panel, 0)
		}
		y = k.FMA(d, u, y)
	}
	if r.gate.e != nil {
		g := r.gate.vector(k, r.gate.at(k, row), channel, off)
		switch {
		case e != nil:
			g = k.Div(g, k.Add(k.F(1), e))
		case r.parts.GateSiLU:
			g = silu(k.Builder, g)
		}
		y = k.Mul(y, g)
	}
	at := k.Add(k.Mul(row, k.I(stride(r.out.value))), channel)
	if count != nil {
		k.StoreVN(r.out.ptr, at, off, count, y)
		return
	}
	k.StoreV(r.out.ptr, at, off, y)
}

// buildPanel emits a tile without heads: a panel of channels of all sequences, each channel with its own decay in every state. Step sizes are
// made for a block of rows at once, whichever sequences they belong to.
func (r *recurrence) buildPanel(k *code) {
	col := k.Mul(k.panel, k.I(r.panel))
	rows := k.Mul(k.panel, k.I(r.states*r.panel)) // of A and of the state
	a := k.Offset(r.a.ptr, rows)
	steps := k.Scratch(spmd.F32, scanBlock*r.panel)
	for s := range int64(stateAhead) {
		r.fetch(k, r.soon(k, k.I(s), rows), k.I(0), r.panel)
	}
	p := &part{at: rows, col: col, wide: r.panel, pad: r.panel, channels: r.panel}
	if r.codes != nil {
		r.float = k.Scratch(spmd.F32, r.states*r.panel)
	}
	k.For(k.I(0), k.Rows(), scanBlock, nil, func(from *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		to := k.Min(k.Add(from, k.I(scanBlock)), k.Rows())
		r.stepSizes(k, steps, from, to, col)
		k.For(k.I(0), k.Seqs(), 1, nil, func(s *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			begin, end, slot := k.sequence(s)
			lo, hi := k.Max(begin, from), k.Min(end, to)
			k.If(k.Cmp(spmd.LT, lo, hi), func() []*spmd.Value {
				next := r.soon(k, k.Add(s, k.I(stateAhead)), rows)
				var first, last *spmd.Value
				if r.codes != nil {
					first, last = k.Cmp(spmd.EQ, lo, begin), k.Cmp(spmd.EQ, hi, end)
				}
				r.widened(k, p, slot, first, last, func(past *spmd.Value) { r.panelRows(k, past, a, steps, from, lo, hi, col, next) })
				return nil
			}, nil)
			return nil
		})
		return nil
	})
}

// panelRows runs the rows lo..hi-1 of one sequence; steps holds dt from row from on.
func (r *recurrence) panelRows(k *code, past, a, steps, from, lo, hi, col, next *spmd.Value) {
	k.For(k.I(0), k.I(r.panel), int64(k.Target.Lanes), nil, func(lane *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		r.fetch(k, next, lane, int64(k.Target.Lanes)) // a part at a time: more than a core can wait for at once would hold up the loads of this one
		at := k.Add(col, lane)
		k.For(lo, hi, 1, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			dt := k.LoadV(steps, k.Add(k.Mul(k.Sub(row, from), k.I(r.panel)), lane), 0)
			u := r.u.vector(k, r.u.at(k, row), at, 0)
			var gate *spmd.Value
			y := r.advance(k, row, k.I(0), lane, r.panel, k.Mul(dt, u), past, func(n *spmd.Value, i, count int64) []*spmd.Value {
				x := make([]*spmd.Value, count)
				for j := range x {
					x[j] = k.Mul(dt, k.LoadV(a, k.Add(k.Mul(n, k.I(r.panel)), lane), (i+int64(j))*r.panel))
				}
				if i == 0 && r.parts.GateSiLU && r.states <= unrolledStates { // by itself, the gate's is a chain that all waits for: a tenth of a row's time
					x = append(x, k.Neg(r.gate.vector(k, r.gate.at(k, row), at, 0)))
				}
				e := exps(k.Builder, x)
				if int64(len(x)) > count {
					gate = e[count]
				}
				return e[:count]
			})
			r.finish(k, y, u, row, at, 0, nil, gate)
			return nil
		})
		return nil
	})
}

// stepSizes writes dt of the rows from..to-1 of a panel: by a product where dt_proj is fused in, else from rows. Softplus comes in a second pass, over
// whole rows of the panel: its chain is a long one, and several go side by side.
func (r *recurrence) stepSizes(k *code, steps, from, to, col *spmd.Value) {
	w := int64(k.Target.Lanes)
	at := func(row *spmd.Value) *spmd.Value { return k.Mul(k.Sub(row, from), k.I(r.panel)) }
	if r.proj != nil {
		r.proj.multiply(k, from, to, col, func(row *spmd.Value, off int64, x *spmd.Value) {
			k.StoreV(steps, at(row), off, r.stepBefore(k, x, col, off))
		})
	}
	k.For(from, to, 1, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		x := each(make([]*spmd.Value, vecs(k.Builder, r.panel)), func(j int) *spmd.Value {
			off := int64(j) * w
			if r.proj != nil {
				return k.LoadV(steps, at(row), off)
			}
			return r.stepBefore(k, k.LoadV(r.dt.at(k, row), col, off), col, off)
		})
		for j, dt := range r.stepSizesOf(k, x) {
			k.StoreV(steps, at(row), int64(j)*w, dt)
		}
		return nil
	})
}

// unrolledStates is how many states are computed without a loop.
const unrolledStates = 16

// advance moves W channels one row on: h[n] = decay(n) h[n] + du B[n], and gives the sum of C[n] h[n], n ascending. The state of channel
// lane+l lies at past[n*pad + lane + l]; decays gives those of count states, from n+i on.
func (r *recurrence) advance(k *code, row, group, lane *spmd.Value, pad int64, du, past *spmd.Value, decays func(n *spmd.Value, i, count int64) []*spmd.Value) *spmd.Value {
	first := k.Mul(group, k.I(r.states))
	b, c := r.b.at(k, row), r.c.at(k, row)
	const together = 4 // states whose decays are made side by side
	step := func(n *spmd.Value, y *spmd.Value, count int64) *spmd.Value {
		base := k.Add(k.Mul(n, k.I(pad)), lane)
		at := k.Add(first, n)
		read := func(i int64) [3]*spmd.Value {
			return [3]*spmd.Value{k.LoadV(past, base, i*pad), r.b.one(k, b, at, i), r.c.one(k, c, at, i)}
		}
		var early [][3]*spmd.Value
		if roomy(k.Target) {
			for i := range count {
				early = append(early, read(i))
			}
		}
		var late []*spmd.Value
		for i := int64(0); i < count; {
			a := decays(n, i, min(count-i, together))
			for _, a := range a {
				if early != nil {
					late = append(late, k.FMA(a, early[i][0], k.Mul(du, early[i][1])))
					y = k.FMA(early[i][2], late[i], y)
				} else {
					h := k.FMA(a, k.LoadV(past, base, i*pad), k.Mul(du, r.b.one(k, b, at, i)))
					k.StoreV(past, base, i*pad, h)
					y = k.FMA(r.c.one(k, c, at, i), h, y)
				}
				i++
			}
		}
		for i, h := range late {
			k.StoreV(past, base, int64(i)*pad, h)
		}
		return y
	}
	y := k.Splat(k.F(0))
	if r.states <= unrolledStates {
		return step(k.I(0), y, r.states)
	}
	whole := r.states / 8 * 8
	y = k.For(k.I(0), k.I(whole), 8, []*spmd.Value{y}, func(n *spmd.Value, c []*spmd.Value) []*spmd.Value {
		return []*spmd.Value{step(n, c[0], 8)}
	})[0]
	if whole < r.states {
		y = step(k.I(whole), y, r.states-whole)
	}
	return y
}

// wide is how many lanes of a head's row are computed: its channels in whole vectors. A row of state may have more, for a target with more lanes; what
// would be computed in these is the next head's.
func (r *recurrence) wide(k *code) int64 { return roundUp(r.head, int64(k.Target.Lanes)) }

// headRow gives u's columns lane.. of a head's row, zeros behind the last.
func (r *recurrence) headRow(k *code, row, lane *spmd.Value, off int64) *spmd.Value {
	col := k.Add(k.Mul(k.panel, k.I(r.head)), lane)
	at := r.u.at(k, row)
	if r.head%int64(k.Target.Lanes) == 0 {
		return r.u.vector(k, at, col, off)
	}
	return r.u.real(k, k.LoadVN(at, col, off, k.lanesLeft(r.head, lane, off)), col, off)
}

// lanesLeft is how many of n columns lie at lane+off and behind it, at least 0.
func (k *code) lanesLeft(n int64, lane *spmd.Value, off int64) *spmd.Value {
	return k.Max(k.Sub(k.I(n-off), lane), k.I(0))
}

// finishHead is finish for columns lane+off.. of the tile's head.
func (r *recurrence) finishHead(k *code, y, row, lane *spmd.Value, off int64) {
	var count *spmd.Value
	if r.head%int64(k.Target.Lanes) != 0 {
		count = k.lanesLeft(r.head, lane, off)
	}
	r.finish(k, y, r.headRow(k, row, lane, off), row, k.Add(k.Mul(k.panel, k.I(r.head)), lane), off, count, nil)
}

// buildHead emits a tile of one head of one sequence: in chunks where the sequence brings enough rows, else row by row.
func (r *recurrence) buildHead(k *code) {
	lo, hi, slot := k.sequence(k.block)
	p := &part{at: k.Mul(k.panel, k.I(r.states*r.pad)), wide: r.wide(k), pad: r.pad, channels: r.head}
	if r.codes != nil {
		p.col = k.Mul(k.panel, k.I(r.head))
		r.float = k.Scratch(spmd.F32, r.states*r.pad)
	}
	r.widened(k, p, slot, nil, nil, func(past *spmd.Value) {
		decay := k.Load(r.a.ptr, k.panel, 0)
		group := k.Div(k.panel, k.I(r.heads/r.groups))
		k.If(k.Cmp(spmd.GE, k.Sub(hi, lo), k.I(ChunkRows)), func() []*spmd.Value {
			r.chunks(k, lo, hi, past, decay, group)
			return nil
		}, func() []*spmd.Value {
			r.steps(k, lo, hi, past, decay, group)
			return nil
		})
	})
}

// headStep is dt of the tile's head at a row, uniform.
func (r *recurrence) headStep(k *code, row *spmd.Value) *spmd.Value {
	return r.stepSizesOf(k, []*spmd.Value{r.stepBefore(k, k.Load(r.dt.at(k, row), k.panel, 0), k.panel, 0)})[0]
}

// steps is the recurrence row by row.
func (r *recurrence) steps(k *code, lo, hi, past, decay, group *spmd.Value) {
	w := int64(k.Target.Lanes)
	k.For(lo, hi, 1, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		dt := r.headStep(k, row)
		a := k.Splat(exp(k.Builder, k.Mul(dt, decay)))
		k.For(k.I(0), k.I(r.wide(k)), w, nil, func(lane *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			du := k.Mul(dt, r.headRow(k, row, lane, 0))
			y := r.advance(k, row, group, lane, r.pad, du, past, func(_ *spmd.Value, _, count int64) []*spmd.Value {
				return each(make([]*spmd.Value, count), func(int) *spmd.Value { return a })
			})
			r.finishHead(k, y, row, lane, 0)
			return nil
		})
		return nil
	})
}
