package runtime

// Step is the record of one step: when each worker began each phase. Stamps[p*workers+w] is in ticks of the time stamp counter; phase len(Phases) is the end.
type Step struct {
	Rows, Seqs, Outs int
	Chosen           int // tokens
	Stamps           []uint64
}

// tracer collects steps while it is on.
type tracer struct {
	memory memory
	steps  []Step
}

// Trace begins to record steps, or with on false ends it and gives what was recorded.
func (m *Model) Trace(on bool) ([]Step, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	steps := m.trace.steps
	m.trace.steps, m.ctx.trace = nil, 0
	if !on {
		return steps, nil
	}
	if m.trace.memory == nil {
		var err error
		if m.trace.memory, err = mapMemory("time stamps", int64(len(m.Manifest.Phases)+1)*int64(m.Threads)*8); err != nil {
			return nil, err
		}
	}
	m.ctx.trace = m.trace.memory.address()
	return nil, nil
}

// record keeps the stamps of the step that has just run.
func (t *tracer) record(m *Model, rows, seqs, outs, chosen int) {
	if m.ctx.trace == 0 {
		return
	}
	t.steps = append(t.steps, Step{rows, seqs, outs, chosen, append([]uint64(nil), t.memory.stamps()...)})
	clear(t.memory.stamps())
}
