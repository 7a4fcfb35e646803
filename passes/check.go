package passes

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/ir"
)

// checkTolerance is by how much a pass may change a number, relative to the largest of its tensor, with all arithmetic in float64.
// Passes reorder and reassociate a few operations; 1e-9 is a thousand times what that costs, and a thousandth of a float32 rounding.
const checkTolerance = 1e-9

// checkRows are the lengths of the sequences of the checked step: some are shorter than a convolution's window, one is longer.
var checkRows = [...]int{1, 5, 3}

// checker is the checked mode: it knows what the graph gave before the pass.
type checker struct {
	seed uint64
	in   ir.Inputs[float64]
	want *ir.Outputs[float64]
}

// newChecker evaluates m on seeded inputs and states.
func newChecker(m *ir.Module, seed uint64) (*checker, error) {
	c := &checker{seed: seed, in: ir.RandomInputs[float64](m, seed, checkRows[:]...)}
	c.in.Outs = []int32{0, 5, 7}
	var err error
	if c.want, err = ir.Eval(m, c.in); err != nil {
		return nil, fmt.Errorf("checked mode: the graph does not evaluate before the first pass: %w", err)
	}
	return c, nil
}

// shuffled is a copy of m with independent ops in another order: what a pass does to it must be right as well.
func (c *checker) shuffled(m *ir.Module, number int) *ir.Module {
	s := m.Clone()
	s.Func.Shuffle(c.seed + uint64(number))
	return s
}

// compare evaluates what a pass left of the graph and of its shuffled copy.
func (c *checker) compare(p Pass, m, shuffled *ir.Module) error {
	tolerance := p.Tolerance
	if tolerance == 0 {
		tolerance = checkTolerance
	}
	if p.Lossy { // what it made is the measure from here on
		fresh, err := newChecker(m, c.seed)
		if err != nil {
			return err
		}
		c.in, c.want = fresh.in, fresh.want
	}
	got, err := c.step(m, tolerance)
	if err != nil {
		return err
	}
	if _, err := c.step(shuffled, tolerance); err != nil {
		return fmt.Errorf("with independent ops in another order (seed %d): %w", c.seed, err)
	}
	c.want = got
	return nil
}

// step evaluates m and compares with what was before.
func (c *checker) step(m *ir.Module, tolerance float64) (*ir.Outputs[float64], error) {
	got, err := ir.Eval(m, c.in)
	if err != nil {
		return nil, fmt.Errorf("checked mode: %w", err)
	}
	f := m.Func
	if len(got.Returns) != len(c.want.Returns) || len(got.NextStates) != len(c.want.NextStates) {
		return nil, fmt.Errorf("checked mode: %d results and %d states, want %d and %d",
			len(got.Returns), len(got.NextStates), len(c.want.Returns), len(c.want.NextStates))
	}
	for i, x := range got.Returns {
		if err := differ(x, c.want.Returns[i], tolerance); err != nil {
			return nil, fmt.Errorf("changed numbers: result %d, %%%s: %w", i, f.Returns[i].Name, err)
		}
	}
	for i, x := range got.NextStates {
		if err := differ(x, c.want.NextStates[i], tolerance); err != nil {
			return nil, fmt.Errorf("changed numbers: next state of %%%s: %w", f.States[i].Name, err)
		}
	}
	return got, nil
}

// differ says where two tensors differ by more than tolerance times the largest element.
func differ(got, want *ir.Tensor[float64], tolerance float64) error {
	if len(got.Data) != len(want.Data) || len(got.Ints) != len(want.Ints) {
		return fmt.Errorf("shape %v, want %v", got.Shape, want.Shape)
	}
	for i, v := range got.Ints {
		if v != want.Ints[i] {
			return fmt.Errorf("element %d is %d, was %d", i, v, want.Ints[i])
		}
	}
	scale := 0.0
	for _, v := range want.Data {
		if a := math.Abs(v); a > scale && !math.IsInf(a, 0) {
			scale = a
		}
	}
	for i, v := range got.Data {
		w := want.Data[i]
		same := v == w || v != v && w != w || math.Abs(v-w) <= tolerance*scale
		if !same {
			return fmt.Errorf("element %d is %v, was %v (tolerance %g of %g)", i, v, w, tolerance, scale)
		}
	}
	return nil
}
