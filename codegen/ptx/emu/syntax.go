package emu

// What the parser makes: a module's declarations and the instructions of its functions, names not yet looked up.

// variable is memory or a parameter with a name.
type variable struct {
	name   string
	line   int32
	space  space
	typ    typ
	align  int
	count  int64     // elements; 0 for an array without a length
	bytes  int64     // of all
	at     int64     // place in its space, by layout; a global variable's is known when a device has loaded it
	init   []element // of the initialiser, in order; what is missing is zero
	extern bool
	param  bool // declared as .param, though it lies in local memory
}

// element is one element of an initialiser: a number, or the address of a symbol plus a number.
type element struct {
	value  uint64
	symbol string
	line   int32
	target *variable
}

// regDecl declares one register, or count of them that are called name0, name1 and so on.
type regDecl struct {
	name  string
	typ   typ
	count int64 // -1: one, of exactly this name
}

// function is an .entry or a .func.
type function struct {
	name     string
	line     int32
	entry    bool
	defined  bool
	params   []formal
	returns  []formal
	body     []statement
	maxBlock [3]int // .maxntid: at most so many threads, in all
	reqBlock [3]int // .reqntid

	paramBytes int64 // entry: of the parameter buffer

	code *code
}

// formal is a parameter of a function: a register, or a variable in .param space.
type formal struct {
	reg      regDecl
	variable *variable
}

type statementKind uint8

const (
	stmtInstr statementKind = iota
	stmtLabel
	stmtReg
	stmtVar
	stmtTargets // label: .branchtargets a, b;
	stmtOpen    // {
	stmtClose   // }
)

type statement struct {
	kind    statementKind
	line    int32
	label   string
	targets []string
	regs    []regDecl
	v       *variable
	instr   *instruction
}

// instruction is one instruction as written.
type instruction struct {
	line   int32
	guard  string // predicate register, or empty
	negate bool
	op     string   // add
	mods   []string // rn f32
	args   []operand
	text   string // for errors
}

type operandKind uint8

const (
	argName    operandKind = iota // a register, variable, label or function
	argInt                        // value
	argFloat                      // value: bits of a double, or with single of a float
	argVector                     // {a, b}
	argAddress                    // [base + value]
	argList                       // (a, b) of a call
	argSink                       // _
)

type operand struct {
	kind   operandKind
	single bool
	minus  bool   // a number with a minus sign in front (value has it already)
	not    bool   // !p
	name   string // argName, base of argAddress
	part   string // x of %tid.x
	second string // q of p|q
	value  uint64
	list   []operand
}
