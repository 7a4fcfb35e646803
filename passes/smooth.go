// Smooth moves the outliers of a normed value into the weights that read it (SmoothQuant): channel j of the value is divided by
// amax(x_j)^alpha / amax(W_j)^(1-alpha), in the norm's weight, and column j of the weights is multiplied by it.
//
// It needs the largest weight of each column when it runs, as the scale of the smoothed value follows from it: the one pass that reads weights.

package passes

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// smooth is the pass "smooth".
func smooth(m *ir.Module, r *PassReport, o *Options) error {
	if len(o.Scheme.Smooth) == 0 {
		r.Idle = "the scheme smooths nothing"
		return nil
	}
	e := newWeightEditor(m.Func)
	scales := *o.Scales
	scales.Values = maps.Clone(scales.Values)
	for _, op := range m.Func.Ops {
		i := slices.IndexFunc(o.Scheme.Smooth, func(s quant.Smooth) bool { return s.Role == roleOf(op.Result()) })
		if i < 0 {
			continue
		}
		readers, why := smoothReaders(e, op, o.Scheme)
		if why != "" {
			r.Skip(op, "%s", why)
			continue
		}
		if err := smoothNorm(e, op, readers, &scales, o.Scheme.Smooth[i].Alpha); err != nil {
			return fmt.Errorf("%s: %w", opName(op), err)
		}
		r.Fired(op, "outliers of its channels go into %d weights", len(readers))
	}
	o.Scales = &scales
	dropUnread(m.Func)
	return nil
}

// smoothReaders lists the linears that read what a norm gives, or says why it is not smoothed.
func smoothReaders(e *weightEditor, op *ir.Op, s *quant.Scheme) (readers []*ir.Op, why string) {
	if op.Code != ir.OpRMSNorm || op.Args[1] != nil {
		return nil, "it is no norm without a weight, which could divide channels for nothing"
	}
	if spec := s.Value(roleOf(op.Result()), layerOf(op.Result())); spec.Type != quant.I8 {
		return nil, fmt.Sprintf("it is stored in %s", spec.Type)
	}
	uses := e.uses[op.Result()]
	if reader := notLinear(uses); reader != "" {
		return nil, "it is read by " + reader + ", which is not linear"
	}
	for _, u := range uses {
		if isTied(e, u.Op) {
			return nil, fmt.Sprintf("%%%s is the embedding as well", u.Op.Args[1].Name)
		}
		readers = append(readers, u.Op)
	}
	return readers, ""
}

// smoothNorm divides channels, multiplies columns, and replaces the value's scale.
func smoothNorm(e *weightEditor, op *ir.Op, readers []*ir.Op, scales *Scales, alpha float64) error {
	y := op.Result()
	tensor := quant.TensorName(quant.Role(y.Role), layerOf(y))
	most := scales.Most[tensor]
	if len(most) != rowSize(y) {
		return fmt.Errorf("%s: the scales have the largest values of %d channels, want %d\n  fix: calibrate with this scheme", place(y), len(most), rowSize(y))
	}
	columns := make([]float64, len(most))
	for _, l := range readers {
		x, err := elements(l.Args[1].Weight)
		if err != nil {
			return err
		}
		quant.InputMax(columns, x)
	}
	factors, err := quant.SmoothFactors(most, columns, alpha)
	if err != nil {
		return err
	}
	inverse := make([]float64, len(factors))
	largest := 0.0
	for i, f := range factors {
		inverse[i] = 1 / f
		largest = max(largest, float64(most[i])/f)
	}
	scales.Values[tensor] = []float32{quant.ScaleOf(largest)}
	w, err := ir.NewWeight(y.Name+".smooth", ir.F64, []int{len(inverse)}, inverse)
	if err != nil {
		return err
	}
	op.Args[1] = e.add(w.Name, "", w)
	for _, l := range readers {
		e.replace(l, 1, changed(l.Args[1].Weight, "smoothed", func(x []float64) error {
			for i := range x {
				x[i] *= factors[i%len(factors)]
			}
			return nil
		}))
	}
	return nil
}
