package ir

import "fmt"

// constants computes, once and in float64 whatever the evaluation's precision is, what depends on weights only: as at compile time, where
// fold-constants does the same and rounds once. What steps read of it is kept.
type constants[F Float] struct {
	wide map[*Value]*Tensor[float64]
	keep map[*Value]bool // read by a step or returned
	into map[*Value]*Tensor[F]
}

// eval computes an op and forgets the operands that nothing reads any more.
func (c *constants[F]) eval(op *Op, dead []*Value) error {
	args := make([]*Tensor[float64], len(op.Args))
	for i, a := range op.Args {
		if a == nil {
			continue
		}
		if c.wide[a] == nil {
			t, err := loadSmall[float64](a)
			if err != nil {
				return err
			}
			c.wide[a] = t
			if c.keep[a] {
				c.into[a] = narrow[F](t)
			}
		}
		args[i] = c.wide[a]
	}
	out, err := EvalOp(op, args, nil, [3]int{})
	if err != nil {
		return err
	}
	for i, r := range op.Results {
		c.wide[r] = out[i]
		if c.keep[r] {
			c.into[r] = narrow[F](out[i])
		}
	}
	for _, v := range dead {
		delete(c.wide, v)
	}
	return nil
}

// narrow rounds to the evaluation's precision.
func narrow[F Float](x *Tensor[float64]) *Tensor[F] {
	if same, ok := any(x).(*Tensor[F]); ok {
		return same
	}
	y := &Tensor[F]{Shape: x.Shape, Ints: x.Ints}
	if x.Data != nil {
		y.Data = make([]F, len(x.Data))
	}
	for i, v := range x.Data {
		y.Data[i] = F(v)
	}
	return y
}

// loadSmall widens a weight that an evaluation can hold.
func loadSmall[F Float](v *Value) (*Tensor[F], error) {
	if n := v.Weight.Len(); n > maxEval {
		return nil, fmt.Errorf("weight %%%s has %d elements: too many to evaluate", v.Name, n)
	}
	return LoadWeight[F](v.Weight)
}
