package compare

import (
	"context"
	"fmt"

	"github.com/ssmc/ssmc/runtime"
)

// Mode is how the tokens of a window are run.
type Mode string

const (
	Prefill Mode = "prefill" // as a prompt
	Decode  Mode = "decode"  // one a step
)

// Run measures a model on windows, against a float model of the same vocabulary if that is not nil. progress, which may be nil, is told how many windows
// are done.
func Run(ctx context.Context, m, float *runtime.Model, windows []Window, mode Mode, progress func(done, total int)) (Distance, error) {
	if float != nil && float.Manifest.Model.Vocab != m.Manifest.Model.Vocab {
		return Distance{}, fmt.Errorf("%s has a vocabulary of %d, %s of %d: they are not of one model", m.Dir, m.Manifest.Model.Vocab, float.Dir, float.Manifest.Model.Vocab)
	}
	p := &pair{ctx: ctx, models: []*runtime.Model{m}, vocab: m.Manifest.Model.Vocab}
	if float != nil {
		p.models = append(p.models, float)
	}
	p.slots = make([][]*runtime.Slot, len(p.models))
	p.logits = make([][]float32, len(p.models))
	defer p.free()
	together := 1
	if mode == Decode {
		together = p.fit(decodeTogether)
	}
	for from := 0; from < len(windows); from += together {
		group := windows[from:min(from+together, len(windows))]
		var err error
		if mode == Decode {
			err = p.decode(group)
		} else {
			err = p.prefill(group[0])
		}
		if err != nil {
			return Distance{}, err
		}
		if progress != nil {
			progress(from+len(group), len(windows))
		}
	}
	if p.tally.tokens == 0 {
		return Distance{}, fmt.Errorf("there is nothing to predict")
	}
	return p.tally.distance(float != nil), nil
}

// Limits of what is held at a time: logits of a piece of a window, or of one token of each of several windows.
const (
	decodeTogether = 64
	pieceRows      = 128      // of a prompt; a multiple of what kernels that work in chunks take, so that no bit depends on it
	logitsBytes    = 64 << 20 // of one model
)

// pair is one or two models that are run on the same tokens.
type pair struct {
	ctx    context.Context
	models []*runtime.Model
	vocab  int
	slots  [][]*runtime.Slot // of each model
	logits [][]float32       // of each model, rows of vocab
	tally  tally
}

// fit is how many rows of logits may be held, at most n.
func (p *pair) fit(n int) int {
	n = min(n, max(1, logitsBytes/(4*p.vocab)))
	for _, m := range p.models {
		n = min(n, int(m.Manifest.Sizes.MaxRows), int(m.Manifest.Sizes.MaxSeqs))
	}
	return n
}

func (p *pair) free() {
	for _, list := range p.slots {
		for _, s := range list {
			s.Free()
		}
	}
}

// fresh gives n empty slots of each model.
func (p *pair) fresh(n int) error {
	for i, m := range p.models {
		for len(p.slots[i]) < n {
			s, err := m.NewSlot()
			if err != nil {
				return err
			}
			p.slots[i] = append(p.slots[i], s)
		}
		for _, s := range p.slots[i][:n] {
			if err := s.Reset(); err != nil {
				return err
			}
		}
	}
	return nil
}

// prefill runs a window as a prompt, a piece at a time.
func (p *pair) prefill(w Window) error {
	if err := p.fresh(1); err != nil {
		return err
	}
	for from := 0; from < len(w.IDs)-1; from += pieceRows {
		ids := w.IDs[from:min(from+pieceRows, len(w.IDs)-1)]
		var next []int32 // what the wanted rows predict
		var outs []int
		for t := range ids {
			if from+t+1 >= w.Score {
				outs, next = append(outs, t), append(next, w.IDs[from+t+1])
			}
		}
		err := p.step(next, func(model int) []runtime.Input {
			return []runtime.Input{{Slot: p.slots[model][0], IDs: ids, Outs: outs}}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decode runs windows beside each other, one token of each in a step: what runs beside a sequence changes none of its bits.
func (p *pair) decode(windows []Window) error {
	if err := p.fresh(len(windows)); err != nil {
		return err
	}
	for t := 0; ; t++ {
		var next []int32
		var at []int // which windows go on
		for i, w := range windows {
			if t+1 < len(w.IDs) {
				at = append(at, i)
				if t+1 >= w.Score {
					next = append(next, w.IDs[t+1])
				}
			}
		}
		if len(at) == 0 {
			return nil
		}
		err := p.step(next, func(model int) []runtime.Input {
			var inputs []runtime.Input
			for _, i := range at {
				in := runtime.Input{Slot: p.slots[model][i], IDs: windows[i].IDs[t : t+1]}
				if t+1 >= windows[i].Score {
					in.Outs = []int{0}
				}
				inputs = append(inputs, in)
			}
			return inputs
		})
		if err != nil {
			return err
		}
	}
}

// step runs the same inputs in each model and compares the wanted rows, which predict next.
func (p *pair) step(next []int32, inputs func(model int) []runtime.Input) error {
	for i, m := range p.models {
		if cap(p.logits[i]) < len(next)*p.vocab {
			p.logits[i] = make([]float32, len(next)*p.vocab)
		}
		p.logits[i] = p.logits[i][:0]
		err := m.Run(p.ctx, inputs(i), func(_, _ int, logits []float32) error {
			p.logits[i] = append(p.logits[i], logits...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	rows := make([]row, len(next))
	parallel(len(next), func(i int) {
		var float []float32
		if len(p.models) > 1 {
			float = p.logits[1][i*p.vocab : (i+1)*p.vocab]
		}
		rows[i] = measure(p.logits[0][i*p.vocab:(i+1)*p.vocab], float, next[i])
	})
	for _, r := range rows {
		if err := p.tally.add(r); err != nil {
			return err
		}
	}
	return nil
}
