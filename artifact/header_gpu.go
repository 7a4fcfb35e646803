package artifact

import "text/template"

// gpuHeaderText is model.h of a module for a GPU. P is the prefix in capitals.
var gpuHeaderText = template.Must(template.New("header").Parse(`/*
 * {{.Entry.Prefix}}: a {{.Model.Family}} model of {{.Model.Parameters}} parameters, compiled by {{.Tool}} for {{.Target.Name}}.
 *
 * model.ptx is one module with one entry, {{.Entry.Prefix}}_step; weights.safetensors is what it reads. A step takes rows (tokens of one or several
 * sequences), moves each sequence's state slot forward, and gives the logits of the rows that were asked for. It is one cooperative launch.
 *
 *   1. cuModuleLoadData(model.ptx); copy the weights to the device: they begin 8 bytes after the file's start plus the 64-bit little-endian
 *      number that stands there, and are {{.P}}_WEIGHT_BYTES long
 *   2. allocate work, team and state of the sizes below, zero the state, and one struct {{.Entry.Prefix}}_ctx, all of it on the device
 *   3. fill the struct: {{.P}}_ABI, device pointers, rows, seqs, outs, workers; arrived is 0
 *   4. cuLaunchCooperativeKernel({{.Entry.Prefix}}_step, blocks, 1, 1, threads, 1, 1, {{.P}}_SHARED_BYTES * (threads / {{.P}}_TEAM_THREADS), stream, {&ctx})
 *      with one block for each multiprocessor and {{.P}}_BLOCK_THREADS threads; the results do not depend on either
 *   5. read result and logits; or have the step choose tokens, by sampling, odds and chosen: then ids of the next step may be chosen of this one, in a
 *      context of its own, and the launches follow each other without the host
 */
#ifndef SSMC_{{.P}}_H
#define SSMC_{{.P}}_H

#include <stdint.h>

#define {{.P}}_ABI {{.Entry.ABI}}
#define {{.P}}_WEIGHT_BYTES INT64_C({{.Weights.Bytes}}) /* ctx.weights */
#define {{.P}}_WORK_BYTES INT64_C({{.Sizes.WorkBytes}}) /* ctx.work */
#define {{.P}}_TEAM_BYTES INT64_C({{.Sizes.TeamBytes}}) /* ctx.team, for each worker; 0: it is not needed */
#define {{.P}}_SLOT_BYTES INT64_C({{.Sizes.SlotBytes}}) /* ctx.state, for each slot; zeroed is before the first token */
#define {{.P}}_LOGITS_STRIDE {{.Sizes.LogitsStride}} /* floats from one row of ctx.logits to the next */
#define {{.P}}_VOCAB {{.Model.Vocab}}
#define {{.P}}_MAX_ROWS {{.Sizes.MaxRows}} /* tokens in a step */
#define {{.P}}_MAX_SEQS {{.Sizes.MaxSeqs}} /* sequences in a step */
#define {{.P}}_SHARED_BYTES {{.Target.GPU.SharedBytes}} /* dynamic shared memory, for each team of a block */
#define {{.P}}_TEAM_THREADS {{.Target.GPU.TeamThreads}} /* a block has whole teams */
#define {{.P}}_BLOCK_THREADS {{.Target.GPU.BlockThreads}} /* at most */
#define {{.P}}_WEIGHTS_SHA256 "{{.Weights.SHA256}}"

/* ctx.result */
#define {{.P}}_OK 0
#define {{.P}}_WRONG_ABI (-1)    /* ctx.abi */
#define {{.P}}_WRONG_LAUNCH (-2) /* threads that are no whole teams, or too little shared memory */
#define {{.P}}_OUT_OF_RANGE (-3) /* rows, seqs, outs or workers */
#define {{.P}}_NULL (-4)         /* a pointer that is needed */

` + samplingText + `
/* All pointers are the device's, 256-byte aligned. */
struct {{.Entry.Prefix}}_ctx {
	uint32_t abi;          /* {{.P}}_ABI */
	int32_t result;        /* written by every step */
	uint64_t weights;      /* const void * */
	uint64_t work;         /* void *; not needed between steps */
	uint64_t team;         /* void *: {{.P}}_TEAM_BYTES * workers */
	uint64_t state;        /* void *: slots of {{.P}}_SLOT_BYTES */
	uint64_t ids;          /* const int32_t * [rows], from 0 to {{.P}}_VOCAB - 1: the caller checks */
	uint64_t seq_start;    /* const int32_t * [seqs + 1]: first row of each sequence, then rows; each has at least one row */
	uint64_t seq_slot;     /* const int32_t * [seqs]: state slot of each, no two alike */
	uint64_t out_row;      /* const int32_t * [outs]: the rows whose logits are wanted */
	uint64_t logits;       /* float * [outs][{{.P}}_LOGITS_STRIDE] */
	int64_t rows, seqs, outs; /* outs may be 0 */
	uint64_t trace;        /* null, or uint64_t * [phases + 1][blocks]: nanoseconds */
	uint32_t workers;      /* teams that team has room for: at least blocks * threads / {{.P}}_TEAM_THREADS */
	uint32_t reserved;
	uint64_t sampling;     /* const struct {{.Entry.Prefix}}_sampling * [outs] */
	uint64_t chosen;       /* int32_t * [outs]: ids, -1 where logits are not finite. Null: the step chooses none, and sampling and odds are not needed */
	uint64_t odds;         /* float * [outs][{{.P}}_LOGITS_STRIDE]: the sampler's; may be logits, which it then overwrites */
	uint64_t reserved2[6];
	uint32_t arrived;      /* the grid barrier: zero once, then leave alone */
	uint32_t pad[15];
};

#ifdef __cplusplus
static_assert(sizeof(struct {{.Entry.Prefix}}_ctx) == 256, "the layout");
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(struct {{.Entry.Prefix}}_ctx) == 256, "the layout");
#endif

#endif
`))
