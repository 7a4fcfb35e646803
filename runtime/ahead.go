package runtime

import (
	"context"
	"fmt"

	"github.com/ssmc/ssmc/internal/sample"
)

// MostAhead bounds how many steps are queued at once.
const MostAhead = 64

// checkAhead says what is impossible in a number of steps to be queued.
func checkAhead(n int) error {
	if n < 0 || n > MostAhead {
		return fmt.Errorf("%d steps ahead\n  fix: give a number from 1 to %d, or 0 for what suits the machine", n, MostAhead)
	}
	return nil
}

// stepsAhead is how many steps are queued where n are asked for. It is one where each step is looked at.
func (m *Model) stepsAhead(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.tracing || len(m.Manifest.Counters) > 0:
		return 1
	case n == 0:
		return m.engine.ahead()
	}
	return n
}

// queued are steps of one token of each of some sequences, one behind the other: each takes what the one before has chosen, and nobody looks at it in between.
type queued struct {
	from, to []int   // slots by sequence: the states before the steps, and where they go on
	first    []int32 // tokens that the first step takes
	steps    int
	sampling []sample.Params // [steps][sequences]
	chosen   []int32         // [steps][sequences]; behind a None nothing means anything
}

// fill writes what is the same for all steps, and the first tokens.
func (l *lists) fill(q *queued) {
	l.seqStart[0] = 0
	for i, slot := range q.to {
		l.seqStart[i+1], l.seqSlot[i], l.outRow[i], l.ids[i] = int32(i+1), int32(slot), int32(i), q.first[i]
	}
}

// fillSampling writes how tokens are chosen.
func fillSampling(into []int32, list []sample.Params) {
	for i, p := range list {
		words := p.Words()
		copy(into[len(words)*i:], words[:])
	}
}

// ahead makes tokens of sequences before anybody knows whether they are wanted. It does so in slots of its own, so that the sequences' slots never hold a token that
// was not: they get the states once it is known how many steps count.
type ahead struct {
	m      *Model
	slots  []*Slot
	spares []*Slot // by sequence
	how    []Sampling
}

// newAhead reserves a slot for each sequence.
func (m *Model) newAhead(slots []*Slot, how []Sampling) (*ahead, error) {
	a := &ahead{m: m, slots: slots, how: how}
	for range slots {
		m.mu.Lock()
		s, err := m.newSlot(false)
		m.mu.Unlock()
		if err != nil {
			a.free()
			return nil, err
		}
		a.spares = append(a.spares, s)
	}
	return a, nil
}

// inPlace is newAhead for steps that all count: it takes them in the sequences' own slots.
func (m *Model) inPlace(slots []*Slot, how []Sampling) *ahead {
	return &ahead{m: m, slots: slots, spares: slots, how: how}
}

func (a *ahead) free() {
	for _, s := range a.spares {
		s.Free()
	}
}

// run takes steps in the spare slots, from the states in the sequences' own: first is what the first of them takes. It gives what they chose, [step][sequence]: fewer
// steps where the model's positions end. The same call gives the same again, until keep.
func (a *ahead) run(ctx context.Context, first []int32, steps int) ([][]int32, error) {
	m := a.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inputs := make([]Input, len(a.slots))
	for i, s := range a.slots {
		inputs[i] = Input{Slot: s, IDs: first[i : i+1]}
	}
	if err := m.checkInputs(inputs); err != nil {
		return nil, err
	}
	steps = min(steps, MostAhead)
	for _, s := range a.slots {
		if limit := m.Manifest.Model.Positions; limit > 0 {
			steps = min(steps, int(int64(limit)-s.tokens))
		}
	}
	chosen := make([][]int32, steps)
	most := int(min(m.Manifest.Sizes.MaxSeqs, m.Manifest.Sizes.MaxRows))
	for from := 0; from < len(a.slots); from += most {
		q := a.queue(from, min(from+most, len(a.slots)), first, steps)
		if err := m.engine.queue(q); err != nil {
			return nil, err
		}
		n := len(q.to)
		for step := range chosen {
			chosen[step] = append(chosen[step], q.chosen[step*n:(step+1)*n]...)
		}
	}
	return chosen, nil
}

// queue describes the steps of some of the sequences. All random numbers are known beforehand: they follow from seed and position.
func (a *ahead) queue(from, to int, first []int32, steps int) *queued {
	q := &queued{first: first[from:to], steps: steps, chosen: make([]int32, steps*(to-from))}
	for i := from; i < to; i++ {
		q.from, q.to = append(q.from, a.slots[i].index), append(q.to, a.spares[i].index)
	}
	for step := range steps {
		for i := from; i < to; i++ {
			q.sampling = append(q.sampling, a.how[i].params(a.slots[i].tokens+int64(step)+1))
		}
	}
	return q
}

// keep gives the sequences the states behind the steps that were run last, all of them.
func (a *ahead) keep(steps int) error {
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	for i, s := range a.slots {
		if s.index < 0 {
			return errFreed
		}
		s.index, a.spares[i].index = a.spares[i].index, s.index
		s.tokens += int64(steps)
	}
	return nil
}

// advance takes steps that all count, and gives what they chose, as run does.
func (a *ahead) advance(ctx context.Context, first []int32, steps int) ([][]int32, error) {
	if steps == 1 { // which may be one that is traced
		inputs := make([]Input, len(a.slots))
		for i, s := range a.slots {
			inputs[i] = Input{Slot: s, IDs: first[i : i+1]}
		}
		chosen, err := a.m.Next(ctx, inputs, a.how)
		return [][]int32{chosen}, err
	}
	chosen, err := a.run(ctx, first, steps)
	if err != nil {
		return nil, err
	}
	return chosen, a.keep(len(chosen))
}
