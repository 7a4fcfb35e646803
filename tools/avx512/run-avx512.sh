#!/bin/bash
# run-avx512.sh PROGRAM [ARGS...]
# Runs a Linux x86-64 program on a CPU with AVX-512 and AMX: on this machine's
# own where it has what AVX512_NEED names, else on an emulated one. Gives the
# program's output (stdout and stderr together when emulated) and exit status.
# Works as `go test -exec`.
#   run-avx512.sh --setup   only prepares the emulator; where that cannot be, one line says why
#   run-avx512.sh --mode    says "native" or "emulate"
#
#   AVX512_MODE     auto (default), native or emulate
#   AVX512_NEED     CPU flags that auto asks for
#   AVX512_FILES    files and folders the program needs, colon-separated
#                   (its libraries by ldd, and ./testdata, come along unasked)
#   AVX512_ENV      names of environment variables to hand on, space-separated
#   AVX512_MEM      MiB of emulated RAM (1024)
#   AVX512_TIMEOUT  seconds of real time for the emulated run (900)
#   AVX512_CACHE    folder for the built emulator
#   AVX512_MIRROR   a Debian mirror, where apt is not set up for one (Ubuntu)
# Exit status 125: the emulator itself failed.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cache=${AVX512_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/avx512-emulator}
need=${AVX512_NEED:-avx512f avx512bw avx512dq avx512vl avx512cd avx512_vnni}
mode=${AVX512_MODE:-auto}
mem=${AVX512_MEM:-1024}
suite_source=trixie	# Bochs 3.0
suite_kernel=bookworm	# Linux 6.1

die() { echo "run-avx512: $*" >&2; exit 125; }

host_can() {
	local flags f
	flags=" $(sed -n '/^flags/{s/.*://p;q}' /proc/cpuinfo) "
	for f in $need; do [[ $flags == *" $f "* ]] || return 1; done
}

# A package list of our own, from the mirror that this machine uses already, so
# that the machine's own release and sources stay as they are.
private_apt() {
	local a=$1 key=/usr/share/keyrings/debian-archive-keyring.gpg
	mkdir -p "$a"/{lists,cache/archives}/partial
	: > "$a/status"
	{
		echo "deb-src [signed-by=$key] $uri $suite_source main"
		echo "deb [signed-by=$key] $uri $suite_kernel main"
	} > "$a/sources"
	apt=(apt-get -qq -o Dir::Etc::sourcelist="$a/sources" -o Dir::Etc::sourceparts=-
		-o Dir::State::lists="$a/lists" -o Dir::Cache="$a/cache"
		-o Dir::State::status="$a/status" -o APT::Sandbox::User=root
		-o APT::Architecture=amd64)
	"${apt[@]}" -o APT::Update::Error-Mode=any update
}

# The mirror that apt uses here, if it is one of Debian.
debian_mirror() {
	if [[ -n ${AVX512_MIRROR:-} ]]; then echo "$AVX512_MIRROR"; return; fi
	apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' |
		awk '$2 == "Debian" && $1 !~ /security/ && !n++ { print $1 }'
}

# Says in one line what keeps the emulator from being built here.
check_host() {
	local t missing=
	[[ $(uname -sm) == "Linux x86_64" ]] || die "the emulator is built on Linux x86-64 only, this is $(uname -sm)"
	for t in gcc g++ make xz go as ld ldd flock timeout awk apt-get dpkg; do
		command -v $t > /dev/null || missing+=" $t"
	done
	[[ -z $missing ]] || die "not found:$missing (Debian: apt-get install g++ make xz-utils golang binutils)"
	uri=$(debian_mirror)
	if [[ -z $uri && $(id -u) == 0 ]]; then # a new machine has no package lists yet
		apt-get -qq update > /dev/null 2>&1 || true
		uri=$(debian_mirror)
	fi
	[[ -n $uri ]] || die "apt knows no Debian mirror: run apt-get update, or on other systems set AVX512_MIRROR"
	[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || die "no keys of Debian's archive (apt-get install debian-archive-keyring)"
	mkdir -p "$cache" || die "cannot write to $cache (set AVX512_CACHE)"
}

# logged STEP COMMAND...: keeps the step's log, and shows its first error when it fails.
logged() {
	local step=$1 status
	shift
	set +e # in a condition, bash would take no notice of -e in the step
	(set -e; "$@") > "$cache/$step.log" 2>&1
	status=$?
	set -e
	if [[ $status != 0 ]]; then
		die "cannot $step the emulator: $(grep -m1 -E '^E:|[Ee]rror' "$cache/$step.log" || tail -n 1 "$cache/$step.log") (log: $cache/$step.log)"
	fi
}

fetch() {
	private_apt "$work/apt"
	cd "$work"
	"${apt[@]}" source --tar-only --download-only bochs
	k=$("${apt[@]/-qq/-q}" -s --no-install-recommends install linux-image-cloud-amd64 |
		awk '/^Inst linux-image-[0-9]/ { print $2 }')
	"${apt[@]}" download "$k"
	dpkg --fsys-tarfile linux-image-[0-9]*.deb | tar -C "$big" --strip-components=2 --wildcards -xf - './boot/vmlinuz-*'
	mv "$big"/vmlinuz-* "$big/vmlinuz"
}

compile() {
	cd "$work"
	mkdir src build
	tar -C src --strip-components=1 -xf bochs_*.orig.tar.xz
	sh "$here/fix-bochs.sh" "$work/src"
	cd build
	../src/configure CFLAGS=-O2 CXXFLAGS="-O2 -fomit-frame-pointer -fno-exceptions -fno-rtti" \
		--with-nogui --enable-x86-64 --enable-cpu-level=6 --enable-avx --enable-evex --enable-amx \
		--enable-all-optimizations --disable-plugins --disable-docbook --disable-xpm
	make -j"$(nproc)" bochs
	strip -o "$big/bochs" bochs
}

small_parts() {
	cd "$tools"
	as --32 -o rom.o "$here/rom.S"
	ld -m elf_i386 -Ttext=0xffff0000 --oformat binary -o rom.bin rom.o
	gcc -O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -mgeneral-regs-only -o init "$here/init.c"
	env -u GOFLAGS GO111MODULE=off CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -o mkimage "$here/mkimage.go"
}

setup() {
	local key small work uri
	key=$( (cat "$here/fix-bochs.sh"; echo "$suite_source $suite_kernel 1") | sha256sum | cut -c1-12)
	small=$(cat "$here/rom.S" "$here/init.c" "$here/mkimage.go" | sha256sum | cut -c1-12)
	big=$cache/big-$key
	tools=$cache/tools-$small
	if [[ -e $big/ok && -e $tools/ok ]]; then return; fi
	check_host
	exec 9> "$cache/lock"
	flock 9
	if [[ ! -e $big/ok ]]; then
		echo "run-avx512: building the emulator, once (minutes)" >&2
		work=$big/work
		rm -rf "$big"; mkdir -p "$work"
		logged fetch fetch
		logged build compile
		rm -rf "$work"
		head -c 512 /dev/zero > "$big/vga.bin"
		touch "$big/ok"
	fi
	if [[ ! -e $tools/ok ]]; then
		rm -rf "$tools"; mkdir -p "$tools"
		logged assemble small_parts
		touch "$tools/ok"
	fi
	exec 9>&-
}

emulate() {
	local prog f name args=() tmp mark status
	prog=$(command -v "$1") || { echo "run-avx512: $1: not found" >&2; exit 127; }
	prog=$(readlink -f "$prog")
	shift
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	mark="@@$(od -An -N8 -tx1 /dev/urandom | tr -d ' ')"
	args+=(-f "$prog")
	for f in $(ldd "$prog" 2> /dev/null | grep -o '/[^ ]*'); do args+=(-f "$f"); done
	if [[ -d testdata ]]; then args+=(-f "$PWD/testdata"); fi
	while IFS= read -r -d: f; do
		if [[ -z $f ]]; then continue; fi
		args+=(-f "$(realpath -s "$f")")
		for f in $([[ -f $f ]] && ldd "$f" 2> /dev/null | grep -o '/[^ ]*'); do args+=(-f "$f"); done
	done <<< "${AVX512_FILES:-}:"
	args+=(-e HOME=/root -e PATH=/usr/bin:/bin -e TMPDIR=/tmp -e AVX512_EMULATED=1)
	for name in GODEBUG GOTRACEBACK GOMAXPROCS GOGC ${AVX512_ENV:-}; do
		if [[ -v $name ]]; then args+=(-e "$name=${!name}"); fi
	done
	# clearcpuid=580 hides FSRM: without firmware the kernel finds "fast
	# strings" off, and 6.1 mishandles that pair.
	"$tools/mkimage" -kernel "$big/vmlinuz" -init "$tools/init" -o "$tmp/ram.bin" -mem "$mem" -mark "$mark" -cwd "$PWD" \
		-cmdline "quiet panic=-1 clearcpuid=580 no5lvl nokaslr acpi=off noapic nolapic pci=off mitigations=off random.trust_cpu=on ${AVX512_CMDLINE:-}" \
		"${args[@]}" -- "$prog" "$@" || exit 125
	cat > "$tmp/rc" <<-R
		config_interface: textconfig
		display_library: nogui
		memory: guest=$mem, host=$mem, block_size=1024
		romimage: file=$tools/rom.bin, address=0xffff0000
		vgaromimage: file=$big/vga.bin
		vga: extension=none
		optramimage1: file=$tmp/ram.bin, address=0
		cpu: model=sapphire_rapids, count=1, ips=50000000, reset_on_triple_fault=1, ignore_bad_msrs=1${AVX512_CPU:+, $AVX512_CPU}
		clock: sync=none, time0=1700000000
		pci: enabled=0
		port_e9_hack: enabled=1
		com1: enabled=1, mode=file, dev=$tmp/com1
		log: $tmp/log
		panic: action=fatal
		error: action=ignore
		info: action=report
		debug: action=ignore
	R
	# No pipefail here: the emulator always ends with 1.
	set +o pipefail
	timeout "${AVX512_TIMEOUT:-900}" "$big/bochs" -q -f "$tmp/rc" 2> "$tmp/err" < /dev/null |
		awk -v mark="$mark" -v out="$tmp/status" '
			!on { if ($0 == mark " start") on = 1; next }
			index($0, mark " exit ") == 1 { if (held && last != "") print last; held = 0; print $3 > out; exit }
			{ if (held) { print last; fflush() } last = $0; held = 1 }
			END { if (held) print last }'
	if [[ ! -s $tmp/status ]]; then
		echo "run-avx512: no exit status: timeout (${AVX512_TIMEOUT:-900} s), out of memory ($mem MiB) or kernel trouble" >&2
		tail -5 "$tmp/log" >&2
		if [[ -s $tmp/com1 ]]; then tail -30 "$tmp/com1" >&2; fi
		exit 125
	fi
	read -r status < "$tmp/status"
	exit "$status"
}

[[ $# -gt 0 ]] || die "usage: run-avx512.sh PROGRAM [ARGS...] | --setup"
case $mode in
auto) if host_can; then mode=native; else mode=emulate; fi ;;
native | emulate) ;;
*) die "AVX512_MODE=$mode?" ;;
esac
case $1 in
--mode) echo "$mode" ;;
--setup) if [[ $mode == emulate ]]; then setup; fi ;;
*)
	if [[ $mode == native ]]; then exec "$@"; fi
	setup
	emulate "$@"
	;;
esac
