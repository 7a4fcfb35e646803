package runtime

import (
	"context"
	"fmt"

	"github.com/ssmc/ssmc/internal/sample"
	"github.com/ssmc/ssmc/loader"
)

// Input is what one sequence gets in a Run.
type Input struct {
	Slot *Slot
	IDs  []int32
	Outs []int // indices in IDs of the tokens whose logits are wanted, ascending

	draw *draw // of Next
}

// draw is how the token behind a sequence's last one is chosen, and which was.
type draw struct {
	sample.Params
	id int32
}

// Next takes tokens of sequences as Run does, and gives for each the token that follows its last one. The compiled code chooses it, as how says for the
// sequence of this number: no logits come back. The inputs ask for none (Outs).
func (m *Model) Next(ctx context.Context, inputs []Input, how []Sampling) ([]int32, error) {
	if len(how) != len(inputs) {
		return nil, fmt.Errorf("%d sequences, and how to choose the next token for %d", len(inputs), len(how))
	}
	asking := make([]Input, len(inputs))
	for i, in := range inputs {
		if err := how[i].Check(); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		if in.Slot == nil || len(in.IDs) == 0 || len(in.Outs) > 0 {
			return nil, fmt.Errorf("sequence %d: a slot, at least one token and no wanted logits are needed to choose the next token", i)
		}
		asking[i] = Input{Slot: in.Slot, IDs: in.IDs, Outs: []int{len(in.IDs) - 1}, draw: &draw{Params: how[i].params(in.Slot.tokens + int64(len(in.IDs)))}}
	}
	if err := m.Run(ctx, asking, nil); err != nil {
		return nil, err
	}
	ids := make([]int32, len(inputs))
	for i, in := range asking {
		if ids[i] = in.draw.id; ids[i] == sample.None {
			return nil, fmt.Errorf("sequence %d: %w", i, ErrNotFinite)
		}
	}
	return ids, nil
}

// Run takes tokens of any number of sequences and moves each slot behind the last of its own. out, which may be nil if no input asks for logits, is called for each
// wanted row; the logits belong to the model and are overwritten by the next step. The order of the calls is that of the steps: for one input
// ascending. After an error the states of all inputs are undefined.
//
// The bits of the logits and states do not depend on what else is in the Run.
func (m *Model) Run(ctx context.Context, inputs []Input, out func(input, token int, logits []float32) error) error {
	return m.run(ctx, inputs, out, nil)
}

// run is Run with someone, if not nil, who looks at what each step leaves.
func (m *Model) run(ctx context.Context, inputs []Input, out func(input, token int, logits []float32) error, watch func(*Left) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	if err := m.checkInputs(inputs); err != nil {
		return err
	}
	lengths := make([]int, len(inputs))
	for i, in := range inputs {
		lengths[i] = len(in.IDs)
	}
	next := make([]int, len(inputs)) // the first of Outs that is not done
	for _, step := range cut(lengths, int(m.Manifest.Sizes.MaxRows), int(m.Manifest.Sizes.MaxSeqs)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.step(inputs, step, next, out, watch); err != nil {
			return err
		}
	}
	return nil
}

// checkInputs holds what the object code trusts.
func (m *Model) checkInputs(inputs []Input) error {
	var problems loader.Problems
	used := make(map[int]int)
	for i, in := range inputs {
		where := fmt.Sprintf("sequence %d", i)
		if in.Slot == nil || in.Slot.model != m || in.Slot.index < 0 {
			problems.Add(where, "its slot is not one of this model", "")
			continue
		}
		if other, twice := used[in.Slot.index]; twice {
			problems.Add(where, fmt.Sprintf("has the same slot as sequence %d", other), "")
		}
		used[in.Slot.index] = i
		if limit := m.Manifest.Model.Positions; limit > 0 && in.Slot.tokens+int64(len(in.IDs)) > int64(limit) {
			problems.Add(where, fmt.Sprintf("would have %d tokens, the model takes %d", in.Slot.tokens+int64(len(in.IDs)), limit), "")
		}
		for at, id := range in.IDs {
			if id < 0 || int(id) >= m.Manifest.Model.Vocab {
				problems.Add(where, fmt.Sprintf("token %d is %d, outside of the vocabulary of %d", at, id, m.Manifest.Model.Vocab),
					"give ids of this model's tokenizer")
				break
			}
		}
		last := -1
		for _, o := range in.Outs {
			if o <= last || o >= len(in.IDs) {
				problems.Add(where, fmt.Sprintf("asks for logits of token %d, of %d, after those of %d", o, len(in.IDs), last), "")
				break
			}
			last = o
		}
	}
	return problems.Err()
}

// step runs one step and hands out its logits.
func (m *Model) step(inputs []Input, parts []part, next []int, out func(input, token int, logits []float32) error, watch func(*Left) error) error {
	l := m.engine.lists()
	rows, outs, chosen := 0, 0, 0
	type output struct{ input, token int }
	var wanted []output
	for s, p := range parts {
		in := inputs[p.input]
		l.seqStart[s] = int32(rows)
		l.seqSlot[s] = int32(in.Slot.index)
		copy(l.ids[rows:], in.IDs[p.from:p.to])
		for n := next[p.input]; n < len(in.Outs) && in.Outs[n] < p.to; n++ {
			l.outRow[outs] = int32(rows + in.Outs[n] - p.from)
			wanted = append(wanted, output{p.input, in.Outs[n]})
			if in.draw != nil {
				words := in.draw.Words()
				copy(l.sampling[len(words)*outs:], words[:])
				chosen++
			}
			outs++
		}
		rows += p.to - p.from
	}
	l.seqStart[len(parts)] = int32(rows)
	if err := m.engine.step(rows, len(parts), outs, chosen > 0); err != nil {
		return err
	}
	if err := m.record(rows, len(parts), outs, chosen); err != nil {
		return err
	}
	if len(m.Manifest.Counters) > 0 {
		work, err := m.engine.left()
		if err != nil {
			return err
		}
		m.clamps.add(m.Manifest.Counters, work, rows, len(parts), outs)
	}
	if watch != nil {
		left, err := m.left(inputs, parts)
		if err != nil {
			return err
		}
		if err := watch(left); err != nil {
			return err
		}
	}
	for _, p := range parts {
		inputs[p.input].Slot.tokens += int64(p.to - p.from)
	}
	vocab := m.Manifest.Model.Vocab
	for o, w := range wanted {
		next[w.input]++
		if d := inputs[w.input].draw; d != nil {
			d.id = l.chosen[o]
		}
		if out == nil {
			continue
		}
		logits, err := m.engine.logits(o)
		if err != nil {
			return err
		}
		if err := out(w.input, w.token, logits[:vocab:vocab]); err != nil {
			return err
		}
	}
	return nil
}
