package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/ssmc/ssmc/loader"
)

// Verification is how far the model is from a reference file.
type Verification struct {
	MaxAbsDiff  *float64 `json:"max_abs_diff"` // null: the model gave something that is no number
	At          []int    `json:"at"`           // where: [sequence, ] token, column
	Tolerance   float64  `json:"tolerance"`
	GreedyMatch *bool    `json:"greedy_match"` // null: the reference has no continuation
	GreedyEqual int      `json:"greedy_equal"` // tokens that are equal before the first that is not
	StateDiff   *float64 `json:"state_max_rel_diff,omitempty"`
	Pass        bool     `json:"pass"`
}

// defaultTolerance is what is allowed where the reference says nothing, as a share of the largest logit: float32 arithmetic in another order.
const defaultTolerance = 2e-5

// reference is what a reference file holds for us.
type reference struct {
	prompts   Prompts
	logits    []float64
	generated [][]int32
	states    []loader.Tensor // of the first sequence
	tolerance float64         // 0: the file's neighbour says none
}

// Verify runs the input_ids of a reference file and compares. tolerance is the largest allowed difference of a logit; 0: what the reference.json beside the
// file allows (tolerance_logits), else 2e-5 of the largest logit. Logits are compared with logits_f64 where the file has them, the greedy continuation with
// generated_ids or greedy_continuation.
func (m *Model) Verify(ctx context.Context, path string, tolerance float64) (*Verification, error) {
	ref, err := m.readReference(path)
	if err != nil {
		return nil, err
	}
	tokens := 0
	if ref.generated != nil {
		tokens = len(ref.generated[0])
	}
	out, err := m.Evaluate(ctx, ref.prompts.Rows, tokens)
	if errors.Is(err, ErrNotFinite) { // there is no continuation then, but logits to report on
		out, err = m.Evaluate(ctx, ref.prompts.Rows, 0)
	}
	if err != nil {
		return nil, err
	}
	defer out.Free()
	v := &Verification{Tolerance: tolerance, Pass: true}
	if v.Tolerance == 0 {
		v.Tolerance = ref.tolerance
	}
	v.compareLogits(out.Logits, ref, m.Manifest.Model.Vocab)
	if ref.generated != nil {
		v.compareGreedy(out.Generated, ref.generated)
	}
	if ref.states != nil {
		err = v.compareStates(out.Slots[0], ref.states)
	}
	return v, err
}

func (m *Model) readReference(path string) (*reference, error) {
	file, err := loader.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := &reference{}
	if r.prompts, err = readPrompts(file); err != nil {
		return nil, err
	}
	t, ok := file.Tensor("logits_f64")
	if !ok {
		t, ok = file.Tensor(TensorLogits)
	}
	want := len(r.prompts.Rows) * len(r.prompts.Rows[0]) * m.Manifest.Model.Vocab
	if !ok || t.Elements() != want {
		return nil, fmt.Errorf("%s: has no logits for %d x %d tokens and the model's vocabulary of %d", path, len(r.prompts.Rows), len(r.prompts.Rows[0]), m.Manifest.Model.Vocab)
	}
	if r.logits, err = t.Float64(); err != nil {
		return nil, err
	}
	for _, name := range []string{TensorGenerated, "greedy_continuation"} {
		if t, ok := file.Tensor(name); ok && r.generated == nil {
			p, err := promptsOf(t)
			if err != nil || len(p.Rows) != len(r.prompts.Rows) {
				return nil, fmt.Errorf("%s: %s %v does not fit %d prompts", path, name, t.Shape, len(r.prompts.Rows))
			}
			r.generated = p.Rows
		}
	}
	if !r.prompts.Batch {
		for _, t := range file.Tensors() {
			for _, s := range m.Manifest.States {
				if s.Name == t.Name && !s.Codes() {
					t.Data = slices.Clone(t.Data)
					r.states = append(r.states, t)
				}
			}
		}
	}
	r.tolerance = statedTolerance(path)
	return r, nil
}

// statedTolerance is tolerance_logits of the reference.json beside a reference file, or 0.
func statedTolerance(path string) float64 {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "reference.json"))
	if err != nil {
		return 0
	}
	var facts struct {
		Tolerance float64 `json:"tolerance_logits"`
	}
	if json.Unmarshal(text, &facts) != nil {
		return 0
	}
	return facts.Tolerance
}

func (v *Verification) compareLogits(got [][]float32, ref *reference, vocab int) {
	largest, most, at := 0.0, -1.0, 0
	n := len(got[0])
	for i, want := range ref.logits {
		d := math.Abs(float64(got[i/n][i%n]) - want)
		if d != d {
			d = math.Inf(1)
		}
		if d > most {
			most, at = d, i
		}
		largest = max(largest, math.Abs(want))
	}
	if v.Tolerance == 0 {
		v.Tolerance = defaultTolerance * largest
	}
	v.At = []int{at % n / vocab, at % vocab}
	if ref.prompts.Batch {
		v.At = append([]int{at / n}, v.At...)
	}
	if !math.IsInf(most, 1) {
		v.MaxAbsDiff = &most
	}
	v.Pass = v.Pass && most <= v.Tolerance
}

func (v *Verification) compareGreedy(got, want [][]int32) {
	match := true
	v.GreedyEqual = len(want[0])
	for i := range want {
		equal := 0
		for got != nil && equal < len(want[i]) && got[i][equal] == want[i][equal] {
			equal++
		}
		match = match && equal == len(want[i])
		v.GreedyEqual = min(v.GreedyEqual, equal)
	}
	v.GreedyMatch = &match
	v.Pass = v.Pass && match
}

// compareStates reports how far the states after the prompt are off, as a share of the largest element of each. It decides nothing: what a state may
// be off by follows from the tolerance of the logits in no simple way.
func (v *Verification) compareStates(slot *Slot, want []loader.Tensor) error {
	got, err := slot.Tensors()
	if err != nil {
		return err
	}
	most := 0.0
	for _, w := range want {
		i := slices.IndexFunc(got, func(t loader.Tensor) bool { return t.Name == w.Name })
		a, err := got[i].Float64()
		if err != nil {
			return err
		}
		b, err := w.Float64()
		if err != nil {
			return err
		}
		if d, ok := stateDifference(a, got[i].Shape, b, w.Shape); ok {
			most = max(most, d)
		}
	}
	v.StateDiff = &most
	return nil
}

// stateDifference compares along the last axis from its end: references hold one column more of the convolution's window than the next token needs.
func stateDifference(a []float64, shapeA []int, b []float64, shapeB []int) (float64, bool) {
	ka, kb := shapeA[len(shapeA)-1], 0
	if len(shapeB) > 0 {
		kb = shapeB[len(shapeB)-1]
	}
	if ka == 0 || kb < ka || len(a)/ka*kb != len(b) {
		return 0, false
	}
	most, largest := 0.0, 0.0
	for i, x := range a {
		y := b[i/ka*kb+kb-ka+i%ka]
		most, largest = max(most, math.Abs(x-y)), max(largest, math.Abs(y))
	}
	if largest == 0 {
		return most, true
	}
	return most / largest, true
}
