package kernel

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// With few rows a contraction has one tile a panel, and a GPU has ten times as many warps as a layer has panels. Sums of products of codes are exact, so
// there the members of a team share a panel: each sums a part of K, the parts meet in scratch, and one member adds them up. Where codes have a scale for
// each group of K, a group's sum is what a member makes, and the sum over the groups is made in their order, as everywhere. Float sums over all of K
// have one order and cannot be shared.

// fewRows is below how many rows a team shares a panel. From there on a tile of many rows has enough to do for a team by itself.
const fewRows = 64

// sharedRows is how many rows are done at a time: what a matrix tile has.
const sharedRows = 16

// contractions are the ways to do a contract group: one, or one for few rows and one for many, whose convolution is then by itself.
func (p *planner) contractions(g *ir.Group, ops []*ir.Op) ([]*task, error) {
	var linear, conv *ir.Op
	for _, op := range ops {
		switch op.Code {
		case ir.OpLinear:
			linear = op
		case ir.OpConv:
			conv = op
		}
	}
	ways := []way{byPanels}
	switch {
	case linear == nil || p.members == 1 || p.runs[linear.Args[1]] <= 1:
	case productForm(linear.Args[0], linear.Args[1]) == words, p.inFragments(linear):
		ways = []way{few, staged}
	case linear.Attrs.GroupSize > 0:
		ways = []way{shared}
	case p.fast && p.fastProduct(linear):
		ways = []way{below, staged}
	}
	if ways[len(ways)-1] == staged && conv != nil {
		ways = append(ways, convolved)
	}
	var list []*task
	for i, w := range ways {
		t, err := p.newContraction(g, ops, w)
		if err != nil {
			return nil, err
		}
		t.again = i > 0
		list = append(list, t)
	}
	return list, nil
}

// fastProduct says that a product of floats can be one of bf16. K must be in whole chunks: what lies behind a row of floats could be a NaN, which zeros of a
// weight do not silence.
func (p *planner) fastProduct(linear *ir.Op) bool {
	w := linear.Args[1].Weight
	if e := p.matrixElem(w); !w.DType.Float() || e != spmd.BF16 && e != spmd.F32 {
		return false
	}
	return w.Shape[len(w.Shape)-1]%(rowBytes/2) == 0
}

// separate takes the convolution from the contraction, or the contraction from the convolution: between the two the rows go through memory.
func (c *contraction) separate() {
	switch {
	case c.way == staged && c.conv != nil:
		if in := c.conv.Args[0]; !slices.Contains(c.before, in) {
			c.before = append(c.before, in)
		}
		c.outs, c.before, c.conv = c.before, nil, nil
	case c.way == convolved:
		c.linear, c.before = nil, nil
	}
}

// bound makes the grid one for few rows, for many, or for what a team does at a time.
func (p *planner) bound(c *contraction, t *task) {
	t.shared = c.way != byPanels && c.way != below
	t.fixed = t.shared
	switch c.way {
	case few:
		if t.grid.By == spmd.ByOutBlocks {
			t.grid.Block = fewRows
		} else {
			t.grid = spmd.Grid{Panels: t.grid.Panels}
		}
		t.grid.Most = fewRows - 1
	case below:
		t.grid.Most = fewRows - 1
	case shared:
		if t.grid.By != spmd.ByOne {
			t.grid.Block = fewRows
		}
	case staged:
		c.quads = p.quads && !p.inFragments(c.linear)
		c.columns = p.stagedColumns(c.n, c.quads)
		t.grid.Panels, t.grid.Block = (c.n+c.columns-1)/c.columns, p.members*memberRows
		t.grid.Least = fewRows
		fmt.Fprintf(&t.shape, " tile %d", c.columns)
	case convolved:
		t.grid.Least, t.needs.MinRows = fewRows, fewRows
	}
}

// turns says which sequences a member convolves: from the first on, every so many.
func (c *contraction) turns(k *code) (first *spmd.Value, step int64) {
	if c.way == few {
		return k.Member(), int64(k.Target.Members)
	}
	return k.I(0), 1
}

// buildShared emits the tile of a team.
func (c *contraction) buildShared(k *code, lo, hi, col *spmd.Value) {
	put := func(p *point) { k.putAll(p, c.outs) }
	if c.conv == nil {
		c.productShared(k, lo, hi, col, put)
		return
	}
	rows := int64(fewRows)
	if c.way == shared {
		rows = k.plan.maxRows
	}
	raw := k.Scratch(spmd.F32, rows*c.panel)
	c.productShared(k, lo, hi, col, func(p *point) {
		k.StoreV(raw, k.Mul(p.row, k.I(c.panel)), p.off, asF32(k.Builder, k.eval(p, c.convIn)))
		k.putAll(p, c.before)
	})
	if c.way == shared {
		c.convolveShared(k, raw, c.panel, col)
		return
	}
	c.convolve(k, raw, c.panel, col)
}

// productShared is product by a team: of each row, one member hands the results to store. All members have done so when it ends.
func (c *contraction) productShared(k *code, lo, hi, col *spmd.Value, store func(p *point)) {
	s := &sharing{matrix: c.m, code: k, col: col, member: k.Member(), members: int64(k.Target.Members), weights: k.Offset(c.m.w.ptr, k.Mul(k.panel, k.I(c.m.padded*c.m.panel)))}
	s.store = func(row *spmd.Value, off int64, acc *spmd.Value) {
		store(&point{row: row, col: col, off: off, vals: map[*ir.Value]*spmd.Value{c.linear.Results[0]: acc}})
	}
	if c.m.group > 0 {
		s.scales = k.Offset(c.m.scales.ptr, k.Mul(k.panel, k.I(c.m.scales.k*c.m.panel)))
		if c.way == few {
			s.fragments(lo, hi)
		} else {
			s.groups(lo, hi)
		}
		return
	}
	s.parts = k.Scratch(spmd.I32, s.members*sharedRows*c.m.panel)
	k.For(lo, hi, sharedRows, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		n := k.Min(k.Sub(hi, row), k.I(sharedRows))
		s.tiles(row, n)
		k.Barrier()
		s.add(row, n)
		k.Barrier()
		return nil
	})
}

// sharing is a product that a team makes of a panel.
type sharing struct {
	*matrix
	*code
	col             *spmd.Value
	member          *spmd.Value
	members         int64
	weights, scales *spmd.Value // the panel's
	parts           *spmd.Value // sums of the members: [members][rows][columns]
	store           func(row *spmd.Value, off int64, acc *spmd.Value)
}

// part is this member's share of n things.
func (s *sharing) part(n int64) (from, to *spmd.Value) {
	if n%s.members == 0 {
		from = s.Mul(s.member, s.I(n/s.members))
		return from, s.Add(from, s.I(n/s.members))
	}
	share := func(m *spmd.Value) *spmd.Value { return s.Div(s.Mul(m, s.I(n)), s.I(s.members)) }
	return share(s.member), share(s.Add(s.member, s.I(1)))
}

// tile is the register block of some rows and all columns.
func (s *sharing) tile(row *spmd.Value, rows int) *tile {
	t := &tile{m: s.matrix, weights: s.weights, scales: s.scales, col: s.col, at: make([]*spmd.Value, rows), n: vecs(s.Builder, s.matrix.panel)}
	for i := range t.at {
		t.at[i] = s.Offset(s.x.ptr, s.Mul(s.Add(row, s.I(int64(i))), s.I(s.stride)))
	}
	return t
}

// tiles multiplies n rows in a matrix tile, a single row too: memory decides how long that takes, and a tile has fewer instructions for it than products of
// four bytes.
func (s *sharing) tiles(row, n *spmd.Value) {
	panel, run := s.matrix.panel, s.w.run
	from, to := s.part(s.padded / run)
	c := s.Offset(s.parts, s.Mul(s.member, s.I(sharedRows*panel)))
	bytes := s.Offset(s.wBytes.ptr, s.Add(s.Mul(s.code.panel, s.I(4*s.padded*panel)), s.Mul(from, s.I(4*run*panel))))
	for at := int64(0); at < sharedRows*panel; at += int64(s.Target.Lanes) {
		s.StoreV(c, nil, at, s.I32(0))
	}
	x := s.Offset(s.xBytes.ptr, s.Add(s.Mul(row, s.I(4*s.stride)), s.Mul(from, s.I(4*run))))
	s.MMA8(c, x, bytes, s.groupsOf(from, to), n, s.strides(panel), panel/16)
}

// groupsOf is the number of groups of four bytes in runs from..to-1.
func (s *sharing) groupsOf(from, to *spmd.Value) *spmd.Value {
	if n := s.padded / s.w.run; n%s.members == 0 {
		return s.I(n / s.members * s.w.run)
	}
	return s.Mul(s.Sub(to, from), s.I(s.w.run))
}

// add sums up the members' parts of n rows, a row by one member, and stores the results.
func (s *sharing) add(row, n *spmd.Value) {
	w, panel := int64(s.Target.Lanes), s.matrix.panel
	s.For(s.member, n, s.members, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		at := s.Mul(i, s.I(panel))
		for off := int64(0); off < panel; off += w {
			sum := s.LoadV(s.parts, at, off)
			for m := int64(1); m < s.members; m++ {
				sum = s.Add(sum, s.LoadV(s.parts, at, m*sharedRows*panel+off))
			}
			s.store(s.Add(row, i), off, sum)
		}
		return nil
	})
}

// groups multiplies rows by codes that have a scale for each group: a member makes the sums of its groups, and then of a row all of y.
func (s *sharing) groups(lo, hi *spmd.Value) {
	w, panel, count := int64(s.Target.Lanes), s.matrix.panel, s.matrix.scales.k
	sizes := s.rowSizes(s.Target)
	sums := s.Scratch(spmd.F32, sizes[0]*count*panel) // [rows][groups][columns]
	whole := s.matrix.k / s.group
	from, to := s.part(whole)
	rowLoop(s.Builder, lo, hi, sizes, func(row *spmd.Value, rows int) {
		t := s.tile(row, rows)
		if s.x.elem == spmd.I32 {
			t.rowSums = s.Scratch(spmd.F32, count*int64(rows))
		}
		t.sumsOfGroups(s.code, from, to, s.member, func(g *spmd.Value, off int64, sum [][]*spmd.Value) {
			for i := range sum {
				for j := range sum[i] {
					s.StoreV(sums, s.Mul(g, s.I(panel)), (int64(i)*count+off)*panel+int64(j)*w, sum[i][j])
				}
			}
		})
		s.Barrier()
		s.For(s.member, s.I(int64(rows)), s.members, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			for off := int64(0); off < panel; off += w {
				s.scaled(s.Add(row, i), off, func(g *spmd.Value, u int64) *spmd.Value {
					return s.LoadV(sums, s.Add(s.Mul(g, s.I(panel)), s.Mul(i, s.I(count*panel))), u*panel+off)
				})
			}
			return nil
		})
		s.Barrier()
	})
}

// scaled stores a row's y = fma(sum of a group, its scale, y), groups ascending; sum gives that of group g+u.
func (s *sharing) scaled(row *spmd.Value, off int64, sum func(g *spmd.Value, u int64) *spmd.Value) {
	y := [][]*spmd.Value{{s.Splat(s.F(0))}}
	steps(s.Builder, y, s.I(0), s.I(s.matrix.scales.k), 4, func(g *spmd.Value, y [][]*spmd.Value, u int64) {
		scale := s.LoadV(s.scales, s.Mul(g, s.I(s.matrix.panel)), u*s.matrix.panel+off)
		y[0][0] = s.FMA(sum(g, u), scale, y[0][0])
	})
	s.store(row, off, y[0][0])
}
