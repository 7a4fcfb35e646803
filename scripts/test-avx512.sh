#!/bin/bash
# make test-avx512: the tests that execute AVX-512 code, and those of products of
# bytes by AVX-VNNI and AMX: each on this CPU where it has what is needed, else
# under emulation (tools/avx512). The emulator is too slow for llc and the
# linker, so a first, native run writes the libraries and the emulated one takes
# them from there (codegen/llvm/llvmtest).
#
#   AVX512_PKGS   packages (./codegen/amd64/...)
#   AVX512_RUN    pattern of their tests, as go test -run has it (all)
#   AVX512_BYTES  pattern of those that AVX-VNNI and AMX are for (^Test(Dot|MMA))
#
# Leaves one line in build/avx512.status, which make test repeats at its end.
# Where emulation cannot be set up the line says why, and that is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
read -ra packages <<< "${AVX512_PKGS:-./codegen/amd64/...}"
run=${AVX512_RUN:-.}
bytes=${AVX512_BYTES:-^Test(Dot|MMA)}
emulator=$PWD/tools/avx512/run-avx512.sh
need="avx512f avx512bw avx512dq avx512vl avx512cd"
needBytes="$need avx512_vnni avx_vnni amx_tile amx_int8"

mkdir -p build
close() { # close LINE: the outcome, for people and for scripts/test.sh
	echo "AVX-512: $1" | tee build/avx512.status
}
close "NOT executed: interrupted" > /dev/null

# tested PATTERN ARGS...: go test -v, of which only the names, and all of what
# failed, are shown. That no test ran is a failure: the pattern would be wrong.
tested() {
	local log=build/avx512.log status=0 pattern=$1
	shift
	"$go" test -v -run "$pattern" "$@" "${packages[@]}" > "$log" 2>&1 || status=$?
	if [[ $status != 0 ]]; then
		cat "$log"
		return "$status"
	fi
	grep -E '^(ok|--- (PASS|SKIP))' "$log" | grep -v 'no tests to run' || true
	if ! grep -qE '^--- PASS' "$log"; then
		echo "no test that matches $pattern passed in ${packages[*]}" >&2
		return 1
	fi
}

# emulated PATTERN: builds the libraries of these tests here and executes them
# on the emulated CPU, which has AVX-512, AVX-VNNI and AMX.
emulated() {
	local objects=$PWD/build/avx512-objects
	rm -rf "$objects"
	mkdir -p "$objects"
	if ! SSMC_TEST_OBJECTS=$objects SSMC_TEST_BUILD_ONLY=1 "$go" test -count=1 -run "$1" "${packages[@]}" > build/avx512.log 2>&1; then
		cat build/avx512.log
		return 1
	fi
	SSMC_TEST_OBJECTS=$objects AVX512_FILES=$objects AVX512_ENV="SSMC_TEST_OBJECTS" CGO_ENABLED=0 \
		tested "$1" -count=1 -timeout 20m -exec "$emulator"
}

mode() { # mode FLAGS: whether this CPU has them
	if [[ $(uname -sm) != "Linux x86_64" ]]; then echo emulate; else AVX512_NEED=$1 "$emulator" --mode; fi
}

done=
export AVX512_NEED=$need
if [[ $(mode "$need") == native ]]; then
	tested "$run" || { close "FAILED on this CPU"; exit 1; }
	done="executed natively"
	if [[ $(mode "$needBytes") == native ]]; then
		close "$done, with AVX-VNNI and AMX"
		exit 0
	fi
	export AVX512_NEED=$needBytes
	run=$bytes # the rest has just been executed
fi
lacks=$(for f in $AVX512_NEED; do grep -qsw "$f" /proc/cpuinfo || printf ' %s' "$f"; done)
if ! why=$("$emulator" --setup 2>&1); then
	why=$(tail -n 1 <<< "$why" | sed 's/^run-avx512: //')
	close "${done:+$done; AVX-VNNI and AMX }NOT executed: this CPU lacks$lacks, and $why"
	exit 0
fi
emulated "$run" || { close "FAILED under emulation"; exit 1; }
close "${done:+$done; AVX-VNNI and AMX }executed under emulation (Bochs as a Sapphire Rapids; this CPU lacks$lacks)"
