/* generate WEIGHTS COUNT ID...: continues the token ids by COUNT ids, with nothing but model.h and model.o (or model.so). The model chooses them:
   greedily, or as the environment says: TEMPERATURE, TOP_K, TOP_P and SEED. */
#include "model.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static double setting(const char *name) {
	const char *text = getenv(name);
	return text ? atof(text) : 0;
}

int main(int argc, char **argv) {
	struct stat st;
	int file = argc < 4 ? -1 : open(argv[1], O_RDONLY), prompt = argc - 3, count = argc < 4 ? 0 : atoi(argv[2]);
	if (file < 0 || fstat(file, &st)) return fprintf(stderr, "usage: generate weights.safetensors COUNT ID...\n"), 2;
	if (prompt > MODEL_MAX_ROWS) return fprintf(stderr, "at most %d ids\n", MODEL_MAX_ROWS), 2;
	const char *weights = mmap(0, st.st_size, PROT_READ, MAP_SHARED, file, 0);
	int64_t head = 8 + *(const int64_t *)weights; /* of the safetensors file; the weights follow */
	if (weights == MAP_FAILED || st.st_size - head != MODEL_WEIGHT_BYTES) return fprintf(stderr, "%s: not this model's\n", argv[1]), 1;

	int32_t ids[MODEL_MAX_ROWS], start[2] = {0, prompt}, slot = 0, last, chosen;
	struct model_sampling how = {setting("TEMPERATURE"), setting("TOP_K"), setting("TOP_P"), 0};
	srand48(setting("SEED"));
	char *memory = mmap(0, MODEL_WORK_BYTES + MODEL_TEAM_BYTES + MODEL_SLOT_BYTES + 64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct model_ctx ctx = {.abi = MODEL_ABI, .level = model_level(), .weights = weights + head, .work = memory, .ids = ids, .seq_start = start,
		.seq_slot = &slot, .out_row = &last, .logits = malloc(sizeof(float) * MODEL_LOGITS_STRIDE), .rows = prompt, .seqs = 1, .outs = 1,
		.sampling = &how, .chosen = &chosen};
	ctx.odds = ctx.logits; /* which nobody reads */
	ctx.team = memory + (MODEL_WORK_BYTES + 63) / 64 * 64;
	ctx.state = (char *)ctx.team + MODEL_TEAM_BYTES;
	for (int i = 0; i < prompt; i++) ids[i] = atoi(argv[3 + i]) % MODEL_VOCAB;
	for (int n = 0; n < count; n++, ctx.rows = 1, ctx.ids = &chosen) {
		start[1] = ctx.rows, last = ctx.rows - 1;
		how.u = (lrand48() >> 7) / 16777216.0f; /* 24 bits, all that a float has */
		int error = model_step(&ctx, 0, 1);
		if (error) return fprintf(stderr, "model_step: %d\n", error), 1;
		if (chosen < 0) return fprintf(stderr, "the logits are not finite numbers\n"), 1;
		printf("%d%s", chosen, n + 1 < count ? " " : "\n");
	}
}
