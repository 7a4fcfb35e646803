// Package kernel turns a fused graph into a program of SPMD kernels: which phases a step has, what each tile computes, where every activation,
// weight and state lies.
//
// A group of the graph (passes) becomes a task: a kernel of one of the templates and the memory that it touches. Templates share one shape of
// tile: lanes run over neighbouring columns (channels) and a tile owns a panel of them, so that no sum crosses lanes or tiles and no number of
// workers, rows or sequences changes a bit.
//
//	map       rows (map.go): a gather (map_gather.go), a norm (map_norm.go) or a Hadamard transform (butterfly.go), elementwise chains, and
//	          the scale of a row's codes (rowscale.go)
//	contract  a panel of a linear layer's columns, over all rows or blocks of rows, then what is fused behind it: bias, activation,
//	          residual (contract.go), and the causal convolution of the same panel (conv.go)
//	scan      a panel of channels of all sequences, or a head of one (scan.go, rows.go): step size, recurrence, skip and gate, one row after the
//	          other, or in chunks of ChunkRows rows where a sequence brings that many and the decay is one a head (ssd.go); the state
//	          may be codes between steps (scan_state.go)
//	sample    a row of logits: the choice of a token (sample.go, sample_keep.go)
//
// What they have in common: elementwise expressions (expr.go, math.go), loops (loops.go), and products (matrix.go) in each form that a weight may have:
// floats, codes of eight bits (codes.go; on CPUs without VNNI by a narrow form of the rows, narrow.go), codes with a scale for each group of K (groups.go). What they ask a
// CPU's memory for ahead of time is in ahead.go. Codes that are clamped may be counted (count.go).
//
// Targets with teams of warps and wide loads (GPUs) have more ways: runs.go has loops over weights of which a lane loads sixteen bytes, split.go few rows
// by a team that shares a panel, staged.go many rows in tiles that go through scratch (by quads: staged_quad.go), conv_shared.go the convolution behind those, map_shared.go
// a row of a map by a team.
//
// A task (task.go) declares what its kernel reads and writes. Tasks of one depth share a phase, and memory is given to what lives at the same time
// (schedule.go); pack.go lays out weights and states; build.go goes the whole way. Kernels are built once for each structure, not once a layer: layers
// differ in arguments, and of a quantized model in constants, which backends make arguments too (spmd.Merge).
package kernel
