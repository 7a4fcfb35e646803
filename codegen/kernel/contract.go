package kernel

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// rowBlock is how many rows a tile of a contraction multiplies at most, unless a convolution behind it wants all of them in order. The tile's
// panel of weights stays in the second-level cache over all blocks.
const rowBlock = 96

// contraction is a linear layer and what is fused behind it, or a convolution alone.
type contraction struct {
	linear  *ir.Op    // nil: the convolution reads rows
	conv    *ir.Op    // nil: none
	out     *ir.Value // what the group leaves
	k, n    int64
	panel   int64
	taps    int64
	x, w    *external
	bias    *external
	convIn  *ir.Value // the convolution's operand, before it
	convW   *external
	convB   *external
	history *external
}

// panelWidth is the number of columns of a tile: 32 lets one row use two registers of 16 lanes, or four of 8; narrow layers get 16, so that
// there are tiles for more than two workers.
func panelWidth(n int64) int64 {
	if n >= 512 {
		return 32
	}
	return 16
}

// newContraction declares a contract group.
func (p *planner) newContraction(g *ir.Group, ops []*ir.Op) (*task, error) {
	t := newTask(g, g.Note)
	c := &contraction{}
	for _, op := range ops {
		switch op.Code {
		case ir.OpLinear:
			c.linear = op
		case ir.OpConv:
			c.conv = op
		}
	}
	outs := p.outputs(g)
	if len(outs) != 1 {
		return nil, fmt.Errorf("it leaves %d values, want 1", len(outs))
	}
	c.out = outs[0]
	c.n = elements(c.out)
	c.panel = panelWidth(c.n)
	switch {
	case c.linear != nil:
		c.declareProduct(p, t)
	case c.conv != nil:
		fmt.Fprintf(&t.shape, "conv %d by %d:", c.n, c.panel)
		c.x = t.read(c.conv.Args[0])
	default:
		return nil, fmt.Errorf("it has neither a linear op nor a conv")
	}
	if err := c.declare(t); err != nil {
		return nil, err
	}
	t.rows = c.out
	if c.out == p.logits {
		t.input(useLogits)
	} else {
		t.write(c.out)
	}
	t.grid = spmd.Grid{Panels: panels(c.panel).blocks(c.n), By: spmd.ByRowBlocks, Block: rowBlock}
	switch {
	case c.conv != nil:
		t.grid = spmd.Grid{Panels: t.grid.Panels}
		t.input(useSeqStart)
		t.input(useSeqSlot)
	case perRow(c.out) == ir.Outs:
		t.grid.By = spmd.ByOutBlocks
	}
	t.build = func(k *code) { c.build(k) }
	return t, nil
}

func (c *contraction) declareProduct(p *planner, t *task) {
	w := c.linear.Args[1]
	c.k = int64(w.Weight.Shape[1])
	fmt.Fprintf(&t.shape, "contract %d x %d by %d:", c.n, c.k, c.panel)
	c.x = t.read(c.linear.Args[0])
	c.w = t.weight(w, packing{layout: panels(c.panel), elem: p.matrixElem(w.Weight)}, c.n, c.k)
	if b := c.linear.Args[2]; b != nil {
		c.bias = t.vector(b)
	}
	t.flops = 2 * c.n * c.k
}

func (c *contraction) declare(t *task) error {
	if c.conv == nil {
		return t.declare(c.out, map[*ir.Value]string{c.linear.Results[0]: "acc"}, c.n)
	}
	if c.linear != nil {
		c.convIn = c.conv.Args[0]
		if err := t.declare(c.convIn, map[*ir.Value]string{c.linear.Results[0]: "acc"}, c.n); err != nil {
			return err
		}
	}
	w := c.conv.Args[1]
	c.taps = elements(w) / c.n
	c.convW = t.weight(w, packing{layout: panels(c.panel), elem: spmd.F32}, c.n, c.taps)
	if b := c.conv.Args[2]; b != nil {
		c.convB = t.vector(b)
	}
	c.history = t.state(c.conv.Args[3], panels(c.panel), c.n, c.taps-1)
	fmt.Fprintf(&t.shape, " conv %d ", c.taps)
	t.flops += 2 * c.n * c.taps
	return t.declare(c.out, map[*ir.Value]string{c.conv.Results[0]: "conv"}, c.n)
}

// build emits the tile: products of all its rows, then, with a convolution, the pass over each sequence.
func (c *contraction) build(k *code) {
	lo, hi := k.span(k.t.grid)
	col := k.Mul(k.panel, k.I(c.panel))
	if c.conv == nil {
		c.product(k, lo, hi, col, func(p *point) { k.put(p, c.out, k.eval(p, c.out)) })
		return
	}
	if c.linear == nil {
		c.convolve(k, k.Offset(c.x.ptr, col), stride(c.x.value), col)
		return
	}
	raw := k.Scratch(spmd.F32, k.plan.maxRows*c.panel)
	c.product(k, lo, hi, col, func(p *point) {
		k.StoreV(raw, k.Mul(p.row, k.I(c.panel)), p.off, k.eval(p, c.convIn))
	})
	c.convolve(k, raw, c.panel, col)
}

// product multiplies the rows lo..hi-1 by the panel, which is read in one forward stream, and hands each W results to store.
func (c *contraction) product(k *code, lo, hi, col *spmd.Value, store func(p *point)) {
	weights := k.Offset(c.w.ptr, k.Mul(k.panel, k.I(c.k*c.panel)))
	matmul(k, matrix{rows: c.x.ptr, stride: stride(c.x.value), weights: weights, k: c.k, panel: c.panel, bias: c.bias}, lo, hi, col,
		func(row *spmd.Value, off int64, acc *spmd.Value) {
			store(&point{row: row, col: col, off: off, vals: map[*ir.Value]*spmd.Value{c.linear.Results[0]: acc}})
		})
}

// matrix is a product of rows [*, k] by one panel of packed weights.
type matrix struct {
	rows     *spmd.Value
	stride   int64
	weights  *spmd.Value // the panel
	k, panel int64
	bias     *external
}

// matmul computes rows lo..hi-1 of the product, in register blocks; store gets each result of W columns at column offset off of the panel.
func matmul(k *code, m matrix, lo, hi, col *spmd.Value, store func(row *spmd.Value, off int64, acc *spmd.Value)) {
	v := vecs(k.Builder, m.panel)
	w := int64(k.Target.Lanes)
	shift := log2(m.panel)
	rowLoop(k.Builder, lo, hi, rowSizes(k.Target), func(row *spmd.Value, rows int) {
		at := make([]*spmd.Value, rows)
		for i := range at {
			at[i] = k.Offset(m.rows, k.Mul(k.Add(row, k.I(int64(i))), k.I(m.stride)))
		}
		columnPasses(k.Target, rows, v, func(first, n int) {
			acc := make([][]*spmd.Value, rows)
			for i := range acc {
				acc[i] = make([]*spmd.Value, n)
				for j := range acc[i] {
					acc[i][j] = k.start(m.bias, col, int64(first+j)*w)
				}
			}
			outer(k.Builder, acc, k.I(0), k.I(m.k), unroll(rows*n),
				func(i int, kk *spmd.Value, u int64) *spmd.Value { return k.Load(at[i], kk, u) },
				func(j int, kk *spmd.Value, u int64) *spmd.Value {
					return k.LoadV(m.weights, k.Shl(kk, shift), u*m.panel+int64(first+j)*w)
				})
			for i := range acc {
				for j := range acc[i] {
					store(k.Add(row, k.I(int64(i))), int64(first+j)*w, acc[i][j])
				}
			}
		})
	})
}

// unroll is how many steps of k a loop takes at once, for a block of n accumulators: about 16 multiplications.
func unroll(n int) int64 { return int64(min(8, max(1, 16/n))) }

// start is where a sum begins: at the bias, or at 0.
func (k *code) start(bias *external, col *spmd.Value, off int64) *spmd.Value {
	if bias == nil {
		return k.Splat(k.F(0))
	}
	return k.LoadV(bias.ptr, col, off)
}
