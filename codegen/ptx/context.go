package ptx

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// abiVersion is that of docs/ptx.md.
const abiVersion = 1

// Offsets of the fields of the context in global memory. Those that a CPU's context has too lie where they lie there (docs/abi.md).
const (
	ctxABI      = 0
	ctxResult   = 4
	ctxWeights  = 8
	ctxWork     = 16
	ctxTeam     = 24
	ctxState    = 32
	ctxIDs      = 40
	ctxSeqStart = 48
	ctxSeqSlot  = 56
	ctxOutRow   = 64
	ctxLogits   = 72
	ctxRows     = 80
	ctxSeqs     = 88
	ctxOuts     = 96
	ctxTrace    = 104
	ctxWorkers  = 112
	ctxArrived  = 128
)

// Results of a step.
const (
	fine       = 0
	errABI     = -1
	errLaunch  = -2
	errCount   = -3
	errPointer = -4
)

// Facts of a module, all i64, and how many there are.
const (
	factABI = iota
	factWeightBytes
	factWorkBytes
	factTeamBytes // of global scratch, a team
	factSlotBytes
	factLogitsStride
	factVocab
	factMaxRows
	factMaxSeqs
	factPhases
	factShared // bytes a team, dynamic
	factTeamThreads
	factBlockThreads // at most
	facts            = 32
)

// spaceFields are where the context says where a space is.
var spaceFields = [...]int64{
	spmd.Weights: ctxWeights, spmd.Work: ctxWork, spmd.State: ctxState, spmd.IDs: ctxIDs, spmd.SeqStart: ctxSeqStart,
	spmd.SeqSlot: ctxSeqSlot, spmd.OutRow: ctxOutRow, spmd.Logits: ctxLogits,
}

// written says whether a step writes to a space. What it does not write is read by ld.global.nc.
func written(s spmd.Space) bool { return s == spmd.Work || s == spmd.State || s == spmd.Logits }

// field is the address of what lies at an offset from a register, in bytes.
func field(base string, off int64) string {
	if off == 0 {
		return "[" + base + "]"
	}
	return fmt.Sprintf("[%s+%d]", base, off) // ptxas reads "+-4", but not "-4"
}

// line is what a warp's contiguous access of 32-bit elements fetches: scratch is laid out in lines.
const line = 128
