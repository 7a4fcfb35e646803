// Package compile is the whole way of a model, from a checkpoint to an artefact: it calls the other packages in their order and holds nothing
// of its own but that order.
//
//	loader, loader/family   checkpoint to graph
//	calibrate               what a scheme has to know of the values, by running the float model (quantize.go, temporary.go)
//	passes                  graph to groups
//	codegen/kernel          groups to programs of kernels, one for each CPU level or for a GPU, and packed weights
//	codegen/amd64, llvm     programs to object code
//	codegen/ptx             the program for a GPU to PTX
//	artifact                the folder
//
// A graph that ends early (StopAfter, DryRun) goes the same way up to that point.
package compile
