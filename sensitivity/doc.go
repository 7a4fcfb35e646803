// Package sensitivity says which layer and which tensor of a model loses what when it is quantized, and searches for schemes that lose less.
//
//	part.go     one layer of a graph as a graph of its own
//	fake.go     one tensor in it rounded to its codes, everything else in float
//	stream.go   what the float model has before each layer, and how far the quantized one has departed behind it
//	variant.go  schemes that quantize only some layers
//	study.go    all of it, for one model and scheme
//	page.go     the study as one page with pictures
//	percentile.go, mixed.go   searches, which write scheme files
//
// What one tensor costs is measured in the layer alone, by the graph's evaluator, on what the compiled float model gives the layer; what a layer costs is
// measured in the compiled model with only this layer quantized, as divergence of the predictions.
package sensitivity
