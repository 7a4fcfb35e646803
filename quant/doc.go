// Package quant holds what quantization needs and no graph: the integer semantics to the bit, Hadamard rotations, the observers that turn calibration
// runs into scales, 8- and 4-bit weights, and the scheme file that says which tensor gets which of these.
//
// A code stands for code * scale. Activations and most weights are i8, symmetric, without a zero point, codes -127..127; 4-bit weights have codes -8..7
// and one scale for each group of 128 inputs. A tensor of codes has one value, whatever computed it: every rounding is written down here once, and the
// graph evaluator, the kernels and the tests all follow it. In the order of a compile:
//
//	scheme*.go roles.go entry.go  the scheme file: which entry decides for a role in a layer; schemes/ has the ones that come with ssmc, node.go reads YAML
//	hadamard.go                   rotations that spread outliers, folded into weights in float64, or running for every token
//	stats.go histogram.go         what is kept of each observed tensor: exact counts, so that threads, batches and order do not matter; average.go is the
//	                              published observer, whose order does matter; amax.go makes scales of both
//	calibration*.go               all of it in one small file, from which any scheme can be made without running the model again
//	weights.go weights4.go        codes and scales of weights; gptq.go chooses 4-bit codes by the inputs that they will meet (gram.go, cholesky.go)
//	cluster.go                    scales by groups of channels for Mamba-2 (sort and cluster)
//	numerics.go                   quantize, requantize, dequantize, dot: what runs for every token
//
// Everything that combines scales is computed in float64 and rounded once to float32, at compile time.
package quant
