package runtime_test

import (
	"context"
	"path/filepath"
	"testing"

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
	o := compile.Options{Model: filepath.Join(goldenDir, name), Out: dir, Target: "ptx:" + target, MaxRows: 128, MaxSeqs: 8}
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
	m, err := runtime.Open(gpuArtefact(t, name, "sm_80"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// A GPU gives the bits of the CPU: prompts long enough for every kernel, then one token at a time.
func TestGPUSameBits(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			on, gpu := open(t, name, runtime.Options{Threads: 1}), openGPU(t, name, runtime.Options{})
			ids := randomIDs(30, 40, on.Manifest.Model.Vocab)
			want := feed(t, on, newSlot(t, on), ids, 35, 1)
			got := feed(t, gpu, newSlot(t, gpu), ids, 35, 1)
			if d := difference(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
