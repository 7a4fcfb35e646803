package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/runtime"
)

// golden is where the reference models lie.
const goldenDir = "../golden/testdata"

// compiled are the artefacts that the tests of this package share; each model is compiled once.
var compiled struct {
	sync.Mutex
	root string
	dirs map[string]string
}

func TestMain(m *testing.M) {
	root, err := os.MkdirTemp("", "ssmc-runtime-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	compiled.root, compiled.dirs = root, make(map[string]string)
	code := m.Run()
	os.RemoveAll(root)
	os.Exit(code)
}

// artefact compiles a reference model, with steps small enough that the tests cut prompts.
func artefact(t testing.TB, name string) string {
	t.Helper()
	compiled.Lock()
	defer compiled.Unlock()
	if dir, ok := compiled.dirs[name]; ok {
		return dir
	}
	dir := filepath.Join(compiled.root, filepath.Base(name))
	if _, err := compile.Run(context.Background(), compile.Options{Model: filepath.Join(goldenDir, name), Out: dir, MaxRows: 128, MaxSeqs: 8}); err != nil {
		t.Fatal(err)
	}
	compiled.dirs[name] = dir
	return dir
}

func open(t testing.TB, name string, o runtime.Options) *runtime.Model {
	t.Helper()
	return openDir(t, artefact(t, name), runtime.Flush(o))
}

// openDir opens an artefact until the test ends, and wants it to close well.
func openDir(t testing.TB, dir string, o runtime.Options) *runtime.Model {
	t.Helper()
	m, err := runtime.Open(dir, o)
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

func TestReference(t *testing.T) {
	for _, name := range []string{"mamba-tiny", "mamba2-tiny", "falcon-mamba-tiny", "trained/mamba-en"} {
		t.Run(name, func(t *testing.T) {
			m := open(t, name, runtime.Options{})
			v, err := m.Verify(context.Background(), filepath.Join(goldenDir, name, "reference.safetensors"), 0)
			if err != nil {
				t.Fatal(err)
			}
			state := -1.0
			if v.StateDiff != nil {
				state = *v.StateDiff
			}
			t.Logf("logits off by %.3g at %v, tolerance %.3g, greedy %v, states off by %.3g", *v.MaxAbsDiff, v.At, v.Tolerance, *v.GreedyMatch, state)
			if !v.Pass || state > 1e-4 {
				t.Error("not within the tolerance")
			}
		})
	}
}
