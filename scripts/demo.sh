#!/bin/bash
# make demo: from a trained checkpoint to machine code that writes English.
#   PROMPT, TOKENS   what to continue, and for how long
set -euo pipefail
cd "$(dirname "$0")/.."
model=golden/testdata/trained/mamba-en
out=build/mamba-en
prompt=${PROMPT:-"Elizabeth walked into the garden, and"}
tokens=${TOKENS:-60}

SSMC_TOOLS=compile scripts/setup-tools.sh > /dev/null
step() {
	printf '\n$'
	printf ' %q' "$@"
	printf '\n'
	"$@"
}
rm -rf "$out"
mkdir -p build
step bin/ssmc compile "$model" -o "$out"
step bin/ssmc run "$out" "$prompt" --tokens "$tokens" --temperature 0.7 --top-p 0.9 --seed 1
step bin/ssmc bench "$out"

printf '\nWritten to %s from %s (%s bytes):\n' "$out" "$model" "$(wc -c < "$model/model.safetensors" | tr -d ' ')"
describe() {
	case $1 in
	model.o) echo "object code: link it into any program" ;;
	model.so) echo "the same as a shared library that needs no other" ;;
	model.h) echo "C header" ;;
	weights.safetensors) echo "weights in the order in which the code reads them" ;;
	manifest.json) echo "what it was made of and how, with checksums" ;;
	tokenizer*) echo "text to tokens and back" ;;
	*) echo "" ;;
	esac
}
for f in "$out"/*; do
	printf '  %10d  %-24s %s\n' "$(wc -c < "$f")" "$(basename "$f")" "$(describe "$(basename "$f")")"
done
