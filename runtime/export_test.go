package runtime

import "github.com/ssmc/ssmc/runtime/cuda"

// Flush makes Open place memory so that the first byte beyond an area faults.
func Flush(o Options) Options {
	o.flush = true
	return o
}

// Queue is Alone on a GPU: launches that are all queued before one is waited for, each with a frame of its own.
func (m *Model) Queue(slots []*Slot, first []int32, how []Sampling, steps int) ([][]int32, error) {
	g, n := m.engine.(*gpuEngine), len(slots)
	frames := make([]frame, steps)
	err := g.c.Do(func() error {
		for step := range frames {
			f := &frames[step]
			f.layout(m.Manifest.Sizes)
			if err := g.reserveFrame(f); err != nil {
				return err
			}
			for i, s := range slots {
				f.seqStart[i], f.seqStart[i+1], f.seqSlot[i], f.outRow[i], f.ids[i] = int32(i), int32(i+1), int32(s.index), int32(i), first[i]
				words := how[i].params(s.tokens + int64(step) + 1).Words()
				copy(f.sampling[4*i:], words[:])
			}
			g.fill(f, n, n, n, true)
			if step > 0 {
				f.ctx.ids = frames[step-1].ctx.chosen
			}
			if err := g.push(f); err != nil {
				return err
			}
		}
		for i := range frames {
			f := &frames[i]
			if err := g.c.ToHost(f.host[f.chosenAt:f.logitsAt], f.device+cuda.CUdeviceptr(f.chosenAt)); err != nil {
				return err
			}
		}
		return g.c.Wait("the queue")
	})
	if err != nil {
		return nil, err
	}
	out := make([][]int32, n)
	for i, s := range slots {
		s.tokens += int64(steps)
		for _, f := range frames {
			out[i] = append(out[i], f.chosen[i])
		}
	}
	return out, g.c.Do(func() error {
		for _, f := range frames {
			if err := g.c.FreeHost(f.host); err != nil {
				return err
			}
		}
		return nil
	})
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
