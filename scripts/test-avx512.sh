#!/bin/bash
# make test-avx512: the tests that execute AVX-512 code, on this CPU where it has
# AVX-512, else under emulation (tools/avx512). The emulator is too slow for llc
# and the linker, so a first, native run writes the libraries and the emulated
# one takes them from there (codegen/llvm/llvmtest).
#
#   AVX512_PKGS   packages (./codegen/amd64/...)
#   AVX512_RUN    pattern of their tests, as go test -run has it (all)
#
# Leaves one line in build/avx512.status, which make test repeats at its end.
# Where emulation cannot be set up the line says why, and that is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
read -ra packages <<< "${AVX512_PKGS:-./codegen/amd64/...}"
run=${AVX512_RUN:-.}
emulator=$PWD/tools/avx512/run-avx512.sh
export AVX512_NEED="avx512f avx512bw avx512dq avx512vl avx512cd"

mkdir -p build
close() { # close LINE: the outcome, for people and for scripts/test.sh
	echo "AVX-512: $1" | tee build/avx512.status
}
close "NOT executed: interrupted" > /dev/null

# tested ARGS...: go test -v, of which only the names, and all of what failed, are
# shown. That no test ran is a failure: the pattern would be wrong.
tested() {
	local log=build/avx512.log status=0
	"$go" test -v -run "$run" "$@" "${packages[@]}" > "$log" 2>&1 || status=$?
	if [[ $status != 0 ]]; then
		cat "$log"
		return "$status"
	fi
	grep -E '^(ok|--- (PASS|SKIP))' "$log" | grep -v 'no tests to run' || true
	if ! grep -qE '^--- PASS' "$log"; then
		echo "no test that matches $run passed in ${packages[*]}" >&2
		return 1
	fi
}

if [[ $(uname -sm) == "Linux x86_64" && $("$emulator" --mode) == native ]]; then
	tested || { close "FAILED on this CPU"; exit 1; }
	close "executed natively"
	exit 0
fi

if ! why=$("$emulator" --setup 2>&1); then
	close "NOT executed: this CPU lacks it, and $(tail -n 1 <<< "$why" | sed 's/^run-avx512: //')"
	exit 0
fi
objects=$PWD/build/avx512-objects
rm -rf "$objects"
mkdir -p "$objects"
export SSMC_TEST_OBJECTS=$objects
if ! SSMC_TEST_BUILD_ONLY=1 "$go" test -count=1 -run "$run" "${packages[@]}" > build/avx512.log 2>&1; then
	cat build/avx512.log
	close "FAILED: the libraries could not be built"
	exit 1
fi
export AVX512_FILES=$objects AVX512_ENV="SSMC_TEST_OBJECTS"
CGO_ENABLED=0 tested -count=1 -timeout 20m -exec "$emulator" || { close "FAILED under emulation"; exit 1; }
close "executed under emulation (Bochs as a Sapphire Rapids; this CPU lacks it)"
