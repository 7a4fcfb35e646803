package passes

import (
	"fmt"
	"slices"
	"sync"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// This file makes codes of weights, when they are first read.

// weightKey is equal for weights that have the same codes: an embedding that is the head too is stored once.
type weightKey struct {
	w    *ir.Weight
	spec quant.Weight
}

// operand is the weight that op reads.
func operand(op *ir.Op) *ir.Value {
	if op.Code == ir.OpGather {
		return op.Args[0]
	}
	return op.Args[1]
}

// coder8 chooses the i8 codes of one weight, or of several that have one scale together. The scales stay, the codes go when they are released.
type coder8 struct {
	parts  []*ir.Weight
	mine   int
	perRow bool
	expand *coder4 // the codes are those of 4 bits, made 8 bits wide
	spread quant.Range

	mu    sync.Mutex
	known []float32

	value, row *ir.Value // the codes, and their scales as a table
}

// codes computes the codes of this weight.
func (c *coder8) codes() ([]byte, error) {
	if c.perRow && c.expand == nil && len(c.parts[0].Shape) == 2 {
		return c.rowCodes()
	}
	var q *quant.Weights8
	first := 0
	if c.expand != nil {
		w, err := c.expand.quantize()
		if err != nil {
			return nil, err
		}
		q = &w.Expand().Weights8
	} else {
		var all []float64
		rows := 0
		for i, p := range c.parts {
			x, err := elements(p)
			if err != nil {
				return nil, err
			}
			if i == c.mine {
				first = len(all)
			}
			if len(c.parts) == 1 {
				all = x
			} else {
				all = append(all, x...)
			}
			rows += p.Shape[0]
		}
		var err error
		if q, err = quant.QuantizeWeight(all, max(rows, 1), c.perRow, c.spread); err != nil {
			return nil, fmt.Errorf("weight %q: %w", c.parts[c.mine].Name, err)
		}
	}
	c.mu.Lock()
	c.known = q.Scales
	c.mu.Unlock()
	raw := make([]byte, c.parts[c.mine].Len())
	for i := range raw {
		raw[i] = byte(q.Codes[first+i])
	}
	return raw, nil
}

// rowCodes computes codes that have a scale for each row, some rows at a time.
func (c *coder8) rowCodes() ([]byte, error) {
	w := c.parts[0]
	raw, scales := make([]byte, 0, w.Len()), make([]float32, 0, w.Shape[0])
	err := eachRows(w, func(x []float64, rows int) error {
		q, err := quant.QuantizeWeight(x, rows, true, c.spread)
		if err != nil {
			return fmt.Errorf("weight %q: %w", w.Name, err)
		}
		for _, code := range q.Codes {
			raw = append(raw, byte(code))
		}
		scales = append(scales, q.Scales...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.known = scales
	c.mu.Unlock()
	return raw, nil
}

// scales gives the scale of each row, or one.
func (c *coder8) scales() ([]float32, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known == nil {
		if _, err := c.value.Weight.Bytes(); err != nil { // keeps the codes for whoever asks next
			return nil, err
		}
		c.mu.Lock()
		known = c.known
		c.mu.Unlock()
	}
	return known, nil
}

// codes8 is the i8 codes of the weight that op reads, and its scales.
func (q *quantizer) codes8(op *ir.Op, spec quant.Weight) (*ir.Value, func() ([]float32, error)) {
	c := q.coder8(op, spec)
	return c.value, c.scales
}

// coder8 finds or makes the codes of the weight that op reads.
func (q *quantizer) coder8(op *ir.Op, spec quant.Weight) *coder8 {
	v := operand(op)
	spec.From = ""
	key := weightKey{v.Weight, spec}
	c := q.eights[key]
	if c != nil {
		return c
	}
	c = &coder8{parts: []*ir.Weight{v.Weight}, perRow: spec.Scale.Kind == quant.PerChannel, spread: spec.Range}
	if spec.Type == quant.I4 {
		c.expand = q.newCoder4(op, spec)
	} else if !c.perRow {
		c.parts = q.oneTensor(op)
		c.mine = slices.Index(c.parts, v.Weight)
	}
	c.value = q.addWeight(v.Name+".i8", v.Role, derived(v.Weight.Name+".i8", ir.I8, v.Weight.Shape, c.codes))
	q.eights[key] = c
	return c
}

// oneTensor lists the weights that are one tensor in the checkpoint with that of op, in order: what has one scale a tensor has it for all of them.
// The parts of a Mamba-2 in_proj are five tensors to the published code, each with its own.
func (q *quantizer) oneTensor(op *ir.Op) []*ir.Weight {
	v := operand(op)
	if op.Code != ir.OpLinear || v.Role == "" || q.headDim(layerOf(v)) > 1 {
		return []*ir.Weight{v.Weight}
	}
	var parts []*ir.Weight
	for _, u := range q.uses[op.Args[0]] {
		if u.Op == nil || u.Op.Code != ir.OpLinear || u.Index != 0 {
			continue
		}
		w := u.Op.Args[1]
		if w.Role == v.Role && layerOf(w) == layerOf(v) && !slices.Contains(parts, w.Weight) {
			parts = append(parts, w.Weight)
		}
	}
	return parts
}

// rowScales is a table of i8 codes and its scales: [V, 1], or one.
func (q *quantizer) rowScales(op *ir.Op, spec quant.Weight) (codes, scales *ir.Value) {
	c, v := q.coder8(op, spec), operand(op)
	if c.row == nil {
		shape := []int{v.Weight.Shape[0], 1}
		if spec.Scale.Kind == quant.PerTensor {
			shape = []int{1}
		}
		c.row = q.addWeight(v.Name+".scales", "", floats(v.Weight.Name+".scales", ir.F32, shape, func() ([]float64, error) {
			s, err := c.scales()
			return widen(s), err
		}))
	}
	return c.value, c.row
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// coder4 chooses the 4-bit codes of a weight.
type coder4 struct {
	w     *ir.Weight
	group int
	gram  func() (*quant.Gram, error) // nil: round to nearest
	damp  float64

	mu    sync.Mutex
	known []float32

	value, table *ir.Value // the codes and their scales
}

// newCoder4 is for the weight that op reads.
func (q *quantizer) newCoder4(op *ir.Op, spec quant.Weight) *coder4 {
	v := operand(op)
	c := &coder4{w: v.Weight, group: spec.Scale.Group, damp: spec.Method.Damp}
	if k := v.Weight.Shape[1]; spec.Scale.Kind == quant.PerChannel || c.group > k {
		c.group = max(k, 1)
	}
	if !spec.Method.GPTQ {
		return c
	}
	reader := q.gramReader(op)
	switch {
	case reader == nil:
	case q.scales.Gram == nil:
		q.r.Skip(op, "GPTQ: there are no second moments of %%%s: its weight is rounded to nearest", reader.Name)
	default:
		tensor := quant.TensorName(quant.Role(reader.Role), layerOf(reader))
		c.gram = func() (*quant.Gram, error) { return q.scales.Gram(tensor) }
	}
	return c
}

// gramReader is the value that is multiplied by the weight that op reads; for a table that is the head too, the head's.
func (q *quantizer) gramReader(op *ir.Op) *ir.Value {
	if op.Code == ir.OpLinear {
		return op.Args[0]
	}
	for _, u := range q.uses[operand(op)] {
		if u.Op != nil && u.Op.Code == ir.OpLinear && u.Index == 1 {
			return u.Op.Args[0]
		}
	}
	return nil
}

// quantize chooses the codes: all at once by GPTQ, whose columns depend on each other, some rows at a time to nearest.
func (c *coder4) quantize() (q *quant.Weights4, err error) {
	if c.gram == nil {
		q, err = c.nearest()
	} else {
		q, err = c.gptq()
	}
	if err != nil {
		return nil, fmt.Errorf("weight %q: %w", c.w.Name, err)
	}
	return q, nil
}

func (c *coder4) nearest() (*quant.Weights4, error) {
	all := &quant.Weights4{K: c.w.Shape[1], Group: c.group}
	err := eachRows(c.w, func(x []float64, rows int) error {
		q, err := quant.QuantizeWeight4(x, rows, c.group)
		if err == nil {
			all.Rows += rows
			all.Codes, all.Scales = append(all.Codes, q.Codes...), append(all.Scales, q.Scales...)
		}
		return err
	})
	return all, err
}

func (c *coder4) gptq() (*quant.Weights4, error) {
	x, err := elements(c.w)
	if err != nil {
		return nil, err
	}
	g, err := c.gram()
	if err != nil {
		return nil, err
	}
	return quant.GPTQ(x, c.w.Shape[0], g, c.group, c.damp)
}

// codes computes the codes, two to a byte.
func (c *coder4) codes() ([]byte, error) {
	q, err := c.quantize()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.known = q.Scales
	c.mu.Unlock()
	raw := make([]byte, (len(q.Codes)+1)/2)
	for i, v := range q.Codes {
		raw[i/2] |= byte(v) & 15 << (4 * (i % 2))
	}
	return raw, nil
}

// scales gives the scales of groups, row by row.
func (c *coder4) scales() ([]float64, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known == nil {
		if _, err := c.value.Weight.Bytes(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		known = c.known
		c.mu.Unlock()
	}
	return widen(known), nil
}

// codes4 is the 4-bit codes of the weight that op reads, its scales [N, groups], and how many neighbours share one.
func (q *quantizer) codes4(op *ir.Op, spec quant.Weight) (codes, scales *ir.Value, group int) {
	v := operand(op)
	spec.From = ""
	key := weightKey{v.Weight, spec}
	c := q.fours[key]
	if c == nil {
		c = q.newCoder4(op, spec)
		groups := (v.Weight.Shape[1] + c.group - 1) / c.group
		c.value = q.addWeight(v.Name+".i4", v.Role, derived(v.Weight.Name+".i4", ir.I4, v.Weight.Shape, c.codes))
		c.table = q.addWeight(v.Name+".scales", "", floats(v.Weight.Name+".scales", ir.F32, []int{v.Weight.Shape[0], groups}, c.scales))
		q.fours[key] = c
	}
	return c.value, c.table, c.group
}
