#!/bin/bash
# make bench: ssmc beside llama.cpp on random weights of published shapes, both
# in one run, and the table of the figures to reach. bench/README.md says more.
#
#   run.sh [--exclusive] [--rounds N] [--reps N] [--models A,B] [--no-peer] [--large] [--prepare] [--table]
#
#   --exclusive   real-time priority for what is measured, where permitted
#   --rounds N    times that everything is measured in turn (3)
#   --reps N      repetitions of llama-bench within a round (3)
#   --models      mamba-130m,mamba-370m,mamba2-130m
#   --weights     f32,bf16,w8a8,w4a8
#   --no-peer     ssmc alone
#   --large       also compile the 2.8b shape (makes a checkpoint of 5.6 GB)
#   --prepare     make everything, measure nothing
#   --table       print the table of the last run again
#
#   BENCH_DIR      where everything is put (build/bench)
#   BENCH_MODELS   checkpoints MODEL/ and MODEL-f32.gguf, -f16, -Q8_0, -Q4_0 (BENCH_DIR/models)
#   LLAMA_BIN      folder with llama-bench and llama-batched-bench that exist already
#   LLAMA_SOURCE   llama.cpp's source, for its converter
#   CONVERT_PYTHON a python that has torch, transformers and sentencepiece already
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
models=mamba-130m,mamba-370m,mamba2-130m
peer=1 large="" prepare="" pass=()
while [[ $# -gt 0 ]]; do
	case $1 in
	--exclusive | --table) pass+=("$1") ;;
	--rounds | --reps) pass+=("$1" "${2:?$1 needs a number}"); shift ;;
	--weights) pass+=("$1" "${2:?--weights needs a list}"); shift ;;
	--models) models=${2:?--models needs a list}; shift ;;
	--no-peer) peer="" ;;
	--large) large=1 ;;
	--prepare) prepare=1 ;;
	-h | --help) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
	*) echo "bench: unknown option $1 (--help lists them)" >&2; exit 2 ;;
	esac
	shift
done
work=${BENCH_DIR:-$root/build/bench}
mkdir -p "$work"/{bin,dl,src,models,out}
work=$(cd "$work" && pwd)
checkpoints=$(cd "${BENCH_MODELS:-$work/models}" && pwd)
python=$work/venv/bin/python
say() { echo "== $*" >&2; }
die() { echo "bench: $*" >&2; exit 1; }

need() { # need COMMAND PACKAGE...: installs where that is allowed
	command -v "$1" > /dev/null && return
	[[ $(id -u) == 0 ]] && command -v apt-get > /dev/null || die "$1 is missing (Debian: apt-get install ${*:2})"
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${@:2}" >&2
}

# The converter needs torch and transformers: some GB, so a folder of its own.
convert_python() {
	if [[ -n ${CONVERT_PYTHON:-} ]]; then return; fi
	CONVERT_PYTHON=$work/venv-convert/bin/python
	if [[ ! -e $work/venv-convert/ok ]]; then
		say "python for the converter: torch, transformers"
		python3 -m venv "$work/venv-convert"
		"$work/venv-convert/bin/pip" install -q torch transformers sentencepiece protobuf gguf
		touch "$work/venv-convert/ok"
	fi
}

# The source of llama.cpp comes inside a Python package.
llama_source() {
	if [[ -n ${LLAMA_SOURCE:-} ]]; then return; fi
	if ! compgen -G "$work/src/*/vendor/llama.cpp" > /dev/null; then
		say "source of llama.cpp"
		(cd "$work/dl" && python3 -m pip download -q --no-deps --no-binary llama-cpp-python llama-cpp-python) || die "could not download the source of llama-cpp-python"
		tar -xf "$work"/dl/llama_cpp_python-*.tar.gz -C "$work/src"
	fi
	LLAMA_SOURCE=$(compgen -G "$work/src/*/vendor/llama.cpp" | head -n 1)
}

llama_build() {
	if [[ -n ${LLAMA_BIN:-} ]]; then return; fi
	LLAMA_BIN=$work/llama/bin
	if [[ -x $LLAMA_BIN/llama-bench && -x $LLAMA_BIN/llama-batched-bench && -x $LLAMA_BIN/llama-quantize ]]; then return; fi
	need cmake cmake
	need ninja ninja-build
	need g++ g++
	llama_source
	say "llama.cpp (20 CPU minutes, once; log: $work/llama.log)"
	local flags=""
	if grep -q amx_tile /proc/cpuinfo; then # its products in matrix tiles die of an illegal instruction (tilezero), as GCC 12 builds them
		flags="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
	fi
	cmake -S "$LLAMA_SOURCE" -B "$work/llama" -G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_C_FLAGS=$flags" "-DCMAKE_CXX_FLAGS=$flags" -DGGML_NATIVE=ON -DGGML_CCACHE=OFF -DLLAMA_OPENSSL=OFF \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF > "$work/llama.log" 2>&1 &&
		nice -n 10 ninja -C "$work/llama" llama-bench llama-batched-bench llama-quantize >> "$work/llama.log" 2>&1 ||
		die "llama.cpp did not build: $(tail -n 3 "$work/llama.log")"
}

checkpoint() { # checkpoint NAME DTYPE FOLDER
	if [[ -e $3/$1/config.json ]]; then return; fi
	if [[ ! -e $work/venv/ok ]]; then
		say "python: numpy, tokenizers"
		python3 -m venv "$work/venv"
		"$work/venv/bin/pip" install -q numpy tokenizers
		touch "$work/venv/ok"
	fi
	say "checkpoint $1"
	"$python" "$here/peers/make_checkpoint.py" --out "$3" --models "$1" --dtype "$2" --text "$root/golden/testdata/text/valid-excerpt.txt" >&2
}

gguf() { # gguf NAME TYPE
	local out=$checkpoints/$1-$2.gguf
	if [[ -e $out ]]; then return; fi
	llama_source
	convert_python
	say "GGUF $1 $2"
	"$CONVERT_PYTHON" "$here/peers/convert.py" "$LLAMA_SOURCE" "$checkpoints/$1" --outfile "$out.tmp" --outtype "$2" > "$work/convert.log" 2>&1 ||
		die "conversion failed: $(tail -n 3 "$work/convert.log")"
	mv "$out.tmp" "$out"
}

quantized() { # quantized NAME TYPE: from the f16 file
	local out=$checkpoints/$1-$2.gguf
	if [[ -e $out ]]; then return; fi
	say "GGUF $1 $2"
	"$LLAMA_BIN/llama-quantize" "$checkpoints/$1-f16.gguf" "$out.tmp" "$2" > "$work/convert.log" 2>&1 || die "quantizing failed: $(tail -n 3 "$work/convert.log")"
	mv "$out.tmp" "$out"
}

if [[ " ${pass[*]} " == *" --table "* ]]; then
	exec python3 "$here/measure.py" --work "$work" --table
fi
need python3 python3 python3-venv
need cc gcc libc6-dev
cc -O3 -march=native -pthread "$here/peers/membw.c" -o "$work/bin/membw"
cc -O3 -march=native "$here/peers/peak.c" -o "$work/bin/peak" -lm
for m in ${models//,/ }; do
	checkpoint "$m" f32 "$checkpoints"
	if [[ -n $peer ]]; then
		llama_build
		gguf "$m" f32
		gguf "$m" f16
		quantized "$m" Q8_0
		quantized "$m" Q4_0
	fi
done
if [[ -n $large ]]; then
	checkpoint mamba-2.8b bf16 "$work/models"
	pass+=(--large "$work/models/mamba-2.8b")
fi
if [[ -n $peer ]]; then pass+=(--llama "$LLAMA_BIN"); fi
if [[ -n $prepare ]]; then say "ready"; exit 0; fi
go build -C "$root" -o bin/ssmc ./cmd/ssmc || die "ssmc does not build" # a binary that is not of this tree would be measured without a word
exec python3 "$here/measure.py" --work "$work" --checkpoints "$checkpoints" --ssmc "$root/bin/ssmc" --text "$root/golden/testdata/text/valid-excerpt.txt" --models "$models" "${pass[@]}"
