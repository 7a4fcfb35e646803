package compile

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/passes"
)

const tiny = "../golden/testdata/mamba-tiny"

func TestLevels(t *testing.T) {
	both := []string{"x86-64-v3", "x86-64-v4"}
	tests := []struct {
		target string
		want   []string // nil: an error
	}{
		{"", both},
		{"x86-64", both},
		{"x86-64-v3", both[:1]},
		{"x86-64-v4,x86-64-v3", both},
		{"x86-64-v3,x86-64-v3", both[:1]},
		{"x86-64-v2", nil},
		{"x86-64-v3,", nil},
		{"sm_80", nil},
		{"ptx:sm_80", []string{"ptx:sm_80"}},
		{"ptx:sm_70", nil},
		{"ptx:sm_80,ptx:sm_86", nil},
		{"x86-64-v3,ptx:sm_80", nil},
	}
	for _, test := range tests {
		got, err := Levels(test.target)
		if diff := cmp.Diff(test.want, got); diff != "" || (err == nil) != (test.want != nil) {
			t.Errorf("Levels(%q) = %v, %v", test.target, got, err)
		}
	}
	if native, err := Levels("native"); err == nil && (len(native) != 1 || !slices.Contains(both, native[0])) {
		t.Errorf("native is %v", native)
	}
}

// The manifest that a dry run gives is the one of the whole compile, but for what only a compile can know.
func TestDryRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	o := Options{Model: tiny, Out: dir, Target: "x86-64-v3"}
	whole, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.DryRun, o.Out = true, filepath.Join(t.TempDir(), "dry")
	dry, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Out); err == nil {
		t.Error("a dry run wrote something")
	}
	m := *whole.Manifest
	m.Weights.SHA256, m.Target.LLVM, m.Target.Linker, m.Sources, m.Files = "", "", "", nil, nil
	if diff := cmp.Diff(&m, dry.Manifest); diff != "" {
		t.Errorf("(-whole +dry)\n%s", diff)
	}
	read, err := artifact.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole.Manifest, read); diff != "" {
		t.Errorf("(-returned +written)\n%s", diff)
	}
	checkManifest(t, read)
}

// A compile for a GPU needs no llc, and leaves a module in the place of the object code.
func TestGPU(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := Run(context.Background(), Options{Model: tiny, Out: dir, Target: "ptx:sm_86", LLVM: 3}); err != nil {
		t.Fatal(err)
	}
	m, err := artifact.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"model.h", "model.ptx", "weights.safetensors"}, names); diff != "" {
		t.Error(diff)
	}
	if err := m.VerifyFiles(context.Background(), dir, nil); err != nil {
		t.Error(err)
	}
	if g := m.Target.GPU; m.Target.Name != "ptx:sm_86" || m.Target.LLVM != "" || g == nil || g.TeamThreads != 256 || g.BlockThreads != 256 || g.SharedBytes == 0 {
		t.Errorf("target %+v, GPU %+v", m.Target, g)
	}
	for name, want := range map[string]string{
		"model.ptx": ".visible .entry model_step (.param .u64 model_step_ctx)",
		"model.h":   "#define MODEL_WEIGHTS_SHA256 \"" + m.Weights.SHA256 + "\"",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has no %q (%v)", name, want, err)
		}
	}
}

// checkManifest compares figures that can be had otherwise.
func checkManifest(t *testing.T, m *artifact.Manifest) {
	t.Helper()
	c, err := loader.Open(tiny)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if m.Model.Parameters != 297696 || m.Model.Vocab != 256 || m.Model.BOS != 0 || !slices.Equal(m.Model.EOS, []int{0}) {
		t.Errorf("model %+v", m.Model)
	}
	// In mamba-tiny the head is the embedding, and every other tensor is read in each step once.
	if got, want := m.StepWeightBytes(), c.Bytes(); got < want*97/100 || got > want*110/100 {
		t.Errorf("a step reads %d bytes of weights, the checkpoint has %d", got, want)
	}
	// 4 layers of 192 channels and 16 states: one exponential each.
	if m.Cost.RowExp != 4*192*16 {
		t.Errorf("%d exponentials a token", m.Cost.RowExp)
	}
	if least := int64(2 * 256 * 96); m.Cost.OutOps < least || m.Cost.OutOps > 2*least {
		t.Errorf("%d operations a row of logits, the head alone has %d", m.Cost.OutOps, least)
	}
	var states []string
	for _, s := range m.States {
		states = append(states, s.Name)
	}
	for _, want := range []string{"state.0.conv", "state.0.recurrent", "state.3.conv", "state.3.recurrent"} {
		if !slices.Contains(states, want) {
			t.Errorf("no state %s in %v", want, states)
		}
	}
	var sources []string
	for _, s := range m.Sources {
		sources = append(sources, s.Name)
	}
	if diff := cmp.Diff([]string{"config.json", "model.safetensors"}, sources); diff != "" {
		t.Error(diff)
	}
}

func TestRefuses(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"target", Options{Model: tiny, Target: "vax"}, `target "vax" is unknown`},
		{"prefix", Options{Model: tiny, Prefix: "1a"}, "C identifier"},
		{"weights", Options{Model: tiny, Weights: "f8", DryRun: true}, "f8"},
		{"no output", Options{Model: tiny}, "no folder to write to"},
		{"no model", Options{Model: "nowhere", DryRun: true}, "nowhere"},
		{"llc", Options{Model: tiny, Out: "x", LLVM: 3}, "llc 3"},
		{"pass", Options{Model: tiny, Passes: passes.Options{StopAfter: "x"}}, "no pass is named x"},
	}
	for _, test := range tests {
		if _, err := Run(context.Background(), test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
}

// A compile that is interrupted, at whatever stage, leaves nothing and stops soon.
func TestInterrupted(t *testing.T) {
	root := t.TempDir()
	for stop := 1; ; stop++ {
		ctx, cancel := context.WithCancel(context.Background())
		calls := 0
		_, err := Run(ctx, Options{Model: tiny, Out: filepath.Join(root, "out"), Target: "x86-64-v3", Progress: func(string, int64, int64) {
			if calls++; calls == stop {
				cancel()
			}
		}})
		cancel()
		if calls < stop { // there was no such call: the compile was whole
			if err != nil || stop < 8 {
				t.Errorf("after %d stages: %v", stop, err)
			}
			return
		}
		entries, _ := os.ReadDir(root)
		if err == nil { // in the last stage it may be too late
			if len(entries) != 1 {
				t.Errorf("stopped at call %d: %v is left", stop, entries)
			}
			os.RemoveAll(filepath.Join(root, "out"))
			continue
		}
		if len(entries) != 0 {
			t.Fatalf("stopped at call %d: %v is left", stop, entries)
		}
		if stop > 100 {
			stop += 20
		}
	}
}
