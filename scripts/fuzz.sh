#!/bin/bash
# make fuzz: each fuzz target of the repository for FUZZTIME (20s). What is found
# stays in the package's testdata/fuzz and is run by go test from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
status=0
for package in $("$go" list ./...); do
	list=$("$go" test -list '^Fuzz' "$package") || { status=1; continue; } # go test has said why
	for target in $(grep '^Fuzz' <<< "$list"); do
		echo "== $package $target"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" "$package" || status=1
	done
done
exit $status
