// Package spmd is the kernel language of ssmc: single program, multiple data, as ISPC has it.
//
// A kernel says how one tile of a phase is computed, lane by lane, once for every machine. A value is uniform (one), varying (one a lane) or a
// pointer; statements are bounded loops and uniform branches; everything else is an instruction of the table in op.go. A kernel is built by Go
// code (Builder) that is given a Target: how many lanes, registers and how much cache there are. It blocks and unrolls by that description,
// so that the backends are near to printers: a varying value is one vector register on a CPU and one register a thread on a GPU.
//
// A tile is done by a team, which shares scratch memory and a barrier: one worker thread on a CPU; on a GPU one warp, or all warps of a thread
// block (the members) where a kernel says that its tiles are shared. A Program is an ordered list of phases; a phase is one or more launches of kernels over grids of tiles, and after it comes one
// barrier of all workers. Tiles of a phase are independent of each other, so the number of workers never changes a bit.
//
// Float arithmetic is IEEE binary32 with round to nearest even; nothing is contracted, fma is written. Sums across lanes go through sixteen
// partial sums and one fixed tree (ReduceAdd), whatever the number of lanes is.
//
// Verify checks kernels and programs, String prints them, ParseKernel and ParseProgram read that text back, and Machine runs programs in plain Go:
// the backends are tested against it. Merge makes one kernel of those that differ in constants alone, for both backends. docs/kernel-language.md explains the language and its text.
package spmd
