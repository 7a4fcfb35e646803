package spmd

import "fmt"

// Target is what a kernel's builder may know of the machine: facts, not names.
type Target struct {
	Name      string // "x86-64-v3", "x86-64-v4", "sm_80"
	Lanes     int    // W: f32 lanes of a varying value, 8, 16 or 32
	Registers int    // varying registers
	L1, L2    int    // bytes of data cache of one worker
	Members   int    // warps that can share a tile; 1 on a CPU
	Dot       Dot    // which product of bytes is the fast one
	Tiles     bool   // there is mma8
	Quads     bool   // four members multiply together, and there is copybulk
	Scratch   int    // bytes of scratch that a team has close by; 0: any memory is
	LaneBytes int    // what a lane should load at once of what it streams, 16 at most; 0: an element, and the lanes neighbours (see loadrun)
}

// Dot is which product of four bytes a machine has an instruction for. It has the other one too, at two or three times the cost.
type Dot uint8

const (
	DotSigned   Dot = iota // dot4; for more rows dot4u of bytes up to 128, or dot2 of rows that byte16 has prepared
	DotUnsigned            // dot4u
)

var dots = [...]string{"signed", "unsigned"}

func (d Dot) String() string {
	if int(d) < len(dots) {
		return dots[d]
	}
	return fmt.Sprintf("dot(%d)", uint8(d))
}

// GridBy says what the tiles of a launch are counted by, beside its panels.
type GridBy uint8

const (
	ByOne       GridBy = iota // panels only
	ByRowBlocks               // panels * ceil(rows / Block)
	BySeqs                    // panels * seqs
	ByOutBlocks               // panels * ceil(outs / Block)
)

// Grid is how many tiles a launch has. Tile t is panel t / n and block t % n, where n counts the blocks of rows, or the sequences.
//
// A step with a count below Least or above Most has no tile of it: of rows, of sequences or of rows of logits, whatever the grid goes by. So two launches can be
// two ways to do the same, one for few rows and one for many.
type Grid struct {
	Panels int64
	By     GridBy
	Block  int64 // rows in a block
	Least  int64
	Most   int64 // 0: any number
}

// RowsPerTile is the divisor of the count that a grid goes by: the rows in a block, or 1 where there are no blocks.
func (g Grid) RowsPerTile() int64 {
	if g.By == ByRowBlocks || g.By == ByOutBlocks {
		return g.Block
	}
	return 1
}

// Blocks is n for a step of these sizes, 0 if the grid is not for them.
func (g Grid) Blocks(rows, seqs, outs int64) int64 {
	count, n := rows, int64(1)
	switch g.By {
	case ByRowBlocks:
		n = (rows + g.Block - 1) / g.Block
	case BySeqs:
		count, n = seqs, seqs
	case ByOutBlocks:
		count, n = outs, (outs+g.Block-1)/g.Block
	}
	if count < g.Least || g.Most > 0 && count > g.Most {
		return 0
	}
	return n
}

// MostBlocks is the largest n of steps up to these sizes.
func (g Grid) MostBlocks(maxRows, maxSeqs int64) int64 {
	if g.Most > 0 {
		maxRows, maxSeqs = min(maxRows, g.Most), min(maxSeqs, g.Most)
	}
	return g.Blocks(maxRows, maxSeqs, maxRows)
}

// Launch is a kernel over a grid of tiles. Args holds, for each parameter of the kernel, a byte offset into the parameter's space.
type Launch struct {
	Kernel int // index into Program.Kernels
	Args   []int64
	Grid   Grid
	Note   string // checkpoint tensor or group that it is about: for dumps, profiles and comments in the code
}

// Phase is what runs between two barriers of all workers: the tiles of its launches, in any order.
type Phase struct {
	Name     string
	Needs    // skipped, with its barrier, by a step that has less
	Launches []Launch
}

// Needs is what a phase wants of a step to run. The zero value wants nothing.
type Needs struct {
	MinRows   int64 // rows
	MinChosen int64 // rows whose next token the step chooses
}

// Met says whether a step of these sizes has what is needed.
func (n Needs) Met(rows, chosen int64) bool { return rows >= n.MinRows && chosen >= n.MinChosen }

// Program is a whole step. Every level (number of lanes) of one program has the same phases, arguments and memory; only the kernels differ.
type Program struct {
	Name    string
	Target  Target
	Kernels []*Kernel
	Phases  []Phase

	WeightBytes  int64 // packed weights
	WorkBytes    int64 // activations of a step of MaxRows rows
	TeamBytes    int64 // scratch of one worker
	SlotBytes    int64 // state of one sequence, a multiple of 64
	LogitsStride int64 // f32 elements between two rows of the logits
	Vocab        int64 // columns of the logits that mean something
	MaxRows      int64
	MaxSeqs      int64
}
