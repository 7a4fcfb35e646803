// Package compile is the whole way of a model, from a checkpoint to an artefact: it calls the other packages in their order and holds nothing
// of its own but that order.
//
//	loader, loader/family   checkpoint to graph
//	passes                  graph to groups
//	codegen/kernel          groups to programs of kernels, one for each CPU level, and packed weights
//	codegen/amd64, llvm     programs to object code
//	artifact                the folder
//
// A graph that ends early (StopAfter, DryRun) goes the same way up to that point.
package compile
