package runtime_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/runtime/cuda/emulator"
)

// gpuArtefact compiles a reference model for a GPU, with small steps.
func gpuArtefact(t testing.TB, name, target string) string {
	t.Helper()
	compiled.Lock()
	defer compiled.Unlock()
	key := name + " " + target
	if dir, ok := compiled.dirs[key]; ok {
		return dir
	}
	dir := filepath.Join(compiled.root, filepath.Base(name)+"-"+target)
	o := compile.Options{Model: filepath.Join(goldenDir, name), Out: dir, Target: "ptx:" + target, MaxRows: 64, MaxSeqs: 4}
	if _, err := compile.Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	compiled.dirs[key] = dir
	return dir
}

func openGPU(t testing.TB, name string, o runtime.Options) *runtime.Model {
	t.Helper()
	if o.Driver == nil {
		o.Driver = emulator.New()
	}
	return openDir(t, gpuArtefact(t, name, "sm_80"), o)
}

// A GPU gives the bits of the CPU: a prompt long enough for every kernel, then one token at a time. The states are the same too.
func TestGPUSameBits(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			on, gpu := open(t, name, runtime.Options{Threads: 1}), openGPU(t, name, runtime.Options{})
			ids := randomIDs(30, 40, on.Manifest.Model.Vocab)
			a, b := newSlot(t, on), newSlot(t, gpu)
			if d := difference(feed(t, on, a, ids, 36, 1), feed(t, gpu, b, ids, 36, 1)); d != "" {
				t.Error(d)
			}
			want, err := a.Tensors()
			if err != nil {
				t.Fatal(err)
			}
			got, err := b.Tensors()
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !bytes.Equal(want[i].Data, got[i].Data) {
					t.Errorf("the states %s differ", want[i].Name)
				}
			}
		})
	}
}

// The reference's logits and its greedy continuation come out, as with ssmc verify.
func TestGPUReference(t *testing.T) {
	m := openGPU(t, "mamba-tiny", runtime.Options{})
	v, err := m.Verify(context.Background(), filepath.Join(goldenDir, "mamba-tiny", "reference.safetensors"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Pass || v.GreedyMatch == nil || !*v.GreedyMatch {
		t.Errorf("logits off by %v, tolerance %v, %d tokens equal", v.MaxAbsDiff, v.Tolerance, v.GreedyEqual)
	}
}

// Sequences of any lengths in one run, some longer than a step, more than there is room for at first: each as alone on the CPU. Not all logits of the long one fit
// into pinned memory's first copy of a real vocabulary; here they are fetched out of order.
func TestGPUBatch(t *testing.T) {
	on, gpu := open(t, "mamba-tiny", runtime.Options{Threads: 2}), openGPU(t, "mamba-tiny", runtime.Options{})
	lengths := []int{1, 70, 3, 0, 33, 1}
	var inputs []runtime.Input
	got := make([][][]float32, len(lengths))
	for i, n := range lengths {
		in := runtime.Input{Slot: newSlot(t, gpu), IDs: randomIDs(uint64(40+i), n, on.Manifest.Model.Vocab)}
		for o := range in.IDs {
			in.Outs = append(in.Outs, o)
		}
		inputs = append(inputs, in)
	}
	err := gpu.Run(context.Background(), inputs, func(input, _ int, logits []float32) error {
		got[input] = append(got[input], append([]float32(nil), logits...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range inputs {
		if lengths[i] == 0 {
			continue
		}
		if d := difference(feed(t, on, newSlot(t, on), in.IDs, 64, 6), got[i]); d != "" {
			t.Errorf("sequence %d of %d tokens: %s", i, lengths[i], d)
		}
	}
}

// Generation, fork, roll back, save and load: a slot is copied on the device, to this machine and back, bit for bit.
func TestGPUSlots(t *testing.T) {
	m := openGPU(t, "mamba2-tiny", runtime.Options{})
	ids := randomIDs(50, 12, m.Manifest.Model.Vocab)
	slot := newSlot(t, m)
	generate := func(s *runtime.Slot, prompt []int32, n int) (out, pending []int32) {
		t.Helper()
		g := runtime.Generation{Tokens: n, Sampling: runtime.Sampling{Temperature: 1.2, TopK: 40, Seed: 3}}
		pending, err := m.Generate(context.Background(), s, prompt, g, func(id int32) error {
			out = append(out, id)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out, pending
	}
	_, pending := generate(slot, ids, 3)
	path := filepath.Join(t.TempDir(), "state")
	if err := slot.Save(path, pending); err != nil {
		t.Fatal(err)
	}
	snap, err := slot.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	fork, err := slot.Fork()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := generate(slot, pending, 5)
	if got, _ := generate(fork, pending, 5); !cmp.Equal(want, got) {
		t.Errorf("a fork goes on with %v, want %v", got, want)
	}
	if err := slot.Restore(snap); err != nil {
		t.Fatal(err)
	}
	if got, _ := generate(slot, pending, 5); !cmp.Equal(want, got) {
		t.Errorf("rolled back it goes on with %v, want %v", got, want)
	}
	for range 6 { // the memory of the states moves
		newSlot(t, m)
	}
	loaded := newSlot(t, m)
	again, err := loaded.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := generate(loaded, again, 5); !cmp.Equal(want, got) {
		t.Errorf("loaded it goes on with %v, want %v", got, want)
	}
	if err := loaded.Reset(); err != nil {
		t.Fatal(err)
	}
	if d := difference(feed(t, m, newSlot(t, m), ids, 12), feed(t, m, loaded, ids, 12)); d != "" {
		t.Errorf("a slot that was reset: %s", d)
	}
}

// A slot that was used and freed is empty when it is given out again.
func TestGPUSlotsAreCleared(t *testing.T) {
	m := openGPU(t, "mamba-tiny", runtime.Options{})
	ids := randomIDs(51, 4, m.Manifest.Model.Vocab)
	s := newSlot(t, m)
	want := feed(t, m, s, ids, 4)
	s.Free()
	if d := difference(want, feed(t, m, newSlot(t, m), ids, 4)); d != "" {
		t.Error(d)
	}
}

// The time stamps of a profile are of all phases and blocks, in order.
func TestGPUTrace(t *testing.T) {
	m := openGPU(t, "mamba-tiny", runtime.Options{})
	p, err := m.Profile(context.Background(), runtime.BenchOptions{Prompt: 3, Generate: 2, Batch: 1, Repeat: 1})
	if err != nil {
		t.Fatal(err)
	}
	phases := len(m.Manifest.Phases)
	for _, s := range p.Steps {
		if len(s.Stamps) != (phases+1)*2 {
			t.Fatalf("%d stamps, want those of %d phases and 2 blocks", len(s.Stamps), phases)
		}
		for i := range phases {
			if s.Stamps[2*i] == 0 || s.Stamps[2*i] > s.Stamps[2*i+2] {
				t.Fatalf("phase %d begins at %d, the next at %d", i, s.Stamps[2*i], s.Stamps[2*i+2])
			}
		}
	}
	if p.TicksPerSec < 0.9e9 || p.TicksPerSec > 1.1e9 {
		t.Errorf("%g ticks a second", p.TicksPerSec)
	}
	var text strings.Builder
	if err := p.WriteChrome(&text); err != nil || !strings.Contains(text.String(), `"tid":1`) {
		t.Errorf("trace %v without the second block", err)
	}
	if table := p.Table(false); len(table) == 0 || table[0].Millis <= 0 {
		t.Errorf("table %+v", table)
	}
}

// What a step leaves in work memory can be looked at.
func TestGPUWatch(t *testing.T) {
	on, gpu := open(t, "mamba-tiny", runtime.Options{Threads: 1}), openGPU(t, "mamba-tiny", runtime.Options{})
	ids := randomIDs(52, 5, on.Manifest.Model.Vocab)
	look := func(m *runtime.Model) (parts []runtime.LeftPart, row []float32) {
		t.Helper()
		err := m.RunWatched(context.Background(), []runtime.Input{{Slot: newSlot(t, m), IDs: ids}}, nil, func(l *runtime.Left) error {
			parts, row = l.Parts, append(row, l.Rows(nil, 0, 64, 64, 0, 5)...) // the residual stream lies first
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return parts, row
	}
	wantParts, want := look(on)
	gotParts, got := look(gpu)
	if !cmp.Equal(wantParts, gotParts) || len(got) != 5*64 || got[0] == 0 || !cmp.Equal(want, got) {
		t.Errorf("%v and %v; %d and %d numbers, equal %v", wantParts, gotParts, len(want), len(got), cmp.Equal(want, got))
	}
}

// A GPU chooses tokens as the CPU does, together and alone, and when the launches follow each other without the host.
func TestGPUNext(t *testing.T) {
	ctx := context.Background()
	on, gpu := open(t, "mamba-tiny", runtime.Options{Threads: 1}), openGPU(t, "mamba-tiny", runtime.Options{})
	how := samplings // more than sequences of a step
	next := func(m *runtime.Model) (inputs []runtime.Input, ids []int32) {
		t.Helper()
		inputs = begin(t, m)
		ids, err := m.Next(ctx, inputs, how)
		if err != nil {
			t.Fatal(err)
		}
		return inputs, ids
	}
	a, want := next(on)
	b, got := next(gpu)
	if !cmp.Equal(want, got) {
		t.Fatalf("chosen %v, want %v", got, want)
	}
	slots := func(inputs []runtime.Input) (list []*runtime.Slot) {
		for _, in := range inputs {
			list = append(list, in.Slot)
		}
		return list
	}
	wantAll, err := on.Alone(slots(a), want, how, 3)
	if err != nil {
		t.Fatal(err)
	}
	gotAll, err := gpu.Queue(slots(b), got, how, 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantAll, gotAll); diff != "" {
		t.Error(diff)
	}
}

// Several models share a driver.
func TestGPUManyModels(t *testing.T) {
	d := emulator.New()
	first, second := openGPU(t, "mamba-tiny", runtime.Options{Driver: d}), openGPU(t, "mamba-tiny", runtime.Options{Driver: d})
	ids := randomIDs(53, 3, first.Manifest.Model.Vocab)
	want := feed(t, first, newSlot(t, first), ids, 3)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if d := difference(want, feed(t, second, newSlot(t, second), ids, 3)); d != "" {
		t.Error(d)
	}
	if _, err := first.NewSlot(); err == nil {
		t.Error("a closed model gives slots")
	}
}

// Code for every target runs, and sm_90a on nothing but 9.0.
func TestGPUTargets(t *testing.T) {
	for _, target := range []string{"sm_86", "sm_89", "sm_90a"} {
		m, err := runtime.Open(gpuArtefact(t, "mamba-tiny", target), runtime.Options{Driver: emulator.New(emulator.Device{Target: target})})
		if err != nil {
			t.Fatal(err)
		}
		if m.Level != "ptx:"+target || m.Device != "emulator of "+target || m.Manifest.Files[0].Name == artifact.SharedFile {
			t.Errorf("level %s, device %s", m.Level, m.Device)
		}
		feed(t, m, newSlot(t, m), []int32{1}, 1)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A quantized model gives the CPU's bits too: products of codes by tensor cores in a prompt, by dot products in a step.
func TestGPUQuantized(t *testing.T) {
	var ids []int64
	for _, id := range randomIDs(70, 128, 256) {
		ids = append(ids, int64(id))
	}
	source := write(t, int64Tensor("input_ids", []int{2, 64}, ids...))
	var models [2]*runtime.Model
	for i, target := range []string{"x86-64-v3", "ptx:sm_80"} {
		dir := filepath.Join(t.TempDir(), "out")
		o := compile.Options{Model: filepath.Join(goldenDir, "mamba-tiny"), Out: dir, Target: target, MaxRows: 64, MaxSeqs: 4, Scheme: "w8a8"}
		o.Source, o.Samples, o.Length = source, 2, 64
		if _, err := compile.Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		var err error
		if models[i], err = runtime.Open(dir, runtime.Options{Driver: emulator.New(), Threads: 1}); err != nil {
			t.Fatal(err)
		}
		defer models[i].Close()
	}
	prompt := randomIDs(71, 38, 256)
	if d := difference(feed(t, models[0], newSlot(t, models[0]), prompt, 35, 1), feed(t, models[1], newSlot(t, models[1]), prompt, 35, 1)); d != "" {
		t.Error(d)
	}
	if !models[1].Manifest.CodeProducts() {
		t.Error("the manifest knows no products of codes")
	}
}

// ptxas takes the kernel that measures the bandwidth.
func TestReadModule(t *testing.T) {
	a, err := ptx.FindAssembler()
	if err != nil {
		t.Skipf("nothing is assembled: %v", err)
	}
	text, err := os.ReadFile("read.ptx")
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Check(context.Background(), text, "ptx:sm_80")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Spills()) > 0 || len(r.Warnings) > 0 || r.Entry().Registers > 64 {
		t.Errorf("spills %v, warnings %v, %d registers; 1024 threads have 64 each", r.Spills(), r.Warnings, r.Entry().Registers)
	}
}
