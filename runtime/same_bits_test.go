package runtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/llvm/llvmtest"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/runtime"
)

// families are one model of each kind of recurrence.
var families = []string{"mamba-tiny", "mamba2-tiny", "falcon-mamba-tiny"}

// randomIDs are the same for the same seed.
func randomIDs(seed uint64, n, vocab int) []int32 {
	r := rand.New(rand.NewPCG(seed, 0))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = r.Int32N(int32(vocab))
	}
	return ids
}

// feed takes ids into the slot in chunks of the given lengths (the last is used again and again) and gives all logits.
func feed(t *testing.T, m *runtime.Model, slot *runtime.Slot, ids []int32, chunks ...int) [][]float32 {
	t.Helper()
	var all [][]float32
	for len(ids) > 0 {
		n := min(chunks[0], len(ids))
		if len(chunks) > 1 {
			chunks = chunks[1:]
		}
		outs := make([]int, n)
		for i := range outs {
			outs[i] = i
		}
		err := m.Run(context.Background(), []runtime.Input{{Slot: slot, IDs: ids[:n], Outs: outs}}, func(_, _ int, logits []float32) error {
			all = append(all, append([]float32(nil), logits...))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = ids[n:]
	}
	return all
}

func newSlot(t *testing.T, m *runtime.Model) *runtime.Slot {
	t.Helper()
	s, err := m.NewSlot()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// difference names the first value of two runs that is not the same.
func difference(a, b [][]float32) string {
	if len(a) != len(b) {
		return fmt.Sprintf("%d and %d rows", len(a), len(b))
	}
	for i := range a {
		for j := range a[i] {
			if a[i][j] != b[i][j] {
				return fmt.Sprintf("row %d column %d: %v and %v", i, j, a[i][j], b[i][j])
			}
		}
	}
	return ""
}

// Threads, CPU levels and steps of other sizes change no bit.
func TestSameBitsForThreadsAndLevels(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			first := open(t, name, runtime.Options{Threads: 1})
			ids := randomIDs(1, 300, first.Manifest.Model.Vocab)
			want := feed(t, first, newSlot(t, first), ids, 256, 44)
			ran := 0
			for _, level := range first.Manifest.Target.Levels {
				for _, threads := range []int{1, 2, 3, 4, 7} {
					m, err := runtime.Open(artefact(t, name), runtime.Flush(runtime.Options{Threads: threads, Level: level.Name}))
					if err != nil {
						t.Logf("level %s cannot run here: %v", level.Name, err)
						break
					}
					ran++
					got := feed(t, m, newSlot(t, m), ids, 256, 44)
					if d := difference(want, got); d != "" {
						t.Errorf("%s, %d threads: %s", level.Name, threads, d)
					}
					if err := m.Close(); err != nil {
						t.Error(err)
					}
				}
			}
			if ran < 5 {
				t.Errorf("only %d combinations ran", ran)
			}
		})
	}
}

// A prompt may be taken in at once, or in parts that are multiples of 64 tokens: steps are cut there anyway. (The rest is 39 tokens here, enough for
// the chunked form of the scan; below 32 it would be taken stepwise if it came alone.)
func TestSameBitsForChunks(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			m := open(t, name, runtime.Options{Threads: 2})
			ids := randomIDs(2, 359, m.Manifest.Model.Vocab)
			want := feed(t, m, newSlot(t, m), ids, len(ids))
			for _, chunks := range [][]int{{64}, {128, 64}, {256, 103}, {192, 128, 64}} {
				if d := difference(want, feed(t, m, newSlot(t, m), ids, chunks...)); d != "" {
					t.Errorf("chunks %v: %s", chunks, d)
				}
			}
		})
	}
}

// One token at a time gives other last bits than a chunked scan, but no other numbers.
func TestStepByStepIsNear(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			m := open(t, name, runtime.Options{Threads: 1})
			ids := randomIDs(3, 150, m.Manifest.Model.Vocab)
			want := feed(t, m, newSlot(t, m), ids, len(ids))
			got := feed(t, m, newSlot(t, m), ids, 1, 5, 17, 1)
			for i := range want {
				for j := range want[i] {
					if d := want[i][j] - got[i][j]; d > 2e-4 || d < -2e-4 {
						t.Fatalf("row %d column %d: %v and %v", i, j, want[i][j], got[i][j])
					}
				}
			}
		})
	}
}

// A sequence gives the same bits alone and in any company.
func TestSameBitsInABatch(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			m := open(t, name, runtime.Options{Threads: 2})
			lengths := []int{1, 200, 17, 0, 64, 1, 129, 3, 128, 65, 1, 16, 300, 2, 31, 32, 33}
			var alone [][][]float32
			var inputs []runtime.Input
			for i, n := range lengths {
				ids := randomIDs(uint64(i), n, m.Manifest.Model.Vocab)
				var all [][]float32
				if n > 0 {
					all = feed(t, m, newSlot(t, m), ids, n)
				}
				alone = append(alone, all)
				in := runtime.Input{Slot: newSlot(t, m), IDs: ids}
				for o := range ids {
					in.Outs = append(in.Outs, o)
				}
				inputs = append(inputs, in)
			}
			together := make([][][]float32, len(inputs))
			err := m.Run(context.Background(), inputs, func(input, token int, logits []float32) error {
				if token != len(together[input]) {
					t.Errorf("sequence %d: token %d came after %d others", input, token, len(together[input]))
				}
				together[input] = append(together[input], append([]float32(nil), logits...))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range alone {
				if d := difference(alone[i], together[i]); d != "" {
					t.Errorf("sequence %d of %d tokens: %s", i, lengths[i], d)
				}
				if got := inputs[i].Slot.Tokens(); got != int64(lengths[i]) {
					t.Errorf("sequence %d has had %d tokens, want %d", i, got, lengths[i])
				}
			}
		})
	}
}

// Only some rows' logits are asked for: they are the rows they would be.
func TestSomeLogits(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 2})
	ids := randomIDs(5, 200, m.Manifest.Model.Vocab)
	all := feed(t, m, newSlot(t, m), ids, len(ids))
	outs := []int{0, 63, 127, 128, 199}
	var got []int
	err := m.Run(context.Background(), []runtime.Input{{Slot: newSlot(t, m), IDs: ids, Outs: outs}}, func(_, token int, logits []float32) error {
		got = append(got, token)
		if d := difference([][]float32{all[token]}, [][]float32{logits}); d != "" {
			t.Errorf("token %d: %s", token, d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outs, got); diff != "" {
		t.Error(diff)
	}
}

// The object code of every LLVM gives the same bits.
func TestSameBitsForLLVM(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			m := open(t, name, runtime.Options{Threads: 2})
			ids := randomIDs(12, 100, m.Manifest.Model.Vocab)
			want := feed(t, m, newSlot(t, m), ids, len(ids))
			llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
				dir := filepath.Join(t.TempDir(), "out")
				o := compile.Options{Model: filepath.Join(goldenDir, name), Out: dir, LLVM: tools.LLCVersion, MaxRows: 128}
				if _, err := compile.Run(context.Background(), o); err != nil {
					t.Fatal(err)
				}
				other, err := runtime.Open(dir, runtime.Options{Threads: 2})
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
				if got := other.Manifest.Target.LLVM; got != tools.LLCRelease {
					t.Errorf("made by llc %s, want %s", got, tools.LLCRelease)
				}
				if d := difference(want, feed(t, other, newSlot(t, other), ids, len(ids))); d != "" {
					t.Errorf("llc %s and %s: %s", m.Manifest.Target.LLVM, tools.LLCRelease, d)
				}
			})
		})
	}
}
