package kernel

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// use is what a task does with something outside of it: which memory a parameter points to, and in which order the data lie there.
type use uint8

const (
	useRead      use = iota // rows of activations
	useReadWords            // rows of codes, four at a time
	useWrite                // rows of activations
	useWeight               // a packed weight
	useState                // a sequence's state, within its slot
	useIDs
	useSeqStart
	useSeqSlot
	useOutRow
	useLogits
	useSampling
	useOdds
	useChosen
	useCount // numbers of each tile: clamped values
)

// external is one parameter of a task's kernel.
type external struct {
	use     use
	value   *ir.Value // what it is; nil for the step's own arrays
	packing           // weights and states; rows: the element type alone
	bytes   bool      // the kernel sees it byte by byte (mma8), whatever its elements are
	c, k    int64     // weights and states: logical shape
	ptr     *spmd.Value
}

// task is one kernel launch in the making: a group of the graph, or a part of one.
type task struct {
	group *ir.Group
	note  string
	ext   []*external
	grid  spmd.Grid
	// shape is what the kernel's code depends on, beside the externals: tasks of the same text share a kernel.
	shape  strings.Builder
	build  func(k *code) // emits the kernel's body
	level  int           // phase
	cols   int64         // of a map's rows, where some operands have fewer
	flops  int64         // operations a row
	needs  spmd.Needs    // the phase is skipped by a step that has less
	fixed  bool          // the grid is as it must be
	shared bool          // all members of a team do a tile together
	again  bool          // another way to do what the task before it does
}

func newTask(g *ir.Group, note string) *task { return &task{group: g, note: note} }

func (t *task) find(u use, v *ir.Value) *external {
	for _, e := range t.ext {
		if e.use == u && e.value == v && !e.bytes {
			return e
		}
	}
	return nil
}

func (t *task) add(e external) *external {
	for _, old := range t.ext {
		if old.use == e.use && old.value == e.value && old.packing == e.packing && old.bytes == e.bytes {
			return old
		}
	}
	x := e
	t.ext = append(t.ext, &x)
	return &x
}

// rowElem is the element type of activations in memory; codes of four bits, which an embedding's row is made of, take a byte each there.
func rowElem(v *ir.Value) spmd.Elem {
	if v.Type.DType == ir.I8 || v.Type.DType == ir.I4 {
		return spmd.I8
	}
	return spmd.F32
}

// read and write declare rows of activations; readWords rows of codes, four to an element; input one of the step's own arrays.
func (t *task) read(v *ir.Value) *external {
	return t.add(external{use: useRead, value: root(v), packing: packing{elem: rowElem(v)}})
}

func (t *task) readWords(v *ir.Value) *external {
	return t.add(external{use: useReadWords, value: root(v), packing: packing{elem: spmd.I32}})
}

func (t *task) write(v *ir.Value) *external {
	return t.add(external{use: useWrite, value: root(v), packing: packing{elem: rowElem(v)}})
}

// state declares a state of c channels with k elements each.
func (t *task) state(v *ir.Value, l layout, c, k int64) *external {
	e := spmd.F32
	if v.Type.DType == ir.I8 {
		e = spmd.I8
	}
	return t.add(external{use: useState, value: v, packing: packing{layout: l, elem: e}, c: c, k: k})
}

// counter declares the place where clamped values of the codes v are counted.
func (t *task) counter(v *ir.Value) *external {
	return t.add(external{use: useCount, value: v, packing: packing{elem: spmd.I32}})
}

func (t *task) input(u use) *external { return t.add(external{use: u}) }

// weight declares a packed weight of logical shape [c, k].
func (t *task) weight(v *ir.Value, pk packing, c, k int64) *external {
	return t.add(external{use: useWeight, value: v, packing: pk, c: c, k: k})
}

// vector declares a weight with one element a column, in float32.
func (t *task) vector(v *ir.Value) *external {
	return t.weight(v, vectorPacking, elements(v), 1)
}

var vectorPacking = packing{layout: panels(32), elem: spmd.F32}

// vectorOf is the pointer of a declared vector.
func (t *task) vectorOf(v *ir.Value) *spmd.Value {
	for _, e := range t.ext {
		if e.use == useWeight && e.value == v && e.packing == vectorPacking {
			return e.ptr
		}
	}
	return nil
}

// elements is the number of elements of a value without symbolic extents, or of one row of it.
func elements(v *ir.Value) int64 {
	n := int64(1)
	for _, d := range v.Type.Shape {
		if !d.Symbolic() {
			n *= int64(d)
		}
	}
	return n
}

// root looks through reshapes that only rename the axes of a row.
func root(v *ir.Value) *ir.Value {
	for v.Def != nil && v.Def.Code == ir.OpReshape && perRow(v) == perRow(v.Def.Args[0]) {
		v = v.Def.Args[0]
	}
	return v
}

// perRow is the symbolic first extent of a value, or 0.
func perRow(v *ir.Value) ir.Dim {
	if len(v.Type.Shape) > 0 && v.Type.Shape[0].Symbolic() {
		return v.Type.Shape[0]
	}
	return 0
}

// stride is the distance of two rows of activations in elements: whole panels, and an odd number of cache lines, so that the same columns of
// many rows (a scan's tile) spread over all sets of a cache.
func stride(v *ir.Value) int64 {
	bytes := rowElem(v).Bytes()
	return oddLines(roundUp(elements(v), 32)*bytes) / bytes
}

// oddLines rounds a distance of bytes up to an odd number of cache lines.
func oddLines(bytes int64) int64 { return ((bytes+63)/64 | 1) * 64 }

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// signature is what decides a kernel's code: tasks with the same one share it.
func (t *task) signature() string {
	var s strings.Builder
	s.WriteString(t.shape.String())
	for _, e := range t.ext {
		fmt.Fprintf(&s, "|%d %v", e.use, e.bytes)
		switch e.use {
		case useRead, useReadWords, useWrite:
			fmt.Fprintf(&s, " %d %v", elements(e.value), e.elem)
		case useWeight, useState:
			fmt.Fprintf(&s, " %d %d %v", e.c, e.k, e.packing)
		}
	}
	fmt.Fprintf(&s, "|%v", t.grid)
	return s.String()
}

var inputSpaces = map[use]struct {
	name  string
	elem  spmd.Elem
	space spmd.Space
}{
	useIDs:      {"ids", spmd.I32, spmd.IDs},
	useSeqStart: {"seq_start", spmd.I32, spmd.SeqStart},
	useSeqSlot:  {"seq_slot", spmd.I32, spmd.SeqSlot},
	useOutRow:   {"out_row", spmd.I32, spmd.OutRow},
	useLogits:   {"logits", spmd.F32, spmd.Logits},
	useSampling: {"sampling", spmd.I32, spmd.Sampling},
	useOdds:     {"odds", spmd.F32, spmd.Odds},
	useChosen:   {"chosen", spmd.I32, spmd.Chosen},
}

// seen is the element type of the parameter.
func (e *external) seen() spmd.Elem {
	if e.bytes {
		return spmd.I8
	}
	return e.elem
}

// byBytes declares the same memory byte by byte.
func (t *task) byBytes(e *external) *external {
	x := *e
	x.bytes = true
	return t.add(x)
}

// code is a kernel being emitted for one target.
type code struct {
	*spmd.Builder
	t     *task
	plan  *planner
	panel *spmd.Value // index of the tile's panel
	block *spmd.Value // index of the tile's block of rows, or sequence
}

// emit builds the task's kernel.
func (t *task) emit(p *planner, name string, target spmd.Target) (*spmd.Kernel, error) {
	b := spmd.NewBuilder(name, target)
	for i, e := range t.ext {
		switch e.use {
		case useRead, useReadWords, useWrite:
			e.ptr = b.Param(fmt.Sprintf("rows%d", i), e.seen(), spmd.Work)
		case useCount:
			e.ptr = b.Param(fmt.Sprintf("count%d", i), e.seen(), spmd.Work)
		case useWeight:
			e.ptr = b.Param(fmt.Sprintf("w%d", i), e.seen(), spmd.Weights)
		case useState:
			e.ptr = b.Param(fmt.Sprintf("state%d", i), e.elem, spmd.State)
		default:
			in := inputSpaces[e.use]
			e.ptr = b.Param(in.name, in.elem, in.space)
		}
	}
	if t.shared {
		b.Share()
	}
	k := &code{Builder: b, t: t, plan: p}
	k.panel, k.block = k.place(t.grid)
	k.startCounts()
	t.build(k)
	return b.Finish()
}

// place splits the tile's index into panel and block.
func (k *code) place(g spmd.Grid) (panel, block *spmd.Value) {
	tile := k.Tile()
	n := k.I(1)
	switch g.By {
	case spmd.ByRowBlocks:
		n = k.Div(k.Add(k.Rows(), k.I(g.Block-1)), k.I(g.Block))
	case spmd.ByOutBlocks:
		n = k.Div(k.Add(k.Outs(), k.I(g.Block-1)), k.I(g.Block))
	case spmd.BySeqs:
		n = k.Seqs()
	}
	if g.By == spmd.ByOne {
		return tile, k.I(0)
	}
	if g.Panels == 1 {
		return k.I(0), tile
	}
	return k.Div(tile, n), k.Rem(tile, n)
}

// span is the tile's rows: its block of rows or outs.
func (k *code) span(g spmd.Grid) (lo, hi *spmd.Value) {
	n := k.Rows()
	if g.By == spmd.ByOutBlocks {
		n = k.Outs()
	}
	if g.By == spmd.ByOne {
		return k.I(0), n
	}
	lo = k.Mul(k.block, k.I(g.Block))
	return lo, k.Min(k.Add(lo, k.I(g.Block)), n)
}

// sequence is the rows of sequence s, and its slot.
func (k *code) sequence(s *spmd.Value) (lo, hi, slot *spmd.Value) {
	start, slots := k.t.find(useSeqStart, nil).ptr, k.t.find(useSeqSlot, nil).ptr
	lo, hi = k.Extend(k.Load(start, s, 0)), k.Extend(k.Load(start, s, 1))
	return lo, hi, k.Extend(k.Load(slots, s, 0))
}

// inSlot is where a state's element at lies within a slot.
func (k *code) inSlot(e *external, slot, at *spmd.Value) *spmd.Value {
	return k.Offset(e.ptr, k.Add(k.Mul(slot, k.I(k.plan.slotBytes/e.elem.Bytes())), at))
}
