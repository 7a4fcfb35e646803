package runtime

import (
	"context"
	"errors"
	"slices"
)

// Generation says how a sequence is continued.
type Generation struct {
	Tokens   int // at most so many
	Sampling Sampling
	Stop     []int32 // ids that end it; they are not given out. See Model.EndTokens
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

// Generate takes the prompt into the slot and continues it. emit is called with each token as it is chosen; when it gives an error, generation ends with that error.
//
// The last chosen token is not taken into the slot, because nobody has asked what follows it. It is returned as pending: to go on, put it before the next
// prompt (Slot.Save stores it). pending is empty only if no token was chosen.
func (m *Model) Generate(ctx context.Context, slot *Slot, prompt []int32, g Generation, emit func(id int32) error) (pending []int32, err error) {
	if err := g.Sampling.Check(); err != nil {
		return nil, err
	}
	if len(prompt) == 0 {
		return nil, ErrNoPrompt
	}
	if g.Tokens <= 0 {
		return nil, m.Run(ctx, []Input{{Slot: slot, IDs: prompt}}, nil)
	}
	ids := prompt
	for range g.Tokens {
		chosen, err := m.Next(ctx, []Input{{Slot: slot, IDs: ids}}, []Sampling{g.Sampling})
		if err != nil {
			return nil, err
		}
		next := chosen[0]
		ids = []int32{next}
		if slices.Contains(g.Stop, next) {
			break
		}
		if err := emit(next); err != nil {
			return ids, err
		}
	}
	return ids, nil
}
