// Package kernel turns a fused graph into a program of SPMD kernels: which phases a step has, what each tile computes, where every activation,
// weight and state lies.
//
// A group of the graph (passes) becomes a task: a kernel of one of the templates and the memory that it touches. Templates share one shape of
// tile: lanes run over neighbouring columns (channels) and a tile owns a panel of them, so that no sum crosses lanes or tiles and no number of
// workers, rows or sequences changes a bit.
//
//	map       rows: gather, norms and elementwise chains (map.go)
//	contract  a panel of a linear layer's columns, over all rows or blocks of rows, then what is fused behind it: bias, activation,
//	          residual (contract.go), and the causal convolution of the same panel (conv.go)
//	scan      a panel of channels, or a head, of one sequence: step size, recurrence, skip and gate, one row after the other (scan.go),
//	          or in chunks of ChunkRows rows where a sequence brings that many and the decay is one a head (ssd.go)
//
// Targets with teams of warps and wide loads (GPUs) have more ways to make a product: runs.go has loops over weights of which a lane loads sixteen bytes,
// split.go few rows by a team that shares a panel, staged.go many rows in tiles that go through scratch, conv_shared.go the convolution behind those.
//
// Tasks of one depth share a phase (schedule.go). Kernels are built once for each structure, not once a layer: layers differ in arguments only.
package kernel
