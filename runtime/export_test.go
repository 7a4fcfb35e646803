package runtime

import "context"

// Flush makes Open place memory so that the first byte beyond an area faults.
func Flush(o Options) Options {
	o.flush = true
	return o
}

// Queue is Alone by one queue: all steps behind each other, and one look at what they chose.
func (m *Model) Queue(slots []*Slot, first []int32, how []Sampling, steps int) ([][]int32, error) {
	a, err := m.newAhead(slots, how)
	if err != nil {
		return nil, err
	}
	defer a.free()
	chosen, err := a.advance(context.Background(), first, steps)
	if err != nil {
		return nil, err
	}
	out := make([][]int32, len(slots))
	for _, step := range chosen {
		for i, id := range step {
			out[i] = append(out[i], id)
		}
	}
	return out, nil
}

// Alone takes steps of one token of each slot. Each is fed what the last one chose where that lies: between the steps only pointers move.
func (m *Model) Alone(slots []*Slot, first []int32, how []Sampling, steps int) ([][]int32, error) {
	n := len(slots)
	sampling, err := mapMemory("sampling", int64(16*n*steps))
	if err != nil {
		return nil, err
	}
	defer sampling.free()
	chosen, err := mapMemory("chosen", int64(4*n*steps))
	if err != nil {
		return nil, err
	}
	defer chosen.free()
	e := m.engine.(*cpuEngine)
	a, c := &e.areas, e.ctx
	ids := c.ids
	defer func() { c.ids, c.sampling, c.chosen = ids, a.sampling.address(), 0 }()
	for i, s := range slots {
		a.lists.seqStart[i], a.lists.seqStart[i+1], a.lists.seqSlot[i], a.lists.outRow[i], a.lists.ids[i] = int32(i), int32(i+1), int32(s.index), int32(i), first[i]
		for step := range steps {
			words := how[i].params(s.tokens + int64(step) + 1).Words()
			copy(sampling.int32s()[4*(step*n+i):], words[:])
		}
	}
	c.rows, c.seqs, c.outs, c.state = int64(n), int64(n), int64(n), e.slots.address()
	for step := range steps {
		c.sampling, c.chosen = sampling.address()+uintptr(16*n*step), chosen.address()+uintptr(4*n*step)
		if err := e.callStep(); err != nil {
			return nil, err
		}
		c.ids = c.chosen
	}
	out := make([][]int32, n)
	for i, s := range slots {
		s.tokens += int64(steps)
		for step := range steps {
			out[i] = append(out[i], chosen.int32s()[step*n+i])
		}
	}
	return out, nil
}
