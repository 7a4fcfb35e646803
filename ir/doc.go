// Package ir is the graph form of a model: what is computed, not how.
//
// A Module holds weights, states and one function. The function is a list of ops in execution order over immutable values (SSA): each op
// takes values and makes values. A language model's function is named step. It takes the rows (tokens) of one or many sequences,
// flattened, so that one function is prefill (many rows of one sequence), decoding (one row), batched decoding (one row each of many)
// and any mixture. Three extents are known only when a step runs: T rows, S sequences, O wanted rows of logits (Rows, Seqs, Outs).
// Most ops see rows only. Ops that see sequences (conv, scan) learn from the step where each sequence begins, and take what the sequence
// remembers as a state of shape [S, ...] and return its successor.
//
// There is one table of ops, in op.go: name, operands, attributes, shape rule, evaluator and meaning. The printer, the parser, the
// verifier and docs/ops.md read it; nothing else lists ops. No op is named after a model: a model family is a composition.
//
// The ways in and out:
//
//	Builder          makes a module, op by op, and collects what was wrong
//	Print, Parse     text, one op a line; Parse(Print(m)) prints the same text
//	Verify           every rule at once, each problem with its op and where that came from
//	Evaluator, Eval  runs the module in plain Go: in float32 the exact meaning, to the bit, that kernels must have; in float64 the mathematics
//	Func.Uses, ReplaceUses, InsertBefore, Remove, Clone, Shuffle: for passes
//
// Quantized models are graphs of the same ops. Codes are values of i8 (or weights of i4): quantize makes them, linear and conv multiply them
// exactly, and what follows (cast, mul or fma with a scale, quantize) is elementwise. Scales are ordinary weights.
//
// Every value remembers where it came from (checkpoint tensor, config field or pass); the text keeps that as a trailing comment.
package ir
