package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// Options says what the packed weights and a step look like.
type Options struct {
	Weights string // element type of matrices: "as-is" (the checkpoint's), "f32" or "bf16"; vectors, A and the convolution's taps are f32 always
	MaxRows int    // rows of a step at most; 0: 512
	MaxSeqs int    // sequences of a step at most; 0: 256
	Fast    bool   // products of many rows of floats may round to bf16 or tf32 and sum in any order, on targets that gain by it
}

// weightModes are the values of Options.Weights.
var weightModes = map[string]spmd.Elem{"as-is": spmd.Bool /* the checkpoint's own */, "f32": spmd.F32, "bf16": spmd.BF16}

// StateLayout says where a state lies within a slot: element (c, k), where k is the last axis of Shape and c counts all others, is the
// element
//
//	(c/Block)*K*Pad + k*Pad + c%Block
//
// from Offset on.
type StateLayout struct {
	Name       string
	Offset     int64  // bytes from the slot's start
	DType      string // F32 or I8
	Shape      []int
	Block, Pad int64
}

// Cost is what a launch moves and computes.
type Cost struct {
	WeightBytes int64 // read once a step
	Flops       int64 // per row (or per wanted row, behind the gather of outs)
}

// Plan is a compiled model before machine code: one program a target, the weights that they read and what a slot holds.
type Plan struct {
	Programs []*spmd.Program
	Pieces   []Piece
	States   []StateLayout
	Kept     []Kept
	Counters []Counter
	Costs    [][]Cost // by phase and launch
}

// Kept is an activation that the function returns beside the logits: after a step its rows are still in work memory. Calibration reads them.
type Kept struct {
	Name         string
	Offset       int64 // bytes into work memory
	Stride       int64 // elements from row to row
	Columns      int64
	PerWantedRow bool // one row for each of the step's wanted rows, not for each row
}

// Build plans a module whose ops are all in groups (passes.Run). All programs have the same phases, arguments and memory.
func Build(m *ir.Module, targets []spmd.Target, o Options) (*Plan, error) {
	p, err := newPlanner(m, targets, o)
	if err != nil {
		return nil, err
	}
	if err := p.tasks(); err != nil {
		return nil, err
	}
	p.placeWeights()
	p.placeRows()
	p.placeCounters()
	plan := &Plan{Pieces: p.pieces, States: p.states, Counters: p.counters}
	for _, v := range m.Func.Returns[1:] {
		r := root(v)
		plan.Kept = append(plan.Kept, Kept{Name: v.Name, Offset: p.rowsAt[r], Stride: stride(r), Columns: elements(r), PerWantedRow: perRow(r) == ir.Outs})
	}
	for _, t := range targets {
		prog, err := p.program(t)
		if err != nil {
			return nil, fmt.Errorf("%s for %s: %w", m.Family, t.Name, err)
		}
		plan.Programs = append(plan.Programs, prog)
	}
	plan.Costs = p.costs()
	return plan, nil
}

// planner holds what Build finds out, in the order of its steps.
type planner struct {
	m            *ir.Module
	elem         spmd.Elem // of matrices; Bool: as in the checkpoint
	lanes        int64     // of the widest target, at least 16: memory is the same for all
	laneBytes    int64     // what a lane of the targets loads at once; 0: an element
	members      int64     // that can share a tile, on all targets
	quads        bool      // four of them multiply together
	fast         bool
	maxRows      int64
	maxSeqs      int64
	logits       *ir.Value
	logitsStride int64
	uses         map[*ir.Value][]*ir.Op
	multiplied   map[*ir.Value]form      // how the weights that linear ops read are packed
	signed       bool                    // a target multiplies narrow forms
	products     map[*ir.Value]bool      // rows of codes that are multiplied by codes of eight bits
	narrows      map[*ir.Value]*ir.Value // by these: what stands for their narrow form
	runs         map[*ir.Value]int64     // units of them that a lane loads at once, where that is more than one
	list         []*task                 // in order of execution
	slotBytes    int64
	states       []StateLayout
	stateAt      map[*ir.Value]int64
	pieces       []Piece
	weightAt     map[weightKey]int64
	rowsAt       map[*ir.Value]int64
	workBytes    int64
	counters     []Counter
	countAt      map[*external]int64
}

type weightKey struct {
	v  *ir.Value
	pk packing
}

func newPlanner(m *ir.Module, targets []spmd.Target, o Options) (*planner, error) {
	elem, ok := weightModes[o.Weights]
	if o.Weights == "" {
		elem, ok = spmd.Bool, true
	}
	if !ok {
		return nil, fmt.Errorf("weights %q: want as-is, f32 or bf16", o.Weights)
	}
	lanes, signed := int64(16), false
	for _, t := range targets {
		lanes = max(lanes, int64(t.Lanes))
		signed = signed || t.Dot == spmd.DotSigned
		if t.LaneBytes != targets[0].LaneBytes {
			return nil, fmt.Errorf("targets %s and %s want other orders of the weights: compile each by itself", targets[0].Name, t.Name)
		}
		if t.Members != targets[0].Members || t.Quads != targets[0].Quads {
			return nil, fmt.Errorf("targets %s and %s have other teams: compile each by itself", targets[0].Name, t.Name)
		}
	}
	p := &planner{m: m, elem: elem, fast: o.Fast, lanes: lanes, signed: signed, countAt: map[*external]int64{}, maxRows: int64(o.MaxRows), maxSeqs: int64(o.MaxSeqs), uses: map[*ir.Value][]*ir.Op{},
		multiplied: map[*ir.Value]form{}, products: map[*ir.Value]bool{}, narrows: map[*ir.Value]*ir.Value{}, runs: map[*ir.Value]int64{}, stateAt: map[*ir.Value]int64{}, weightAt: map[weightKey]int64{}, rowsAt: map[*ir.Value]int64{}}
	if p.maxRows == 0 {
		p.maxRows = 512
	}
	if p.maxSeqs == 0 {
		p.maxSeqs = 256
	}
	if len(targets) > 0 {
		p.laneBytes, p.members, p.quads = int64(targets[0].LaneBytes), int64(targets[0].Members), targets[0].Quads
	}
	if len(m.Func.Returns) == 0 {
		return nil, fmt.Errorf("the function returns nothing, want the logits first")
	}
	p.logits = m.Func.Returns[0]
	if perRow(p.logits) != ir.Outs {
		return nil, fmt.Errorf("%%%s is %v, want logits of the wanted rows [O, vocabulary]", p.logits.Name, p.logits.Type)
	}
	p.logitsStride = roundUp(elements(p.logits), 32)
	for _, op := range m.Func.Ops {
		for _, a := range op.Args {
			if a != nil {
				p.uses[a] = append(p.uses[a], op)
			}
		}
		if op.Code == ir.OpLinear {
			p.multiplied[op.Args[1]] = productForm(op.Args[0], op.Args[1])
			if p.multiplied[op.Args[1]] == words {
				p.products[root(op.Args[0])] = true
			}
			p.planRuns(op)
		}
	}
	return p, nil
}

// matrixElem is the packed element type of a matrix.
func (p *planner) matrixElem(w *ir.Weight) spmd.Elem {
	if p.elem != spmd.Bool && w.DType.Float() {
		return p.elem
	}
	switch w.DType {
	case ir.BF16:
		return spmd.BF16
	case ir.F16:
		return spmd.F16
	case ir.I8:
		return spmd.I8
	}
	return spmd.F32
}

// outputs are the values of a group that something outside of it reads: they go through memory.
func (p *planner) outputs(g *ir.Group) []*ir.Value {
	var outs []*ir.Value
	for _, op := range p.m.Func.Ops {
		if op.Group != g {
			continue
		}
		for _, r := range op.Results {
			if p.isState(r) {
				continue
			}
			out := slices.Contains(p.m.Func.Returns, r) || counted(r) // what is counted is counted where it is stored
			for _, u := range p.uses[r] {
				out = out || u.Group != g
			}
			if out {
				outs = append(outs, r)
			}
		}
	}
	return outs
}

// writes declares what a task leaves: logits have a space of their own.
func (p *planner) writes(t *task, vs []*ir.Value) {
	for _, v := range vs {
		if v == p.logits {
			t.input(useLogits)
		} else {
			t.write(v)
		}
	}
}

func (p *planner) isState(v *ir.Value) bool {
	return slices.Contains(p.m.Func.NextStates, v)
}

// tasks makes the tasks of every group and collects all that has no kernel.
func (p *planner) tasks() error {
	var errs []error
	ops := map[*ir.Group][]*ir.Op{}
	var groups []*ir.Group
	for _, op := range p.m.Func.Ops {
		switch {
		case op.Group != nil:
			if ops[op.Group] == nil {
				groups = append(groups, op.Group)
			}
			ops[op.Group] = append(ops[op.Group], op)
		case op.Code != ir.OpConst && op.Code != ir.OpReshape:
			errs = append(errs, fmt.Errorf("op %v (%%%s) is in no group", op.Code, op.Results[0].Name))
		}
	}
	for _, g := range groups {
		ts, err := p.groupTasks(g, ops[g])
		if err != nil {
			errs = append(errs, fmt.Errorf("%v group g%d (%s): %w", g.Kind, g.ID, g.Note, err))
			continue
		}
		for _, t := range ts {
			p.placeStates(t)
		}
		p.list = append(p.list, ts...)
	}
	s, err := newSampler(elements(p.logits), p.logitsStride)
	if err != nil {
		errs = append(errs, err)
	}
	p.list = append(p.list, s)
	p.slotBytes = oddLines(p.slotBytes)
	return errors.Join(errs...)
}

func (p *planner) groupTasks(g *ir.Group, ops []*ir.Op) ([]*task, error) {
	convolves := slices.ContainsFunc(ops, func(op *ir.Op) bool { return op.Code == ir.OpConv })
	switch {
	case g.Kind == ir.GroupScan:
		return p.newScan(g)
	case g.Kind == ir.GroupContract, convolves:
		return p.contractions(g, ops)
	case g.Kind == ir.GroupMap:
		t, err := p.newMap(g, ops)
		return []*task{t}, err
	}
	return nil, fmt.Errorf("there is no template for it")
}
