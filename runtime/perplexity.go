package runtime

import (
	"context"
	"fmt"
	"math"
)

// Score is the likelihood of a text under the model.
type Score struct {
	Nats   float64 // sum of -ln p over the scored tokens
	Tokens int     // scored
	// Scored says for each token of the text whether it was.
	Scored []bool
}

// Perplexity is exp of the mean of -ln p.
func (s *Score) Perplexity() float64 { return math.Exp(s.Nats / float64(s.Tokens)) }

// Likelihood scores a text in windows. A window begins every stride tokens and is run from the empty state. Scored is what no window before has scored, but never a
// window's first token, which has nothing before it. Only whole windows count; a text shorter than one is a window of its own.
func (m *Model) Likelihood(ctx context.Context, ids []int32, window, stride int, progress func(done, total int)) (*Score, error) {
	if window < 2 || stride < 1 || stride > window {
		return nil, fmt.Errorf("window %d with stride %d: a window has at least 2 tokens, and a stride is from 1 to the window", window, stride)
	}
	window = min(window, len(ids))
	if window < 2 {
		return nil, fmt.Errorf("a text of %d tokens has nothing to predict", len(ids))
	}
	slot, err := m.NewSlot()
	if err != nil {
		return nil, err
	}
	defer slot.Free()
	s := &Score{Scored: make([]bool, len(ids))}
	end := 0 // behind the last token that was seen
	for from := 0; from+window <= len(ids); from += stride {
		if err := slot.Reset(); err != nil {
			return nil, err
		}
		if err := m.scoreWindow(ctx, slot, ids, from, max(end, from+1), from+window, s); err != nil {
			return nil, err
		}
		end = from + window
		if progress != nil {
			progress(end, len(ids))
		}
	}
	return s, nil
}

// scoreWindow runs the tokens from..to and scores those from first on.
func (m *Model) scoreWindow(ctx context.Context, slot *Slot, ids []int32, from, first, to int, s *Score) error {
	var outs []int
	for i := first; i < to; i++ {
		outs = append(outs, i-1-from) // token i is predicted by the logits of the one before it
	}
	in := Input{Slot: slot, IDs: ids[from : to-1], Outs: outs}
	return m.Run(ctx, []Input{in}, func(_, token int, logits []float32) error {
		i := from + token + 1
		nats, err := surprise(logits, ids[i])
		if err != nil {
			return err
		}
		s.Nats += nats
		s.Tokens++
		s.Scored[i] = true
		return nil
	})
}

// surprise is -ln of the probability of a token.
func surprise(logits []float32, id int32) (float64, error) {
	best, err := Greedy(logits)
	if err != nil {
		return 0, err
	}
	largest := logits[best]
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l - largest))
	}
	return math.Log(sum) - float64(logits[id]-largest), nil
}
