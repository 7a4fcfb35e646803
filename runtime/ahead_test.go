package runtime_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/runtime/cuda"
	"github.com/ssmc/ssmc/runtime/cuda/emulator"
)

// ending is why a generation ends.
type ending struct {
	tokens int
	stop   []int32
	fail   int // emit gives an error with token number fail, from 1 on
	cancel int // emit cancels the generation with this one
}

var errEmit = errors.New("full")

// outcome is all that a generation gives and leaves.
type outcome struct {
	Given, Pending []int32
	Err            string
	Tokens         int64
	States         [][]byte
}

// generateFrom continues a fork of the base.
func generateFrom(t *testing.T, m *runtime.Model, base *runtime.Slot, id int32, how runtime.Sampling, ahead int, e ending) (o outcome) {
	t.Helper()
	slot, err := base.Fork()
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Free()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Pending, err = m.Generate(ctx, slot, []int32{id}, runtime.Generation{Tokens: e.tokens, Sampling: how, Stop: e.stop, Ahead: ahead}, func(id int32) error {
		o.Given = append(o.Given, id)
		switch len(o.Given) {
		case e.cancel:
			cancel()
		case e.fail:
			return errEmit
		}
		return nil
	})
	o.Err, o.Tokens = fmt.Sprint(err), slot.Tokens()
	states, err := slot.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		o.States = append(o.States, s.Data)
	}
	return o
}

// endings are all ends that a generation of so many tokens can have: for each of those that plain gives, a stop there, an error and the end of patience.
func endings(tokens int, plain outcome) (list []ending) {
	list = append(list, ending{tokens: tokens}, ending{tokens: 1})
	for i, id := range plain.Given {
		if i > 0 && slices.Index(plain.Given, id) == i {
			list = append(list, ending{tokens: tokens, stop: []int32{-5, id}})
		}
		list = append(list, ending{tokens: tokens, fail: i + 1}, ending{tokens: tokens, cancel: i + 1})
	}
	return list
}

// How a model's artefacts are made.
type scheme struct{ name, model, scheme string }

var schemes = []scheme{
	{"float", "mamba-tiny", ""},
	{"w8a8", "mamba-tiny", "w8a8"},
	{"state", "mamba2-groups", "scheme: x\nextends: w8a8\nvalues: {ssm.state: {type: i8}}\n"},
}

func (s scheme) open(t *testing.T, target string, driver *cuda.Driver) *runtime.Model {
	t.Helper()
	o := compile.Options{Model: filepath.Join(goldenDir, s.model), Out: filepath.Join(t.TempDir(), "out"), Target: target, MaxRows: 64, MaxSeqs: 4, Scheme: s.scheme}
	if s.scheme != "" {
		o.Source, o.Samples, o.Length = write(t, int64Tensor("input_ids", []int{1, 64}, randomInt64s(81, 64)...)), 1, 64
	}
	if strings.Contains(s.scheme, "\n") {
		o.Scheme = filepath.Join(t.TempDir(), "scheme.yaml")
		if err := os.WriteFile(o.Scheme, []byte(s.scheme), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return compileAndOpen(t, o, driver)
}

func randomInt64s(seed uint64, n int) (list []int64) {
	for _, id := range randomIDs(seed, n, 256) {
		list = append(list, int64(id))
	}
	return list
}

func compileAndOpen(t *testing.T, o compile.Options, driver *cuda.Driver) *runtime.Model {
	t.Helper()
	if _, err := compile.Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	m, err := runtime.Open(o.Out, runtime.Options{Driver: driver, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// begun is a slot behind a prompt.
func begun(t *testing.T, m *runtime.Model) *runtime.Slot {
	t.Helper()
	slot := newSlot(t, m)
	if err := m.Run(context.Background(), []runtime.Input{{Slot: slot, IDs: randomIDs(80, 5, m.Manifest.Model.Vocab)}}, nil); err != nil {
		t.Fatal(err)
	}
	return slot
}

var aheadSampling = runtime.Sampling{Temperature: 1.5, TopK: 50, Seed: 9}

// However many steps are queued, and wherever a generation ends in a queue, all is as step by step on a CPU: what was given out, what is pending, the error, the
// number of tokens and the state.
func TestAhead(t *testing.T) {
	for number, s := range schemes {
		t.Run(s.name, func(t *testing.T) {
			const tokens = 6
			cpu, gpu := s.open(t, "x86-64-v3", nil), s.open(t, "ptx:sm_80", emulator.New())
			scans := func(s artifact.State) bool { return s.Kind == "recurrent" && s.Codes() }
			if codes := slices.ContainsFunc(cpu.Manifest.States, scans); codes != (s.name == "state") {
				t.Fatalf("the scan's state is codes: %v", codes)
			}
			onCPU, onGPU := begun(t, cpu), begun(t, gpu)
			plain := generateFrom(t, cpu, onCPU, 3, aheadSampling, 1, ending{tokens: tokens})
			for i, e := range endings(tokens, plain) {
				want := generateFrom(t, cpu, onCPU, 3, aheadSampling, 1, e)
				for _, ahead := range []int{2, 3, 5, 8, 64} {
					if diff := cmp.Diff(want, generateFrom(t, cpu, onCPU, 3, aheadSampling, ahead, e)); diff != "" {
						t.Errorf("CPU, %d ahead, %+v (-step by step):\n%s", ahead, e, diff)
					}
				}
				if i%5 != number { // each takes a while there
					continue
				}
				ahead := []int{3, 0, 2, 5}[i/5%4]
				if diff := cmp.Diff(want, generateFrom(t, gpu, onGPU, 3, aheadSampling, ahead, e)); diff != "" {
					t.Errorf("GPU, %d ahead, %+v (-step by step):\n%s", ahead, e, diff)
				}
			}
		})
	}
}

// waits counts how often somebody waits for an emulated GPU: there the first question is answered when all is done.
func waits(d *cuda.Driver) *int {
	n, query := new(int), d.EventQuery
	d.EventQuery = func(e cuda.CUevent) cuda.Result {
		*n++
		return query(e)
	}
	return n
}

// The host waits once for a prompt and once for each queue, and once more when a generation ends within a queue.
func TestAheadWaits(t *testing.T) {
	d := emulator.New()
	m := openGPU(t, "mamba-tiny", runtime.Options{Driver: d})
	slot := begun(t, m)
	var given []int32
	n := waits(d)
	generate := func(e ending, ahead int) int {
		t.Helper()
		given = nil
		*n = 0
		_, err := m.Generate(context.Background(), slot, []int32{3}, runtime.Generation{Tokens: e.tokens, Sampling: aheadSampling, Stop: e.stop, Ahead: ahead}, func(id int32) error {
			given = append(given, id)
			if len(given) == e.fail {
				return errEmit
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEmit) {
			t.Fatal(err)
		}
		return *n
	}
	for _, test := range []struct {
		e           ending
		ahead, want int
	}{
		{ending{tokens: 1}, 0, 1},
		{ending{tokens: 9}, 1, 9},
		{ending{tokens: 9}, 0, 2},           // the prompt's step, and a queue of 8
		{ending{tokens: 9}, 4, 3},           // two queues of 4
		{ending{tokens: 9}, 5, 3},           // of 5 and 3
		{ending{tokens: 10}, 0, 3},          // the last step is alone
		{ending{tokens: 20, fail: 1}, 0, 1}, // before anything was queued
		{ending{tokens: 20, fail: 9}, 0, 2}, // behind the last of a queue
		{ending{tokens: 20, fail: 4}, 0, 3}, // within it: three steps are taken again
	} {
		if got := generate(test.e, test.ahead); got != test.want {
			t.Errorf("%+v, %d ahead: the host waited %d times, want %d", test.e, test.ahead, got, test.want)
		}
	}
	for range 10 { // the slots that were queued in are free again
		generate(ending{tokens: 3}, 2)
	}
	if s := newSlot(t, m); s.Tokens() != 0 {
		t.Errorf("a new slot has %d tokens", s.Tokens())
	}
	if _, err := m.Generate(context.Background(), slot, []int32{3}, runtime.Generation{Tokens: 3, Ahead: runtime.MostAhead + 1}, nil); err == nil || !strings.Contains(err.Error(), "65 steps ahead") {
		t.Errorf("too many steps: %v", err)
	}
}

// Positions that end within a queue end a generation as they do step by step.
func TestAheadPositions(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	base := begun(t, m)
	for _, positions := range []int{6, 7, 9, 10, 11} {
		m.Manifest.Model.Positions = positions
		want := generateFrom(t, m, base, 3, aheadSampling, 1, ending{tokens: 9})
		if !strings.Contains(want.Err, fmt.Sprintf("would have %d tokens, the model takes %d", positions+1, positions)) || len(want.Given) != positions-5 {
			t.Errorf("%d positions: %d tokens, error %s", positions, len(want.Given), want.Err)
		}
		if diff := cmp.Diff(want, generateFrom(t, m, base, 3, aheadSampling, 4, ending{tokens: 9})); diff != "" {
			t.Errorf("%d positions (-step by step):\n%s", positions, diff)
		}
	}
}

// poisoned is a checkpoint with a head of its own, whose embedding of one token is no number: behind that token no logit is one.
func poisoned(t *testing.T, token int32) string {
	t.Helper()
	from, dir := filepath.Join(goldenDir, "mamba-tiny"), t.TempDir()
	f, err := loader.OpenFile(filepath.Join(from, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tensors := slices.Clone(f.Tensors())
	for i, x := range tensors {
		if x.Name != "backbone.embeddings.weight" {
			continue
		}
		head := x
		head.Name = "lm_head.weight"
		tensors = append(tensors, head)
		tensors[i].Data = slices.Clone(x.Data)
		row := len(x.Data) / x.Shape[0]
		for at := int(token) * row; at < (int(token)+1)*row; at += 4 {
			binary.LittleEndian.PutUint32(tensors[i].Data[at:], math.Float32bits(float32(math.NaN())))
		}
	}
	if err := loader.Write(filepath.Join(dir, "model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	config = []byte(strings.Replace(string(config), "{", `{"tie_word_embeddings": false,`, 1))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Logits that are no numbers end a generation where they are, also when steps behind them were queued.
func TestAheadNotFinite(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	plain := generateFrom(t, m, begun(t, m), 3, aheadSampling, 1, ending{tokens: 8}).Given
	const at = 4
	if slices.Index(plain, plain[at]) != at || slices.Contains(append(randomIDs(80, 5, m.Manifest.Model.Vocab), 3), plain[at]) {
		t.Fatalf("token %d of %v is there before", at, plain)
	}
	dir := poisoned(t, plain[at])
	cpu := compileAndOpen(t, compile.Options{Model: dir, Out: filepath.Join(t.TempDir(), "out"), Target: "x86-64-v3"}, nil)
	gpu := compileAndOpen(t, compile.Options{Model: dir, Out: filepath.Join(t.TempDir(), "out"), Target: "ptx:sm_80", MaxRows: 64, MaxSeqs: 4}, emulator.New())
	onCPU, onGPU := begun(t, cpu), begun(t, gpu)
	want := generateFrom(t, cpu, onCPU, 3, aheadSampling, 1, ending{tokens: 8})
	if !cmp.Equal(want.Given, plain[:at+1]) || want.Err != "sequence 0: "+runtime.ErrNotFinite.Error() {
		t.Fatalf("given %v, error %s, want %v", want.Given, want.Err, plain[:at+1])
	}
	for _, ahead := range []int{2, 3, 5, 7} {
		if diff := cmp.Diff(want, generateFrom(t, cpu, onCPU, 3, aheadSampling, ahead, ending{tokens: 8})); diff != "" {
			t.Errorf("CPU, %d ahead (-step by step):\n%s", ahead, diff)
		}
	}
	one := generateFrom(t, gpu, onGPU, 3, aheadSampling, 1, ending{tokens: 8})
	if diff := cmp.Diff(one, generateFrom(t, gpu, onGPU, 3, aheadSampling, 0, ending{tokens: 8})); diff != "" {
		t.Errorf("GPU (-step by step):\n%s", diff)
	}
	one.States, want.States = nil, nil // a GPU's NaN has other bits
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("GPU (-CPU):\n%s", diff)
	}
}
