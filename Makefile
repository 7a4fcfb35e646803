# make demo    compile a trained checkpoint and let it write English
# make test    every test; what they need beyond Go is found, installed, or named
# The rest is in `make help`.

GO ?= go
# Packages whose tests execute AVX-512 code, and which of their tests.
AVX512_PKGS ?= ./codegen/amd64/...
AVX512_RUN ?= .
FUZZTIME ?= 20s
export GO AVX512_PKGS AVX512_RUN FUZZTIME

.PHONY: all demo test test-avx512 bench bench-gpu fmt-check vet fuzz clean help
.DEFAULT_GOAL := all

all: ## build everything; the program is bin/ssmc
	$(GO) build ./...
	$(GO) build -o bin/ssmc ./cmd/ssmc

demo: all ## compile golden/testdata/trained/mamba-en, generate text, measure
	scripts/demo.sh

test: ## formatting, vet, all tests, AVX-512 code under emulation where the CPU lacks it
	scripts/test.sh

test-avx512: ## only the tests that execute AVX-512 code
	scripts/test-avx512.sh

bench: all ## the figures beside llama.cpp's (long; see bench/README.md)
	bench/run.sh

bench-gpu: all ## the figures on this machine's GPU (long; see bench/README.md)
	bench/gpu.sh

fmt-check: ## fails when a Go file is not as gofmt writes it
	scripts/fmt-check.sh

vet:
	$(GO) vet ./...

fuzz: ## every fuzz target for FUZZTIME (20s)
	scripts/fuzz.sh

clean: ## remove what was built
	rm -rf bin build

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 14
