// Share-common makes one op of those that compute the same from the same operands (common subexpressions), and one weight of those that
// are the same memory.
//
// It pays twice: the work is done once, and fusion, which goes by use counts, sees the true ones. Nothing here has side effects, so equal
// code, attributes and operands are enough.

package passes

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/ir"
)

// shareCommon is the pass "share-common".
func shareCommon(m *ir.Module, r *PassReport) error {
	f := m.Func
	first := map[string]*ir.Op{}
	same := map[*ir.Value]*ir.Value{} // what takes a value's place
	var gone []*ir.Op
	shareWeights(f, same)
	for _, op := range f.Ops {
		for i, a := range op.Args {
			if v, ok := same[a]; ok {
				op.Args[i] = v
			}
		}
		if op.Group != nil {
			continue
		}
		key := opKey(op)
		was, ok := first[key]
		if !ok {
			first[key] = op
			continue
		}
		for i, v := range op.Results {
			same[v] = was.Results[i]
			inheritRole(was.Results[i], v)
		}
		gone = append(gone, op)
		r.Fired(op, "is %%%s", was.Result().Name)
	}
	f.Remove(gone...)
	for _, list := range [][]*ir.Value{f.Returns, f.NextStates} {
		for i, v := range list {
			if w, ok := same[v]; ok {
				list[i] = w
			}
		}
	}
	return nil
}

// shareWeights maps values of one weight to the first of them.
func shareWeights(f *ir.Func, same map[*ir.Value]*ir.Value) {
	first := map[*ir.Weight]*ir.Value{}
	for _, v := range f.Weights {
		if was, ok := first[v.Weight]; ok {
			same[v] = was
		} else {
			first[v.Weight] = v
		}
	}
}

// opKey is equal for ops that compute the same.
func opKey(op *ir.Op) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %v", op.Code, op.Attrs)
	for _, a := range op.Args {
		fmt.Fprintf(&b, " %p", a)
	}
	return b.String()
}
