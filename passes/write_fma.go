// Write-fma turns a product that is only added to something into one op, fma: one rounding instead of two, and the same one everywhere.
//
// Every target has the instruction, a kernel's accumulator ends in it, and no compiler may contract what the graph does not say: so the graph
// says it. A product that has another reader is rounded for that reader anyway, and stays.

package passes

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/ir"
)

// writeFMA is the pass "write-fma".
func writeFMA(m *ir.Module, r *PassReport) error {
	f := m.Func
	uses := f.AllUses()
	var gone []*ir.Op
	for _, op := range f.Ops {
		if op.Code != ir.OpAdd || op.Group != nil {
			continue
		}
		product, why := addedProduct(op, uses)
		if product == nil {
			if why != "" {
				r.Skip(op, "%s", why)
			}
			continue
		}
		mul := product.Def
		other := op.Args[1-slices.Index(op.Args, product)]
		op.Code, op.Args = ir.OpFMA, []*ir.Value{mul.Args[0], mul.Args[1], other}
		gone = append(gone, mul)
		r.Fired(op, "takes the product %%%s", product.Name)
	}
	f.Remove(gone...)
	return nil
}

// addedProduct is the operand of an addition that is a product and read by nothing else: the first of two. If a product is there and does not
// fit, why says so.
func addedProduct(op *ir.Op, uses map[*ir.Value][]ir.Use) (product *ir.Value, why string) {
	for _, a := range op.Args {
		switch {
		case definedBy(a, ir.OpMul) == nil:
		case len(uses[a]) != 1:
			why = fmt.Sprintf("%%%s %s", a.Name, useNames(uses[a]))
		case a.Role != "":
			why = fmt.Sprintf("%%%s is %s, which a scheme may store", a.Name, a.Role)
		default:
			return a, ""
		}
	}
	return nil, why
}
