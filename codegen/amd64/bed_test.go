package amd64

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

type val = spmd.Value

// guarded copies memory to where an access beyond its end is a fault.
func guarded(t testing.TB, b []byte) []byte {
	t.Helper()
	const page = 4096
	n := (len(b)+page-1)&^(page-1) + page
	m, err := syscall.Mmap(-1, 0, n+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	if err := syscall.Mprotect(m[n:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	a := m[n-len(b) : n : n]
	copy(a, b)
	return a
}

// stepContext points to copies of the bed's memory. Sizes are in whole cache lines, so that the copies begin at one.
func stepContext(t testing.TB, d *spmdtest.Bed, level int32, workers int) (*modelContext, spmdtest.Result) {
	t.Helper()
	c := newContext()
	outs, row := len(d.Input.OutRow), int(4*d.Program.LogitsStride)
	ones := func(n int) []byte { return guarded(t, bytes.Repeat([]byte{0xff}, n)) }
	r := spmdtest.Result{Work: guarded(t, d.Work), State: guarded(t, d.State), Logits: ones(row * outs)}
	if len(d.Input.Sampling) > 0 {
		r.Odds, r.Chosen = ones(row*outs), ones(4*outs)
		c.point(abi.Odds, r.Odds)
		c.point(abi.Chosen, r.Chosen)
	}
	c.u32(abi.Level, uint32(level))
	c.point(abi.Weights, guarded(t, d.Weights))
	c.point(abi.Work, r.Work)
	c.point(abi.Team, guarded(t, make([]byte, TeamBytes(d.Program)*int64(workers))))
	c.point(abi.State, r.State)
	c.point(abi.Logits, r.Logits)
	for off, xs := range map[int64][]int32{abi.IDs: d.Input.IDs, abi.SeqStart: d.Input.SeqStart, abi.SeqSlot: d.Input.SeqSlot, abi.OutRow: d.Input.OutRow, abi.Sampling: d.Input.Sampling} {
		var b []byte
		for _, x := range xs {
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		}
		c.point(off, guarded(t, b))
	}
	c.i64(abi.Rows, int64(len(d.Input.IDs)))
	c.i64(abi.Seqs, int64(len(d.Input.SeqSlot)))
	c.i64(abi.Outs, int64(len(d.Input.OutRow)))
	return c, r
}

// levelsHere runs f for each level of the library that this CPU has; the others are skipped by name. model_level must have seen the same.
func levelsHere(t *testing.T, lib *library, f func(t *testing.T, level int32, target spmd.Target)) {
	best, want := lib.best(), abi.ErrLevel
	for i, name := range lib.levels {
		if len(lacking(rank(name))) == 0 {
			want = i
		}
	}
	if best != int32(want) {
		t.Fatalf("model_level gives %d of %v, of which Go sees %d as the last that this CPU has", best, lib.levels, want)
	}
	for i, name := range lib.levels {
		t.Run(name, func(t *testing.T) {
			if missing := lacking(rank(name)); len(missing) > 0 {
				t.Skipf("this CPU has not the level %s: it lacks %v; SSMC_TEST_OBJECTS says how to run it in an emulator", name, missing)
			}
			target, err := Target(name)
			if err != nil {
				t.Fatal(err)
			}
			f(t, int32(i), target)
		})
	}
}

// checkBed compares machine code with the interpreter, for every llc, level and some numbers of workers.
func checkBed(t *testing.T, name string, make func(t testing.TB, target spmd.Target) *spmdtest.Bed, workers ...int) {
	checkBedOf(t, Names(), name, make, workers...)
}

func checkBedOf(t *testing.T, levels []string, name string, make func(t testing.TB, target spmd.Target) *spmdtest.Bed, workers ...int) {
	program := func(t testing.TB, target spmd.Target) *spmd.Program { return make(t, target).Program }
	eachLibraryOf(t, levels, name, program, func(t *testing.T, lib *library) {
		levelsHere(t, lib, func(t *testing.T, level int32, target spmd.Target) {
			d := make(t, target)
			want := d.Interpret(t)
			for _, n := range workers {
				c, got := stepContext(t, d, level, n)
				for w, r := range lib.stepAll(c, n) {
					if r != abi.Fine {
						t.Fatalf("worker %d of %d: model_step gives %d", w, n, r)
					}
				}
				d.Compare(t, want, got)
			}
		})
	})
}
