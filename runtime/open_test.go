package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime"
)

// copyArtefact gives a copy that a test may damage.
func copyArtefact(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(artefact(t, name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit replaces a file of an artefact by what change makes of it; nil removes it.
func edit(t *testing.T, dir, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if data = change(data); data == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, data, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A damaged artefact is refused before its code is called.
func TestOpenRefuses(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(new), 1) }
	}
	remove := func([]byte) []byte { return nil }
	tests := []struct {
		name, file string
		change     func([]byte) []byte
		options    runtime.Options
		want       string
	}{
		{"no manifest", artifact.ManifestFile, remove, runtime.Options{}, "has no manifest.json"},
		{"another step size", artifact.ManifestFile, replace(`"max_rows": 128`, `"max_rows": 129`), runtime.Options{}, "rows of a step 128 and 129"},
		{"another prefix", artifact.ManifestFile, replace(`"prefix": "model"`, `"prefix": "other"`), runtime.Options{}, "other_facts"},
		{"another phase", artifact.ManifestFile, replace(`"phases": [`, `"phases": [{"name": "x"},`), runtime.Options{}, "phases"},
		{"no library", artifact.SharedFile, remove, runtime.Options{}, "model.so"},
		{"a library of zeros", artifact.SharedFile, func(b []byte) []byte { return make([]byte, len(b)) }, runtime.Options{}, "loading"},
		{"other weights", artifact.SharedFile, func(b []byte) []byte {
			m, err := artifact.Read(artefact(t, "mamba-tiny"))
			if err != nil {
				t.Fatal(err)
			}
			return bytes.Replace(b, []byte(m.Weights.SHA256), []byte(strings.Repeat("0", 64)), 1)
		}, runtime.Options{}, "was made for other weights"},
		{"no weights", artifact.WeightsFile, remove, runtime.Options{}, "weights.safetensors"},
		{"truncated weights", artifact.WeightsFile, func(b []byte) []byte { return b[:len(b)-1] }, runtime.Options{}, "the manifest says"},
		{"weights with another header", artifact.WeightsFile, func(b []byte) []byte { b[1] ^= 1; return b }, runtime.Options{}, "the header has"},
		{"unknown level", artifact.HeaderFile, func(b []byte) []byte { return b }, runtime.Options{Level: "x86-64-v9"}, `has no level "x86-64-v9"`},
		{"threads", artifact.HeaderFile, func(b []byte) []byte { return b }, runtime.Options{Threads: -1}, "-1 threads"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := copyArtefact(t, "mamba-tiny")
			edit(t, dir, test.file, test.change)
			m, err := runtime.Open(dir, test.options)
			if err == nil {
				m.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want one with %q", err, test.want)
			}
		})
	}
}

// What the object code would trust is checked, and a refused run changes nothing.
func TestRunRefuses(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 2})
	other := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	slot := newSlot(t, m)
	freed := newSlot(t, m)
	freed.Free()
	ignore := func(int, int, []float32) error { return nil }
	tests := []struct {
		name   string
		inputs []runtime.Input
		want   string
	}{
		{"token below 0", []runtime.Input{{Slot: slot, IDs: []int32{1, -1}}}, "token 1 is -1"},
		{"token beyond the vocabulary", []runtime.Input{{Slot: slot, IDs: []int32{256}}}, "outside of the vocabulary of 256"},
		{"one slot twice", []runtime.Input{{Slot: slot, IDs: []int32{1}}, {Slot: slot, IDs: []int32{1}}}, "same slot as sequence 0"},
		{"no slot", []runtime.Input{{IDs: []int32{1}}}, "not one of this model"},
		{"another model's slot", []runtime.Input{{Slot: newSlot(t, other), IDs: []int32{1}}}, "not one of this model"},
		{"a freed slot", []runtime.Input{{Slot: freed, IDs: []int32{1}}}, "not one of this model"},
		{"logits beyond the end", []runtime.Input{{Slot: slot, IDs: []int32{1}, Outs: []int{1}}}, "asks for logits of token 1"},
		{"logits in disorder", []runtime.Input{{Slot: slot, IDs: []int32{1, 2}, Outs: []int{1, 0}}}, "asks for logits of token 0"},
	}
	for _, test := range tests {
		err := m.Run(context.Background(), test.inputs, ignore)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
	if slot.Tokens() != 0 {
		t.Errorf("a refused run left %d tokens", slot.Tokens())
	}
	stop := errors.New("enough")
	err := m.Run(context.Background(), []runtime.Input{{Slot: slot, IDs: []int32{1}, Outs: []int{0}}}, func(int, int, []float32) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("the caller's error came back as %v", err)
	}
	if err := m.Run(context.Background(), nil, nil); err != nil {
		t.Errorf("nothing to run: %v", err)
	}
}

func TestClose(t *testing.T) {
	m, err := runtime.Open(artefact(t, "mamba-tiny"), runtime.Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	slot := newSlot(t, m)
	feed(t, m, slot, []int32{1, 2}, 2)
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.NewSlot(); err == nil {
		t.Error("a closed model gives slots")
	}
	if err := m.Run(context.Background(), []runtime.Input{{Slot: slot, IDs: []int32{1}}}, nil); err == nil {
		t.Error("a closed model runs")
	}
	if err := slot.Reset(); err == nil {
		t.Error("a slot of a closed model can be used")
	}
	slot.Free()
}

// A model that nobody has run can be closed, and many can be open at once.
func TestManyModels(t *testing.T) {
	var models []*runtime.Model
	var slots []*runtime.Slot
	for range 4 {
		m, err := runtime.Open(artefact(t, "mamba-tiny"), runtime.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
		slots = append(slots, newSlot(t, m))
	}
	want := feed(t, models[0], slots[0], []int32{1, 2, 3}, 3)
	for i, m := range models[1:3] {
		if d := difference(want, feed(t, m, slots[i+1], []int32{1, 2, 3}, 3)); d != "" {
			t.Error(d)
		}
	}
	for _, m := range models {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
