package artifact

import (
	"bytes"
	"strings"
	"text/template"
)

// headerText is model.h. P is the prefix in capitals. Everything that docs/abi.md says about the C side stands here too, since this is the
// file that a C programmer has before his eyes.
var headerText = template.Must(template.New("header").Parse(`/*
 * {{.Entry.Prefix}}: a {{.Model.Family}} model of {{.Model.Parameters}} parameters, compiled by {{.Tool}} for {{.Target.Name}}.
 *
 * Link model.o, or model.so, and map weights.safetensors into memory. No library is needed, nothing is allocated, nothing aborts.
 * A step takes rows (tokens of one or several sequences), moves each sequence's state slot forward, and gives the logits of the
 * rows that were asked for. One sequence with many rows is prefill, one row each of many sequences is batched decoding.
 *
 *   1. map the file; its data begins 8 bytes after its start plus the 64-bit little-endian number that stands there: ctx.weights
 *   2. give work, team and state, zeroed and 64-byte aligned, of the sizes below
 *   3. ctx.abi = {{.P}}_ABI; ctx.level = {{.Entry.Prefix}}_level(); if it is negative, this CPU cannot run the model
 *   4. fill ids, seq_start, seq_slot, out_row, rows, seqs, outs; call {{.Entry.Prefix}}_step(&ctx, 0, 1); read logits
 *
 * A step can also choose the next token of each wanted row: give sampling, odds and chosen, and read chosen. odds may be logits, if these are not wanted
 * afterwards; ids of the next step may be chosen of this one. All-zero parameters choose the largest logit.
 *
 * With N threads, thread 0 calls {{.Entry.Prefix}}_step(&ctx, 0, N) and the others {{.Entry.Prefix}}_serve(&ctx, i, N) once, for i = 1 to N-1; they take part in
 * every step until ctx.stop is set and thread 0 calls {{.Entry.Prefix}}_step once more. The results do not depend on N.
 */
#ifndef SSMC_{{.P}}_H
#define SSMC_{{.P}}_H

#include <stdint.h>

#ifdef __cplusplus
#define {{.P}}_ALIGN64 alignas(64)
extern "C" {
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define {{.P}}_ALIGN64 _Alignas(64)
#else
#define {{.P}}_ALIGN64 /* older C: align struct {{.Entry.Prefix}}_ctx to 64 bytes by other means */
#endif

#define {{.P}}_ABI {{.Entry.ABI}}
#define {{.P}}_WEIGHT_BYTES INT64_C({{.Weights.Bytes}}) /* ctx.weights */
#define {{.P}}_WORK_BYTES INT64_C({{.Sizes.WorkBytes}}) /* ctx.work */
#define {{.P}}_TEAM_BYTES INT64_C({{.Sizes.TeamBytes}}) /* ctx.team, for each thread */
#define {{.P}}_SLOT_BYTES INT64_C({{.Sizes.SlotBytes}}) /* ctx.state, for each slot; zeroed is before the first token */
#define {{.P}}_LOGITS_STRIDE {{.Sizes.LogitsStride}} /* floats from one row of ctx.logits to the next */
#define {{.P}}_VOCAB {{.Model.Vocab}}
#define {{.P}}_MAX_ROWS {{.Sizes.MaxRows}} /* tokens in a step */
#define {{.P}}_MAX_SEQS {{.Sizes.MaxSeqs}} /* sequences in a step */
#define {{.P}}_WEIGHTS_SHA256 "{{.Weights.SHA256}}"

/* What a step returns. */
#define {{.P}}_OK 0
#define {{.P}}_WRONG_ABI (-1)   /* ctx.abi */
#define {{.P}}_WRONG_CPU (-2)   /* the CPU has none of the levels */
#define {{.P}}_OUT_OF_RANGE (-3) /* rows, seqs, outs, worker or workers */
#define {{.P}}_NULL (-4)        /* a pointer that is needed */

` + samplingText + `
struct {{.Entry.Prefix}}_ctx {
	{{.P}}_ALIGN64 uint32_t abi;  /* {{.P}}_ABI */
	int32_t level;                /* {{.Entry.Prefix}}_level(), or the index of a lower level that the CPU has */
	const void *weights;          /* 64-byte aligned */
	void *work;                   /* {{.P}}_WORK_BYTES, zeroed once; not needed between steps */
	void *team;                   /* {{.P}}_TEAM_BYTES * threads */
	void *state;                  /* slots of {{.P}}_SLOT_BYTES */
	const int32_t *ids;           /* [rows], from 0 to {{.P}}_VOCAB - 1: the caller checks */
	const int32_t *seq_start;     /* [seqs + 1]: first row of each sequence, then rows; each has at least one row */
	const int32_t *seq_slot;      /* [seqs]: state slot of each, no two alike */
	const int32_t *out_row;       /* [outs]: the rows whose logits are wanted */
	float *logits;                /* [outs][{{.P}}_LOGITS_STRIDE] */
	int64_t rows, seqs, outs;     /* outs may be 0 */
	uint64_t *trace;              /* null, or [phases + 1][threads] time stamps */
	uint32_t spin;                /* rounds that a thread spins before it sleeps; 0 when there are more threads than cores */
	uint32_t stop;                /* ends {{.Entry.Prefix}}_serve at the next step */
	const struct {{.Entry.Prefix}}_sampling *sampling; /* [outs] */
	int32_t *chosen;              /* [outs]: ids, -1 where logits are not finite. Null: the step chooses none, and sampling and odds are not needed */
	float *odds;                  /* [outs][{{.P}}_LOGITS_STRIDE]: the sampler's; may be logits, which it then overwrites */
	uint64_t reserved[6];
	uint32_t arrived, pad1[15]; /* the barrier: zero once, then leave alone */
	uint32_t generation, pad2[15];
	uint32_t sleepers, pad3[15];
};

extern const int64_t {{.Entry.Prefix}}_facts[16];      /* ABI, then the sizes above as the code has them */
extern const char {{.Entry.Prefix}}_weights_sha256[65]; /* of the weights file that belongs to the code */

int32_t {{.Entry.Prefix}}_level(void);                  /* the best level that this CPU has, or negative */
const char *{{.Entry.Prefix}}_level_name(int32_t level); /* {{range $i, $l := .Target.Levels}}{{if $i}}, {{end}}{{$i}} {{$l.Name}}{{end}}; null beyond */
int32_t {{.Entry.Prefix}}_step(struct {{.Entry.Prefix}}_ctx *ctx, int32_t worker, int32_t workers);
int32_t {{.Entry.Prefix}}_serve(struct {{.Entry.Prefix}}_ctx *ctx, int32_t worker, int32_t workers);

#ifdef __cplusplus
static_assert(sizeof(struct {{.Entry.Prefix}}_ctx) == 384, "the ABI's layout");
}
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(struct {{.Entry.Prefix}}_ctx) == 384, "the ABI's layout");
#endif

#endif
`))

// samplingText is in both.
const samplingText = `/* How one token is chosen. */
struct {{.Entry.Prefix}}_sampling {
	float temperature; /* what logits are divided by; 0: the largest one is chosen */
	int32_t top_k;     /* only the k largest; 0: all */
	float top_p;       /* only the most probable that together have this probability; 0 or 1: all */
	float u;           /* a random number, from 0 to below 1 */
};
`

// Header gives the text of model.h for a manifest.
func Header(m *Manifest) ([]byte, error) {
	var b bytes.Buffer
	text := headerText
	if m.Target.GPU != nil {
		text = gpuHeaderText
	}
	err := text.Execute(&b, struct {
		*Manifest
		P string
	}{m, strings.ToUpper(m.Entry.Prefix)})
	return b.Bytes(), err
}
