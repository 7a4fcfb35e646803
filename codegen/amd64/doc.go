// Package amd64 turns SPMD programs into LLVM IR for x86-64, one module for all CPU levels of a model.
//
// A varying value is one vector register (<8 x float> at x86-64-v3, <16 x float> at x86-64-v4) and an instruction of the kernel language is one
// or two of LLVM's: ops.go has the table, dot.go and mma.go
// the products of bytes, which levels differ most in, async.go copies that a CPU makes at once. llc runs no optimizer, so what is emitted is what the loops should be: SSA with phis, rotated
// loops, addresses as base + index + displacement, constants as constants. Float arithmetic has no fast-math flags: the bits are those of
// the kernel language's interpreter, whatever the level.
//
// A module holds:
//
//	<prefix>.<level>.<kernel>   a kernel: parameters resolved once, then a loop over tiles (kernel.go, ops.go, memory.go)
//	<prefix>.phases, .launches, .args, .kernels  the program as tables, the same for all levels (tables.go)
//	<prefix>.run                one worker's share of all phases (step.go, workers.go)
//	<prefix>.barrier            all workers meet: an atomic counter, then pause, then futex (barrier.go)
//	<prefix>_step, _serve, ...  what docs/abi.md promises; nothing else is visible (step.go, levels.go, context.go)
//
// Nothing is undefined in the object: CPUID and the system calls are inline assembly. Which features a level has, what LLVM calls
// them and where CPUID tells them is one table (target.go).
//
// code.go and literal.go are the little that llir needs around it. llir panics on type mismatches; a kernel's emission recovers in one
// place and says which instruction it was.
package amd64
