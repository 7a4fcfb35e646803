// Package golden reads reference outputs, which other implementations computed for the models under testdata, and compares with them.
//
// testdata/README.md lists the models. A test opens one with Open, runs the same ids, and asks MaxDifference how far it is and where:
//
//	ref, err := golden.Open("../golden/testdata/mamba-tiny")
//	diff, err := golden.MaxDifference(logits, ref.LogitsF64)
//	if diff.Max > ref.ToleranceLogits { t.Errorf("logits: %v", diff) }
package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/ssmc/ssmc/loader"
)

// Tiny are the folders under testdata with random parameters, hidden states and states.
var Tiny = []string{"mamba-tiny", "mamba-original", "mamba-bf16", "mamba-sharded", "mamba2-tiny", "mamba2-original", "mamba2-groups", "falcon-mamba-tiny"}

// Trained are the folders with models that were trained on English; they have logits and a greedy continuation.
var Trained = []string{"trained/mamba-en", "trained/mamba2-en"}

// Array is a reference tensor, widened.
type Array struct {
	Shape []int
	Data  []float64
}

// Reference is what another implementation computed for one model. What its file does not hold is nil.
type Reference struct {
	Dir       string
	IDs       []int32  // the prompt
	Logits    *Array   // [T, V], float32 arithmetic
	LogitsF64 *Array   // [T, V], float64 arithmetic: nearer to the truth
	Hidden    []*Array // the input of the first layer, then the residual stream after each layer
	FinalNorm *Array
	Generated []int32      // greedy continuation of the prompt
	States    []LayerState // after the prompt

	// The largest allowed absolute differences: ten times what float32 and float64 differ by in the reference itself.
	// 0 where reference.json states none.
	ToleranceLogits, ToleranceHidden float64
}

// LayerState is the state of one layer after the prompt.
type LayerState struct {
	Conv      *Array // [C, K]: the last K inputs of the convolution, oldest first
	Recurrent *Array // [E, N] or [H, P, N]
}

// Open reads reference.safetensors and reference.json of a model's folder.
func Open(dir string) (*Reference, error) {
	r := &Reference{Dir: dir}
	file, err := loader.OpenFile(filepath.Join(dir, "reference.safetensors"))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	var facts struct {
		Logits float64 `json:"tolerance_logits"`
		Hidden float64 `json:"tolerance_hidden"`
	}
	if err := json.Unmarshal(text, &facts); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Join(dir, "reference.json"), err), file.Close())
	}
	r.ToleranceLogits, r.ToleranceHidden = facts.Logits, facts.Hidden
	return r, errors.Join(r.read(file), file.Close())
}

func (r *Reference) read(file *loader.File) error {
	var errs []error
	array := func(name string) *Array {
		t, ok := file.Tensor(name)
		if !ok {
			return nil
		}
		data, err := t.Float64()
		errs = append(errs, err)
		return &Array{t.Shape, data}
	}
	ids := func(name string) []int32 {
		t, ok := file.Tensor(name)
		if !ok {
			return nil
		}
		data, err := t.Int64()
		errs = append(errs, err)
		out := make([]int32, len(data))
		for i, v := range data {
			out[i] = int32(v)
		}
		return out
	}
	r.IDs = ids("input_ids")
	r.Logits, r.LogitsF64, r.FinalNorm = array("logits"), array("logits_f64"), array("final_norm")
	r.Generated = ids("generated_ids")
	if r.Generated == nil {
		r.Generated = ids("greedy_continuation")
	}
	for i := 0; ; i++ {
		h := array(fmt.Sprintf("hidden_states.%d", i))
		if h == nil {
			break
		}
		r.Hidden = append(r.Hidden, h)
	}
	for i := 0; ; i++ {
		s := LayerState{array(fmt.Sprintf("state.%d.conv", i)), array(fmt.Sprintf("state.%d.recurrent", i))}
		if s.Conv == nil && s.Recurrent == nil {
			break
		}
		r.States = append(r.States, s)
	}
	if r.IDs == nil || r.Logits == nil {
		errs = append(errs, errors.New(r.Dir+": reference.safetensors has no input_ids or no logits"))
	}
	return errors.Join(errs...)
}

// Truth is the logits to compare with: those of float64 where there are some.
func (r *Reference) Truth() *Array {
	if r.LogitsF64 != nil {
		return r.LogitsF64
	}
	return r.Logits
}

// Rows cuts rows lo to hi-1 of the first axis.
func (a *Array) Rows(lo, hi int) *Array {
	width := len(a.Data) / max(a.Shape[0], 1)
	return &Array{append([]int{hi - lo}, a.Shape[1:]...), a.Data[lo*width : hi*width]}
}

// Difference is the largest of the differences of two arrays.
type Difference struct {
	Max       float64
	At        []int // where it is
	Got, Want float64
	Scale     float64 // the largest magnitude in the reference
}

// Relative is the difference as a share of the largest magnitude in the reference.
func (d Difference) Relative() float64 {
	if d.Scale == 0 {
		return d.Max
	}
	return d.Max / d.Scale
}

// String says how large the difference is, and where.
func (d Difference) String() string {
	return fmt.Sprintf("largest difference %.3g at %v: got %v, want %v (scale %.3g)", d.Max, d.At, d.Got, d.Want, d.Scale)
}

// MaxDifference compares element by element. A NaN on one side only is an infinite difference.
func MaxDifference[F float32 | float64](got []F, want *Array) (Difference, error) {
	if len(got) != len(want.Data) {
		return Difference{Max: math.Inf(1)}, fmt.Errorf("%d elements, the reference has %d: %v", len(got), len(want.Data), want.Shape)
	}
	var d Difference
	worst := -1
	for i, w := range want.Data {
		g := float64(got[i])
		d.Scale = max(d.Scale, math.Abs(w))
		delta := math.Abs(g - w)
		if g != g || w != w {
			delta = math.Inf(1)
			if g != g && w != w {
				delta = 0
			}
		}
		if delta > d.Max || worst < 0 {
			worst, d.Max, d.Got, d.Want = i, delta, g, w
		}
	}
	if worst >= 0 {
		d.At = position(worst, want.Shape)
	}
	return d, nil
}

// position gives the coordinates of a flat index.
func position(i int, shape []int) []int {
	at := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		at[k] = i % shape[k]
		i /= shape[k]
	}
	return at
}

// SameBits says where two results first differ in any bit; -1 if nowhere. Different lengths differ at the shorter one's end.
func SameBits[F float32 | float64](a, b []F) int {
	for i := range min(len(a), len(b)) {
		if math.Float64bits(float64(a[i])) != math.Float64bits(float64(b[i])) {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// Argmax is the index of the largest element, the first of several.
func Argmax[F float32 | float64](row []F) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
