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

// feature is something that a CPU may have: LLVM's name, where CPUID says it, and what Go knows about this machine.
type feature struct {
	llvm string
	leaf uint32 // CPUID with ECX = 0
	reg  register
	bit  uint
	has  *bool
}

// level is a named set of features, with those of the levels before it.
type level struct {
	target   spmd.Target
	features []feature
	xcr0     uint32 // registers that the operating system must save
}

// levels is every CPU level that we emit code for, the lowest first. The sets are those of the x86-64 psABI; LLVM takes "target-cpu" to mean all of
// them, so all of them are checked.
var levels = [...]level{
	{
		target: spmd.Target{Name: "x86-64-v3", Lanes: 8, Registers: 16, L1: 32 << 10, L2: 512 << 10, Members: 1},
		xcr0:   1<<1 | 1<<2, // xmm, ymm
		features: []feature{
			{"sse3", 1, ecx, 0, &cpu.X86.HasSSE3},
			{"ssse3", 1, ecx, 9, &cpu.X86.HasSSSE3},
			{"fma", 1, ecx, 12, &cpu.X86.HasFMA},
			{"cx16", 1, ecx, 13, &cpu.X86.HasCX16},
			{"sse4.1", 1, ecx, 19, &cpu.X86.HasSSE41},
			{"sse4.2", 1, ecx, 20, &cpu.X86.HasSSE42},
			{"movbe", 1, ecx, 22, &cpu.X86.HasMOVBE},
			{"popcnt", 1, ecx, 23, &cpu.X86.HasPOPCNT},
			{"avx", 1, ecx, 28, &cpu.X86.HasAVX},
			{"f16c", 1, ecx, 29, &cpu.X86.HasF16C},
			{"bmi", 7, ebx, 3, &cpu.X86.HasBMI1},
			{"avx2", 7, ebx, 5, &cpu.X86.HasAVX2},
			{"bmi2", 7, ebx, 8, &cpu.X86.HasBMI2},
			{"sahf", 0x8000_0001, ecx, 0, &cpu.X86.HasLAHF},
			{"lzcnt", 0x8000_0001, ecx, 5, &cpu.X86.HasLZCNT},
		},
	},
	{
		target: spmd.Target{Name: "x86-64-v4", Lanes: 16, Registers: 32, L1: 32 << 10, L2: 1 << 20, Members: 1},
		xcr0:   1<<1 | 1<<2 | 1<<5 | 1<<6 | 1<<7, // and mask registers, the upper halves, the upper sixteen
		features: []feature{
			{"avx512f", 7, ebx, 16, &cpu.X86.HasAVX512F},
			{"avx512dq", 7, ebx, 17, &cpu.X86.HasAVX512DQ},
			{"avx512cd", 7, ebx, 28, &cpu.X86.HasAVX512CD},
			{"avx512bw", 7, ebx, 30, &cpu.X86.HasAVX512BW},
			{"avx512vl", 7, ebx, 31, &cpu.X86.HasAVX512VL},
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

// Names lists the levels, the lowest first.
func Names() []string {
	var names []string
	for i := range levels {
		names = append(names, levels[i].target.Name)
	}
	return names
}

// Target describes a level to the builders of kernels.
func Target(name string) (spmd.Target, error) {
	i := rank(name)
	if i < 0 {
		return spmd.Target{}, fmt.Errorf("CPU level %q is unknown\n  fix: use one of %s", name, strings.Join(Names(), ", "))
	}
	return levels[i].target, nil
}

// allFeatures are those of a level and of the levels below it.
func allFeatures(rank int) []feature {
	var all []feature
	for i := 0; i <= rank; i++ {
		all = append(all, levels[i].features...)
	}
	return all
}

// Host names the best level that this machine has, and the features that keep it from the next one. A machine with none gets an error.
func Host() (best string, missing []string, err error) {
	if runtime.GOARCH != "amd64" {
		return "", nil, fmt.Errorf("this machine is %s, not amd64: it cannot run x86-64 code", runtime.GOARCH)
	}
	for i := range levels {
		for _, f := range levels[i].features {
			if !*f.has {
				missing = append(missing, f.llvm)
			}
		}
		if len(missing) > 0 {
			break
		}
		best = levels[i].target.Name
	}
	if best == "" {
		return "", missing, fmt.Errorf("this CPU does not have the level %s: it lacks %s", levels[0].target.Name, strings.Join(missing, ", "))
	}
	return best, missing, nil
}
