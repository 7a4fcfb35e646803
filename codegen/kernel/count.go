package kernel

import (
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// Counter is where the values are counted that a quantize op with count had to clamp. Every member of every tile of the launch that makes the codes
// has Lanes numbers of its own in work memory, which hold, when the step is over, how many it clamped; their sum is the count. So tiles share
// nothing, and no number has to be added to by two of them.
type Counter struct {
	Name    string // of the value, in the graph
	Role    string
	Offset  int64 // bytes into work memory
	Lanes   int64 // 32-bit numbers for each tile, all its members together
	Grid    spmd.Grid
	Columns int64 // values in a row

	PerWantedRow bool // one row for each of the step's wanted rows, not for each row
}

// counted says whether v is codes whose clamped values are counted.
func counted(v *ir.Value) bool {
	return v.Def != nil && v.Def.Code == ir.OpQuantize && v.Def.Attrs.Count
}

// countTiles is how many tiles of a launch may count.
func (p *planner) countTiles(g spmd.Grid) int64 {
	return g.Panels * g.MostBlocks(p.maxRows, p.maxSeqs)
}

// countLanes is how many numbers a tile has: those of all members that do it.
func (p *planner) countLanes(t *task) int64 {
	if t.shared {
		return p.lanes * p.members
	}
	return p.lanes
}

// placeCounters gives each counter its place in work memory, behind all rows: it is kept to the step's end.
func (p *planner) placeCounters() {
	for _, t := range p.list {
		for _, e := range t.ext {
			if e.use != useCount {
				continue
			}
			p.counters = append(p.counters, Counter{Name: e.value.Name, Role: e.value.Role, Offset: p.workBytes, Lanes: p.countLanes(t), Grid: t.grid, Columns: elements(e.value), PerWantedRow: perRow(e.value) == ir.Outs})
			p.countAt[e] = p.workBytes
			p.workBytes += roundUp(4*p.countTiles(t.grid)*p.countLanes(t), 64)
		}
	}
}

// startCounts moves the pointers of the tile's counters to its own numbers, and clears them.
func (k *code) startCounts() {
	for _, e := range k.t.ext {
		if e.use != useCount {
			continue
		}
		at := k.Mul(k.Tile(), k.I(k.plan.countLanes(k.t)))
		if k.t.shared {
			at = k.Add(at, k.Mul(k.Member(), k.I(k.plan.lanes)))
		}
		e.ptr = k.Offset(e.ptr, at)
		for lane := int64(0); lane < k.plan.lanes; lane += int64(k.Target.Lanes) {
			k.StoreV(e.ptr, nil, lane, k.I32(0))
		}
	}
}

// count adds what clamping the codes v at the point changed, lane by lane; it leaves out lanes that belong to no column, or to another point.
func (k *code) count(p *point, v *ir.Value) {
	e := k.t.find(useCount, v)
	if e == nil {
		return
	}
	a, w, cols := &v.Def.Attrs, int64(k.Target.Lanes), elements(v)
	args := make([]*spmd.Value, len(v.Def.Args))
	for i, x := range v.Def.Args {
		if x != nil {
			args[i] = k.eval(p, x)
		}
	}
	var left *spmd.Value // lanes that count; nil: all
	limit := func(n *spmd.Value) {
		if left != nil {
			n = k.Min(left, n)
		}
		left = n
	}
	if p.own != 0 && p.own < w {
		limit(k.I(p.own))
	}
	if p.count != nil {
		limit(p.count)
	}
	if cols%32 != 0 { // else tiles, panels and vectors end where the row does
		n := k.I(cols - p.off)
		if p.col != nil {
			n = k.Sub(n, p.col)
		}
		limit(n)
	}
	if left != nil {
		left = k.Truncate(k.Min(k.Max(left, k.I(0)), k.I(math.MaxInt32)))
	}
	k.addClamped(e, a, k.Splat(unclamped(k.Builder, a, args)), left)
}

// addClamped adds, for the lanes below left (nil: all), whether t lies outside of the codes.
func (k *code) addClamped(e *external, a *ir.Attrs, t, left *spmd.Value) {
	within := k.And(k.Cmp(spmd.GE, t, k.F(lowestCode(a))), k.Cmp(spmd.LE, t, k.F(127)))
	one := k.Select(within, k.I32(0), k.I32(1))
	if left != nil {
		one = k.Select(k.Cmp(spmd.LT, k.Lane(), left), one, k.I32(0))
	}
	k.StoreV(e.ptr, nil, 0, k.Add(k.LoadV(e.ptr, nil, 0), one))
}
