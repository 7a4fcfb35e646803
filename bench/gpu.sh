#!/bin/bash
# make bench-gpu: ssmc on this machine's GPU, decode and prefill of published shapes with random weights, beside PyTorch
# with mamba_ssm where these can be installed. Without a GPU it says so and ends with 1. bench/README.md says more.
#
#   gpu.sh [--models A,B] [--weights A,B] [--prompt N] [--generate N] [--repeat N] [--no-peer] [--device D] [--max-rows N] [--table]
#
#   --models      mamba-130m,mamba-1.4b,mamba-2.8b
#   --weights     bf16,w8a8,w4a8
#   --prompt N    tokens of the prefill (2048)
#   --generate N  steps of decoding (128)
#   --repeat N    times that each is measured (5)
#   --max-rows N  tokens in a step of the prefill (512)
#   --no-peer     ssmc alone
#   --device D    number of the GPU (the one with the most free memory), or emulator: to try the script, with --models mamba-tiny
#   --table       print the table of the last run again
#
#   BENCH_DIR     where everything is put (build/bench-gpu): checkpoints of 9 GB, artefacts of 15 GB
#   PEER_PYTHON   a python that has torch and mamba_ssm already
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
models=mamba-130m,mamba-1.4b,mamba-2.8b
peer=1 device="" pass=()
while [[ $# -gt 0 ]]; do
	case $1 in
	--table) pass+=("$1") ;;
	--models) models=${2:?--models needs a list}; shift ;;
	--device) device=${2:?--device needs a number}; shift ;;
	--weights | --prompt | --generate | --repeat | --max-rows) pass+=("$1" "${2:?$1 needs a value}"); shift ;;
	--no-peer) peer="" ;;
	-h | --help) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
	*) echo "bench-gpu: unknown option $1 (--help lists them)" >&2; exit 2 ;;
	esac
	shift
done
work=${BENCH_DIR:-$root/build/bench-gpu}
say() { echo "== $*" >&2; }
die() { echo "bench-gpu: $*" >&2; exit 1; }

if [[ " ${pass[*]} " == *" --table "* ]]; then
	exec python3 "$here/gpu.py" --work "$work" --table
fi
ssmc=$root/bin/ssmc
go build -C "$root" -o bin/ssmc ./cmd/ssmc || die "ssmc does not build"
command -v python3 > /dev/null || die "python3 is missing (Debian: apt-get install python3 python3-venv)"

# First of all: is there a GPU?
if [[ $device == emulator ]]; then
	target=ptx:sm_90a
else
	target=$("$ssmc" version --json | python3 -c '
import json, sys
v, n = json.load(sys.stdin), sys.argv[1]
gpus = v["gpus"][int(n):int(n) + 1] if n else v["gpus"]
able = [g for g in gpus if g["target"]]
if not able:
    sys.exit("bench-gpu: there is no GPU to measure: " + v.get("no_gpu", "of %d none can run the code (compute capability 8.0 or more)" % len(v["gpus"])))
print(able[0]["target"])' "$device") || exit 1
fi

mkdir -p "$work/models" "$work/out"
work=$(cd "$work" && pwd)
SSMC_TOOLS=compile "$root/scripts/setup-tools.sh" > /dev/null || die "llc is missing: the float model runs on the CPU for a calibration (Debian: apt-get install llvm)"
python=python3
if ! python3 -c 'import numpy' 2> /dev/null; then
	python=$work/venv/bin/python
	if [[ ! -e $work/venv/ok ]]; then
		say "python: numpy"
		python3 -m venv "$work/venv"
		"$work/venv/bin/pip" install -q numpy
		touch "$work/venv/ok"
	fi
fi
for m in ${models//,/ }; do
	if [[ ! -e $work/models/$m/config.json ]]; then
		say "checkpoint $m"
		"$python" "$here/peers/make_checkpoint.py" --out "$work/models" --models "$m" --dtype bf16 >&2
	fi
done

# The peer is optional: it needs torch with CUDA and a compiled package.
if [[ -n $peer && -z ${PEER_PYTHON:-} ]]; then
	PEER_PYTHON=$work/venv-peer/bin/python
	if [[ ! -e $work/venv-peer/ok ]]; then
		say "PyTorch and mamba_ssm (some GB, once; log: $work/peer.log)"
		if python3 -m venv "$work/venv-peer" && "$work/venv-peer/bin/pip" install -q torch packaging wheel setuptools ninja > "$work/peer.log" 2>&1 &&
			"$work/venv-peer/bin/pip" install -q --no-build-isolation causal-conv1d mamba-ssm transformers >> "$work/peer.log" 2>&1; then
			touch "$work/venv-peer/ok"
		else
			say "PyTorch with mamba_ssm is left out, it did not install: $(tail -n 1 "$work/peer.log")"
			PEER_PYTHON=""
		fi
	fi
fi
if [[ -n $peer && -n ${PEER_PYTHON:-} ]]; then pass+=(--peer "$PEER_PYTHON"); fi
if [[ -n $device ]]; then pass+=(--device "$device"); fi
exec "$python" "$here/gpu.py" --work "$work" --ssmc "$ssmc" --target "$target" --models "$models" "${pass[@]}"
