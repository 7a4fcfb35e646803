// Package abi is the layout that compiled code and its callers agree on: the context of a step, in the memory of a CPU (docs/abi.md) and of a GPU
// (docs/ptx.md). What both have lies at the same offset in both. artifact/header.go says the same in C.
package abi

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Version is what a context must name, and a module's facts say. It changes with anything in this file that a caller of compiled code sees.
const Version = 2

// CheckNames says what is wrong with the prefix of a model's symbols and with the checksum of its weights.
func CheckNames(prefix, weightsSHA256 string) (errs []error) {
	if !isIdentifier(prefix) {
		errs = append(errs, fmt.Errorf("prefix %q is not an identifier of C\n  fix: use letters, digits and _", prefix))
	}
	if len(weightsSHA256) != 64 || strings.Trim(weightsSHA256, "0123456789abcdef") != "" {
		errs = append(errs, fmt.Errorf("checksum of the weights %q is not 64 hexadecimal digits", weightsSHA256))
	}
	return errs
}

func isIdentifier(s string) bool {
	for i, c := range []byte(s) {
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// Offsets of what both contexts have, in bytes.
const (
	ABI      = 0
	Weights  = 8
	Work     = 16
	Team     = 24
	State    = 32
	IDs      = 40
	SeqStart = 48
	SeqSlot  = 56
	OutRow   = 64
	Logits   = 72
	Rows     = 80
	Seqs     = 88
	Outs     = 96
	Trace    = 104
	Sampling = 120
	Chosen   = 128 // null: no token is chosen
	Odds     = 136
	Arrived  = 192 // barrier, on a line of its own
)

// A CPU's context.
const (
	Level      = 4
	Spin       = 112
	Stop       = 116
	Generation = 256
	Sleepers   = 320
	Bytes      = 384
)

// A GPU's context.
const (
	Result   = 4
	Workers  = 112
	GPUBytes = 256
)

// Results of a step.
const (
	Fine       = 0
	ErrABI     = -1
	ErrLevel   = -2 // the CPU has none of the levels
	ErrLaunch  = -2 // on a GPU: a launch that does not fit
	ErrCount   = -3
	ErrPointer = -4
)

// spaces are where the context says where a space is.
var spaces = [...]int64{
	spmd.Weights: Weights, spmd.Work: Work, spmd.State: State, spmd.IDs: IDs, spmd.SeqStart: SeqStart, spmd.SeqSlot: SeqSlot, spmd.OutRow: OutRow,
	spmd.Logits: Logits, spmd.Sampling: Sampling, spmd.Odds: Odds, spmd.Chosen: Chosen,
}

// SpaceAt is the offset of a space's pointer; false: there is no such space.
func SpaceAt(s spmd.Space) (int64, bool) {
	if int(s) >= len(spaces) {
		return 0, false
	}
	return spaces[s], true
}

// Required are the pointers that a step of a program cannot do without.
type Required struct {
	Always  []int64
	Outs    []int64 // when logits are wanted
	Sampled []int64 // when tokens are chosen, too: when Chosen is not null
}

// Requires lists the pointers to the spaces that a program's kernels use.
func Requires(programs ...*spmd.Program) (r Required) {
	var used [len(spaces)]bool
	for _, p := range programs {
		for _, k := range p.Kernels {
			for _, q := range k.Params {
				used[q.Space] = true
			}
		}
	}
	for s, at := range spaces {
		switch space := spmd.Space(s); {
		case !used[s], space == spmd.Chosen:
		case space == spmd.OutRow, space == spmd.Logits:
			r.Outs = append(r.Outs, at)
		case space == spmd.Sampling, space == spmd.Odds:
			r.Sampled = append(r.Sampled, at)
		default:
			r.Always = append(r.Always, at)
		}
	}
	return r
}
