package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/internal/sample"
)

// Generation says how a sequence is continued.
type Generation struct {
	Tokens   int // at most so many
	Sampling Sampling
	Stop     []int32 // ids that end it; they are not given out. See Model.EndTokens

	// Ahead is how many steps are queued before the host looks at what they chose, at most 64; 0: 8 on a GPU, 1 on a CPU, which gains nothing by more. What comes out is the
	// same for all numbers: tokens, state and pending.
	Ahead int
}

// EndTokens are the ids that end a text, by the checkpoint's configuration.
func (m *Model) EndTokens() []int32 {
	var ids []int32
	for _, id := range m.Manifest.Model.EOS {
		ids = append(ids, int32(id))
	}
	return ids
}

// ErrNoPrompt says that there is nothing to continue.
var ErrNoPrompt = errors.New("a generation needs at least one token to begin with")

// Generate takes the prompt into the slot and continues it. emit is called with each token; when it gives an error, generation ends with that error.
// emit must leave the slot alone: unless Ahead is 1, that stands at the state before the steps whose tokens are being given out.
//
// The last chosen token is not taken into the slot, because nobody has asked what follows it. It is returned as pending: to go on, put it before the next
// prompt (Slot.Save stores it). pending is empty only if no token was chosen.
func (m *Model) Generate(ctx context.Context, slot *Slot, prompt []int32, g Generation, emit func(id int32) error) (pending []int32, err error) {
	if err := errors.Join(g.Sampling.Check(), checkAhead(g.Ahead)); err != nil {
		return nil, err
	}
	if len(prompt) == 0 {
		return nil, ErrNoPrompt
	}
	if g.Tokens <= 0 {
		return nil, m.Run(ctx, []Input{{Slot: slot, IDs: prompt}}, nil)
	}
	chosen, err := m.Next(ctx, []Input{{Slot: slot, IDs: prompt}}, []Sampling{g.Sampling})
	if err != nil {
		return nil, err
	}
	c := m.newContinuation(slot, g)
	defer c.free()
	pending, err = c.run(ctx, chosen[0], emit)
	if e := c.settle(ctx); e != nil {
		return nil, errors.Join(err, e)
	}
	return pending, err
}

// continuation is the part of a generation behind the first chosen token.
type continuation struct {
	Generation
	m     *Model
	slot  *Slot
	ahead *ahead // nil: a step at a time

	// What was queued last, in the spare slot.
	first  []int32   // what its first step took
	chosen [][]int32 // by its steps
	given  int       // steps whose choice was looked at
}

// newContinuation reserves what looking ahead needs. Where there is no memory for a second state it goes a step at a time.
func (m *Model) newContinuation(slot *Slot, g Generation) *continuation {
	c := &continuation{Generation: g, m: m, slot: slot}
	if c.Ahead = min(m.stepsAhead(g.Ahead), g.Tokens-1); c.Ahead > 1 {
		c.ahead, _ = m.newAhead([]*Slot{slot}, []Sampling{g.Sampling}) // a device that is lost is lost for the next step, too
	}
	return c
}

func (c *continuation) free() {
	if c.ahead != nil {
		c.ahead.free()
	}
}

// run gives tokens out, and the pending one, or nil after an error other than emit's.
func (c *continuation) run(ctx context.Context, id int32, emit func(id int32) error) ([]int32, error) {
	for left := c.Tokens - 1; ; left-- {
		if slices.Contains(c.Stop, id) {
			return []int32{id}, nil
		}
		if err := emit(id); err != nil || left == 0 {
			return []int32{id}, err
		}
		var err error
		if id, err = c.next(ctx, id, left); err != nil {
			return nil, err
		}
	}
}

// next gives the token that follows id, of which left more are wanted.
func (c *continuation) next(ctx context.Context, id int32, left int) (int32, error) {
	if len(c.chosen) == 0 {
		n := min(c.Ahead, left)
		if c.ahead == nil || n < 2 {
			chosen, err := c.m.Next(ctx, []Input{{Slot: c.slot, IDs: []int32{id}}}, []Sampling{c.Sampling})
			if err != nil {
				return 0, err
			}
			return chosen[0], nil
		}
		first := []int32{id}
		chosen, err := c.ahead.run(ctx, first, n)
		if err != nil {
			return 0, err
		}
		c.first, c.chosen = first, chosen
	} else if err := ctx.Err(); err != nil {
		return 0, err
	}
	id = c.chosen[c.given][0]
	if c.given++; c.given == len(c.chosen) {
		if err := c.settle(ctx); err != nil {
			return 0, err
		}
	}
	if id == sample.None {
		return 0, fmt.Errorf("sequence 0: %w", ErrNotFinite)
	}
	return id, nil
}

// settle moves the slot behind the steps whose choices were looked at. If more were queued, those that count are taken again from the same state: the same steps, so the same bits. (One
// step of several rows would be faster, but a state of codes depends on where steps end, and this happens once in a generation.)
func (c *continuation) settle(ctx context.Context) error {
	n := c.given
	if n == 0 {
		return nil
	}
	if n < len(c.chosen) {
		again, err := c.ahead.run(context.WithoutCancel(ctx), c.first, n)
		if err != nil {
			return err
		}
		for i := range again {
			if again[i][0] != c.chosen[i][0] {
				return fmt.Errorf("from one state and token, step %d chose first %d and then %d\n  fix: the device makes errors; see in nvidia-smi -q, ECC Errors", i, c.chosen[i][0], again[i][0])
			}
		}
	}
	c.chosen, c.given = nil, 0
	return c.ahead.keep(n)
}
