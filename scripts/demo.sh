#!/bin/bash
# make demo: from a trained checkpoint to machine code that writes English.
#   PROMPT, TOKENS   what to continue, and for how long
set -euo pipefail
cd "$(dirname "$0")/.."
model=golden/testdata/trained/mamba-en
out=build/mamba-en
text=golden/testdata/text/valid-excerpt.txt
prompt=${PROMPT:-"Elizabeth walked into the garden, and"}
tokens=${TOKENS:-60}

SSMC_TOOLS=compile scripts/setup-tools.sh > /dev/null
step() {
	printf '\n$'
	printf ' %q' "$@"
	printf '\n'
	"$@"
}
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
field() { # field NAME: a number out of JSON on standard input
	sed -n 's/.*"'"$1"'": *\([0-9.]*\).*/\1/p' | head -n 1
}

rm -rf "$out" "$out-w8a8"
mkdir -p build
step bin/ssmc compile "$model" -o "$out"
step bin/ssmc run "$out" "$prompt" --tokens "$tokens" --temperature 0.7 --top-p 0.9 --seed 1
step bin/ssmc bench "$out"

# The same model in 8 bits. A real calibration takes other text than the one that is measured, and more of it; this excerpt is cut in two.
head -c 30000 "$text" > build/calibration.txt
tail -c +30001 "$text" > build/measured.txt
step bin/ssmc compile "$model" -o "$out-w8a8" --scheme w8a8 --calibration build/calibration.txt --samples 24 --length 256
step bin/ssmc run "$out-w8a8" "$prompt" --tokens "$tokens" --temperature 0.7 --top-p 0.9 --seed 1

printf '\n%-10s %14s %12s %12s %12s\n' "" "weights bytes" "decode/s" "prefill/s" perplexity
for dir in "$out" "$out-w8a8"; do
	speed=$(bin/ssmc bench "$dir" --json)
	quality=$(bin/ssmc eval "$dir" --text build/measured.txt --json)
	printf '%-10s %14s %12.0f %12.0f %12.4f\n' "$([[ $dir == "$out" ]] && echo as-is || echo w8a8)" "$(wc -c < "$dir/weights.safetensors" | tr -d ' ')" \
		"$(field decode_tokens_per_s <<< "$speed")" "$(field prefill_tokens_per_s <<< "$speed")" "$(field perplexity <<< "$quality")"
done

for dir in "$out" "$out-w8a8"; do
	printf '\nWritten to %s from %s (%s bytes):\n' "$dir" "$model" "$(wc -c < "$model/model.safetensors" | tr -d ' ')"
	for f in "$dir"/*; do
		printf '  %10d  %-24s %s\n' "$(wc -c < "$f")" "$(basename "$f")" "$(describe "$(basename "$f")")"
	done
done
