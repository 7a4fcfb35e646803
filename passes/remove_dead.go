// Remove-dead takes out ops and weights that neither a result nor a next state needs.
//
// It runs before fusion because a use counts there even if nobody needs its result. A weight that goes away here is not packed.

package passes

import "github.com/ssmc/ssmc/ir"

// removeDead is the pass "remove-dead".
func removeDead(m *ir.Module, r *PassReport) error {
	f := m.Func
	before, weights := f.Ops, f.Weights
	kept := map[*ir.Op]bool{}
	f.Ops, f.Weights = append([]*ir.Op(nil), before...), append([]*ir.Value(nil), weights...)
	f.RemoveDead()
	for _, op := range f.Ops {
		kept[op] = true
	}
	for _, op := range before {
		if !kept[op] {
			r.Fired(op, "nothing needs it")
		}
	}
	live := map[*ir.Value]bool{}
	for _, v := range f.Weights {
		live[v] = true
	}
	for _, v := range weights {
		if !live[v] {
			r.Events = append(r.Events, Event{Fired: true, Op: "weight %" + v.Name, From: v.From, What: "nothing reads it"})
		}
	}
	return nil
}
