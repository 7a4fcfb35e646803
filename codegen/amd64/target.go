package amd64

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// register names a result of CPUID.
type register int

const (
	eax register = iota
	ebx
	ecx
	edx
)

// feature is something that a CPU may have: what LLVM and /proc/cpuinfo call it, where CPUID says it, and what Go knows about this machine.
type feature struct {
	llvm, flag string
	leaf, sub  uint32 // CPUID's EAX and ECX; a leaf that has no such ECX gives zeros
	reg        register
	bit        uint
	has        *bool
}

// level is a named set of features, with those of another one.
type level struct {
	target   spmd.Target
	base     string // "": none
	cpu      string // LLVM's name for the level without what is added to the psABI's
	features []feature
	xcr0     uint32 // registers that the operating system must save
	bytes    bool   // differs from its base in products of bytes alone
}

// levels is every CPU level that we emit code for; of two that a CPU has the later one is better. x86-64-v3 and -v4 are those of the psABI; LLVM takes
// "target-cpu" to mean all of their features, so all of them are checked.
var levels = [...]level{
	{
		target: spmd.Target{Name: "x86-64-v3", Lanes: 8, Registers: 16, L1: 32 << 10, L2: 512 << 10, Members: 1},
		cpu:    "x86-64-v3",
		xcr0:   1<<1 | 1<<2, // xmm, ymm
		features: []feature{
			{"sse3", "pni", 1, 0, ecx, 0, &cpu.X86.HasSSE3},
			{"ssse3", "ssse3", 1, 0, ecx, 9, &cpu.X86.HasSSSE3},
			{"fma", "fma", 1, 0, ecx, 12, &cpu.X86.HasFMA},
			{"cx16", "cx16", 1, 0, ecx, 13, &cpu.X86.HasCX16},
			{"sse4.1", "sse4_1", 1, 0, ecx, 19, &cpu.X86.HasSSE41},
			{"sse4.2", "sse4_2", 1, 0, ecx, 20, &cpu.X86.HasSSE42},
			{"movbe", "movbe", 1, 0, ecx, 22, &cpu.X86.HasMOVBE},
			{"popcnt", "popcnt", 1, 0, ecx, 23, &cpu.X86.HasPOPCNT},
			{"avx", "avx", 1, 0, ecx, 28, &cpu.X86.HasAVX},
			{"f16c", "f16c", 1, 0, ecx, 29, &cpu.X86.HasF16C},
			{"bmi", "bmi1", 7, 0, ebx, 3, &cpu.X86.HasBMI1},
			{"avx2", "avx2", 7, 0, ebx, 5, &cpu.X86.HasAVX2},
			{"bmi2", "bmi2", 7, 0, ebx, 8, &cpu.X86.HasBMI2},
			{"sahf", "lahf_lm", 0x8000_0001, 0, ecx, 0, &cpu.X86.HasLAHF},
			{"lzcnt", "abm", 0x8000_0001, 0, ecx, 5, &cpu.X86.HasLZCNT},
		},
	},
	{
		target: spmd.Target{Name: "x86-64-v3+avxvnni", Lanes: 8, Registers: 16, L1: 32 << 10, L2: 512 << 10, Members: 1, Dot: spmd.DotUnsigned},
		base:   "x86-64-v3",
		cpu:    "x86-64-v3",
		bytes:  true,
		features: []feature{
			{"avxvnni", "avx_vnni", 7, 1, eax, 4, &cpu.X86.HasAVXVNNI},
		},
	},
	{
		target: spmd.Target{Name: "x86-64-v4", Lanes: 16, Registers: 32, L1: 32 << 10, L2: 1 << 20, Members: 1},
		base:   "x86-64-v3",
		cpu:    "x86-64-v4",
		xcr0:   1<<5 | 1<<6 | 1<<7, // mask registers, the upper halves, the upper sixteen
		features: []feature{
			{"avx512f", "avx512f", 7, 0, ebx, 16, &cpu.X86.HasAVX512F},
			{"avx512dq", "avx512dq", 7, 0, ebx, 17, &cpu.X86.HasAVX512DQ},
			{"avx512cd", "avx512cd", 7, 0, ebx, 28, &cpu.X86.HasAVX512CD},
			{"avx512bw", "avx512bw", 7, 0, ebx, 30, &cpu.X86.HasAVX512BW},
			{"avx512vl", "avx512vl", 7, 0, ebx, 31, &cpu.X86.HasAVX512VL},
		},
	},
	{
		target: spmd.Target{Name: "x86-64-v4+vnni", Lanes: 16, Registers: 32, L1: 32 << 10, L2: 1 << 20, Members: 1, Dot: spmd.DotUnsigned},
		base:   "x86-64-v4",
		cpu:    "x86-64-v4",
		bytes:  true,
		features: []feature{
			{"avx512vnni", "avx512_vnni", 7, 0, ecx, 11, &cpu.X86.HasAVX512VNNI},
		},
	},
	{
		target: spmd.Target{Name: "x86-64-v4+vnni+amx", Lanes: 16, Registers: 32, L1: 48 << 10, L2: 2 << 20, Members: 1, Dot: spmd.DotUnsigned, Tiles: true},
		base:   "x86-64-v4+vnni",
		cpu:    "x86-64-v4",
		xcr0:   1<<17 | 1<<18, // tile configuration, tiles
		bytes:  true,
		features: []feature{
			{"amx-tile", "amx_tile", 7, 0, edx, 24, &cpu.X86.HasAMXTile},
			{"amx-int8", "amx_int8", 7, 0, edx, 25, &cpu.X86.HasAMXInt8},
		},
	},
}

// leaf 1 ECX bit 27: XGETBV may be used to ask for xcr0. Without it no level can be had.
const osxsave = 27

// rank is the index in levels, or -1.
func rank(name string) int {
	for i := range levels {
		if levels[i].target.Name == name {
			return i
		}
	}
	return -1
}

// withBases is a level with its base, and the base's, ending with the level itself.
func withBases(i int) []*level {
	l := &levels[i]
	if l.base == "" {
		return []*level{l}
	}
	return append(withBases(rank(l.base)), l)
}

// Names lists the levels that differ in float arithmetic, the lowest first. ByteNames has also those that differ in products of bytes alone:
// what is not quantized is the same code there.
func Names() []string     { return names(false) }
func ByteNames() []string { return names(true) }

func names(bytes bool) []string {
	var list []string
	for i := range levels {
		if bytes || !levels[i].bytes {
			list = append(list, levels[i].target.Name)
		}
	}
	return list
}

// Target describes a level to the builders of kernels.
func Target(name string) (spmd.Target, error) {
	i := rank(name)
	if i < 0 {
		return spmd.Target{}, fmt.Errorf("CPU level %q is unknown\n  fix: use one of %s", name, strings.Join(ByteNames(), ", "))
	}
	return levels[i].target, nil
}

// Flags are the features of a level as /proc/cpuinfo calls them; nil if there is no such level.
func Flags(name string) []string {
	i := rank(name)
	if i < 0 {
		return nil
	}
	var flags []string
	for _, f := range allFeatures(i) {
		flags = append(flags, f.flag)
	}
	return flags
}

// allFeatures are those of a level and of its bases.
func allFeatures(rank int) []feature {
	var all []feature
	for _, l := range withBases(rank) {
		all = append(all, l.features...)
	}
	return all
}

// xcr0 is what the operating system must save for a level.
func xcr0(rank int) uint32 {
	var bits uint32
	for _, l := range withBases(rank) {
		bits |= l.xcr0
	}
	return bits
}

// Host names the best of the levels Names that this machine has, and the features that keep it from the next one. A machine with none gets an error.
// ByteHost names the best of ByteNames.
func Host() (best string, missing []string, err error)     { return host(false) }
func ByteHost() (best string, missing []string, err error) { return host(true) }

func host(bytes bool) (best string, missing []string, err error) {
	if runtime.GOARCH != "amd64" {
		return "", nil, fmt.Errorf("this machine is %s, not amd64: it cannot run x86-64 code", runtime.GOARCH)
	}
	for i := range levels {
		if levels[i].bytes && !bytes {
			continue
		}
		if lacks := lacking(i); len(lacks) == 0 {
			best, missing = levels[i].target.Name, nil
		} else if missing == nil {
			missing = lacks
		}
	}
	if best == "" {
		return "", missing, fmt.Errorf("this CPU does not have the level %s: it lacks %s", levels[0].target.Name, strings.Join(missing, ", "))
	}
	return best, missing, nil
}

// lacking are the features of a level that this machine has not.
func lacking(rank int) []string {
	var missing []string
	for _, f := range allFeatures(rank) {
		if !*f.has {
			missing = append(missing, f.llvm)
		}
	}
	if len(missing) == 0 && levels[rank].target.Tiles && !tilesAllowed() {
		missing = append(missing, "the system's permission to use tiles")
	}
	return missing
}
