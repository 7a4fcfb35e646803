package ptx

import "fmt"

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

// field is the address of what lies at an offset from a register, in bytes.
func field(base string, off int64) string {
	if off == 0 {
		return "[" + base + "]"
	}
	return fmt.Sprintf("[%s+%d]", base, off) // ptxas reads "+-4", but not "-4"
}

// line is what a warp's contiguous access of 32-bit elements fetches: scratch is laid out in lines.
const line = 128
