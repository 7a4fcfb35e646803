// Fuse-scan joins what makes the operands of a selective scan, the scan, its skip and its gate into one scan group.
//
// It pays because exp(dt*A) and dt*u*B are T x E x N each, 16 to 128 times as large as the rows around them: in the group they are made
// where they are used and never stored. The softplus of dt, its bounds and a narrow dt projection come along if nothing else reads them,
// and so do the skip and the gate behind the scan.
//
// An intermediate with another use stays outside, and what it is needed for with it: it would be computed twice. If exp(dt*A) or dt*u*B
// stays outside, the group holds the scan alone, and its note says why.

package passes

import (
	"fmt"

	"github.com/ssmc/ssmc/ir"
)

// fuseScan is the pass "fuse-scan".
func fuseScan(m *ir.Module, r *PassReport) error {
	f := m.Func
	privateViews(f)
	gm := newGroupMaker(f)
	for _, op := range inOrder(f, scansOf(f)) {
		match, err := growScan(f, op)
		if err != nil {
			gm.group(ir.GroupScan, []*ir.Op{op}).Note += ", not fused: " + err.Error()
			r.Skip(op, "%v", err)
			continue
		}
		gm.group(ir.GroupScan, inOrder(f, match.seen))
		r.Fired(op, "%s", describeScan(&match.parts))
		for _, why := range match.left {
			r.Skip(op, "%s", why)
		}
	}
	return gm.arrange()
}

// scansOf is the set of scans that are in no group.
func scansOf(f *ir.Func) map[*ir.Op]bool {
	set := map[*ir.Op]bool{}
	for _, op := range f.Ops {
		if op.Code == ir.OpScan && op.Group == nil {
			set[op] = true
		}
	}
	return set
}

// growScan finds the largest group around a scan whose intermediates have no use outside of it.
//
// It starts with all ops that could be in it, matches, and takes out what the match has no part for; what then has a use outside is taken
// out as well, until nothing changes. Each round is smaller, so it ends.
func growScan(f *ir.Func, scan *ir.Op) (*scanMatcher, error) {
	uses := f.AllUses()
	next := scan.Results[1]
	if q, _ := only(next, uses); q != nil && q.Code == ir.OpQuantize { // it is stored as codes
		next = q.Result()
	}
	for _, u := range uses[next] {
		if !u.Next {
			return nil, fmt.Errorf("the state after the step, %%%s, %s", next.Name, useNames(uses[next]))
		}
	}
	candidates := map[*ir.Op]bool{}
	for _, op := range f.Ops {
		candidates[op] = op.Group == nil
	}
	for {
		m := &scanMatcher{inside: func(op *ir.Op) bool { return candidates[op] }}
		m.why = func(v *ir.Value) string { return whyOutside(v, uses) }
		if err := m.match(scan, uses); err != nil {
			return nil, err
		}
		leak := false
		for op := range m.seen {
			if v := op.Result(); v != m.parts.Y && v != m.parts.H1 && leaks(uses[v], m.seen) {
				delete(candidates, op)
				leak = true
			}
		}
		if !leak {
			return m, nil
		}
	}
}

// leaks says whether something outside of set reads a value with these uses.
func leaks(uses []ir.Use, set map[*ir.Op]bool) bool {
	for _, u := range uses {
		if u.Op == nil || !set[u.Op] {
			return true
		}
	}
	return false
}

// whyOutside says why the op that makes v is not in the group.
func whyOutside(v *ir.Value, uses map[*ir.Value][]ir.Use) string {
	if v.Def != nil && v.Def.Group != nil {
		return fmt.Sprintf("%%%s is in group g%d", v.Name, v.Def.Group.ID)
	}
	return fmt.Sprintf("%%%s %s", v.Name, useNames(uses[v]))
}

// describeScan says what a match is of.
func describeScan(p *ScanParts) string {
	s := fmt.Sprintf("E=%d N=%d H=%d G=%d", p.E, p.N, p.H, p.G)
	for _, part := range []struct {
		there bool
		name  string
	}{
		{p.DTProj != nil, "dt projection"}, {p.DTBias != nil, "dt bias"}, {p.Softplus, "softplus"},
		{p.Lo > 0 || p.Hi < 1e30, "bounds"}, {p.D != nil, "skip"}, {p.Gate != nil, "gate"},
	} {
		if part.there {
			s += ", " + part.name
		}
	}
	return s
}
