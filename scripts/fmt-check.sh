#!/bin/bash
# Fails, with a list, when a Go file is not as gofmt writes it.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=$(find . \( -path ./build -o -path ./bin -o -path ./.git \) -prune -o -name '*.go' -print0 | xargs -0 gofmt -l)
if [[ -n $bad ]]; then
	printf 'not formatted (run gofmt -w):\n%s\n' "$bad" >&2
	exit 1
fi
