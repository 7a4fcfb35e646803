package spmd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Machine runs programs in plain Go, bit for bit as the backends must; only the bits of a NaN mean nothing.
//
// It is a strict machine. Every access is checked against its space; team scratch is filled with NaNs before each tile; and what no backend can
// promise is found by Seed (another order of the tiles), Races (a tile that touches what another tile of its phase writes) and PoisonWork
// (a step that needs what the last one left in the work space). It holds state between steps; programs of other targets with the same memory can take turns on it.
type Machine struct {
	Memory     [numSpaces][]byte // Weights, Work and State by NewMachine; the others by each Step
	Seed       uint64            // not 0: tiles and members run in an order that is drawn from it
	Races      bool              // fail when tiles of a phase are not independent; takes 8 bytes for each byte that can be written
	PoisonWork bool              // fill the work space with NaNs before each step
	MaxLoops   int64             // not 0: fail after so many loop iterations and tiles of one step

	verified map[*Program]bool
	codes    map[*Kernel]*code
	run      runner
}

// StepInput is what the caller of a step gives, as in the C ABI.
type StepInput struct {
	IDs      []int32 // one a row
	SeqStart []int32 // first row of each sequence, then the number of rows
	SeqSlot  []int32 // state slot of each sequence
	OutRow   []int32 // rows whose logits are wanted
	Sampling []int32 // SamplingWords for each of these; nil: no token is chosen
}

// chosen is how many tokens the step chooses.
func (in *StepInput) chosen() int64 { return int64(len(in.Sampling) / SamplingWords) }

// NewMachine gives a machine with a program's packed weights, zeroed work memory and zeroed state slots.
func NewMachine(p *Program, weights []byte, slots int) (*Machine, error) {
	if err := p.Verify(); err != nil {
		return nil, err
	}
	if int64(len(weights)) != p.WeightBytes {
		return nil, fmt.Errorf("program %s has %d bytes of weights, not %d", printName(p.Name), p.WeightBytes, len(weights))
	}
	if slots < 0 || int64(slots) > maxBytes/max(1, p.SlotBytes) {
		return nil, fmt.Errorf("program %s: %d slots of state", printName(p.Name), slots)
	}
	m := &Machine{verified: map[*Program]bool{p: true}, codes: map[*Kernel]*code{}}
	m.Memory[Weights] = weights
	m.Memory[Work] = make([]byte, p.WorkBytes)
	m.Memory[State] = make([]byte, int64(slots)*p.SlotBytes)
	return m, nil
}

// Logits gives row i of the last step's logits.
func (m *Machine) Logits(p *Program, i int) []float32 {
	row := m.Memory[Logits][4*p.LogitsStride*int64(i):][:4*p.Vocab]
	out := make([]float32, p.Vocab)
	for c := range out {
		out[c] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*c:]))
	}
	return out
}

// Chosen gives the tokens that the last step chose.
func (m *Machine) Chosen() []int32 {
	ids := make([]int32, len(m.Memory[Chosen])/4)
	for i := range ids {
		ids[i] = int32(binary.LittleEndian.Uint32(m.Memory[Chosen][4*i:]))
	}
	return ids
}

// Step runs all phases of a program over the sequences of in.
func (m *Machine) Step(p *Program, in StepInput) error {
	if !m.verified[p] {
		if err := p.Verify(); err != nil {
			return err
		}
		m.verified[p] = true
	}
	if err := m.check(p, in); err != nil {
		return fmt.Errorf("step of program %s: %w", printName(p.Name), err)
	}
	m.load(p, in)
	m.run.begin(m, p, in)
	for i := range p.Phases {
		if err := m.phase(p, i); err != nil {
			return fmt.Errorf("step of program %s: phase %d (%s): %w", printName(p.Name), i, printName(p.Phases[i].Name), err)
		}
	}
	return nil
}

// check says all that is wrong with a step's input.
func (m *Machine) check(p *Program, in StepInput) error {
	var errs []error
	fail := func(format string, args ...any) {
		if len(errs) < maxErrors {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	rows, seqs := len(in.IDs), len(in.SeqSlot)
	if int64(len(m.Memory[Weights])) < p.WeightBytes || int64(len(m.Memory[Work])) < p.WorkBytes {
		fail("the machine has %d bytes of weights and %d of work, the program wants %d and %d", len(m.Memory[Weights]), len(m.Memory[Work]), p.WeightBytes, p.WorkBytes)
	}
	if int64(rows) > p.MaxRows || int64(seqs) > p.MaxSeqs || len(in.OutRow) > rows {
		fail("%d rows, %d sequences, %d rows of logits; at most %d, %d and as many as rows", rows, seqs, len(in.OutRow), p.MaxRows, p.MaxSeqs)
	}
	if len(in.SeqStart) != seqs+1 || in.SeqStart[0] != 0 || int(in.SeqStart[seqs]) != rows {
		return errors.Join(append(errs, fmt.Errorf("first rows %v for %d sequences of %d rows", in.SeqStart, seqs, rows))...)
	}
	taken := map[int32]bool{}
	for i, s := range in.SeqSlot {
		if in.SeqStart[i] >= in.SeqStart[i+1] {
			fail("sequence %d begins at row %d and ends before row %d", i, in.SeqStart[i], in.SeqStart[i+1])
		}
		if s < 0 || (int64(s)+1)*p.SlotBytes > int64(len(m.Memory[State])) || taken[s] {
			fail("sequence %d has slot %d, which is not there or has another sequence", i, s)
		}
		taken[s] = true
	}
	for i, r := range in.OutRow {
		if r < 0 || int(r) >= rows {
			fail("row %d of the logits is that of row %d of %d", i, r, rows)
		}
	}
	if n := len(in.Sampling); n != 0 && n != SamplingWords*len(in.OutRow) {
		fail("%d words say how %d tokens are chosen", n, len(in.OutRow))
	}
	return errors.Join(errs...)
}

// load puts a step's input into memory. What it gives back is filled with ones, NaNs among the logits, so that what is not written shows.
func (m *Machine) load(p *Program, in StepInput) {
	for s, xs := range map[Space][]int32{IDs: in.IDs, SeqStart: in.SeqStart, SeqSlot: in.SeqSlot, OutRow: in.OutRow, Sampling: in.Sampling} {
		b := m.Memory[s][:0]
		for _, x := range xs {
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		}
		m.Memory[s] = b
	}
	row := 4 * p.LogitsStride
	for s, n := range map[Space]int64{Logits: row * int64(len(in.OutRow)), Odds: row * in.chosen(), Chosen: 4 * in.chosen()} {
		m.Memory[s] = grow(m.Memory[s], int(n))
		poison(m.Memory[s])
	}
	if m.PoisonWork {
		poison(m.Memory[Work])
	}
}

// poison fills memory with ones: a NaN as f32, f16 and bf16, and an index that no array has.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

// tile is one tile of a phase.
type tile struct{ launch, index int32 }

// phase runs the tiles of all launches of a phase: in order, or in the order that Seed draws.
func (m *Machine) phase(p *Program, i int) error {
	ph, r := &p.Phases[i], &m.run
	if !ph.Met(r.rows, r.chosen) {
		return nil
	}
	r.tiles = r.tiles[:0]
	for j, l := range ph.Launches {
		n := l.Grid.Panels * l.Grid.Blocks(r.rows, r.seqs, r.outs)
		if m.Seed == 0 {
			for t := range n {
				if err := r.tile(p, ph, tile{int32(j), int32(t)}); err != nil {
					return err
				}
			}
			continue
		}
		for t := range n {
			r.tiles = append(r.tiles, tile{int32(j), int32(t)})
		}
	}
	r.rng.Shuffle(len(r.tiles), func(a, b int) { r.tiles[a], r.tiles[b] = r.tiles[b], r.tiles[a] })
	for _, t := range r.tiles {
		if err := r.tile(p, ph, t); err != nil {
			return err
		}
	}
	r.mem.shadow.endPhase()
	return nil
}

// runner is what a step keeps while it runs.
type runner struct {
	m                *Machine
	rows, seqs, outs int64
	chosen           int64
	rng              *rand.Rand
	mem              memory
	tiles            []tile
	all              []frame // of as many members as a kernel had at most
	frames           []frame // one a member
	launch           *Launch // that the frames are set up for
}

func (r *runner) begin(m *Machine, p *Program, in StepInput) {
	r.m, r.rows, r.seqs, r.outs = m, int64(len(in.IDs)), int64(len(in.SeqSlot)), int64(len(in.OutRow))
	r.chosen = in.chosen()
	r.rng = rand.New(rand.NewPCG(m.Seed, 0))
	r.launch, r.mem.loops, r.mem.maxLoops = nil, 0, m.MaxLoops
	copy(r.mem.bytes[:], m.Memory[:])
	if int64(cap(r.mem.bytes[teamScratch])) < p.TeamBytes {
		r.mem.bytes[teamScratch] = make([]byte, p.TeamBytes)
	}
	r.mem.shadow.reset(m)
}

// tile runs one tile: each member up to the next barrier, in turn, until all have ended.
func (r *runner) tile(p *Program, ph *Phase, t tile) error {
	l := &ph.Launches[t.launch]
	k := p.Kernels[l.Kernel]
	if r.launch != l {
		r.setup(k, l)
	}
	poison(r.mem.bytes[teamScratch])
	r.mem.shadow.tile++
	for i := range r.frames {
		f := &r.frames[i]
		f.code, f.pc, f.stop, f.sys[sysTile] = f.body, 0, false, int64(t.index)
		f.copies, f.groups, f.quads = f.copies[:0], 0, 0
	}
	r.mem.noCopies()
	err := r.mem.count()
	for ended := false; !ended && err == nil; {
		ended, err = r.round()
	}
	if err == nil && r.mem.arriving > 0 {
		err = fmt.Errorf("%d copies into scratch were not waited for", r.mem.arriving)
	}
	if err != nil {
		return fmt.Errorf("launch %d of kernel %s, tile %d: %w", t.launch, printName(k.Name), t.index, err)
	}
	return nil
}

// round runs each member to its next barrier or its end, which must be the same for all.
func (r *runner) round() (ended bool, err error) {
	r.mem.round++
	first := 0
	if r.m.Seed != 0 {
		first = r.rng.IntN(len(r.frames))
	}
	for i := range r.frames {
		f := &r.frames[(first+i)%len(r.frames)]
		f.stop = false
		f.run()
		if f.err != nil {
			return false, f.fault()
		}
	}
	f := &r.frames[0]
	for i := range r.frames {
		if q := i &^ (quadMembers - 1); r.frames[i].quads != r.frames[q].quads {
			return false, fmt.Errorf("the members of the team part: members %d and %d have not done the same products of a quad", q, i)
		}
		g := &r.frames[i]
		if g.pc != f.pc {
			return false, fmt.Errorf("the members of the team part: member 0 %s, member %d %s", f.where(), i, g.where())
		}
		if g.groups != f.groups {
			return false, fmt.Errorf("the members of the team part: member 0 has ended %d groups of copies, member %d %d", f.groups, i, g.groups)
		}
	}
	return f.pc == len(f.code), nil
}

// setup makes the frames ready for the tiles of a launch.
func (r *runner) setup(k *Kernel, l *Launch) {
	c := r.m.codes[k]
	if c == nil {
		c = compile(k)
		r.m.codes[k] = c
	}
	for len(r.all) < k.Members {
		r.all = append(r.all, frame{})
	}
	r.frames = r.all[:k.Members]
	r.mem.bytes[teamScratch] = r.mem.bytes[teamScratch][:k.Team]
	for i := range r.frames {
		f := &r.frames[i]
		f.resize(c)
		f.mem, f.params, f.args, f.body, f.lanes = &r.mem, k.Params, l.Args, c.body, k.Lanes
		f.sys = [numSys]int64{sysRows: r.rows, sysSeqs: r.seqs, sysOuts: r.outs, sysMember: int64(i), sysMembers: int64(k.Members)}
		f.code, f.pc, f.stop = c.once, 0, false
		f.run()
	}
	r.launch = l
}
