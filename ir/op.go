package ir

import (
	"math"
	"strings"

	"github.com/ssmc/ssmc/internal/f32"
)

// OpCode is an operation's index in the table.
type OpCode uint8

// The operations.
const (
	OpNone OpCode = iota

	// Elementwise, one operand.
	OpNeg
	OpAbs
	OpExp
	OpLog
	OpSqrt
	OpRsqrt
	OpRecip
	OpSquare
	OpTanh
	OpSin
	OpCos
	OpErf
	OpSigmoid
	OpSiLU
	OpSoftplus
	OpReLU
	OpGELU
	OpGELUTanh

	// Elementwise, two operands.
	OpAdd
	OpSub
	OpMul
	OpDiv
	OpMin
	OpMax

	OpFMA
	OpConst
	OpCast
	OpQuantize

	// Movement.
	OpSlice
	OpReshape
	OpPermute
	OpConcat
	OpGather

	// Sums.
	OpReduce
	OpRMSNorm
	OpLayerNorm
	OpLinear
	OpHadamard
	OpRowScale

	// Ops that see sequences.
	OpConv
	OpScan

	numOps
)

// opInfo declares one op.
type opInfo struct {
	name    string
	args    string // operand names; "b?" may be absent, "x..." is one or more
	results string // result names; empty means one result, named y
	attrs   attrSet
	flags   opFlags
	shape   shapeRule
	eval    evaluator
	doc     string
}

type opFlags uint8

const (
	flagElementwise opFlags = 1 << iota // result[i] depends on the (broadcast) operands' element i only
	flagSequences                       // the op sees where sequences begin
)

// ops is the whole vocabulary of the graph IR: name, operands, attributes, shape rule, evaluator and meaning of each op.
// Printer, parser, verifier and docs/ops.md read it; nothing else may list ops. What an op gives in float32, to the bit, is its evaluator with
// package f32: kernels follow it.
var ops = [numOps]opInfo{
	OpNone: {name: "none"},

	OpNeg:      {name: "neg", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Neg, func(x float64) float64 { return -x }), doc: "-x"},
	OpAbs:      {name: "abs", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Abs, math.Abs), doc: "|x|"},
	OpExp:      {name: "exp", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Exp, math.Exp), doc: "e to the x; in float32 x is clamped to [-87, 88], and NaN is -87"},
	OpLog:      {name: "log", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(rounded(math.Log), math.Log), doc: "natural logarithm of x"},
	OpSqrt:     {name: "sqrt", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Sqrt, math.Sqrt), doc: "square root of x"},
	OpRsqrt:    {name: "rsqrt", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(func(x float32) float32 { return 1 / f32.Sqrt(x) }, func(x float64) float64 { return 1 / math.Sqrt(x) }), doc: "1 / sqrt(x), both rounded"},
	OpRecip:    {name: "recip", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(func(x float32) float32 { return 1 / x }, func(x float64) float64 { return 1 / x }), doc: "1 / x"},
	OpSquare:   {name: "square", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(func(x float32) float32 { return x * x }, func(x float64) float64 { return x * x }), doc: "x * x"},
	OpTanh:     {name: "tanh", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Tanh, math.Tanh), doc: "hyperbolic tangent of x"},
	OpSin:      {name: "sin", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(rounded(math.Sin), math.Sin), doc: "sine of x"},
	OpCos:      {name: "cos", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(rounded(math.Cos), math.Cos), doc: "cosine of x"},
	OpErf:      {name: "erf", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Erf, math.Erf), doc: "error function of x"},
	OpSigmoid:  {name: "sigmoid", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Sigmoid, sigmoid), doc: "1 / (1 + exp(-x))"},
	OpSiLU:     {name: "silu", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.SiLU, silu), doc: "x / (1 + exp(-x))"},
	OpSoftplus: {name: "softplus", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.Softplus, softplus), doc: "log(1 + exp(x))"},
	OpReLU:     {name: "relu", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(func(x float32) float32 { return f32.Max(x, 0) }, func(x float64) float64 { return maxMachine(x, 0) }), doc: "max(x, 0)"},
	OpGELU:     {name: "gelu", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.GELU, gelu), doc: "x/2 * (1 + erf(x / sqrt 2))"},
	OpGELUTanh: {name: "gelu_tanh", args: "x", flags: flagElementwise, shape: shapeElementwise, eval: unaryOp(f32.GELUTanh, geluTanh), doc: "x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))"},

	OpAdd: {name: "add", args: "x y", flags: flagElementwise, shape: shapeElementwise, eval: binaryOp(func(x, y float32) float32 { return x + y }, func(x, y float64) float64 { return x + y }), doc: "x + y, broadcast as numpy does (so are all ops of two or three operands)"},
	OpSub: {name: "sub", args: "x y", flags: flagElementwise, shape: shapeElementwise, eval: binaryOp(func(x, y float32) float32 { return x - y }, func(x, y float64) float64 { return x - y }), doc: "x - y"},
	OpMul: {name: "mul", args: "x y", flags: flagElementwise, shape: shapeElementwise, eval: binaryOp(func(x, y float32) float32 { return x * y }, func(x, y float64) float64 { return x * y }), doc: "x * y"},
	OpDiv: {name: "div", args: "x y", flags: flagElementwise, shape: shapeElementwise, eval: binaryOp(func(x, y float32) float32 { return x / y }, func(x, y float64) float64 { return x / y }), doc: "x / y"},
	OpMin: {name: "min", args: "x y", flags: flagElementwise, shape: shapeElementwise, eval: binaryOp(f32.Min, minMachine), doc: "the lesser of x and y; y if one is NaN"},
	OpMax: {name: "max", args: "x y", flags: flagElementwise, shape: shapeElementwise, eval: binaryOp(f32.Max, maxMachine), doc: "the greater of x and y; y if one is NaN"},

	OpFMA: {name: "fma", args: "x y z", flags: flagElementwise, shape: shapeElementwise,
		eval: evaluator{evalFMA[float32], evalFMA[float64]}, doc: "x * y + z, rounded once"},
	OpConst: {name: "const", attrs: attrValue, flags: flagElementwise, shape: shapeConst,
		eval: evaluator{evalConst[float32], evalConst[float64]}, doc: "the f32 number value, of rank 0"},
	OpCast: {name: "cast", args: "x", attrs: attrTo, flags: flagElementwise, shape: shapeCast,
		eval: evaluator{evalCast[float32], evalCast[float64]}, doc: "x as another element type; from and to integer types: nearest, ties to even, saturated"},
	OpQuantize: {name: "quantize", args: "x inv?", attrs: attrInv | attrFull | attrCount, flags: flagElementwise, shape: shapeQuantize,
		eval: evaluator{evalQuantize[float32], evalQuantize[float64]},
		doc:  "i8 codes: t = x * inv, clamped to [-127, 127] (with full: -128), NaN below, then the nearest integer, ties to even; inv is a number or broadcasts to x, 1 multiplies by nothing; with count, how many were clamped (t outside of the range, or NaN) is kept beside what the step computes"},

	OpSlice: {name: "slice", args: "x", attrs: attrAxis | attrRange, shape: shapeSlice,
		eval: evaluator{evalSlice[float32], evalSlice[float64]}, doc: "the elements lo to hi-1 of x along a constant axis"},
	OpReshape: {name: "reshape", args: "x", attrs: attrShape, shape: shapeReshape,
		eval: evaluator{evalReshape[float32], evalReshape[float64]}, doc: "the same elements in the same order under another shape"},
	OpPermute: {name: "permute", args: "x", attrs: attrPerm, shape: shapePermute,
		eval: evaluator{evalPermute[float32], evalPermute[float64]}, doc: "axis i of the result is axis perm[i] of x"},
	OpConcat: {name: "concat", args: "x...", attrs: attrAxis, shape: shapeConcat,
		eval: evaluator{evalConcat[float32], evalConcat[float64]}, doc: "the operands one after the other along a constant axis"},
	OpGather: {name: "gather", args: "table idx", shape: shapeGather,
		eval: evaluator{evalGather[float32], evalGather[float64]}, doc: "y[i] = table[idx[i]]; rows of floating point come out as f32"},

	OpReduce: {name: "reduce", args: "x", attrs: attrKind | attrAxis | attrKeep, shape: shapeReduce,
		eval: evaluator{evalReduce[float32], evalReduce[float64]}, doc: "sum, max or mean of x over a constant axis; a sum over the last axis in 16 lanes, else in order"},
	OpRMSNorm: {name: "rmsnorm", args: "x w?", attrs: attrEps | attrGroups, shape: shapeRMSNorm,
		eval: evaluator{evalRMSNorm[float32], evalRMSNorm[float64]}, doc: "x * r * w over the last axis, r = 1 / sqrt(mean(x^2) + eps), the squares summed in 16 lanes; with groups, the mean is of each group of neighbours"},
	OpLayerNorm: {name: "layernorm", args: "x w? b?", attrs: attrEps, shape: shapeNorm,
		eval: evaluator{evalLayerNorm[float32], evalLayerNorm[float64]}, doc: "fma((x - mean(x)) * r, w, b) over the last axis, r = 1 / sqrt(var(x) + eps), var divided by n, both sums in 16 lanes"},
	OpLinear: {name: "linear", args: "x w b? s?", attrs: attrGroup, shape: shapeLinear,
		eval: evaluator{evalLinear[float32], evalLinear[float64]},
		doc: "y[..., n] = b[n] + sum_k x[..., k] * w[n, k], from b on by fma, k ascending. w may be codes (i8, i4), without b: i8 x gives exact i32, floating x f32. " +
			"With s [N, K/group, rounded up], the sum of each group of neighbours along K is made so, and y = fma(sum, s[n, g], y) from 0 on, g ascending: f32"},
	OpHadamard: {name: "hadamard", args: "x signs?", attrs: attrHadamard, shape: shapeHadamard,
		eval: evaluator{evalHadamard[float32], evalHadamard[float64]},
		doc:  "H x over the last axis of blocks * m * 2^k elements, not divided by the root: stages (a + b, a - b) at stride 1, 2, ... 2^(k-1), then the rows of H_m from left to right (H_40 as two H_20 and one more stage); before it, elements whose sign is negative change theirs; transposed: with the transpose of H_m, signs last"},

	OpRowScale: {name: "rowscale", args: "x", shape: shapeRowScale,
		eval: evaluator{evalRowScale[float32], evalRowScale[float64]},
		doc:  "the scale at which the largest |x| of each row (the last axis) is code 127: that over 127, or 1 where it is below 2^-60; elements that are no numbers do not count. The last axis of the result is 1"},

	OpConv: {name: "conv", args: "x w b? win", results: "y win'", flags: flagSequences, shape: shapeConv,
		eval: evaluator{evalConv[float32], evalConv[float64]},
		doc:  "causal, one filter a channel, over the rows of each sequence: y[t, c] = b[c] + sum_k w[c, k] * x[t-(K-1)+k, c], from b on by fma, k ascending; rows before the first come from win (oldest first), win' holds the last K-1; x, w and win of i8, without b, give exact i32"},
	OpScan: {name: "scan", args: "a b c h0", results: "y h'", flags: flagSequences, shape: shapeScan,
		eval: evaluator{evalScan[float32], evalScan[float64]},
		doc:  "over the rows of each sequence: h[t] = fma(a[t], h[t-1], b[t]); y[t] = sum over the last axis of c[t]*h[t], from 0 on by fma  (Mamba eq. 2; SSD with other shapes); a, b, c broadcast to [T, ...]"},
}

// String is the op's name in the text form.
func (c OpCode) String() string {
	if c >= numOps {
		return "op?"
	}
	return ops[c].name
}

// OpByName finds an op by its name in the text form.
func OpByName(name string) (OpCode, bool) {
	for c := OpNone + 1; c < numOps; c++ {
		if ops[c].name == name {
			return c, true
		}
	}
	return OpNone, false
}

// Elementwise says whether each element of the result depends on the same (broadcast) element of the operands only.
func (c OpCode) Elementwise() bool { return c < numOps && ops[c].flags&flagElementwise != 0 }

// SeesSequences says whether the op needs to know where sequences begin.
func (c OpCode) SeesSequences() bool { return c < numOps && ops[c].flags&flagSequences != 0 }

// Doc is the op's meaning in one line or a few.
func (c OpCode) Doc() string {
	if c >= numOps {
		return ""
	}
	return ops[c].doc
}

// Operands names the operands, in order.
func (c OpCode) Operands() []string {
	if c >= numOps {
		return nil
	}
	names := strings.Fields(ops[c].args)
	for i, n := range names {
		names[i] = strings.TrimRight(n, "?.")
	}
	return names
}

// Arg returns the operand of that name ("w" of a linear), or nil if it is absent.
func (op *Op) Arg(name string) *Value {
	for i, n := range op.Code.Operands() {
		if n == name && i < len(op.Args) {
			return op.Args[i]
		}
	}
	return nil
}

// Result is the first result, which most ops have alone.
func (op *Op) Result() *Value { return op.Results[0] }
