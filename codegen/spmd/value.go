package spmd

import "fmt"

// Elem is an element type. Registers hold Bool, I32, I64 and F32; memory also holds the narrow ones, which loads widen.
type Elem uint8

const (
	Bool Elem = iota
	I8
	U8
	I32
	I64
	F16
	BF16
	F32
)

var elems = [...]struct {
	name  string
	bytes int64
	reg   Elem // what a load of it gives
}{
	Bool: {"bool", 1, Bool},
	I8:   {"i8", 1, I32},
	U8:   {"u8", 1, I32},
	I32:  {"i32", 4, I32},
	I64:  {"i64", 8, I64},
	F16:  {"f16", 2, F32},
	BF16: {"bf16", 2, F32},
	F32:  {"f32", 4, F32},
}

func (e Elem) String() string {
	if int(e) < len(elems) {
		return elems[e].name
	}
	return fmt.Sprintf("elem(%d)", uint8(e))
}

// Bytes is the size in memory.
func (e Elem) Bytes() int64 { return elems[e].bytes }

// Reg is the element type of a register that was loaded from memory of type e.
func (e Elem) Reg() Elem { return elems[e].reg }

// Kind says how many of a value there are.
type Kind uint8

const (
	Uniform Kind = iota // one for the whole team member
	Varying             // one a lane
	Pointer             // an address of elements; uniform
)

// Type is the type of a value: "f32", "<f32>" (varying) or "*f32".
type Type struct {
	Elem Elem
	Kind Kind
}

func (t Type) String() string {
	switch t.Kind {
	case Varying:
		return "<" + t.Elem.String() + ">"
	case Pointer:
		return "*" + t.Elem.String()
	}
	return t.Elem.String()
}

// Value is the result of an instruction, or a parameter of a region (loop variable, carried value).
type Value struct {
	ID   int // unique in the kernel, in order of definition
	Type Type
	Def  *Instr  // nil for parameters of a region
	In   *Region // the region whose parameter it is, else nil
}

// Instr is one instruction. Which fields it uses is said by its entry in the op table.
type Instr struct {
	Op      Op
	Args    []*Value
	Imm     int64   // const: the integer, or the bits of the float; load, store: element offset; cmp: predicate; for: step; param: index; scratch: byte offset; dot4u: largest byte, on the average of two; mma8: tiles; copybulk: pieces
	Strides Strides // mma8, quads, copybulk
	Results []*Value
	Regions []*Region // for: body; if: then, else
}

// Strides are how many elements lie between two rows of the matrices of an mma8: of c, of a, and of the four-byte groups of b. Run says how many groups
// of a column of b lie together, 0 for one: B is then what lies between two such runs. Ahead is a hint, and may be beyond the end: what lies so many bytes behind a
// group will be read soon after it.
//
// Of a quad A and B are the bytes between the first sixteen bytes of K and the second, in a and in b. Of a copybulk C and A are the bytes from piece to piece, in
// scratch and in memory, and B is how many a piece has.
type Strides struct{ C, A, B, Run, Ahead int64 }

// run is Run, at least 1.
func (s Strides) run() int64 { return max(1, s.Run) }

// Certain says of a loop that it runs at least once.
func (in *Instr) Certain() bool {
	lo, ok1 := in.Args[0].Const()
	hi, ok2 := in.Args[1].Const()
	return ok1 && ok2 && lo < hi
}

// Region is a block of instructions with parameters, ended by the values that it yields.
type Region struct {
	Params []*Value // for: loop variable, then carried values
	Body   []*Instr
	Yield  []*Value
}

// Walk calls visit for every instruction of the region and of those inside, in order.
func (r *Region) Walk(visit func(*Instr)) {
	for _, in := range r.Body {
		visit(in)
		for _, inner := range in.Regions {
			inner.Walk(visit)
		}
	}
}

// Space is where a kernel's parameter points.
type Space uint8

const (
	Weights  Space = iota // packed weights, read only
	Work                  // activations of one step
	State                 // slots of state: slot i begins at i * Program.SlotBytes
	IDs                   // i32 [rows]: token ids of the step
	SeqStart              // i32 [seqs+1]: first row of each sequence, then the number of rows
	SeqSlot               // i32 [seqs]: state slot of each sequence
	OutRow                // i32 [outs]: rows whose logits are wanted
	Logits                // f32 [outs, stride]
	Sampling              // i32 [outs, SamplingWords]: how a token is chosen from each row of the logits
	Odds                  // f32 [outs, stride]: the sampler's weights; may be the memory of the logits
	Chosen                // i32 [outs]: the tokens that the sampler has chosen
	numSpaces
)

var spaces = [numSpaces]string{"weights", "work", "state", "ids", "seq_start", "seq_slot", "out_row", "logits", "sampling", "odds", "chosen"}

func (s Space) String() string {
	if s < numSpaces {
		return spaces[s]
	}
	return fmt.Sprintf("space(%d)", uint8(s))
}

// SamplingWords is how many 32-bit words a wanted row has in Sampling.
const SamplingWords = 4

// Writable says whether kernels may store to a space.
func (s Space) Writable() bool {
	switch s {
	case Work, State, Logits, Odds, Chosen:
		return true
	}
	return false
}

// Constant says that nothing changes a space while a step runs, so that its loads may be moved anywhere. Token ids may lie where the same step puts those
// that it chooses.
func (s Space) Constant() bool { return !s.Writable() && s != IDs }

// Param is a pointer that a launch gives to a kernel: a byte offset into a space.
type Param struct {
	Name  string
	Elem  Elem
	Space Space
}

// Kernel computes one tile.
type Kernel struct {
	Name    string
	Lanes   int // W it was built for
	Members int // that share a tile: 1, or as many as Target.Members
	Params  []Param
	Team    int64 // bytes of team scratch that it uses
	Body    *Region
}
