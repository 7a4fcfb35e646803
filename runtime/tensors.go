package runtime

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"

	"github.com/ssmc/ssmc/internal/sample"
	"github.com/ssmc/ssmc/loader"
)

// Names of the tensors that go in and out, those of the reference files.
const (
	TensorIDs       = "input_ids"
	TensorMask      = "attention_mask"
	TensorLogits    = "logits"
	TensorGenerated = "generated_ids"
)

// Prompts are token ids as a file holds them: one row, or a batch of rows of one length.
type Prompts struct {
	Rows  [][]int32
	Batch bool // the tensor had two axes, and so have the results
}

// ReadPrompts reads input_ids from a safetensors file, or the one array of a .npy file.
func ReadPrompts(path string) (Prompts, error) {
	if filepath.Ext(path) == ".npy" {
		t, err := loader.ReadNpy(path)
		if err != nil {
			return Prompts{}, err
		}
		return promptsOf(t)
	}
	file, err := loader.OpenFile(path)
	if err != nil {
		return Prompts{}, err
	}
	defer file.Close()
	return readPrompts(file)
}

func readPrompts(file *loader.File) (Prompts, error) {
	t, ok := file.Tensor(TensorIDs)
	if !ok {
		var have []string
		for _, t := range file.Tensors() {
			have = append(have, t.Name)
		}
		return Prompts{}, fmt.Errorf("%s has no tensor %q, only %.200q\n  fix: name the token ids %q", file.Path, TensorIDs, have, TensorIDs)
	}
	if mask, ok := file.Tensor(TensorMask); ok {
		values, err := mask.Int64()
		if err != nil {
			return Prompts{}, err
		}
		for i, v := range values {
			if v != 1 {
				return Prompts{}, fmt.Errorf("%s: %s[%d] is %d: padding is not supported\n  fix: give sequences of different lengths in files of their own", file.Path, TensorMask, i, v)
			}
		}
	}
	return promptsOf(t)
}

func promptsOf(t loader.Tensor) (Prompts, error) {
	if len(t.Shape) < 1 || len(t.Shape) > 2 || t.Elements() == 0 {
		return Prompts{}, fmt.Errorf("%s: %s has the shape %v, want [tokens] or [batch, tokens] with at least one token", t.File, TensorIDs, t.Shape)
	}
	values, err := t.Int64()
	if err != nil {
		return Prompts{}, err
	}
	n := t.Shape[len(t.Shape)-1]
	p := Prompts{Batch: len(t.Shape) == 2}
	for from := 0; from < len(values); from += n {
		row := make([]int32, n)
		for i, v := range values[from : from+n] {
			if v < 0 || v > math.MaxInt32 {
				return Prompts{}, fmt.Errorf("%s: %s holds %d, which is no token", t.File, TensorIDs, v)
			}
			row[i] = int32(v)
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

// Outputs is what a model gives for prompts.
type Outputs struct {
	Logits    [][]float32 // for each prompt [tokens * vocabulary]
	Generated [][]int32   // for each prompt the greedy continuation
	Slots     []*Slot     // the states after the prompts; the caller frees them
}

// Free gives the slots back.
func (o *Outputs) Free() {
	for _, s := range o.Slots {
		s.Free()
	}
}

// Evaluate runs prompts from the empty state, all of them together, and gives the logits of every token and tokens ids of greedy continuation.
// Nothing ends the continuation early.
func (m *Model) Evaluate(ctx context.Context, prompts [][]int32, tokens int) (*Outputs, error) {
	vocab := m.Manifest.Model.Vocab
	o := &Outputs{}
	inputs := make([]Input, len(prompts))
	for i, ids := range prompts {
		slot, err := m.NewSlot()
		if err != nil {
			o.Free()
			return nil, err
		}
		o.Slots = append(o.Slots, slot)
		outs := make([]int, len(ids))
		for t := range outs {
			outs[t] = t
		}
		inputs[i] = Input{Slot: slot, IDs: ids, Outs: outs}
		o.Logits = append(o.Logits, make([]float32, len(ids)*vocab))
	}
	err := m.Run(ctx, inputs, func(input, token int, logits []float32) error {
		copy(o.Logits[input][token*vocab:], logits)
		return nil
	})
	if err == nil && tokens > 0 {
		err = m.continueGreedily(ctx, o, vocab, tokens)
	}
	if err != nil {
		o.Free()
		return nil, err
	}
	return o, nil
}

// continueGreedily continues all prompts in step, in forks of the slots, so that these stay as they were after the prompts.
func (m *Model) continueGreedily(ctx context.Context, o *Outputs, vocab, tokens int) error {
	var forks []*Slot
	defer func() {
		for _, s := range forks {
			s.Free()
		}
	}()
	o.Generated = make([][]int32, len(o.Slots))
	ids := make([]int32, len(o.Slots))
	for i, s := range o.Slots {
		fork, err := s.Fork()
		if err != nil {
			return err
		}
		forks = append(forks, fork)
		if ids[i], err = Greedy(o.Logits[i][len(o.Logits[i])-vocab:]); err != nil {
			return err
		}
		o.Generated[i] = append(o.Generated[i], ids[i])
	}
	a, most := m.inPlace(forks, make([]Sampling, len(forks))), m.stepsAhead(0)
	for left := tokens - 1; left > 0; {
		chosen, err := a.advance(ctx, ids, min(most, left))
		if err != nil {
			return err
		}
		for _, ids = range chosen {
			for i, id := range ids {
				if id == sample.None {
					return fmt.Errorf("sequence %d: %w", i, ErrNotFinite)
				}
				o.Generated[i] = append(o.Generated[i], id)
			}
		}
		left -= len(chosen)
	}
	return nil
}

// Tensors gives the results as a file holds them: logits F32, and generated_ids I64 if there are any.
func (o *Outputs) Tensors(batch bool, vocab int) []loader.Tensor {
	shape := func(n ...int) []int {
		if batch {
			return append([]int{len(o.Logits)}, n...)
		}
		return n
	}
	var logits []byte
	for _, row := range o.Logits {
		for _, v := range row {
			logits = binary.LittleEndian.AppendUint32(logits, math.Float32bits(v))
		}
	}
	list := []loader.Tensor{{Name: TensorLogits, DType: loader.F32, Shape: shape(len(o.Logits[0])/vocab, vocab), Data: logits}}
	if o.Generated == nil {
		return list
	}
	var ids []byte
	for _, row := range o.Generated {
		for _, v := range row {
			ids = binary.LittleEndian.AppendUint64(ids, uint64(v))
		}
	}
	return append(list, loader.Tensor{Name: TensorGenerated, DType: loader.I64, Shape: shape(len(o.Generated[0])), Data: ids})
}
