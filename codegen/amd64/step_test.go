package amd64

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// goString reads a C string.
func goString(p uintptr) string {
	if p == 0 {
		return ""
	}
	var b strings.Builder
	for ; *at[byte](p) != 0; p++ {
		b.WriteByte(*at[byte](p))
	}
	return b.String()
}

// TestConstants reads what an object says about itself.
func TestConstants(t *testing.T) {
	eachLibrary(t, "spaces", func(t testing.TB, target spmd.Target) *spmd.Program { return spmdtest.Spaces(t, target).Program }, func(t *testing.T, lib *library) {
		target, err := Target("x86-64-v3")
		if err != nil {
			t.Fatal(err)
		}
		p := spmdtest.Spaces(t, target).Program
		want := [16]int64{abi.Version, p.WeightBytes, p.WorkBytes, TeamBytes(p), 64, 32, 30, 16, 4, int64(len(p.Phases)), int64(len(Names()))}
		if d := cmp.Diff(want, *lib.facts); d != "" {
			t.Errorf("model_facts (-want +got):\n%s", d)
		}
		if got := goString(lib.sha); got != testSHA {
			t.Errorf("model_weights_sha256 is %q", got)
		}
		for i, name := range append(Names(), "") {
			if got := goString(uintptr(call64(lib.levelName, uintptr(i)))); got != name {
				t.Errorf("model_level_name(%d) is %q, want %q", i, got, name)
			}
		}
		if got := uintptr(call64(lib.levelName, ^uintptr(0))); got != 0 {
			t.Errorf("model_level_name(-1) is not null")
		}
		host, missing, err := Host()
		if err != nil {
			t.Fatal(err)
		}
		if got := lib.best(); got != int32(slices.Index(Names(), host)) {
			t.Errorf("model_level gives %d; Go sees %s, without %v", got, host, missing)
		}
	})
}

// TestStepErrors gives each bound of a context its turn.
func TestStepErrors(t *testing.T) {
	cases := []struct {
		name            string
		worker, workers int32
		break_          func(c *modelContext)
		want            int32
	}{
		{"fine", 0, 1, func(c *modelContext) {}, abi.Fine},
		{"abi", 0, 1, func(c *modelContext) { c.u32(abi.ABI, abi.Version-1) }, abi.ErrABI},
		{"level negative", 0, 1, func(c *modelContext) { c.u32(abi.Level, 0xffff_fffe) }, abi.ErrLevel},
		{"level above", 0, 1, func(c *modelContext) { c.u32(abi.Level, 2) }, abi.ErrLevel},
		{"rows 0", 0, 1, func(c *modelContext) { c.i64(abi.Rows, 0) }, abi.ErrCount},
		{"rows negative", 0, 1, func(c *modelContext) { c.i64(abi.Rows, -1) }, abi.ErrCount},
		{"rows above", 0, 1, func(c *modelContext) { c.i64(abi.Rows, 17) }, abi.ErrCount},
		{"seqs 0", 0, 1, func(c *modelContext) { c.i64(abi.Seqs, 0) }, abi.ErrCount},
		{"seqs above", 0, 1, func(c *modelContext) { c.i64(abi.Seqs, 5) }, abi.ErrCount},
		{"more seqs than rows", 0, 1, func(c *modelContext) { c.i64(abi.Rows, 1) }, abi.ErrCount},
		{"outs negative", 0, 1, func(c *modelContext) { c.i64(abi.Outs, -1) }, abi.ErrCount},
		{"more outs than rows", 0, 1, func(c *modelContext) { c.i64(abi.Outs, 6) }, abi.ErrCount},
		{"worker negative", -1, 1, func(c *modelContext) {}, abi.ErrCount},
		{"worker above", 1, 1, func(c *modelContext) {}, abi.ErrCount},
		{"workers 0", 0, 0, func(c *modelContext) {}, abi.ErrCount},
		{"weights", 0, 1, func(c *modelContext) { c.i64(abi.Weights, 0) }, abi.ErrPointer},
		{"work", 0, 1, func(c *modelContext) { c.i64(abi.Work, 0) }, abi.ErrPointer},
		{"team", 0, 1, func(c *modelContext) { c.i64(abi.Team, 0) }, abi.ErrPointer},
		{"state", 0, 1, func(c *modelContext) { c.i64(abi.State, 0) }, abi.ErrPointer},
		{"ids", 0, 1, func(c *modelContext) { c.i64(abi.IDs, 0) }, abi.ErrPointer},
		{"seq_start", 0, 1, func(c *modelContext) { c.i64(abi.SeqStart, 0) }, abi.ErrPointer},
		{"seq_slot", 0, 1, func(c *modelContext) { c.i64(abi.SeqSlot, 0) }, abi.ErrPointer},
		{"out_row", 0, 1, func(c *modelContext) { c.i64(abi.OutRow, 0) }, abi.ErrPointer},
		{"logits", 0, 1, func(c *modelContext) { c.i64(abi.Logits, 0) }, abi.ErrPointer},
		{"no logits wanted", 0, 1, func(c *modelContext) { c.i64(abi.Outs, 0); c.i64(abi.Logits, 0); c.i64(abi.OutRow, 0) }, abi.Fine},
		{"sampling", 0, 1, func(c *modelContext) { c.i64(abi.Sampling, 0) }, abi.ErrPointer},
		{"odds", 0, 1, func(c *modelContext) { c.i64(abi.Odds, 0) }, abi.ErrPointer},
		{"nothing chosen", 0, 1, func(c *modelContext) { c.i64(abi.Chosen, 0); c.i64(abi.Sampling, 0); c.i64(abi.Odds, 0) }, abi.Fine},
		{"no logits to choose from", 0, 1, func(c *modelContext) { c.i64(abi.Outs, 0); c.i64(abi.Sampling, 0); c.i64(abi.Odds, 0) }, abi.Fine},
	}
	eachLibrary(t, "spaces", func(t testing.TB, target spmd.Target) *spmd.Program { return spmdtest.Spaces(t, target).Program }, func(t *testing.T, lib *library) {
		target, err := Target("x86-64-v3")
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range cases {
			c, _ := stepContext(t, spmdtest.Spaces(t, target), 0, 1)
			tc.break_(c)
			if got := call(lib.step, c.ptr(), uintptr(tc.worker), uintptr(tc.workers)); got != tc.want {
				t.Errorf("%s: model_step gives %d, want %d", tc.name, got, tc.want)
			}
			runtime.KeepAlive(c)
		}
		if got := call(lib.step, 0, 0, 1); got != abi.ErrPointer {
			t.Errorf("no context: model_step gives %d, want %d", got, abi.ErrPointer)
		}
		if got := call(lib.serve, 0, 0, 1); got != abi.ErrPointer {
			t.Errorf("no context: model_serve gives %d, want %d", got, abi.ErrPointer)
		}
	})
}

const chainPhases = 1200

func chainOf(t testing.TB, target spmd.Target) *spmdtest.Bed {
	return spmdtest.Chain(t, target, chainPhases)
}

func chainProgram(t testing.TB, target spmd.Target) *spmd.Program { return chainOf(t, target).Program }

// TestBarrier makes many barriers with fewer and with more workers than cores; they spin long, briefly, and not at all.
func TestBarrier(t *testing.T) {
	eachLibrary(t, "chain", chainProgram, func(t *testing.T, lib *library) {
		target, err := Target("x86-64-v3")
		if err != nil {
			t.Fatal(err)
		}
		d := spmdtest.Chain(t, target, chainPhases)
		var want [spmdtest.ChainTiles]uint64
		spmdtest.ChainStep(&want, chainPhases, uint64(len(d.Input.IDs)))
		eachCrowd(t, lib, d, 1, func(workers string, c *modelContext, got spmdtest.Result) {
			if x := spmdtest.ChainState(got.Work); x != want {
				t.Errorf("%s: %x, want %x", workers, x, want)
			}
			if a, s := *field[uint32](c, abi.Arrived), *field[uint32](c, abi.Sleepers); a != 0 || s != 0 {
				t.Errorf("%s: arrived %d and sleepers %d after the step", workers, a, s)
			}
		})
	})
}

// eachCrowd makes steps with one to eight workers, which spin long, briefly, and not at all, and shows what they leave.
func eachCrowd(t *testing.T, lib *library, d *spmdtest.Bed, steps int, check func(workers string, c *modelContext, got spmdtest.Result)) {
	for workers := 1; workers <= 8; workers++ {
		for _, spin := range []uint32{0, 20, 2000} {
			if spin == 2000 && workers > runtime.NumCPU() {
				continue // each barrier would wait for time slices to end
			}
			c, got := stepContext(t, d, 0, workers)
			c.u32(abi.Spin, spin)
			for range steps {
				for w, r := range lib.stepAll(c, workers) {
					if r != abi.Fine {
						t.Fatalf("%d workers: worker %d gives %d", workers, w, r)
					}
				}
			}
			check(fmt.Sprintf("%d workers, spin %d", workers, spin), c, got)
		}
	}
}

// TestServe keeps workers in model_serve over many steps, good ones and bad ones, until they are stopped.
func TestServe(t *testing.T) {
	eachLibrary(t, "chain", chainProgram, func(t *testing.T, lib *library) {
		target, err := Target("x86-64-v3")
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{1, 2, 4} {
			d := spmdtest.Chain(t, target, chainPhases)
			c, got := stepContext(t, d, 0, workers)
			c.u32(abi.Spin, 50)
			served := make([]int32, workers)
			var wg sync.WaitGroup
			for w := 1; w < workers; w++ {
				wg.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					served[w] = call(lib.serve, c.ptr(), uintptr(w), uintptr(workers))
				})
			}
			var want [spmdtest.ChainTiles]uint64
			for rows := int64(3); rows <= 18; rows += 3 { // the last is too many
				c.i64(abi.Rows, rows)
				r := call(lib.step, c.ptr(), 0, uintptr(workers))
				if rows > d.Program.MaxRows {
					if r != abi.ErrCount {
						t.Errorf("%d rows: model_step gives %d", rows, r)
					}
					continue
				}
				spmdtest.ChainStep(&want, chainPhases, uint64(rows))
				if x := spmdtest.ChainState(got.Work); r != abi.Fine || x != want {
					t.Errorf("%d workers, %d rows: model_step gives %d and %x, want %x", workers, rows, r, x, want)
				}
			}
			c.i64(abi.Rows, 3)
			c.u32(abi.Stop, 1)
			if r := call(lib.step, c.ptr(), 0, uintptr(workers)); r != abi.Fine {
				t.Errorf("the step that stops gives %d", r)
			}
			wg.Wait()
			if x := spmdtest.ChainState(got.Work); x != want {
				t.Errorf("the step that stops computed something")
			}
			if d := cmp.Diff(make([]int32, workers), served); d != "" {
				t.Errorf("model_serve gave %v", served)
			}
			runtime.KeepAlive(c)
		}
	})
}

// TestTrace wants a time stamp for every phase and worker, skipped phases too, in order.
func TestTrace(t *testing.T) {
	eachLibrary(t, "spaces", func(t testing.TB, target spmd.Target) *spmd.Program { return spmdtest.Spaces(t, target).Program }, func(t *testing.T, lib *library) {
		target, err := Target("x86-64-v3")
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{1, 3} {
			d := spmdtest.Spaces(t, target)
			c, _ := stepContext(t, d, 0, workers)
			n := (len(d.Program.Phases) + 1) * workers
			b := aligned(int64(8 * (n + 1)))
			c.point(abi.Trace, b)
			for _, r := range lib.stepAll(c, workers) {
				if r != abi.Fine {
					t.Fatalf("model_step gives %d", r)
				}
			}
			stamps := unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), n+1)
			for i := range n {
				if stamps[i] == 0 || i >= workers && stamps[i] < stamps[i-workers] {
					t.Errorf("%d workers: phase %d, worker %d has the stamp %d", workers, i/workers, i%workers, stamps[i])
				}
			}
			if stamps[n] != 0 {
				t.Errorf("%d workers: something was written beyond the trace", workers)
			}
		}
	})
}

// TestAllSkipped steps through a program of which no phase runs: no barrier of a phase keeps the workers together.
func TestAllSkipped(t *testing.T) {
	skipping := func(t testing.TB, target spmd.Target) *spmdtest.Bed {
		d := spmdtest.Chain(t, target, chainPhases)
		d.Program.Phases = d.Program.Phases[:1]
		d.Program.Phases[0].MinRows = 16
		return d
	}
	eachLibrary(t, "skipping", func(t testing.TB, target spmd.Target) *spmd.Program { return skipping(t, target).Program }, func(t *testing.T, lib *library) {
		target, err := Target("x86-64-v3")
		if err != nil {
			t.Fatal(err)
		}
		c, got := stepContext(t, skipping(t, target), 0, 3)
		for range 100 {
			for w, r := range lib.stepAll(c, 3) {
				if r != abi.Fine {
					t.Fatalf("worker %d gives %d", w, r)
				}
			}
		}
		if x := spmdtest.ChainState(got.Work); x != [spmdtest.ChainTiles]uint64{} {
			t.Errorf("the skipped phase wrote %x", x)
		}
	})
}
