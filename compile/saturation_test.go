package compile

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/runtime"
)

// randomIDs are token ids below a vocabulary, the same for the same seed.
func randomIDs(seed uint32, n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		seed = seed*1664525 + 1013904223
		ids[i] = int32(seed>>8) % int32(vocab)
	}
	return ids
}

// idsFile writes token ids for a calibration.
func idsFile(t *testing.T, ids []int32) string {
	t.Helper()
	var data []byte
	for _, id := range ids {
		data = binary.LittleEndian.AppendUint64(data, uint64(id))
	}
	path := filepath.Join(t.TempDir(), "ids.safetensors")
	if err := loader.Write(path, []loader.Tensor{{Name: "input_ids", DType: loader.I64, Shape: []int{len(ids)}, Data: data}}, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// quantizedGraph is the graph that a compile makes kernels of. Its checkpoint stays open until the test ends.
func quantizedGraph(t *testing.T, o Options) *ir.Module {
	t.Helper()
	s, err := Scale(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	m, err := s.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := passes.Run(m, passes.Options{Scheme: s.Scheme, Scales: s.Scales, CountSaturation: o.CountSaturation}); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestCountSaturation calibrates on few tokens, so that others saturate, and wants the evaluator's counts of machine code with any number of threads.
func TestCountSaturation(t *testing.T) {
	for _, tc := range []struct {
		model, scheme string
		rows          []int
	}{
		{"mamba-tiny", "w8a8", []int{70, 1, 33}},
		{"mamba-tiny", "quamba-w8a8", []int{5, 100}},
		{"mamba2-groups", "quamba2-w4a8", []int{31, 7, 1}},
		{"falcon-mamba-tiny", "naive-w8a8", []int{40}},
	} {
		t.Run(tc.model+" "+tc.scheme, func(t *testing.T) {
			o := Options{Model: filepath.Join("../golden/testdata", tc.model), Scheme: tc.scheme, CountSaturation: true, Target: "native", MaxRows: 128}
			o.Source, o.Samples, o.Length = idsFile(t, randomIDs(1, 16, 256)), 2, 8
			m := quantizedGraph(t, o)
			in := ir.Inputs[float32]{SeqStart: []int{0}, Outs: []int32{0, 2}}
			for i, n := range tc.rows {
				in.IDs = append(in.IDs, randomIDs(uint32(7+i), n, m.Vocab)...)
				in.SeqStart = append(in.SeqStart, len(in.IDs))
			}
			want := evaluatedCounts(t, m, in)
			dir := filepath.Join(t.TempDir(), "out")
			o.Out = dir
			if _, err := Run(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			for _, threads := range []int{1, 3} {
				if d := cmp.Diff(want, ranCounts(t, dir, threads, in)); d != "" {
					t.Errorf("%d threads (-evaluated +counted)\n%s", threads, d)
				}
			}
		})
	}
}

// count is what a tensor comes to in one step.
type count struct{ Seen, Clamped int64 }

func evaluatedCounts(t *testing.T, m *ir.Module, in ir.Inputs[float32]) map[string]count {
	t.Helper()
	roles := map[string]string{}
	for v := range m.Func.Values() {
		roles[v.Name] = v.Role
	}
	want, all := map[string]count{}, 0
	e, err := ir.NewEvaluator[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	e.Clamped = func(name string, seen, clamped int) {
		tensor := roles[name]
		if layer, ok := layerPrefix(name); ok {
			tensor = layer + tensor
		}
		want[tensor] = count{int64(seen), int64(clamped)}
		all += clamped
	}
	if _, err := e.Step(in); err != nil {
		t.Fatal(err)
	}
	if all == 0 {
		t.Fatal("nothing is clamped: the counts say nothing")
	}
	return want
}

// layerPrefix is "layers.3." of a name that begins so.
func layerPrefix(name string) (string, bool) {
	if layerOf(name) < 0 {
		return "", false
	}
	for i, dots := 0, 0; i < len(name); i++ {
		if name[i] == '.' {
			if dots++; dots == 2 {
				return name[:i+1], true
			}
		}
	}
	return "", false
}

func ranCounts(t *testing.T, dir string, threads int, in ir.Inputs[float32]) map[string]count {
	t.Helper()
	r, err := runtime.Open(dir, runtime.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var inputs []runtime.Input
	for i := range in.SeqStart[1:] {
		slot, err := r.NewSlot()
		if err != nil {
			t.Fatal(err)
		}
		x := runtime.Input{Slot: slot, IDs: in.IDs[in.SeqStart[i]:in.SeqStart[i+1]]}
		if i == 0 {
			x.Outs = []int{0, 2}
		}
		inputs = append(inputs, x)
	}
	if err := r.Run(context.Background(), inputs, nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]count{}
	last := 1.0
	for _, s := range r.Saturation() {
		got[s.Tensor] = count{s.Seen, s.Clamped}
		if s.Share > last {
			t.Errorf("%s has a larger share than what stands before it", s.Tensor)
		}
		last = s.Share
	}
	return got
}

// TestCountingOff compiles with and without: only the object code and the work memory differ.
func TestCountingOff(t *testing.T) {
	ids := idsFile(t, randomIDs(1, 16, 256))
	make := func(counts bool) (*artifact.Manifest, []byte) {
		o := Options{Model: tiny, Scheme: "w8a8", CountSaturation: counts, Target: "x86-64-v3", Out: filepath.Join(t.TempDir(), "out")}
		o.Source, o.Samples, o.Length = ids, 2, 8
		r, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		code, err := os.ReadFile(filepath.Join(o.Out, artifact.ObjectFile))
		if err != nil {
			t.Fatal(err)
		}
		return r.Manifest, code
	}
	off, offCode := make(false)
	on, onCode := make(true)
	if len(off.Counters) != 0 || len(on.Counters) == 0 || on.Weights.SHA256 != off.Weights.SHA256 || string(onCode) == string(offCode) {
		t.Errorf("%d counters without, %d with; weights %s and %s", len(off.Counters), len(on.Counters), off.Weights.SHA256, on.Weights.SHA256)
	}
	if on.Sizes.WorkBytes <= off.Sizes.WorkBytes {
		t.Errorf("work memory has %d bytes with counters, %d without", on.Sizes.WorkBytes, off.Sizes.WorkBytes)
	}
}
