package ir

import (
	"errors"
	"fmt"
)

// NewOp makes an op whose result types follow from the table; it does not insert it. There is one name for each result; they should
// come from a Names, so that they are unique. Optional operands at the end need not be given.
func NewOp(code OpCode, names []string, attrs Attrs, args ...*Value) (*Op, error) {
	op := &Op{Code: code, Args: args, Attrs: attrs}
	if code < numOps {
		op.Attrs.setDefaults(code)
	}
	for want := len(code.Operands()); len(op.Args) < want; {
		op.Args = append(op.Args[:len(op.Args):len(op.Args)], nil)
	}
	types, err := resultTypes(op)
	if err != nil {
		return nil, err
	}
	if len(names) != len(types) {
		return nil, fmt.Errorf("%s has %d results, got %d names", code, len(types), len(names))
	}
	for i, t := range types {
		op.Results = append(op.Results, &Value{Name: names[i], Type: t, Def: op, Index: i})
	}
	return op, nil
}

// SetFrom sets the provenance of an op and its results.
func (op *Op) SetFrom(from string) {
	op.From = from
	for _, r := range op.Results {
		r.From = from
	}
}

// Builder makes a module op by op. What goes wrong is collected and reported by Finish; until then a value of no type stands for what
// could not be made, and ops on it are passed over in silence.
type Builder struct {
	m     *Module
	names *Names
	from  string
	errs  []error
}

// NewBuilder starts a module with one function.
func NewBuilder(family, function string) *Builder {
	f := &Func{Name: function}
	return &Builder{m: &Module{Family: family, Meta: Meta{BOS: -1}, Func: f}, names: f.Names()}
}

// Module is what is being built, for setting Vocab and Meta.
func (b *Builder) Module() *Module { return b.m }

// From sets where the following ops come from.
func (b *Builder) From(from string) { b.from = from }

// Errorf records a problem.
func (b *Builder) Errorf(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// Input adds an input of the function.
func (b *Builder) Input(name string, t Type) *Value {
	v := &Value{Name: b.names.Unique(name), Type: t}
	b.m.Func.Inputs = append(b.m.Func.Inputs, v)
	return v
}

// Weight adds a weight under a value name.
func (b *Builder) Weight(name string, w *Weight) *Value {
	v := &Value{Name: b.names.Unique(name), Type: Type{w.DType, Dims(w.Shape)}, Weight: w, From: w.Name}
	b.m.Func.Weights = append(b.m.Func.Weights, v)
	return v
}

// State adds a state and returns its incoming value. Next says what follows it.
func (b *Builder) State(name string, t DType, shape ...int) *Value {
	s := &State{Name: b.names.Unique(name), DType: t, Shape: shape}
	v := &Value{Name: s.Name, Type: Type{t, append([]Dim{Seqs}, Dims(shape)...)}, State: s, From: b.from}
	b.m.Func.States = append(b.m.Func.States, v)
	b.m.Func.NextStates = append(b.m.Func.NextStates, nil)
	return v
}

// Next sets the value of a state after the step.
func (b *Builder) Next(state, next *Value) {
	for i, v := range b.m.Func.States {
		if v == state {
			b.m.Func.NextStates[i] = next
			return
		}
	}
	b.Errorf("%%%s is not a state", state.Name)
}

// Mark gives a value its role and returns it.
func (b *Builder) Mark(role string, v *Value) *Value {
	if v != broken {
		v.Role = role
	}
	return v
}

// Return sets the results of the function.
func (b *Builder) Return(values ...*Value) { b.m.Func.Returns = values }

// broken stands for a value that could not be made.
var broken = &Value{Name: "broken"}

// Op adds an op of one result.
func (b *Builder) Op(code OpCode, name string, attrs Attrs, args ...*Value) *Value {
	return b.Ops(code, []string{name}, attrs, args...)[0]
}

// Ops adds an op with one name for each result.
func (b *Builder) Ops(code OpCode, names []string, attrs Attrs, args ...*Value) []*Value {
	failed := make([]*Value, len(names))
	for i := range failed {
		failed[i] = broken
	}
	for _, a := range args {
		if a == broken {
			return failed
		}
	}
	unique := make([]string, len(names))
	for i, n := range names {
		unique[i] = b.names.Unique(n)
	}
	op, err := NewOp(code, unique, attrs, args...)
	if err != nil {
		b.Errorf("%%%s = %s%s: %w", names[0], code, origin(b.from), err)
		return failed
	}
	op.SetFrom(b.from)
	b.m.Func.Ops = append(b.m.Func.Ops, op)
	return op.Results
}

// origin writes a provenance for an error message.
func origin(from string) string {
	if from == "" {
		return ""
	}
	return " (" + from + ")"
}

// Unary adds an elementwise op of one operand.
func (b *Builder) Unary(code OpCode, name string, x *Value) *Value {
	return b.Op(code, name, Attrs{}, x)
}

// Binary adds an elementwise op of two operands.
func (b *Builder) Binary(code OpCode, name string, x, y *Value) *Value {
	return b.Op(code, name, Attrs{}, x, y)
}

// Const adds a number.
func (b *Builder) Const(name string, v float64) *Value {
	return b.Op(OpConst, name, Attrs{Value: v})
}

// Slice takes elements lo to hi-1 along an axis.
func (b *Builder) Slice(name string, x *Value, axis, lo, hi int) *Value {
	return b.Op(OpSlice, name, Attrs{Axis: axis, Lo: lo, Hi: hi}, x)
}

// Reshape gives x another shape.
func (b *Builder) Reshape(name string, x *Value, shape ...Dim) *Value {
	return b.Op(OpReshape, name, Attrs{Shape: shape}, x)
}

// Gather takes rows of a table.
func (b *Builder) Gather(name string, table, idx *Value) *Value {
	return b.Op(OpGather, name, Attrs{}, table, idx)
}

// Linear multiplies by a weight [N, K]; bias may be nil.
func (b *Builder) Linear(name string, x, w, bias *Value) *Value {
	return b.Op(OpLinear, name, Attrs{}, x, w, bias)
}

// RMSNorm normalizes in groups; w may be nil.
func (b *Builder) RMSNorm(name string, x, w *Value, eps float64, groups int) *Value {
	return b.Op(OpRMSNorm, name, Attrs{Eps: eps, Groups: groups}, x, w)
}

// Conv convolves the rows of each sequence; bias may be nil.
func (b *Builder) Conv(name, nextName string, x, w, bias, win *Value) (y, next *Value) {
	r := b.Ops(OpConv, []string{name, nextName}, Attrs{}, x, w, bias, win)
	return r[0], r[1]
}

// Scan runs the linear recurrence over the rows of each sequence.
func (b *Builder) Scan(name, nextName string, a, in, c, h0 *Value) (y, next *Value) {
	r := b.Ops(OpScan, []string{name, nextName}, Attrs{}, a, in, c, h0)
	return r[0], r[1]
}

// Finish verifies and returns the module.
func (b *Builder) Finish() (*Module, error) {
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	if err := Verify(b.m); err != nil {
		return nil, err
	}
	return b.m, nil
}
