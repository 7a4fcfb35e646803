#!/bin/bash
# make test: formatting, vet, all tests, and the AVX-512 code where the CPU lacks
# it. Ends with the closing lines of go test and what became of AVX-512.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
mkdir -p build

SSMC_NEED_LLC=$(scripts/setup-tools.sh)
export SSMC_NEED_LLC
if SSMC_PTXAS=$(scripts/setup-ptxas.sh); then
	export SSMC_PTXAS
else
	unset SSMC_PTXAS
	echo "test: without ptxas no PTX is assembled; the emulator runs it all the same" >&2
fi
echo "== gofmt"
scripts/fmt-check.sh
echo "== go vet ./..."
"$go" vet ./...
echo "== go test ./..."
status=0
"$go" test -timeout 20m ./... 2>&1 | tee build/test.log || status=$?
echo "== AVX-512"
scripts/test-avx512.sh || status=$?

echo "== closing lines of go test ./..."
grep -E '^(ok|FAIL|---|\?|panic:|	)' build/test.log | grep -v 'no test files' || true
cat build/avx512.status
if [[ $status != 0 ]]; then
	echo "make test: FAILED" >&2
	exit 1
fi
echo "make test: all passed"
