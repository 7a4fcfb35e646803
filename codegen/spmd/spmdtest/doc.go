// Package spmdtest has programs that every backend of the kernel language must
// run as its interpreter does, to the bit: each instruction over the edges of
// its operands, memory in each type and up to its last byte, loops and branches,
// the spaces and grids of a step, products of codes, and random kernels.
//
// A backend's test makes a Bed for each of its targets, runs Bed.Program on
// copies of the bed's memory and gives what that left to Bed.Compare:
//
//	d := spmdtest.Ops(t, target)
//	want := d.Interpret(t)
//	got := ... // d.Program, emitted and run on d.Weights, d.Work, d.State, d.Input
//	d.Compare(t, want, got)
package spmdtest
