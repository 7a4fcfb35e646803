package kernel

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// rowBlock is how many rows a tile of a contraction multiplies at most, unless a convolution behind it wants all of them in order. The tile's
// panel of weights stays in the second-level cache over all blocks.
const rowBlock = 96

// contraction is a linear layer and what is fused behind it, or a convolution alone.
type contraction struct {
	linear  *ir.Op      // nil: the convolution reads rows
	conv    *ir.Op      // nil: none
	before  []*ir.Value // what the group leaves of what precedes the convolution
	outs    []*ir.Value // what it leaves of what follows
	n       int64
	panel   int64
	taps    int64
	m       *matrix
	x       *external // of a convolution alone
	convIn  *ir.Value // the convolution's operand, before it
	convW   *external
	convB   *external
	history *external
	way     way
	columns int64 // of a staged tile
	quads   bool  // which quads multiply
}

// way is how a contraction goes about its rows. Targets with teams have several ways to do some, and take one by the number of rows.
type way uint8

const (
	byPanels  way = iota // a tile is a panel by a block of rows
	few                  // a team shares a panel, each member a part of K, and there are few rows; see split.go
	shared               // the same for any number of rows
	below                // byPanels, with fewer rows than staged
	staged               // many rows, in tiles of a team, through scratch; see staged.go
	convolved            // the convolution behind staged
)

// panelWidth is the number of columns of a tile: 32 lets one row use two registers of 16 lanes, or four of 8; narrow layers get 16, so that
// there are tiles for more than two workers, or as many as the widest target has lanes.
func (p *planner) panelWidth(n int64) int64 {
	if n >= 512 {
		return 32
	}
	return p.lanes
}

// newContraction declares a contract group.
func (p *planner) newContraction(g *ir.Group, ops []*ir.Op, w way) (*task, error) {
	t := newTask(g, g.Note)
	c := &contraction{way: w}
	for _, op := range ops {
		switch op.Code {
		case ir.OpLinear:
			c.linear = op
		case ir.OpConv:
			c.conv = op
		}
	}
	c.outs = p.outputs(g)
	if len(c.outs) == 0 {
		return nil, fmt.Errorf("it leaves no value")
	}
	if c.conv != nil {
		after := dependents(g, c.conv.Results[0], ops)
		c.before = slices.DeleteFunc(slices.Clone(c.outs), func(v *ir.Value) bool { return after[v] })
		c.outs = slices.DeleteFunc(c.outs, func(v *ir.Value) bool { return !after[v] })
	}
	c.separate()
	all := slices.Concat(c.before, c.outs)
	c.n = elements(all[0])
	c.panel = p.panelWidth(c.n)
	switch {
	case c.linear != nil:
		fmt.Fprintf(&t.shape, "contract %d by %d%s:", c.n, c.panel, [...]string{few: " few", shared: " shared", below: " below", staged: " staged", convolved: ""}[w])
		m, err := p.newMatrix(t, operandsOf(c.linear), c.panel)
		if err != nil {
			return nil, err
		}
		c.m = m
	case c.conv != nil:
		fmt.Fprintf(&t.shape, "conv %d by %d:", c.n, c.panel)
		c.x = t.read(c.conv.Args[0])
	default:
		return nil, fmt.Errorf("it has neither a linear op nor a conv")
	}
	if w == staged { // copied byte by byte, whatever it is
		c.m.xBytes, c.m.wBytes = t.byBytes(c.m.x), t.byBytes(c.m.w)
	}
	if err := c.declare(t); err != nil {
		return nil, err
	}
	p.writes(t, all)
	t.grid = spmd.Grid{Panels: panels(c.panel).blocks(c.n), By: spmd.ByRowBlocks, Block: rowBlock}
	switch {
	case c.conv != nil:
		t.grid = spmd.Grid{Panels: t.grid.Panels}
		t.input(useSeqStart)
		t.input(useSeqSlot)
	case perRow(all[0]) == ir.Outs:
		t.grid.By = spmd.ByOutBlocks
	}
	t.build = func(k *code) { c.build(k) }
	p.bound(c, t)
	return t, nil
}

func (c *contraction) declare(t *task) error {
	y := map[*ir.Value]string{}
	all := func(vs []*ir.Value) error {
		for _, v := range vs {
			t.shape.WriteString(" out ")
			if err := t.declare(v, y, c.n); err != nil {
				return err
			}
		}
		return nil
	}
	if c.linear != nil {
		y[c.linear.Results[0]] = "acc"
	}
	if c.conv == nil {
		return all(c.outs)
	}
	if c.linear != nil {
		c.convIn = c.conv.Args[0]
		if err := all(append(c.before, c.convIn)); err != nil {
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
	y = map[*ir.Value]string{c.conv.Results[0]: "conv"}
	return all(c.outs)
}

// build emits the tile: products of all its rows, then, with a convolution, the pass over each sequence.
func (c *contraction) build(k *code) {
	lo, hi := k.span(k.t.grid)
	col := k.Mul(k.panel, k.I(c.panel))
	switch c.way {
	case few, shared:
		c.buildShared(k, lo, hi, col)
		return
	case staged:
		c.buildStaged(k, lo, hi)
		return
	case convolved:
		c.convolveShared(k, k.Offset(c.x.ptr, col), stride(c.x.value), col)
		return
	}
	if c.conv == nil {
		c.product(k, lo, hi, col, func(p *point) { k.putAll(p, c.outs) })
		return
	}
	if c.linear == nil {
		c.convolve(k, k.Offset(c.x.ptr, col), stride(c.x.value), col)
		return
	}
	raw := k.Scratch(spmd.F32, k.plan.maxRows*c.panel)
	c.fetchHistory(k)
	c.product(k, lo, hi, col, func(p *point) {
		k.StoreV(raw, k.Mul(p.row, k.I(c.panel)), p.off, asF32(k.Builder, k.eval(p, c.convIn)))
		k.putAll(p, c.before)
	})
	c.convolve(k, raw, c.panel, col)
}

// product multiplies the rows lo..hi-1 by the panel, which is read in one forward stream, and hands each W results to store.
func (c *contraction) product(k *code, lo, hi, col *spmd.Value, store func(p *point)) {
	c.m.multiply(k, lo, hi, col, func(row *spmd.Value, off int64, acc *spmd.Value) {
		store(&point{row: row, col: col, off: off, vals: map[*ir.Value]*spmd.Value{c.linear.Results[0]: acc}})
	})
}
