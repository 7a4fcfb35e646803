package runtime

// Step is the record of one step: when each worker began each phase. Stamps[p*workers+w] is in ticks of the time stamp counter, on a GPU, where a block is
// a worker, in nanoseconds; phase len(Phases) is the end.
type Step struct {
	Rows, Seqs, Outs int
	Chosen           int // tokens
	Stamps           []uint64
}

// Trace begins to record steps, or with on false ends it and gives what was recorded.
func (m *Model) Trace(on bool) ([]Step, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	steps := m.steps
	m.steps, m.tracing = nil, false
	if err := m.engine.trace(on); err != nil || !on {
		return steps, err
	}
	m.tracing = true
	return nil, nil
}

// record keeps the stamps of the step that has just run.
func (m *Model) record(rows, seqs, outs, chosen int) error {
	if !m.tracing {
		return nil
	}
	stamps, err := m.engine.stamps()
	m.steps = append(m.steps, Step{rows, seqs, outs, chosen, stamps})
	return err
}
