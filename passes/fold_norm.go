// Fold-norm moves the weight of a norm into the linears that read its result, and the bias of a layer norm into theirs.
//
// W diag(g) is exact in float64, and what is left of the norm commutes with a rotation and has one size in all channels, so that one scale fits
// it. A model without a scheme keeps its weights as the checkpoint has them: a folded one could not be stored in 16 bits.
//
// It must not fire if something else reads the norm's result, or if the linear's weight is the embedding as well and is to stay that.

package passes

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// foldNorm is the pass "fold-norm".
func foldNorm(m *ir.Module, r *PassReport, o *Options) error {
	e := newWeightEditor(m.Func)
	for _, op := range m.Func.Ops {
		if op.Code != ir.OpRMSNorm && op.Code != ir.OpLayerNorm || !slices.ContainsFunc(op.Args[1:], func(a *ir.Value) bool { return a != nil }) {
			continue
		}
		readers, why := normReaders(e, op, o.Scheme)
		if why != "" {
			r.Skip(op, "%s", why)
			continue
		}
		g, b := op.Args[1], (*ir.Value)(nil)
		if op.Code == ir.OpLayerNorm {
			b = op.Args[2]
		}
		for _, l := range readers {
			untie(e, l, r)
			if b != nil {
				foldBias(e, l, b)
			}
			if g != nil {
				w := g.Weight
				e.replace(l, 1, changedRows(l.Args[1].Weight, "folded", func(x []float64) error { return scaleColumns(x, w) }))
			}
		}
		for i := range op.Args[1:] {
			op.Args[1+i] = nil
		}
		r.Fired(op, "its weight goes into %d linears", len(readers))
	}
	dropUnread(m.Func)
	return nil
}

// normReaders lists the linears that read a norm's result, or says why its weight stays.
func normReaders(e *weightEditor, op *ir.Op, s *quant.Scheme) (readers []*ir.Op, why string) {
	y := op.Result()
	if op.Args[0].Role != string(quant.Stream) {
		return nil, "it is no norm of the residual stream"
	}
	if v := s.Value(roleOf(y), layerOf(y)); v.Type.Float() && !s.Stream.Hadamard {
		return nil, fmt.Sprintf("nothing asks for it: its result is %s and the stream is not rotated", v.Type)
	}
	for _, v := range op.Args[1:] {
		if v != nil && v.Weight == nil {
			return nil, fmt.Sprintf("%%%s is no weight", v.Name)
		}
	}
	for _, u := range e.uses[y] {
		if u.Op == nil || u.Op.Code != ir.OpLinear || u.Index != 0 || u.Op.Args[1].Weight == nil || u.Op.Group != nil {
			return nil, "its result is read by " + u.String() + ", which is not linear in it"
		}
		if keeps, _ := s.KeepsTie(); keeps && isTied(e, u.Op) {
			return nil, fmt.Sprintf("%%%s is the embedding as well, and stays one tensor", u.Op.Args[1].Name)
		}
		readers = append(readers, u.Op)
	}
	if len(readers) == 0 {
		return nil, "nothing reads its result"
	}
	return readers, ""
}

// isTied says whether a gather reads the weight of a linear too.
func isTied(e *weightEditor, linear *ir.Op) bool {
	return slices.ContainsFunc(e.uses[linear.Args[1]], func(u ir.Use) bool { return u.Op != nil && u.Op.Code == ir.OpGather })
}

// untie gives a head that is the embedding a matrix of its own, which is about to change.
func untie(e *weightEditor, linear *ir.Op, r *PassReport) {
	if !isTied(e, linear) {
		return
	}
	v := linear.Args[1]
	e.uses[v] = slices.DeleteFunc(e.uses[v], func(u ir.Use) bool { return u.Op == linear && u.Index == 1 })
	head := e.add("w.head", string(quant.Head), v.Weight)
	linear.Args[1], e.uses[head] = head, []ir.Use{{Op: linear, Index: 1}}
	r.Fired(linear, "the head is no longer the embedding: %d weights more", v.Weight.Len())
}

// scaleColumns multiplies column k of x [N, K] by w[k].
func scaleColumns(x []float64, w *ir.Weight) error {
	g, err := elements(w)
	if err != nil {
		return err
	}
	for i := range x {
		x[i] *= g[i%len(g)]
	}
	return nil
}

// foldBias adds W b to the bias of a linear, before W changes.
func foldBias(e *weightEditor, l *ir.Op, b *ir.Value) {
	w, old := l.Args[1].Weight, l.Args[2]
	compute := func() ([]float64, error) {
		x, err := elements(w)
		if err != nil {
			return nil, err
		}
		in, err := elements(b.Weight)
		if err != nil {
			return nil, err
		}
		sum := make([]float64, w.Shape[0])
		if old != nil {
			if sum, err = elements(old.Weight); err != nil {
				return nil, err
			}
		}
		for i, v := range x {
			sum[i/len(in)] += v * in[i%len(in)]
		}
		return sum, nil
	}
	bias := floats(w.Name+".bias", ir.F64, w.Shape[:1], compute)
	l.Args[2] = e.add(l.Args[1].Name+".bias", "", bias)
}
