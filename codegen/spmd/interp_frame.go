package spmd

import "fmt"

// exec does one instruction.
type exec func(f *frame, in *inst)

// inst is an instruction with everything looked up: offsets of its operands and result in the arenas of the frame.
type inst struct {
	exec       exec
	n          int // lanes: 1 or W
	d, a, b, c int // arena offsets; -1: not there
	to         int // jumps: where to
	imm        int64
	size       int64 // memory: bytes of an element
	list       []int // all operands, of instructions that are no access
	results    []int // of instructions that have several
	src        *Instr
}

// The uniform values that the machine gives.
const (
	sysTile = iota
	sysRows
	sysSeqs
	sysOuts
	sysMember
	sysMembers
	numSys
)

// frame is one member of a team: its registers and where it stands. A uniform value takes one element of an arena, a varying one W.
type frame struct {
	f []float32 // f32
	i []int32   // i32 and bool (0 or 1)
	l []int64   // i64
	p []pointer

	lanes int

	code []inst // body, or what is done once a launch
	pc   int
	stop bool // at a barrier or after an error
	err  error
	at   *inst // where the error is

	copies []asyncCopy // that nobody has waited for
	groups int         // of copies that have ended
	quads  uint64      // which products of quads it has taken part in

	body   []inst
	sys    [numSys]int64
	params []Param
	args   []int64
	mem    *memory
}

// pointer is a byte offset into a space. It may lie outside; accesses are checked.
type pointer struct {
	space Space
	off   int64
}

func (f *frame) resize(c *code) {
	f.f, f.i, f.l, f.p = grow(f.f, c.f), grow(f.i, c.i), grow(f.l, c.l), grow(f.p, c.p)
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// run goes on to the end, the next barrier or an error.
func (f *frame) run() {
	for f.pc < len(f.code) && !f.stop {
		in := &f.code[f.pc]
		f.pc++
		in.exec(f, in)
	}
}

func (f *frame) fail(in *inst, format string, args ...any) {
	f.stop, f.at, f.err = true, in, fmt.Errorf(format, args...)
}

// fault gives the error with its instruction. It is not in fail, because printing reads the op table, which must not depend on what instructions do.
func (f *frame) fault() error {
	return fmt.Errorf("member %d: %s: %w", f.sys[sysMember], f.at.src, f.err)
}

// where says at which barrier a member waits.
func (f *frame) where() string {
	if f.pc == len(f.code) {
		return "has ended"
	}
	return fmt.Sprintf("waits at barrier %d", f.code[f.pc-1].imm)
}

// memory is what the members of all teams share, and the team's scratch.
type memory struct {
	bytes           [numSpaces + 1][]byte
	shadow          shadow
	loops, maxLoops int64
	arriving        int      // copies on their way into scratch
	pending         []uint8  // how many of them there are to each 16 bytes of it
	round           uint32   // counts barriers of the team
	written         []uint32 // the round in which each 16 bytes of scratch were written last
}

// count is called for each tile and loop iteration.
func (m *memory) count() error {
	if m.loops++; m.loops > m.maxLoops && m.maxLoops != 0 {
		return fmt.Errorf("more than %d loop iterations and tiles in one step", m.maxLoops)
	}
	return nil
}

// farIndex is beyond any memory, and far from overflow when multiplied by the size of an element.
const farIndex = 1 << 50

// address gives n elements of memory from p[i + imm], or nil after an error.
func (f *frame) address(in *inst, n int64, write bool) []byte {
	return f.elements(in, f.p[in.a], f.index(in), n, write)
}

// index is i + imm.
func (f *frame) index(in *inst) int64 {
	if in.b >= 0 {
		return in.imm + f.l[in.b]
	}
	return in.imm
}

func (f *frame) elements(in *inst, p pointer, i, n int64, write bool) []byte {
	return f.sized(in, p, in.size, i, n, write)
}

// sized gives elements of a size that need not be the instruction's.
func (f *frame) sized(in *inst, p pointer, size, i, n int64, write bool) []byte {
	mem := f.mem.bytes[p.space]
	from := p.off + i*size
	to := from + n*size
	if p.space == teamScratch && f.mem.arriving > 0 && f.mem.underway(from, to) {
		f.fail(in, "bytes %d to %d of team scratch: a copy to them may not have arrived, nobody has waited for it", from, to)
		return nil
	}
	if i < -farIndex || i > farIndex || from < 0 || to > int64(len(mem)) {
		name := "team scratch"
		if p.space < numSpaces {
			name = p.space.String()
		}
		f.fail(in, "bytes %d to %d (element %d from byte %d) of %s, which has %d", from, to, i, p.off, name, len(mem))
		return nil
	}
	if s := &f.mem.shadow; s.on && p.space < numSpaces {
		if other, bad := s.touch(p.space, from, to, write); bad {
			f.fail(in, "bytes %d to %d of %v are also %s in this phase", from, to, p.space, other)
			return nil
		}
	}
	if write && p.space == teamScratch {
		f.mem.note(from, to)
	}
	return mem[from:to]
}

// shadow notes for each byte of a space that tiles write which tile of this phase read and which wrote it. Tiles are numbered through the whole
// step; first is the number before the phase's first, and in readers means more than one tile.
type shadow struct {
	on              bool
	first, tile     int32
	writers, reader [numSpaces][]int32
}

func (s *shadow) reset(m *Machine) {
	s.on, s.first, s.tile = m.Races, 1, 1
	for sp := range numSpaces {
		if s.on && sp.Writable() {
			n := len(m.Memory[sp])
			s.writers[sp], s.reader[sp] = grow(s.writers[sp], n), grow(s.reader[sp], n)
			clear(s.writers[sp])
			clear(s.reader[sp])
		}
	}
}

func (s *shadow) endPhase() {
	s.tile++
	s.first = s.tile
}

func (s *shadow) touch(sp Space, from, to int64, write bool) (other string, bad bool) {
	if s.writers[sp] == nil {
		return "", false
	}
	w, r := s.writers[sp][from:to], s.reader[sp][from:to]
	for i := range w {
		switch {
		case w[i] > s.first && w[i] != s.tile:
			return "written by another tile", true
		case !write && r[i] < s.first:
			r[i] = s.tile
		case !write && r[i] != s.tile:
			r[i] = s.first
		case write && r[i] >= s.first && r[i] != s.tile:
			return "read by another tile", true
		case write:
			w[i] = s.tile
		}
	}
	return "", false
}
