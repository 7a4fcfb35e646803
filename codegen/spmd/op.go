package spmd

import "fmt"

// Op is an instruction of the kernel language.
type Op uint8

const (
	OpConst Op = iota
	OpParam
	OpScratch
	OpTile
	OpRows
	OpSeqs
	OpOuts
	OpMember
	OpMembers
	OpLane
	OpOffset
	OpAdd
	OpSub
	OpMul
	OpDiv
	OpRem
	OpMin
	OpMax
	OpAnd
	OpOr
	OpXor
	OpShl
	OpShr
	OpShrl
	OpNeg
	OpAbs
	OpSqrt
	OpFMA
	OpDot4
	OpDot4U
	OpDot2
	OpByte16
	OpSwap
	OpCmp
	OpSelect
	OpRound
	OpToF32
	OpBitcast
	OpExtend
	OpTruncate
	OpSplat
	OpLoad
	OpLoadV
	OpLoadVN
	OpLoadRun
	OpGather
	OpGatherRun
	OpStore
	OpStoreV
	OpStoreVN
	OpMMA8
	OpMMAI8
	OpMMABF16
	OpQuadI8
	OpQuadBF16
	OpQuadTF32
	OpPackBF16
	OpCopyAsync
	OpCopyBulk
	OpCopyGroup
	OpCopyWait
	OpPrefetch
	OpPrefetchFar
	OpReduceAdd
	OpReduceMax
	OpFor
	OpIf
	OpBarrier
	numOps
)

// Pred is the predicate of a comparison; comparisons with NaN are false but for NE.
type Pred int64

const (
	EQ Pred = iota
	NE
	LT
	LE
	GT
	GE
)

var preds = [...]string{"eq", "ne", "lt", "le", "gt", "ge"}

func (p Pred) String() string {
	if p >= 0 && int(p) < len(preds) {
		return preds[p]
	}
	return fmt.Sprintf("pred(%d)", int64(p))
}

// immediate says what an instruction's Imm is, and so how it is written and which values are right.
type immediate uint8

const (
	noImm      immediate = iota
	immValue             // an integer, or the bits of a float
	immParam             // index of a parameter
	immScratch           // bytes from the start of the team's scratch
	immOffset            // elements
	immShift             // bits
	immMost              // half of the largest sum of two neighbouring bytes
	immByte              // 0 or 1
	immLane              // a power of two below the number of lanes
	immTiles             // squares of 16 columns; the strides belong to it
	immStrides           // none; there are strides
	immPieces            // of a copy; the strides belong to it
	immGroups            // of copies
	immPred              // Pred
	immStep              // of a loop
)

// ops is the whole kernel language: printer, parser, verifier, interpreter and backends have an entry for each; a test walks it.
//
// args names the operands. sig gives their types and, after the arrow, the result's. In both, "?" marks an operand that may be missing and "..."
// one that may be repeated. T is one of the types in of, the same wherever it stands; *E is a pointer, R and <R> the register types that its
// elements are widened to; <T> is T made varying; bool:T is bool, varying if T is; bits:T is the other 32-bit type; C is bool or, where T is varying, <bool>.
var ops = [numOps]struct {
	name, args, sig, of string
	imm                 immediate
	doc                 string
}{
	OpConst:       {"const", "", "-> T", "i32 i64 f32", immValue, "the constant Imm (an integer, or the bits of a float)"},
	OpParam:       {"param", "", "-> *E", "", immParam, "pointer: parameter Imm of the kernel"},
	OpScratch:     {"scratch", "", "-> *E", "", immScratch, "pointer into the team's scratch memory, Imm bytes from its start"},
	OpTile:        {"tile", "", "-> i64", "", noImm, "index of the tile within the launch"},
	OpRows:        {"rows", "", "-> i64", "", noImm, "rows of this step"},
	OpSeqs:        {"seqs", "", "-> i64", "", noImm, "sequences of this step"},
	OpOuts:        {"outs", "", "-> i64", "", noImm, "rows of this step whose logits are wanted"},
	OpMember:      {"member", "", "-> i64", "", noImm, "which warp of the team this is; 0 on a CPU"},
	OpMembers:     {"members", "", "-> i64", "", noImm, "how many there are: 1, or all that the target has if the kernel shares its tiles"},
	OpLane:        {"lane", "", "-> <i32>", "", noImm, "0, 1, ... W-1"},
	OpOffset:      {"offset", "p i", "*E i64 -> *E", "", noImm, "pointer p moved by i elements"},
	OpAdd:         {"add", "x y", "T T -> T", "i32 i64 f32 <i32> <f32>", noImm, "integers wrap"},
	OpSub:         {"sub", "x y", "T T -> T", "i32 i64 f32 <i32> <f32>", noImm, "integers wrap"},
	OpMul:         {"mul", "x y", "T T -> T", "i32 i64 f32 <i32> <f32>", noImm, "integers wrap"},
	OpDiv:         {"div", "x y", "T T -> T", "i32 i64 f32 <f32>", noImm, "float: IEEE quotient; integer: x >= 0 and y > 0"},
	OpRem:         {"rem", "x y", "T T -> T", "i32 i64", noImm, "integer remainder; x >= 0 and y > 0"},
	OpMin:         {"min", "x y", "T T -> T", "i32 i64 f32 <i32> <f32>", noImm, "x < y ? x : y, so y when one is NaN (vminps)"},
	OpMax:         {"max", "x y", "T T -> T", "i32 i64 f32 <i32> <f32>", noImm, "x > y ? x : y, so y when one is NaN (vmaxps)"},
	OpAnd:         {"and", "x y", "T T -> T", "bool i32 i64 <bool> <i32>", noImm, "of bits, or of bools"},
	OpOr:          {"or", "x y", "T T -> T", "bool i32 i64 <bool> <i32>", noImm, "of bits, or of bools"},
	OpXor:         {"xor", "x y", "T T -> T", "bool i32 i64 <bool> <i32>", noImm, "of bits, or of bools"},
	OpShl:         {"shl", "x", "T -> T", "i32 i64 <i32>", immShift, "x shifted left by Imm bits"},
	OpShr:         {"shr", "x", "T -> T", "i32 i64 <i32>", immShift, "x shifted right by Imm bits, sign kept"},
	OpShrl:        {"shrl", "x", "T -> T", "i32 i64 <i32>", immShift, "x shifted right by Imm bits, zeros come in"},
	OpNeg:         {"neg", "x", "T -> T", "i32 i64 f32 <i32> <f32>", noImm, "float: the sign bit turned; integer: 0 - x"},
	OpAbs:         {"abs", "x", "T -> T", "f32 <f32>", noImm, "the sign bit cleared"},
	OpSqrt:        {"sqrt", "x", "T -> T", "f32 <f32>", noImm, "IEEE"},
	OpFMA:         {"fma", "x y z", "T T T -> T", "f32 <f32>", noImm, "x*y + z with one rounding"},
	OpDot4:        {"dot4", "acc a b", "<i32> <i32> <i32> -> <i32>", "", noImm, "acc + the sum of the products of the four bytes of a and b, all signed and not -128; exact, and wraps"},
	OpDot4U:       {"dot4u", "acc a b", "<i32> <i32> <i32> -> <i32>", "", immMost, "the same with a's bytes unsigned, the two of each 16-bit half 2 Imm together at most (Imm 1..255), and b's signed, -128 too"},
	OpDot2:        {"dot2", "acc a b", "<i32> <i32> <i32> -> <i32>", "", noImm, "acc + the sum of the products of the two 16-bit halves of a and b, all signed; exact, and wraps"},
	OpByte16:      {"byte16", "x", "T -> T", "i32 <i32>", immByte, "each 16-bit half of x becomes its byte Imm (0 low, 1 high), sign kept"},
	OpSwap:        {"swap", "x", "T -> T", "<i32> <f32>", immLane, "lane l gets lane l xor Imm, a power of two below the number of lanes"},
	OpCmp:         {"cmp", "x y", "T T -> bool:T", "i32 i64 f32 <i32> <f32>", immPred, "predicate Imm; with NaN all are false but ne"},
	OpSelect:      {"select", "c x y", "C T T -> T", "bool i32 i64 f32 <bool> <i32> <f32>", noImm, "c ? x : y; c uniform or varying"},
	OpRound:       {"round", "x", "T -> i32:T", "f32 <f32>", noImm, "to integer, half to even; undefined outside of i32's range (callers clamp)"},
	OpToF32:       {"tof32", "x", "T -> f32:T", "i32 <i32>", noImm, "to float, round to nearest even"},
	OpBitcast:     {"bitcast", "x", "T -> bits:T", "i32 f32 <i32> <f32>", noImm, "f32 to i32 or i32 to f32, the same bits"},
	OpExtend:      {"extend", "x", "i32 -> i64", "", noImm, "sign kept"},
	OpTruncate:    {"truncate", "x", "i64 -> i32", "", noImm, "the low 32 bits"},
	OpSplat:       {"splat", "x", "T -> <T>", "bool i32 f32", noImm, "uniform to varying"},
	OpLoad:        {"load", "p i?", "*E i64? -> R", "", immOffset, "p[i + Imm], widened"},
	OpLoadV:       {"loadv", "p i?", "*E i64? -> <R>", "", immOffset, "lane l gets p[i + Imm + l], widened"},
	OpLoadVN:      {"loadvn", "p i? n", "*E i64? i64 -> <R>", "", immOffset, "the same for lanes below n; 0 in the others, whose memory is not touched"},
	OpLoadRun:     {"loadrun", "p i?", "*E i64? -> <R>...", "", immOffset, "result r of n: lane l gets p[i + Imm + n*l + r], widened; n is a power of two, a lane's n elements have at most 16 bytes and begin at a multiple of them"},
	OpGather:      {"gather", "p v", "*E <i32> -> <R>", "", immOffset, "lane l gets p[v[l] + Imm], widened"},
	OpGatherRun:   {"gatherrun", "p v", "*E <i32> -> <R>...", "", immOffset, "result r of n: lane l gets p[v[l] + Imm + r], widened; n and where a lane's elements begin are as for loadrun"},
	OpStore:       {"store", "p i? x", "*E i64? R ->", "", immOffset, "p[i + Imm] = x; a float is narrowed half to even, an integer keeps its low bits"},
	OpStoreV:      {"storev", "p i? x", "*E i64? <R> ->", "", immOffset, "lane l: p[i + Imm + l] = x"},
	OpStoreVN:     {"storevn", "p i? n x", "*E i64? i64 <R> ->", "", immOffset, "the same for lanes below n; the others' memory is not touched"},
	OpMMA8:        {"mma8", "c a b k rows", "*i32 *i8 *i8 i64 i64 ->", "", immTiles, "c[m][n] += the sum over g < k, i < 4 of a[m][4g+i] * b[g/run][n][g%run][i], for m < rows (1..16) and n < 16*Imm (Imm 1 or 2); exact, and wraps"},
	OpMMAI8:       {"mmai8", "c0 c1 c2 c3 a0 a1 a2 a3 b0 b1", "<i32> <i32> <i32> <i32> <i32> <i32> <i32> <i32> <i32> <i32> -> <i32>...", "", noImm, "c + a b in fragments of 16 rows, 8 columns and 32 signed bytes; four results; exact, and wraps"},
	OpMMABF16:     {"mmabf16", "c0 c1 c2 c3 a0 a1 a2 a3 b0 b1", "<f32> <f32> <f32> <f32> <i32> <i32> <i32> <i32> <i32> <i32> -> <f32>...", "", noImm, "the same over 16 bf16, two to an operand's word: sums of float32 in any order, with any rounding on the way"},
	OpQuadI8:      {"quadi8", "a b c...", "*i8 *i8 <i32>... -> <i32>...", "", immStrides, "c + a b, of 64 rows and 32 to 256 columns over 32 signed bytes, by four members together, who hold 16 rows each; a and b in scratch, as they were at the last barrier; exact, and wraps"},
	OpQuadBF16:    {"quadbf16", "a0 a1 a2 a3 b c...", "<i32> <i32> <i32> <i32> *bf16 <f32>... -> <f32>...", "", immStrides, "the same over 16 bf16, with a in fragments of 16 rows: sums of float32 in any order, with any rounding on the way"},
	OpQuadTF32:    {"quadtf32", "a b c...", "*f32 *f32 <f32>... -> <f32>...", "", immStrides, "the same over 8 float32 of which the low 13 bits are not looked at, a and b in scratch; sums in any order"},
	OpPackBF16:    {"packbf16", "x y", "<f32> <f32> -> <i32>", "", noImm, "x and y as bf16, half to even, x in the low half"},
	OpCopyAsync:   {"copyasync", "to v from w", "*E <i32> *E <i32> ->", "", noImm, "lane l: the 16 bytes at from[w[l]] go to to[v[l]] in scratch, both at multiples of 16; they may arrive at any time until copywait, and until then nobody may touch the place"},
	OpCopyBulk:    {"copybulk", "to from", "*E *E ->", "", immPieces, "the same for 1 to 32 pieces of memory, of a multiple of 16 bytes each; they lie apart by strides, the first of them in scratch and the second in memory"},
	OpCopyGroup:   {"copygroup", "", "->", "", noImm, "ends a group of the member's copies"},
	OpCopyWait:    {"copywait", "", "->", "", immGroups, "all of the member's groups of copies but the last Imm have arrived"},
	OpPrefetch:    {"prefetch", "p i?", "*E i64? ->", "", immOffset, "hint: p[i + Imm] will be read soon; may be beyond the end"},
	OpPrefetchFar: {"prefetchfar", "p i?", "*E i64? ->", "", immOffset, "the same, but not so soon that it should take room in a first-level cache"},
	OpReduceAdd:   {"reduceadd", "x...", "<f32>... -> f32", "", noImm, "the sum of 16 lanes (16/W values, or the first 16 lanes): lane l + lane l+8, then +4, +2, +1"},
	OpReduceMax:   {"reducemax", "x...", "<f32>... -> f32", "", noImm, "max of 16 lanes in the same order"},
	OpFor:         {"for", "lo hi init...", "", "", immStep, "i = lo, lo+Imm, ... while i < hi; region gets i and the carried values and yields the next ones; results are the last"},
	OpIf:          {"if", "c", "", "", noImm, "uniform branch; both regions yield the results"},
	OpBarrier:     {"barrier", "", "->", "", noImm, "all members of the team; their scratch is then seen by each other"},
}

func (o Op) String() string {
	if o < numOps {
		return ops[o].name
	}
	return "?"
}
