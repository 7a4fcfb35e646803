package amd64

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/kernel/sampletest"
	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
	"github.com/ssmc/ssmc/internal/sample"
)

// TestSampler chooses tokens by machine code: the same ones as the definition, and the same weights as the interpreter.
func TestSampler(t *testing.T) {
	levels := []string{"x86-64-v3", "x86-64-v4"}
	for _, n := range []int{1, 16, 33, 509, 1031, sampletest.Large} {
		rows := sampletest.Rows(n, 120, 2)
		if n == sampletest.Large {
			rows = rows[:16]
		}
		bed := func(t testing.TB, target spmd.Target) *spmdtest.Bed { return sampletest.Bed(t, target, rows) }
		checkBedOf(t, levels, fmt.Sprint("sample", n), bed, 1, 3)
		program := func(t testing.TB, target spmd.Target) *spmd.Program { return bed(t, target).Program }
		eachLibraryOf(t, levels, fmt.Sprint("sample", n), program, func(t *testing.T, lib *library) {
			levelsHere(t, lib, func(t *testing.T, level int32, target spmd.Target) {
				checkInPlace(t, lib, level, bed(t, target), sampletest.Want(rows))
			})
		})
	}
}

// checkInPlace lets the weights overwrite the logits.
func checkInPlace(t *testing.T, lib *library, level int32, d *spmdtest.Bed, want []int32) {
	c, got := stepContext(t, d, level, 1)
	c.point(abi.Odds, got.Logits)
	if r := lib.stepAll(c, 1)[0]; r != abi.Fine {
		t.Fatalf("model_step gives %d", r)
	}
	for i, id := range unsafe.Slice((*int32)(unsafe.Pointer(&got.Chosen[0])), len(want)) {
		if id != want[i] {
			t.Errorf("row %d: machine code chooses %d, the definition %d", i, id, want[i])
		}
	}
}

// BenchmarkSampler says how long one row of a published model's vocabulary takes one worker, for logits that spread as a model's do, for flat ones, and for equal ones.
func BenchmarkSampler(b *testing.B) {
	tools, err := llvm.Find(0)
	if err != nil {
		b.Fatal(err)
	}
	params := []sample.Params{{}, {Temperature: 1, U: 0.5}, {Temperature: 1, TopK: 50, U: 0.5}, {Temperature: 1, TopP: 0.95, U: 0.5}, {Temperature: 1, TopK: 50, TopP: 0.95, U: 0.5}}
	rows := sampletest.Rows(sampletest.Large, 5, 1)
	for _, name := range []string{"x86-64-v3", "x86-64-v4"} {
		if len(lacking(rank(name))) > 0 {
			continue
		}
		target, err := Target(name)
		if err != nil {
			b.Fatal(err)
		}
		for i, kind := range map[int]string{0: "spread", 1: "flat", 4: "equal"} {
			for _, p := range params {
				b.Run(fmt.Sprintf("%s/%s/T%g,k%d,p%g", name, kind, p.Temperature, p.TopK, p.TopP), func(b *testing.B) {
					d := sampletest.Bed(b, target, []sampletest.Row{{Logits: rows[i].Logits, Params: p}})
					copying := timeStep(b, tools, d, name, abi.Chosen)
					b.ReportMetric((timeStep(b, tools, d, name)-copying).Seconds()*1e6, "us/row")
				})
			}
		}
	}
}

// timeStep is the best time of a step, with some pointers of the context null.
func timeStep(b *testing.B, tools *llvm.Tools, d *spmdtest.Bed, level string, null ...int64) time.Duration {
	text, err := Emit("model", testSHA, []Level{{level, d.Program}})
	if err != nil {
		b.Fatal(err)
	}
	obj, err := tools.Assemble(b.Context(), text, llvm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	so, err := tools.LinkShared(b.Context(), [][]byte{obj}, "sample.so")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), fmt.Sprint(len(null), ".so"))
	if err := os.WriteFile(path, so, 0o777); err != nil {
		b.Fatal(err)
	}
	lib := open(b, path, []string{level})
	c, _ := stepContext(b, d, 0, 1)
	for _, at := range null {
		c.i64(at, 0)
	}
	best := time.Hour
	for range 300 {
		start := time.Now()
		if r := call(lib.step, c.ptr(), 0, 1); r != abi.Fine {
			b.Fatal(r)
		}
		best = min(best, time.Since(start))
	}
	return best
}
