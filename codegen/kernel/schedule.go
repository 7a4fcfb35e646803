package kernel

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// placeStates gives each state of a task its place in the slot.
func (p *planner) placeStates(t *task) {
	for _, e := range t.ext {
		if _, placed := p.stateAt[e.value]; e.use != useState || placed {
			continue
		}
		p.stateAt[e.value] = p.slotBytes
		p.states = append(p.states, StateLayout{Name: e.value.State.Name, Offset: p.slotBytes, Shape: e.value.State.Shape,
			DType: dtypeNames[e.elem], Block: e.layout.Block, Pad: e.layout.Pad})
		p.slotBytes += roundUp(e.layout.size(e.c, e.k)*e.elem.Bytes(), 64)
	}
}

// placeWeights lays the weights in the order in which a step reads them, so that decoding is one forward stream over the file.
func (p *planner) placeWeights() {
	var at int64
	for _, t := range p.byLevel() {
		for _, e := range t.ext {
			key := weightKey{e.value, e.packing}
			if _, done := p.weightAt[key]; e.use != useWeight || done {
				continue
			}
			piece := newPiece(e.value.Weight, e.packing, e.c, e.k)
			piece.Offset = at
			if last := len(p.pieces) - 1; last >= 0 && p.pieces[last].weight == piece.weight {
				p.pieces[last].again = true
			}
			p.weightAt[key] = at
			p.pieces = append(p.pieces, piece)
			at += piece.Bytes
		}
	}
	// Kernels read whole vectors and prefetch ahead: there is something behind the last weight too.
	const slack = 4096
	p.pieces = append(p.pieces, Piece{Name: "slack", DType: "F32", Shape: []int{slack / 4}, Offset: at, Bytes: slack})
}

// byLevel gives every task its phase, one behind the last of those that it reads from, and sorts by phase.
func (p *planner) byLevel() []*task {
	made := map[*ir.Value]*task{}
	for _, t := range p.list {
		for _, e := range t.ext {
			if e.use == useRead || e.use == useReadWords {
				if from := made[e.value]; from != nil {
					t.level = max(t.level, from.level+1)
				}
			}
		}
		for _, e := range t.ext {
			if e.use == useWrite {
				made[e.value] = t
			}
		}
	}
	last := p.list[len(p.list)-1] // the sampler reads the logits
	for _, t := range p.list[:len(p.list)-1] {
		last.level = max(last.level, t.level+1)
	}
	sort.SliceStable(p.list, func(i, j int) bool { return p.list[i].level < p.list[j].level })
	p.evenTiles()
	return p.list
}

// evenTiles makes the tiles of a phase alike: workers get equal numbers of them. Beside a contraction whose tiles own all rows (a convolution
// follows), the others' tiles do too.
func (p *planner) evenTiles() {
	whole := map[int]bool{}
	for _, t := range p.list {
		if t.grid.By == spmd.ByOne && !t.fixed {
			whole[t.level] = true
		}
	}
	for _, t := range p.list {
		if whole[t.level] && t.grid.By == spmd.ByRowBlocks && !t.fixed {
			t.grid = spmd.Grid{Panels: t.grid.Panels, Most: t.grid.Most}
		}
	}
}

// placeRows gives every activation its place in work memory; two whose lives do not meet may share it.
func (p *planner) placeRows() {
	type life struct {
		v           *ir.Value
		first, last int
	}
	lives := map[*ir.Value]*life{}
	var order []*life
	for _, t := range p.list {
		for _, e := range t.ext {
			if e.use != useRead && e.use != useReadWords && e.use != useWrite {
				continue
			}
			l := lives[e.value]
			if l == nil {
				l = &life{v: e.value, first: t.level}
				lives[e.value] = l
				order = append(order, l)
			}
			l.last = t.level
		}
	}
	for _, v := range p.m.Func.Returns[1:] { // kept to the end
		if l := lives[root(v)]; l != nil {
			l.last = math.MaxInt
		}
	}
	type area struct{ at, size int64 }
	busy := map[*life]area{}
	for _, l := range order {
		// Vectors are read and written whole: the last row needs room behind it.
		size := roundUp(p.maxRows*stride(l.v)*rowElem(l.v).Bytes()+128, 64)
		var taken []area
		for other, a := range busy {
			if other.first <= l.last && l.first <= other.last {
				taken = append(taken, a)
			}
		}
		sort.Slice(taken, func(i, j int) bool { return taken[i].at < taken[j].at })
		var at int64
		for _, a := range taken {
			if at+size <= a.at {
				break
			}
			at = max(at, a.at+a.size)
		}
		busy[l] = area{at, size}
		p.rowsAt[l.v] = at
		p.workBytes = max(p.workBytes, at+size)
	}
}

// args are a task's parameters: byte offsets into their spaces.
func (p *planner) args(t *task) []int64 {
	args := make([]int64, len(t.ext))
	for i, e := range t.ext {
		switch e.use {
		case useRead, useReadWords, useWrite:
			args[i] = p.rowsAt[e.value]
		case useCount:
			args[i] = p.countAt[e]
		case useWeight:
			args[i] = p.weightAt[weightKey{e.value, e.packing}]
		case useState:
			args[i] = p.stateAt[e.value]
		}
	}
	return args
}

// program builds the kernels for a target and the table of phases.
func (p *planner) program(target spmd.Target) (*spmd.Program, error) {
	prog := &spmd.Program{Name: p.m.Family, Target: target, WorkBytes: p.workBytes, SlotBytes: max(64, p.slotBytes),
		LogitsStride: p.logitsStride, Vocab: elements(p.logits), MaxRows: p.maxRows, MaxSeqs: p.maxSeqs}
	last := p.pieces[len(p.pieces)-1]
	prog.WeightBytes = last.Offset + last.Bytes
	kernels := map[string]int{}
	for _, t := range p.list {
		sig := t.signature()
		index, ok := kernels[sig]
		if !ok {
			kernel, err := t.emit(p, kernelName(t, len(prog.Kernels)), target)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.note, err)
			}
			index = len(prog.Kernels)
			kernels[sig] = index
			prog.Kernels = append(prog.Kernels, kernel)
			prog.TeamBytes = max(prog.TeamBytes, kernel.Team)
		}
		if n := len(prog.Phases); n == 0 || t.level != p.levelOf(n-1) {
			prog.Phases = append(prog.Phases, spmd.Phase{Name: t.note, Needs: t.needs})
		}
		phase := &prog.Phases[len(prog.Phases)-1]
		phase.MinRows, phase.MinChosen = min(phase.MinRows, t.needs.MinRows), min(phase.MinChosen, t.needs.MinChosen)
		phase.Launches = append(phase.Launches, spmd.Launch{Kernel: index, Args: p.args(t), Grid: t.grid, Note: t.note})
	}
	prog.TeamBytes = roundUp(max(prog.TeamBytes, 64), 4096)
	return prog, nil
}

// levelOf is the level of phase i: levels without tasks do not become phases.
func (p *planner) levelOf(i int) int {
	n, last := -1, -1
	for _, t := range p.list {
		if t.level != last {
			n, last = n+1, t.level
		}
		if n == i {
			break
		}
	}
	return last
}

func (p *planner) costs() [][]Cost {
	var out [][]Cost
	last := -1
	for _, t := range p.list {
		if t.level != last {
			out = append(out, nil)
			last = t.level
		}
		c := Cost{Flops: t.flops}
		for _, e := range t.ext {
			if e.use == useWeight && !e.bytes {
				piece := newPiece(e.value.Weight, e.packing, e.c, e.k)
				c.WeightBytes += piece.Bytes
			}
		}
		if t.again {
			c = Cost{}
		}
		if t.group != nil && t.group.Kind == ir.GroupMap { // a gather reads a row of its table, not all of it
			c.WeightBytes = 0
		}
		out[len(out)-1] = append(out[len(out)-1], c)
	}
	return out
}

// kernelName says what a kernel is, for symbols and profiles: the template, its sizes, and a number that makes it unique.
func kernelName(t *task, n int) string {
	shape, _, _ := strings.Cut(t.shape.String(), ":")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, shape)
	return fmt.Sprintf("k%d_%s", n, name)
}
