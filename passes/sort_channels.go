// Sort-channels puts the heads and channels of a Mamba-2 mixer into the order that sort and cluster found, so that channels of like size are
// neighbours and a few scales serve all of them (Quamba2).
//
// A permutation of heads within an SSD group, and of the channels of a head, changes no number that leaves the mixer: it is applied to the rows
// of in_proj for z, x and dt, to the filters of x, to A, D and the biases, to the gated norm's weight and to the columns of out_proj, all at
// compile time. It must find all of these, or the model would be another one.

package passes

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// Order is the order of a layer's heads and channels: the old number of each new one.
type Order struct {
	Heads    []int `json:"heads"`
	Channels []int `json:"channels"`
}

// sortChannels is the pass "sort-channels".
func sortChannels(m *ir.Module, r *PassReport, o *Options) error {
	if len(o.Scales.Orders) == 0 {
		r.Idle = "no value has scales by groups of heads and channels"
		return nil
	}
	s := &sorter{weightEditor: newWeightEditor(m.Func), found: map[string]bool{}}
	for _, layer := range slices.Sorted(maps.Keys(o.Scales.Orders)) {
		s.layer, s.order = layer, o.Scales.Orders[layer]
		clear(s.found)
		for _, op := range slices.Clone(m.Func.Ops) {
			if err := s.op(op, r); err != nil {
				return err
			}
		}
		for _, part := range [...]string{"ssm.z", "ssm.x", "ssm.dt", "A or D", "ssm.y"} {
			if !s.found[part] {
				return fmt.Errorf("layer %d: what makes %s was not found, so its channels cannot be put in order\n  fix: one scale for ssm.u, scale: tensor", layer, part)
			}
		}
	}
	dropUnread(m.Func)
	return nil
}

// sorter is one run of sort-channels.
type sorter struct {
	*weightEditor
	layer int
	order Order
	found map[string]bool
}

// op puts the weights of one op in order, if they have heads or channels.
func (s *sorter) op(op *ir.Op, r *PassReport) error {
	y := op.Result()
	if layerOf(y) != s.layer {
		return nil
	}
	switch {
	case op.Code == ir.OpLinear && (y.Role == string(quant.SSMZ) || y.Role == string(quant.SSMX)):
		s.found[y.Role] = true
		r.Fired(op, "rows in the order of channels")
		return s.rows(op, s.order.Channels, 1, 2)
	case op.Code == ir.OpLinear && y.Role == string(quant.SSMDt):
		s.found[y.Role] = true
		r.Fired(op, "rows in the order of heads")
		return s.rows(op, s.order.Heads, 1, 2)
	case op.Code == ir.OpConv && op.Args[0].Role == string(quant.SSMX):
		return s.rows(op, s.order.Channels, 1, 2)
	case op.Code == ir.OpRMSNorm && y.Role == string(quant.SSMY):
		if op.Args[1] != nil {
			if err := s.rows(op, s.order.Channels, 1); err != nil {
				return err
			}
		}
	case op.Code == ir.OpLinear && op.Args[0].Role == string(quant.SSMY):
		s.found["ssm.y"] = true
		w, order := op.Args[1], s.order.Channels
		if w.Weight == nil || w.Weight.Shape[1] != len(order) {
			return fmt.Errorf("%s: its matrix does not have the %d channels of the layer", opName(op), len(order))
		}
		s.replace(op, 1, changed(w.Weight, "sorted", func(x []float64) error {
			sorted, err := quant.ReorderColumns(x, order)
			copy(x, sorted)
			return err
		}))
		r.Fired(op, "columns in the order of channels")
	case op.Code != ir.OpLinear && op.Code != ir.OpConv:
		return s.params(op)
	}
	return nil
}

// params puts what is one number a head in order: A, D, dt's bias where it is added.
func (s *sorter) params(op *ir.Op) error {
	for i, a := range op.Args {
		if a == nil || a.Weight == nil || roleOf(a) != quant.Params || a.Weight.Len() != len(s.order.Heads) {
			continue
		}
		s.found["A or D"] = true
		if err := s.reorder(op, i, s.order.Heads, 1); err != nil {
			return err
		}
	}
	return nil
}

// rows puts the rows of some operands in order.
func (s *sorter) rows(op *ir.Op, order []int, operands ...int) error {
	for _, i := range operands {
		v := op.Args[i]
		if v == nil {
			continue
		}
		if v.Weight == nil || v.Weight.Shape[0] != len(order) {
			return fmt.Errorf("%s: its operand %%%s does not have the %d rows of the layer's order", opName(op), v.Name, len(order))
		}
		if err := s.reorder(op, i, order, v.Weight.Len()/len(order)); err != nil {
			return err
		}
	}
	return nil
}

// reorder puts rows of so many elements in order.
func (s *sorter) reorder(op *ir.Op, i int, order []int, width int) error {
	s.replace(op, i, changed(op.Args[i].Weight, "sorted", func(x []float64) error {
		sorted, err := quant.Reorder(x, width, order)
		copy(x, sorted)
		return err
	}))
	return nil
}
