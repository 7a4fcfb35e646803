// Split-bias takes the bias out of the linear that makes the step size where a scheme stores that in i8.
//
// The published layout quantizes dt before its bias, which the scan adds in f32: the bias is up to ten times as large as what varies, and would
// take most of the codes. Everywhere else the bias is part of the linear.

package passes

import (
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// splitBias is the pass "split-bias".
func splitBias(m *ir.Module, r *PassReport, o *Options) error {
	f := m.Func
	names := f.Names()
	for _, op := range append([]*ir.Op(nil), f.Ops...) {
		y := op.Result()
		if op.Code != ir.OpLinear || roleOf(y) != quant.SSMDt || op.Args[2] == nil {
			continue
		}
		v := o.Scheme.Value(quant.SSMDt, layerOf(y))
		if v.Type != quant.I8 {
			r.Skip(op, "it is stored in f32, and the bias may be in it")
			continue
		}
		at := opBehind(f, op)
		add, err := ir.NewOp(ir.OpAdd, []string{names.Unique(y.Name + ".biased")}, ir.Attrs{}, y, op.Args[2])
		if err != nil {
			return err
		}
		add.SetFrom(op.From)
		f.ReplaceUses(y, add.Result())
		add.Args[0] = y
		f.InsertBefore(at, add)
		op.Args[2] = nil
		r.Fired(op, "codes are of the product; the bias %%%s is added behind it", add.Args[1].Name)
	}
	return nil
}

// opBehind is the op that stands behind op, nil at the end.
func opBehind(f *ir.Func, op *ir.Op) *ir.Op {
	for i, o := range f.Ops {
		if o == op && i+1 < len(f.Ops) {
			return f.Ops[i+1]
		}
	}
	return nil
}
