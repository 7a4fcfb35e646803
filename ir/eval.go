package ir

import (
	"errors"
	"fmt"
	"slices"
)

// maxEval bounds the elements of one value in an evaluation (8 GiB of float64).
const maxEval = 1 << 30

// Inputs is what one step is given.
type Inputs[F Float] struct {
	IDs      []int32        // for the input of type i32[T]
	SeqStart []int          // sequence s has rows SeqStart[s] to SeqStart[s+1]-1; nil: all rows are one sequence
	Outs     []int32        // for the input of type i32[O]; nil: every row
	States   [][]F          // one for each of Func.States, [S, ...] flattened; nil, all or one: zeros; codes as whole numbers
	Values   map[string][]F // other inputs, by name; one that is not given is filled from a seed made of its name
}

// Outputs is what one step gives.
type Outputs[F Float] struct {
	Returns    []*Tensor[F] // logits first
	NextStates []*Tensor[F] // parallel to Func.States
}

// States is what the next step takes.
func (o *Outputs[F]) States() [][]F {
	out := make([][]F, len(o.NextStates))
	for i, t := range o.NextStates {
		if out[i] = t.Data; t.Ints != nil {
			out[i] = make([]F, len(t.Ints))
			for k, v := range t.Ints {
				out[i][k] = F(v)
			}
		}
	}
	return out
}

// Evaluator runs a module in plain Go. In float32 it does what the compiled kernels do, in their order: every element has their bits (a chunked
// scan excepted, which rounds elsewhere). In float64 it is the mathematics of the graph, as far as float64 goes. Groups are ignored.
//
// What depends on weights only is computed when the evaluator is made, once, in float64, and rounded to F; so keep one for many steps.
type Evaluator[F Float] struct {
	// Observe, if set, is called with each floating-point value as it is made, inputs and constants excepted; ObserveInts with the others.
	// The data must not be kept.
	Observe     func(name string, shape []int, data []F)
	ObserveInts func(name string, shape []int, data []int64)
	// Clamped, if set, is called behind each quantize that counts, with its result's name, how many values it made codes of and how many of them
	// it had to clamp.
	Clamped func(name string, seen, clamped int)

	m     *Module
	fixed map[*Value]*Tensor[F] // weights and what follows from them, as far as ops below or results read it
	plan  []planned
}

// planned is an op that runs in each step, and the values that nothing reads after it.
type planned struct {
	op   *Op
	dead []*Value
}

// Eval verifies the module and runs one step.
func Eval[F Float](m *Module, in Inputs[F]) (*Outputs[F], error) {
	e, err := NewEvaluator[F](m)
	if err != nil {
		return nil, err
	}
	return e.Step(in)
}

// NewEvaluator verifies the module, loads its weights and computes what depends on nothing else.
func NewEvaluator[F Float](m *Module) (*Evaluator[F], error) {
	if err := Verify(m); err != nil {
		return nil, err
	}
	e := &Evaluator[F]{m: m, fixed: map[*Value]*Tensor[F]{}}
	f := m.Func
	fixed := map[*Value]bool{nil: true}
	for _, w := range f.Weights {
		fixed[w] = true
	}
	last := map[*Value]int{} // index of the last op that reads a value
	keep := map[*Value]bool{}
	isFixed := make([]bool, len(f.Ops))
	for i, op := range f.Ops {
		isFixed[i] = !slices.ContainsFunc(op.Args, func(a *Value) bool { return !fixed[a] })
		for _, a := range op.Args {
			last[a] = i
			keep[a] = keep[a] || !isFixed[i]
		}
		for _, r := range op.Results {
			fixed[r] = isFixed[i]
			last[r] = i
		}
	}
	for _, list := range [][]*Value{f.Returns, f.NextStates} {
		for _, v := range list {
			last[v], keep[v] = len(f.Ops), true
		}
	}
	c := &constants[F]{wide: map[*Value]*Tensor[float64]{}, keep: keep, into: e.fixed}
	for i, op := range f.Ops {
		dead := deadAfter(op, i, last)
		if !isFixed[i] {
			e.plan = append(e.plan, planned{op, dead})
		} else if err := c.eval(op, dead); err != nil {
			return nil, err
		}
	}
	for _, w := range f.Weights {
		if keep[w] && e.fixed[w] == nil {
			t, err := loadSmall[F](w)
			if err != nil {
				return nil, err
			}
			e.fixed[w] = t
		}
	}
	return e, nil
}

// deadAfter lists the values that op is the last to touch.
func deadAfter(op *Op, i int, last map[*Value]int) (dead []*Value) {
	for _, list := range [][]*Value{op.Args, op.Results} {
		for _, v := range list {
			if v != nil && last[v] == i {
				dead = append(dead, v)
			}
		}
	}
	return dead
}

// EvalOp evaluates one op. start tells where sequences begin and extents what T, S and O are; an op on constants needs neither.
func EvalOp[F Float](op *Op, args []*Tensor[F], start []int, extents [3]int) ([]*Tensor[F], error) {
	fail := func(err error) ([]*Tensor[F], error) {
		return nil, fmt.Errorf("evaluate %%%s = %s%s: %w", op.Results[0].Name, op.Code, origin(op.From), err)
	}
	c := &call[F]{attrs: &op.Attrs, args: args, start: start, to: op.Results[0].Type.DType, arithmetic: arithmeticOf[F]()}
	for _, r := range op.Results {
		shape, err := concrete(r.Type.Shape, extents)
		if err != nil {
			return fail(err)
		}
		c.out = append(c.out, newTensor[F](r.Type.DType, shape))
	}
	if err := evaluatorOf[F](ops[op.Code].eval)(c); err != nil {
		return fail(err)
	}
	for i, r := range op.Results {
		c.out[i].round16(r.Type.DType)
	}
	return c.out, nil
}

// concrete puts a step's extents in the place of symbols.
func concrete(shape []Dim, extents [3]int) ([]int, error) {
	out := make([]int, len(shape))
	n := 1
	for i, d := range shape {
		out[i] = int(d)
		if d.Symbolic() {
			out[i] = extents[-d-1]
		}
		if out[i] > 0 && n > maxEval/out[i] {
			return nil, errors.New("shape " + ShapeString(shape) + " is too large to evaluate")
		}
		n *= max(out[i], 1)
	}
	return out, nil
}
