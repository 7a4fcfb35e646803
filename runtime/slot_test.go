package runtime_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/runtime"
)

// A fork goes on like its origin, and neither sees the other.
func TestForkAndRollBack(t *testing.T) {
	m := open(t, "mamba2-tiny", runtime.Options{Threads: 2})
	ids := randomIDs(7, 60, m.Manifest.Model.Vocab)
	other := randomIDs(8, 20, m.Manifest.Model.Vocab)
	slot := newSlot(t, m)
	feed(t, m, slot, ids[:40], 40)
	snap, err := slot.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	fork, err := slot.Fork()
	if err != nil {
		t.Fatal(err)
	}
	feed(t, m, fork, other, 20) // elsewhere
	want := feed(t, m, slot, ids[40:], 20)
	feed(t, m, slot, other, 20) // ahead, to roll back
	if err := slot.Restore(snap); err != nil {
		t.Fatal(err)
	}
	if slot.Tokens() != 40 {
		t.Errorf("after rolling back the sequence has %d tokens, want 40", slot.Tokens())
	}
	if d := difference(want, feed(t, m, slot, ids[40:], 20)); d != "" {
		t.Errorf("after rolling back: %s", d)
	}
	if err := fork.CopyFrom(slot); err != nil {
		t.Fatal(err)
	}
	if d := difference(feed(t, m, slot, other, 20), feed(t, m, fork, other, 20)); d != "" {
		t.Errorf("a copied slot: %s", d)
	}
	if err := fork.Reset(); err != nil {
		t.Fatal(err)
	}
	if d := difference(feed(t, m, newSlot(t, m), ids, 60), feed(t, m, fork, ids, 60)); d != "" {
		t.Errorf("a reset slot: %s", d)
	}
}

// Slots are used again and are empty then; there are as many as one wants, also while others hold state.
func TestManySlots(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	ids := randomIDs(9, 10, m.Manifest.Model.Vocab)
	held := newSlot(t, m)
	feed(t, m, held, ids[:5], 5)
	var slots []*runtime.Slot
	for range 20 { // the memory grows, and may move
		s := newSlot(t, m)
		feed(t, m, s, ids, 3)
		slots = append(slots, s)
	}
	for _, s := range slots {
		s.Free()
		s.Free()
	}
	want := feed(t, m, newSlot(t, m), ids, 5)
	if d := difference(want[5:], feed(t, m, held, ids[5:], 5)); d != "" {
		t.Errorf("a slot that was held: %s", d)
	}
	if err := slots[0].Reset(); err == nil {
		t.Error("a freed slot can be used")
	}
	if err := m.Run(context.Background(), []runtime.Input{{Slot: slots[0], IDs: ids}}, nil); err == nil {
		t.Error("a freed slot can be run")
	}
}

func TestSaveAndLoad(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	ids := randomIDs(10, 30, m.Manifest.Model.Vocab)
	slot := newSlot(t, m)
	feed(t, m, slot, ids[:20], 20)
	path := filepath.Join(t.TempDir(), "state")
	if err := slot.Save(path, []int32{5, 7}); err != nil {
		t.Fatal(err)
	}
	want := feed(t, m, slot, ids[20:], 10)

	again := open(t, "mamba-tiny", runtime.Options{Threads: 2})
	loaded := newSlot(t, again)
	pending, err := loaded.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{5, 7}, pending); diff != "" || loaded.Tokens() != 20 {
		t.Errorf("pending %s, tokens %d", diff, loaded.Tokens())
	}
	if d := difference(want, feed(t, again, loaded, ids[20:], 10)); d != "" {
		t.Error(d)
	}

	other := open(t, "mamba2-tiny", runtime.Options{Threads: 1})
	if _, err := newSlot(t, other).Load(path); err == nil || !strings.Contains(err.Error(), "saved by another model") {
		t.Errorf("another model's state: %v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		what string
		data []byte
		want string
	}{
		{"empty", nil, "is not a saved state"},
		{"cut", data[:len(data)-1], "its header promises"},
		{"longer", append(bytes.Clone(data), 0), "its header promises"},
		{"version", flip(data, 8), "version"},
		{"count", flip(data, 15), "its header promises"},
		{"tokens", flip(data, 16), "its checksum does not fit"},
		{"state", flip(data, len(data)/2), "its checksum does not fit"},
	} {
		os.WriteFile(path, damage.data, 0o666)
		if _, err := loaded.Load(path); err == nil || !strings.Contains(err.Error(), damage.want) {
			t.Errorf("%s: error %v, want one with %q", damage.what, err, damage.want)
		}
	}
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 0x10
	return data
}

// Two generations of n tokens, with the state saved between, are one of 2n.
func TestGenerationGoesOn(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	for _, sampling := range []runtime.Sampling{{}, {Temperature: 1.3, TopK: 50, TopP: 0.95, Seed: 4}} {
		generate := func(slot *runtime.Slot, ids []int32, n int) (out, pending []int32) {
			pending, err := m.Generate(context.Background(), slot, ids, runtime.Generation{Tokens: n, Sampling: sampling}, func(id int32) error {
				out = append(out, id)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return out, pending
		}
		prompt := []int32{1, 2, 3}
		want, _ := generate(newSlot(t, m), prompt, 24)
		slot := newSlot(t, m)
		first, pending := generate(slot, prompt, 12)
		second, _ := generate(slot, pending, 12)
		if diff := cmp.Diff(want, append(first, second...)); diff != "" {
			t.Errorf("%+v: %s", sampling, diff)
		}
	}
}

func TestGenerateStops(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 1})
	var ids []int32
	collect := func(id int32) error { ids = append(ids, id); return nil }
	ctx := context.Background()
	if _, err := m.Generate(ctx, newSlot(t, m), []int32{1}, runtime.Generation{Tokens: 8}, collect); err != nil {
		t.Fatal(err)
	}
	all := ids
	ids = nil
	pending, err := m.Generate(ctx, newSlot(t, m), []int32{1}, runtime.Generation{Tokens: 8, Stop: []int32{all[3]}}, collect)
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for all[first] != all[3] {
		first++
	}
	if diff := cmp.Diff(append([]int32{}, all[:first]...), append([]int32{}, ids...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int32{all[3]}, pending); diff != "" {
		t.Error(diff)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Generate(cancelled, newSlot(t, m), []int32{1}, runtime.Generation{Tokens: 8}, collect); err == nil {
		t.Error("a cancelled generation went on")
	}
}
