// Quantize-params rounds the small parameters of the scan (A_log, D, dt's bias, the convolution's bias) to what 8-bit codes can stand for, if the
// scheme stores them so, as the published layout does.
//
// They are a thousandth of a model's bytes, and the scan reads them in f32. So the codes themselves are not kept: the numbers are the same.

package passes

import (
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// quantizeParams is the pass "quantize-params".
func quantizeParams(m *ir.Module, r *PassReport, o *Options) error {
	e := newWeightEditor(m.Func)
	for _, v := range m.Func.Weights {
		if roleOf(v) != quant.Params || len(e.uses[v]) == 0 {
			continue
		}
		reader := e.uses[v][0].Op
		spec := o.Scheme.Weight(quant.Params, layerOf(v))
		if spec.Type != quant.I8 {
			if reader != nil {
				r.Skip(reader, "%%%s stays %s", v.Name, spec.Type)
			}
			continue
		}
		w := v.Weight
		v.Weight = floats(w.Name+".params", ir.F64, w.Shape, func() ([]float64, error) {
			x, err := elements(w)
			if err != nil {
				return nil, err
			}
			_, _, stands, err := quant.QuantizeParams(x)
			return stands, err
		})
		v.From = v.Weight.Name
		retype(e, v, ir.F64)
		if reader != nil {
			r.Fired(reader, "%%%s becomes what its codes stand for", v.Name)
		}
	}
	return nil
}

// retype gives a value another element type, and with it what only moves its elements.
func retype(e *weightEditor, v *ir.Value, t ir.DType) {
	v.Type.DType = t
	for _, u := range e.uses[v] {
		if u.Op == nil {
			continue
		}
		switch u.Op.Code {
		case ir.OpSlice, ir.OpReshape, ir.OpPermute:
			retype(e, u.Op.Result(), t)
		}
	}
}
