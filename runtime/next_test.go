package runtime_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/runtime"
)

// samplings are ways to choose, one for each of several sequences.
var samplings = []runtime.Sampling{
	{},
	{Temperature: 1, Seed: 1},
	{Temperature: 0.8, TopK: 5, Seed: 2},
	{Temperature: 1.2, TopP: 0.9, Seed: 3},
	{Temperature: 3, TopK: 100, TopP: 0.95, Seed: 4},
	{Temperature: 1, TopK: 1, Seed: 5},
}

// begin feeds a prompt of its own to a new slot for each way to choose.
func begin(t *testing.T, m *runtime.Model) (inputs []runtime.Input) {
	t.Helper()
	for i := range samplings {
		inputs = append(inputs, runtime.Input{Slot: newSlot(t, m), IDs: randomIDs(uint64(i), 3+5*i, m.Manifest.Model.Vocab)})
	}
	return inputs
}

// The compiled code chooses, for several sequences at once, what the Sampler chooses from the logits of each alone, and what it chooses when steps follow
// each other with nothing between.
func TestNext(t *testing.T) {
	ctx := context.Background()
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			m := open(t, name, runtime.Options{Threads: 3})
			const steps = 20
			want := make([][]int32, len(samplings))
			for i, in := range begin(t, m) {
				want[i] = chooseFromLogits(t, m, in.Slot, in.IDs, samplings[i], steps)
			}
			inputs := begin(t, m)
			got := make([][]int32, len(samplings))
			var forks []*runtime.Slot
			for step := range steps {
				ids, err := m.Next(ctx, inputs, samplings)
				if err != nil {
					t.Fatal(err)
				}
				for i, id := range ids {
					got[i] = append(got[i], id)
					inputs[i].IDs = []int32{id}
					if step == 0 {
						fork, err := inputs[i].Slot.Fork()
						if err != nil {
							t.Fatal(err)
						}
						forks = append(forks, fork)
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("chosen together (-alone, from logits):\n%s", diff)
			}
			first := make([]int32, len(samplings))
			for i := range first {
				first[i] = got[i][0]
				got[i] = got[i][1:]
			}
			alone, err := m.Alone(forks, first, samplings, steps-1)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, alone); diff != "" {
				t.Errorf("steps with nothing between (+):\n%s", diff)
			}
		})
	}
}

func chooseFromLogits(t *testing.T, m *runtime.Model, slot *runtime.Slot, ids []int32, how runtime.Sampling, n int) (chosen []int32) {
	t.Helper()
	s := runtime.Sampler{Sampling: how}
	for range n {
		err := m.Run(context.Background(), []runtime.Input{{Slot: slot, IDs: ids, Outs: []int{len(ids) - 1}}}, func(_, _ int, logits []float32) error {
			id, err := s.Next(logits, slot.Tokens())
			ids = []int32{id}
			chosen = append(chosen, id)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return chosen
}

func TestNextRefuses(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	slot := newSlot(t, m)
	good := runtime.Input{Slot: slot, IDs: []int32{1}}
	for name, test := range map[string]struct {
		inputs []runtime.Input
		how    []runtime.Sampling
	}{
		"one sampling missing": {[]runtime.Input{good}, nil},
		"a wrong one":          {[]runtime.Input{good}, []runtime.Sampling{{Temperature: math.NaN()}}},
		"no slot":              {[]runtime.Input{{IDs: []int32{1}}}, make([]runtime.Sampling, 1)},
		"no tokens":            {[]runtime.Input{{Slot: slot}}, make([]runtime.Sampling, 1)},
		"logits":               {[]runtime.Input{{Slot: slot, IDs: []int32{1}, Outs: []int{0}}}, make([]runtime.Sampling, 1)},
	} {
		if _, err := m.Next(context.Background(), test.inputs, test.how); err == nil || errors.Is(err, runtime.ErrNotFinite) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if slot.Tokens() != 0 {
		t.Errorf("the slot has %d tokens", slot.Tokens())
	}
}
