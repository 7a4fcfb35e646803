#!/bin/bash
# Finds what the tests need beyond Go: llc (14 and 19 are the tested versions),
# a linker and a C compiler. What is missing is installed where that is possible
# (Debian and Ubuntu, as root or by a sudo that asks nothing), else one line says
# how to get it. Prints the tested versions of llc that are there ("14 19") on
# standard output, all else on standard error. Fails when no compile could work.
#
#   SSMC_NO_INSTALL=1     installs nothing
#   SSMC_TOOLS=compile    content with one llc and a linker: what a compile needs
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup-tools: $*" >&2; }
have() { command -v "$1" > /dev/null 2>&1; }
have_llc() { have "llc-$1" || [[ -x /usr/lib/llvm-$1/bin/llc ]] || { have llc && [[ $(llc --version) == *"LLVM version $1."* ]]; }; }
any_llc() {
	local v
	for v in 14 15 16 17 18 19 20 21; do
		if have_llc $v; then return 0; fi
	done
	return 1
}
# The emulator of AVX-512 is built where the CPU lacks it: what that takes.
have_emulator_tools() { [[ $(uname -sm) != "Linux x86_64" || $(tools/avx512/run-avx512.sh --mode) == native ]] || { have g++ && have make && have xz; }; }
have_linker() { have ld.bfd || have ld || have ld.lld; }

# as_root COMMAND...: fails where it may not be run.
as_root() {
	if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}
may_install() {
	[[ -z ${SSMC_NO_INSTALL:-} ]] && have apt-get && { [[ $(id -u) == 0 ]] || { have sudo && sudo -n true 2> /dev/null; }; }
}
packaged() { [[ -n $(apt-cache show --no-all-versions "$1" 2> /dev/null) ]]; }

# The packages that would fill the gaps. Some release lacks each version of LLVM:
# Debian 13 has no 14, Debian 11 no 19.
missing_packages() {
	local v
	if ! have_llc 14 && packaged llvm-14; then echo llvm-14; fi
	if ! have_llc 19 && packaged llvm-19; then echo llvm-19; fi
	if ! any_llc && ! packaged llvm-14 && ! packaged llvm-19; then
		for v in 18 17 16 15; do
			if packaged llvm-$v; then echo llvm-$v; break; fi
		done
	fi
	if ! have_linker; then echo binutils; fi
	if ! have cc; then echo gcc libc6-dev; fi
	if ! have_emulator_tools; then echo g++ make xz-utils; fi
}

install_missing() {
	local packages
	if [[ ${SSMC_TOOLS:-} == compile ]] && any_llc && have_linker; then return; fi
	if have_llc 14 && have_llc 19 && have_linker && have cc && have_emulator_tools; then return; fi
	if ! may_install; then return; fi
	say "apt-get update"
	as_root apt-get -qq update >&2 || { say "apt-get update failed; going on with what is here"; return; }
	packages=$(missing_packages | xargs)
	if [[ -z $packages ]]; then return; fi
	say "apt-get install $packages"
	# shellcheck disable=SC2086 # a list of words
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $packages >&2 ||
		say "apt-get install failed; going on with what is here"
}

how() { # how APT DNF BREW: the line for this system
	if have apt-get; then echo "apt-get install $1"
	elif have dnf; then echo "dnf install $2"
	elif have brew; then echo "brew install $3"
	else echo "install LLVM 14 to 21, GNU binutils or lld, and a C compiler"
	fi
}

have "${GO:-go}" || { say "Go is not found: see https://go.dev/doc/install"; exit 1; }
install_missing
failed=
any_llc || { say "no llc (LLVM 14 to 21): $(how "llvm-14   (or llvm-19)" "llvm19" "llvm@19")"; failed=1; }
have_linker || { say "no linker: $(how binutils binutils lld)"; failed=1; }
have cc || say "no C compiler, so the test of the C example cannot run: $(how "gcc libc6-dev" gcc llvm)"
if [[ -n $failed ]]; then exit 1; fi
versions=
for v in 14 19; do
	if have_llc $v; then
		versions+="${versions:+ }$v"
	else
		say "llc $v is not here, its tests are left out: $(how llvm-$v llvm$v llvm@$v)"
	fi
done
echo "$versions"
