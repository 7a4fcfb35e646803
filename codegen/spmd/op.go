package spmd

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
	OpNeg
	OpAbs
	OpSqrt
	OpFMA
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
	OpGather
	OpStore
	OpStoreV
	OpStoreVN
	OpPrefetch
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

func (p Pred) String() string { return preds[p] }

// ops is the whole kernel language: printer, parser, verifier, interpreter and backends have an entry for each; a test walks it.
var ops = [numOps]struct{ name, args, doc string }{
	OpConst:     {"const", "", "the constant Imm (an integer, or the bits of a float); uniform"},
	OpParam:     {"param", "", "pointer: parameter Imm of the kernel"},
	OpScratch:   {"scratch", "", "pointer into the team's scratch memory, Imm bytes from its start"},
	OpTile:      {"tile", "", "i64: index of the tile within the launch"},
	OpRows:      {"rows", "", "i64: rows of this step"},
	OpSeqs:      {"seqs", "", "i64: sequences of this step"},
	OpOuts:      {"outs", "", "i64: rows of this step whose logits are wanted"},
	OpMember:    {"member", "", "i64: which warp of the team this is; 0 on a CPU"},
	OpMembers:   {"members", "", "i64: how many there are; 1 on a CPU"},
	OpLane:      {"lane", "", "<i32>: 0, 1, ... W-1"},
	OpOffset:    {"offset", "p i", "pointer p moved by i (i64) elements"},
	OpAdd:       {"add", "x y", "integers wrap"},
	OpSub:       {"sub", "x y", ""},
	OpMul:       {"mul", "x y", ""},
	OpDiv:       {"div", "x y", "float: IEEE quotient; integer: both operands are >= 0 and y > 0, uniform only"},
	OpRem:       {"rem", "x y", "integer, uniform only; operands as for div"},
	OpMin:       {"min", "x y", "x < y ? x : y, so y when one is NaN (vminps)"},
	OpMax:       {"max", "x y", "x > y ? x : y, so y when one is NaN (vmaxps)"},
	OpAnd:       {"and", "x y", "integers and bools"},
	OpOr:        {"or", "x y", ""},
	OpXor:       {"xor", "x y", ""},
	OpShl:       {"shl", "x", "integer x shifted left by Imm bits"},
	OpShr:       {"shr", "x", "integer x shifted right by Imm bits, sign kept"},
	OpNeg:       {"neg", "x", "float: the sign bit turned; integer: 0 - x"},
	OpAbs:       {"abs", "x", "float: the sign bit cleared"},
	OpSqrt:      {"sqrt", "x", "IEEE"},
	OpFMA:       {"fma", "x y z", "x*y + z with one rounding"},
	OpCmp:       {"cmp", "x y", "bool; predicate Imm"},
	OpSelect:    {"select", "c x y", "c ? x : y; c uniform or varying"},
	OpRound:     {"round", "x", "f32 to i32, half to even; undefined outside of i32's range (callers clamp)"},
	OpToF32:     {"tof32", "x", "i32 to f32, round to nearest even"},
	OpBitcast:   {"bitcast", "x", "f32 to i32 or i32 to f32, the same bits"},
	OpExtend:    {"extend", "x", "i32 to i64, sign kept; uniform"},
	OpTruncate:  {"truncate", "x", "i64 to i32; uniform"},
	OpSplat:     {"splat", "x", "uniform to varying"},
	OpLoad:      {"load", "p i?", "uniform: p[i + Imm], widened"},
	OpLoadV:     {"loadv", "p i?", "varying: lane l gets p[i + Imm + l], widened"},
	OpLoadVN:    {"loadvn", "p i? n", "the same for lanes below n (i64); 0 in the others, whose memory is not touched"},
	OpGather:    {"gather", "p v", "varying: lane l gets p[v[l] + Imm], v is <i32>"},
	OpStore:     {"store", "p i? x", "p[i + Imm] = x, uniform; x has the element's register type, narrowed half to even"},
	OpStoreV:    {"storev", "p i? x", "lane l: p[i + Imm + l] = x"},
	OpStoreVN:   {"storevn", "p i? n x", "the same for lanes below n"},
	OpPrefetch:  {"prefetch", "p i?", "hint: p[i + Imm] will be read soon; may be beyond the end"},
	OpReduceAdd: {"reduceadd", "x...", "f32: the sum of 16 lanes (16/W values, or the first 16 lanes): lane l + lane l+8, then +4, +2, +1"},
	OpReduceMax: {"reducemax", "x...", "f32: the largest of 16 lanes in the same order"},
	OpFor:       {"for", "lo hi init...", "i = lo, lo+Imm, ... while i < hi; region gets i and the carried values and yields the next ones; results are the last"},
	OpIf:        {"if", "c", "uniform branch; both regions yield the results"},
	OpBarrier:   {"barrier", "", "all members of the team; their scratch is then seen by each other"},
}

func (o Op) String() string {
	if o < numOps {
		return ops[o].name
	}
	return "?"
}
