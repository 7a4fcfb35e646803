package ptx

import (
	"testing"

	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

func TestOps(t *testing.T)       { checkBed(t, spmdtest.Ops, shape{1, warp}) }
func TestLoad(t *testing.T)      { checkBed(t, spmdtest.Load, shape{1, warp}) }
func TestLoadRun(t *testing.T)   { checkBed(t, spmdtest.LoadRun, shape{1, warp}) }
func TestAsync(t *testing.T)     { checkBed(t, spmdtest.Async, shape{1, warp}) }
func TestStore(t *testing.T)     { checkBed(t, spmdtest.Store, shape{1, warp}) }
func TestMasked(t *testing.T)    { checkBed(t, spmdtest.Masked, shape{1, warp}) }
func TestDot(t *testing.T)       { checkBed(t, spmdtest.Dot, shape{1, warp}) }
func TestDotChains(t *testing.T) { checkBed(t, spmdtest.DotChains, shape{1, warp}) }
func TestMMA(t *testing.T)       { checkBed(t, spmdtest.MMA, shape{1, warp}, shape{2, 2 * warp}) }

func TestMMARuns(t *testing.T) { checkBed(t, spmdtest.MMARuns, shape{1, warp}, shape{2, 2 * warp}) }

func TestFlow(t *testing.T) {
	checkBed(t, spmdtest.Flow, shape{1, warp}, shape{2, warp}, shape{1, 4 * warp})
}

func TestSpaces(t *testing.T) {
	checkBed(t, spmdtest.Spaces, shape{1, warp}, shape{2, warp}, shape{1, 3 * warp}, shape{5, warp}, shape{2, 4 * warp})
}

func TestUnchosen(t *testing.T) { checkBed(t, spmdtest.Unchosen, shape{1, warp}, shape{2, 2 * warp}) }

// TestRandomKernels has only a few of the kernels assembled: ptxas takes long over them.
func TestRandomKernels(t *testing.T) {
	emulate(t, spmdtest.Random(t, gpuTarget(t, 1), 0, 46), shape{1, warp})
	checkBed(t, func(t testing.TB, target spmd.Target) *spmdtest.Bed { return spmdtest.Random(t, target, 46, 50) }, shape{1, warp})
}

func TestEveryOpHasCode(t *testing.T) {
	spmdtest.EveryOp(t, func(op spmd.Op) bool { return int(op) < len(emitters) && emitters[op] != nil })
}

// TestFragments has a product of floats whose sums are exact, though no order is promised for them.
func TestFragments(t *testing.T) {
	d := spmdtest.Fragments(t, gpuTarget(t, 1))
	text, err := Emit("model", testSHA, d.Program)
	if err != nil {
		t.Fatal(err)
	}
	m, err := emu.Parse("fragments.ptx", string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Inexact) == 0 {
		t.Error("mmabf16 is taken to be defined to the bit")
	}
	run(t, d, m, shape{1, warp})
	if a, err := FindAssembler(); err == nil {
		assemble(t, a, text, d.Target.Name)
	}
}

// TestQuads has products of floats whose sums are exact, too, by teams of one warpgroup and of two.
func TestQuads(t *testing.T) {
	for _, members := range []int{4, 8} {
		target, err := Target("ptx:sm_90a")
		if err != nil {
			t.Fatal(err)
		}
		target.Members = members
		d := spmdtest.Quads(t, target)
		text, err := Emit("model", testSHA, d.Program)
		if err != nil {
			t.Fatal(err)
		}
		m, err := emu.Parse("quads.ptx", string(text))
		if err != nil {
			t.Fatal(err)
		}
		run(t, d, m, shape{1, members * warp}, shape{2, blockThreads})
		if a, err := FindAssembler(); err == nil {
			assemble(t, a, text, target.Name)
		}
	}
}
