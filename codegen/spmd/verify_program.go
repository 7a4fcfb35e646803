package spmd

import "fmt"

// Verify says everything that is wrong with a program and its kernels.
func (p *Program) Verify() error {
	v := &programVerifier{p: p}
	v.memory()
	v.kernels()
	for i := range p.Phases {
		v.phase(i)
	}
	if err := v.join(); err != nil {
		return fmt.Errorf("program %s: %w", printName(p.Name), err)
	}
	return nil
}

type programVerifier struct {
	p *Program
	problems
}

func (v *programVerifier) fail(format string, args ...any) { v.add(format, args...) }

func (v *programVerifier) memory() {
	p := v.p
	for _, n := range []struct {
		name          string
		n, least, top int64
	}{
		{"bytes of weights", p.WeightBytes, 0, maxBytes},
		{"bytes of work", p.WorkBytes, 0, maxBytes},
		{"bytes of team scratch", p.TeamBytes, 0, maxBytes},
		{"bytes of a state slot", p.SlotBytes, 0, maxBytes},
		{"logits stride", p.LogitsStride, 0, maxStride},
		{"vocabulary", p.Vocab, 0, maxStride},
		{"most rows of a step", p.MaxRows, 1, maxRows},
		{"most sequences of a step", p.MaxSeqs, 1, maxRows},
		{"members of a team", int64(p.Target.Members), 1, maxMembers},
		{"bytes of scratch close by", int64(p.Target.Scratch), 0, maxBytes},
		{"bytes that a lane loads", int64(p.Target.LaneBytes), 0, maxRunBytes},
		{"product of bytes", int64(p.Target.Dot), 0, int64(len(dots) - 1)},
	} {
		if n.n < n.least || n.n > n.top {
			v.fail("%s: %d is not in %d..%d", n.name, n.n, n.least, n.top)
		}
	}
	if p.SlotBytes%64 != 0 {
		v.fail("bytes of a state slot: %d is not a multiple of 64", p.SlotBytes)
	}
	if p.Vocab > p.LogitsStride {
		v.fail("vocabulary of %d columns in rows of %d logits", p.Vocab, p.LogitsStride)
	}
}

func (v *programVerifier) kernels() {
	names := map[string]bool{}
	for i, k := range v.p.Kernels {
		if k == nil {
			v.fail("kernel %d is missing", i)
			continue
		}
		if names[k.Name] {
			v.fail("two kernels are called %s", printName(k.Name))
		}
		names[k.Name] = true
		if k.Lanes != v.p.Target.Lanes {
			v.fail("kernel %s was built for %d lanes, the target has %d", printName(k.Name), k.Lanes, v.p.Target.Lanes)
		}
		if k.Members != 1 && k.Members != v.p.Target.Members {
			v.fail("kernel %s shares a tile among %d members: 1 or the target's %d are wanted", printName(k.Name), k.Members, v.p.Target.Members)
		}
		if k.Team > v.p.TeamBytes {
			v.fail("kernel %s uses %d bytes of team scratch of %d", printName(k.Name), k.Team, v.p.TeamBytes)
		}
		if err := k.Verify(); err != nil {
			v.add("%w", err)
		} else {
			v.lacks(k, v.p.Target.Tiles, "tiles", OpMMA8, OpMMAI8, OpMMABF16)
			v.lacks(k, v.p.Target.Quads, "quads", OpQuadI8, OpQuadBF16, OpQuadTF32, OpCopyBulk)
		}
	}
}

// lacks refuses instructions that the target does not have.
func (v *programVerifier) lacks(k *Kernel, has bool, what string, list ...Op) {
	for _, op := range list {
		if in := k.Body.find(op); in != nil && !has {
			v.fail("kernel %s: %s: the target has no %s", printName(k.Name), in.brief(), what)
		}
	}
}

// find gives the first instruction with an op, nil if there is none.
func (r *Region) find(op Op) *Instr {
	for _, in := range r.Body {
		if in.Op == op {
			return in
		}
		for _, inner := range in.Regions {
			if found := inner.find(op); found != nil {
				return found
			}
		}
	}
	return nil
}

func (v *programVerifier) phase(i int) {
	ph := v.p.Phases[i]
	where := fmt.Sprintf("phase %d (%s)", i, printName(ph.Name))
	if ph.MinRows < 0 {
		v.fail("%s: skipped below %d rows", where, ph.MinRows)
	}
	if ph.MinChosen < 0 {
		v.fail("%s: skipped below %d chosen tokens", where, ph.MinChosen)
	}
	for j, l := range ph.Launches {
		at := fmt.Sprintf("%s, launch %d", where, j)
		v.grid(at, l.Grid)
		if l.Kernel < 0 || l.Kernel >= len(v.p.Kernels) {
			v.fail("%s: kernel %d of %d", at, l.Kernel, len(v.p.Kernels))
			continue
		}
		k := v.p.Kernels[l.Kernel]
		if k == nil {
			continue
		}
		at += " of " + printName(k.Name)
		if len(l.Args) != len(k.Params) {
			v.fail("%s: %d arguments for %d parameters", at, len(l.Args), len(k.Params))
			continue
		}
		for n, a := range l.Args {
			v.arg(at, k.Params[n], a)
		}
	}
}

func (v *programVerifier) grid(at string, g Grid) {
	blocked := g.By == ByRowBlocks || g.By == ByOutBlocks
	switch {
	case g.By > ByOutBlocks:
		v.fail("%s: unknown grid %d", at, g.By)
	case g.Panels < 1 || g.Panels > maxTiles:
		v.fail("%s: grid of %d panels", at, g.Panels)
	case blocked && (g.Block < 1 || g.Block > maxRows):
		v.fail("%s: grid by blocks of %d rows", at, g.Block)
	case g.Least < 0 || g.Most < 0 || g.Most > 0 && g.Most < g.Least:
		v.fail("%s: grid from %d to %d", at, g.Least, g.Most)
	default:
		n := g.MostBlocks(min(v.p.MaxRows, maxRows), min(v.p.MaxSeqs, maxRows))
		if n*g.Panels > maxTiles {
			v.fail("%s: grid of %d * %d tiles", at, g.Panels, n)
		}
	}
}

// arg checks that a byte offset lies within its space and is aligned for the element.
func (v *programVerifier) arg(at string, q Param, offset int64) {
	if q.Space >= numSpaces || !(Type{q.Elem, Pointer}).valid() {
		return // said about the kernel
	}
	size, align := v.p.spaceBytes(q.Space), max(4, q.Elem.Bytes())
	if offset < 0 || offset >= size && offset != 0 {
		v.fail("%s: %s at byte %d of %v, which has %d", at, printName(q.Name), offset, q.Space, size)
	}
	if offset%align != 0 {
		v.fail("%s: %s at byte %d of %v: a multiple of %d is wanted", at, printName(q.Name), offset, q.Space, align)
	}
}

// spaceBytes is how many bytes of a space a launch's argument may choose from; of the state that is one slot.
func (p *Program) spaceBytes(s Space) int64 {
	switch s {
	case Weights:
		return p.WeightBytes
	case Work:
		return p.WorkBytes
	case State:
		return p.SlotBytes
	case IDs, OutRow, Chosen:
		return 4 * p.MaxRows
	case Sampling:
		return 4 * SamplingWords * p.MaxRows
	case SeqStart:
		return 4 * (p.MaxSeqs + 1)
	case SeqSlot:
		return 4 * p.MaxSeqs
	case Logits, Odds:
		return 4 * p.MaxRows * p.LogitsStride
	}
	return 0
}
