package passes

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/ir"
)

// GroupOps lists the ops of a group in order.
func GroupOps(f *ir.Func, g *ir.Group) []*ir.Op {
	var ops []*ir.Op
	for _, op := range f.Ops {
		if op.Group == g {
			ops = append(ops, op)
		}
	}
	return ops
}

// Groups lists the groups of a function in the order in which they can be computed.
func Groups(f *ir.Func) []*ir.Group {
	var out []*ir.Group
	var last *ir.Group
	for _, op := range f.Ops {
		if op.Group != last && op.Group != nil {
			out = append(out, op.Group)
		}
		last = op.Group
	}
	return out
}

// Anchor returns the op that a group is built around: the scan, the linear, the row reduction, or the op that moves rows. A map group of
// elementwise ops only has none.
func Anchor(f *ir.Func, g *ir.Group) *ir.Op { return anchorOf(GroupOps(f, g)) }

func anchorOf(ops []*ir.Op) *ir.Op {
	for _, rank := range [...]func(*ir.Op) bool{
		func(op *ir.Op) bool { return op.Code == ir.OpScan },
		func(op *ir.Op) bool { return op.Code == ir.OpLinear },
		func(op *ir.Op) bool { return !fluid(op) },
	} {
		if i := slices.IndexFunc(ops, rank); i >= 0 {
			return ops[i]
		}
	}
	return nil
}

// fluid says whether op can be computed wherever its result is used, element by element: elementwise ops and reshapes.
func fluid(op *ir.Op) bool { return op.Code.Elementwise() || op.Code == ir.OpReshape }

// rowReduction says whether op reduces rows over their last axis.
func rowReduction(op *ir.Op) bool {
	switch op.Code {
	case ir.OpRMSNorm, ir.OpLayerNorm, ir.OpHadamard, ir.OpRowScale:
		return true
	case ir.OpReduce:
		t := op.Args[0].Type
		return op.Attrs.Axis == t.Rank()-1 && t.Rank() > 1
	}
	return false
}

// Inputs lists what a group reads and does not make: values first, then weights, each once and in order of first use. States are among
// the values.
func Inputs(f *ir.Func, g *ir.Group) []*ir.Value {
	var values, weights []*ir.Value
	seen := map[*ir.Value]bool{nil: true}
	for _, op := range GroupOps(f, g) {
		for _, a := range op.Args {
			if seen[a] || a.Def != nil && a.Def.Group == g {
				continue
			}
			seen[a] = true
			if a.Weight != nil {
				weights = append(weights, a)
			} else {
				values = append(values, a)
			}
		}
	}
	return append(values, weights...)
}

// Outputs lists what a group makes that something outside reads, in order.
func Outputs(f *ir.Func, g *ir.Group) []*ir.Value {
	uses := f.AllUses()
	var out []*ir.Value
	for _, op := range GroupOps(f, g) {
		for _, v := range op.Results {
			if slices.ContainsFunc(uses[v], func(u ir.Use) bool { return u.Op == nil || u.Op.Group != g }) {
				out = append(out, v)
			}
		}
	}
	return out
}

// CheckGroups says whether the kernel templates can take the function's groups: every op in a group, one anchor in each, and one value
// that others read, apart from next states and, behind a linear, the codes of that value. All problems at once.
func CheckGroups(m *ir.Module) error {
	f := m.Func
	var errs []error
	members := map[*ir.Group][]*ir.Op{}
	for _, op := range f.Ops {
		if op.Group == nil {
			errs = append(errs, fmt.Errorf("%s is in no group", opName(op)))
			continue
		}
		members[op.Group] = append(members[op.Group], op)
	}
	uses := f.AllUses()
	for _, g := range Groups(f) {
		if err := checkGroup(g, members[g], uses); err != nil {
			errs = append(errs, fmt.Errorf("group g%d (%s): %w", g.ID, g.Note, err))
		}
	}
	return errors.Join(errs...)
}

// checkGroup checks one group.
func checkGroup(g *ir.Group, ops []*ir.Op, uses map[*ir.Value][]ir.Use) error {
	anchor := anchorOf(ops)
	exits := 0
	for _, op := range ops {
		for _, v := range op.Results {
			if readOutside(uses[v], g) && !besideValue(g, op, uses) {
				exits++
			}
		}
		switch {
		case op == anchor || fluid(op):
		case g.Kind == ir.GroupContract && op.Code == ir.OpConv:
		case g.Kind == ir.GroupMap && op.Code == ir.OpRowScale:
		case g.Kind == ir.GroupScan && op.Code == ir.OpLinear:
		default:
			return fmt.Errorf("%s beside the anchor %s", opName(op), opName(anchor))
		}
	}
	if exits > 1 {
		return fmt.Errorf("%d of its values are read by others, want one", exits)
	}
	switch {
	case g.Kind == ir.GroupContract && (anchor == nil || anchor.Code != ir.OpLinear):
		return errors.New("a contract group without a linear")
	case g.Kind == ir.GroupScan && (anchor == nil || anchor.Code != ir.OpScan):
		return errors.New("a scan group without a scan")
	case g.Kind == ir.GroupMap && anchor != nil && (anchor.Code == ir.OpLinear || anchor.Code == ir.OpScan):
		return fmt.Errorf("a map group with %s", opName(anchor))
	}
	return nil
}

// readOutside says whether an op or a result outside of g reads a value. A next state does not count: it is memory of the sequence.
func readOutside(uses []ir.Use, g *ir.Group) bool {
	return slices.ContainsFunc(uses, func(u ir.Use) bool {
		return u.Op == nil && !u.Next || u.Op != nil && u.Op.Group != g
	})
}

// besideValue says whether op makes codes, or the scales of rows, that leave a group beside the value that they are of.
func besideValue(g *ir.Group, op *ir.Op, uses map[*ir.Value][]ir.Use) bool {
	switch {
	case g.Kind == ir.GroupMap && op.Code == ir.OpRowScale:
		return true
	case g.Kind == ir.GroupMap && op.Code == ir.OpQuantize:
		return scaledByRow(op)
	}
	return g.Kind == ir.GroupContract && op.Code == ir.OpQuantize && readOutside(uses[op.Args[0]], g)
}

// scaledByRow says whether op makes codes under a scale for each row of the same value.
func scaledByRow(op *ir.Op) bool {
	if op.Args[1] == nil || op.Args[1].Def == nil || op.Args[1].Def.Code != ir.OpRecip {
		return false
	}
	s := op.Args[1].Def.Args[0].Def
	return s != nil && s.Code == ir.OpRowScale && s.Args[0] == op.Args[0]
}

// groupMaker gives groups their numbers, and ops their groups.
type groupMaker struct {
	f    *ir.Func
	next int
}

func newGroupMaker(f *ir.Func) *groupMaker {
	gm := &groupMaker{f: f}
	for _, g := range Groups(f) {
		gm.next = max(gm.next, g.ID+1)
	}
	return gm
}

// group puts ops into a new group.
func (gm *groupMaker) group(kind ir.GroupKind, ops []*ir.Op) *ir.Group {
	g := &ir.Group{ID: gm.next, Kind: kind, Note: note(kind, ops)}
	gm.next++
	for _, op := range ops {
		op.Group = g
	}
	return g
}

// arrange makes groups contiguous, in an order in which they can be computed. Groups with one exit never wait for each other, so that it
// fails only if a pass has a bug.
func (gm *groupMaker) arrange() error {
	if !gm.f.Sort() {
		return errors.New("groups depend on each other in a circle")
	}
	return nil
}

// privateViews gives each op that reads a reshape of a computed value, or a number, its own: both cost nothing, and a group should not
// wait for another's. Ops in groups are left alone.
func privateViews(f *ir.Func) {
	names := f.Names()
	uses := f.AllUses()
	var out []*ir.Op
	for _, op := range f.Ops {
		out = append(out, op)
		if op.Group != nil || op.Code != ir.OpReshape && op.Code != ir.OpConst {
			continue
		}
		first := true
		mine := map[*ir.Op]*ir.Value{}
		for _, u := range uses[op.Result()] {
			if u.Op == nil {
				first = false
				continue
			}
			if mine[u.Op] == nil {
				mine[u.Op] = op.Result()
				if !first {
					c := cloneOp(op, names)
					out = append(out, c)
					mine[u.Op] = c.Result()
				}
				first = false
			}
			u.Op.Args[u.Index] = mine[u.Op]
		}
	}
	f.Ops = out
}

// cloneOp copies an op of one result.
func cloneOp(op *ir.Op, names *ir.Names) *ir.Op {
	c, v := *op, *op.Result()
	v.Name, v.Def = names.Unique(v.Name), &c
	c.Args, c.Results = slices.Clone(op.Args), []*ir.Value{&v}
	c.Attrs.Shape = slices.Clone(op.Attrs.Shape)
	return &c
}
