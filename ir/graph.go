package ir

// Value is what an op makes, or an input, a weight or a state of the function.
type Value struct {
	Name   string // without %; unique in a function
	Type   Type
	Def    *Op     // nil for inputs, weights and states
	Index  int     // which result of Def
	Weight *Weight // non-nil for a weight
	State  *State  // non-nil for a state's incoming value
	Role   string  // what it is for, as quantization schemes call it: ssm.u, norm.out; of a weight ssm.in_proj; empty for most
	From   string  // provenance: checkpoint tensor, config field or pass
}

// IsInput says whether v is one of the function's inputs.
func (v *Value) IsInput() bool { return v.Def == nil && v.Weight == nil && v.State == nil }

// Op is one operation. What its operands and attributes mean is in the table of op.go.
type Op struct {
	Code    OpCode
	Args    []*Value // nil entries are absent optional operands
	Attrs   Attrs
	Results []*Value
	From    string
	Group   *Group // set by the fusion passes; nil before
}

// Weight is a constant tensor. Its data stays in the mapped checkpoint until a pass or the packer asks.
type Weight struct {
	Name  string // checkpoint name, or derived: "a.b[0:1536]", "exp(...)"
	DType DType
	Shape []int
	// Bytes gives the elements, little-endian and row-major. It may be mapped memory: do not write to it, do not keep it.
	// It is nil for a weight that came from text without data.
	Bytes func() ([]byte, error)
	// Rows gives the rows lo to hi-1 of a matrix that is computed from others row by row, without computing all of it; the slice is the caller's. It is
	// nil for every other weight.
	Rows func(lo, hi int) ([]float64, error)
	// Release says that the pages may be dropped; it may be nil.
	Release func()
	// Literal asks the printer to write the data into the text. Tests use it for small tensors.
	Literal bool
}

// Len is the number of elements.
func (w *Weight) Len() int {
	n := 1
	for _, d := range w.Shape {
		n *= d
	}
	return n
}

// ByteLen is the number of bytes that the elements need.
func (w *Weight) ByteLen() int { return (w.Len()*w.DType.Bits() + 7) / 8 }

// State is what a sequence keeps between steps, per slot. Its value in the function has shape [S, Shape...] in and out.
type State struct {
	Name  string
	DType DType
	Shape []int
}

// Len is the number of elements of one sequence's state.
func (s *State) Len() int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// Func is the computation.
type Func struct {
	Name       string
	Inputs     []*Value // for step: ids i32[T], outs i32[O] (indices of rows)
	Weights    []*Value
	States     []*Value // incoming values [S, ...]
	Ops        []*Op    // in execution order
	Returns    []*Value // logits first
	NextStates []*Value // parallel to States: the state after the step
}

// Module is one model.
type Module struct {
	Family string
	Vocab  int // columns of the logits, padding included; 0 where there are none
	Meta   Meta
	Func   *Func
}

// Meta is what the runtime needs to know about the model beyond the graph.
type Meta struct {
	BOS       int   // -1: none
	EOS       []int // any of them ends a generation
	Positions int   // largest number of positions; 0: no limit
}
