package amd64

import (
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

func TestOps(t *testing.T)       { checkBed(t, "ops", spmdtest.Ops, 1) }
func TestLoad(t *testing.T)      { checkBed(t, "load", spmdtest.Load, 1) }
func TestLoadRun(t *testing.T)   { checkBed(t, "loadrun", spmdtest.LoadRun, 1) }
func TestAsync(t *testing.T)     { checkBed(t, "async", spmdtest.Async, 1) }
func TestStore(t *testing.T)     { checkBed(t, "store", spmdtest.Store, 1) }
func TestMasked(t *testing.T)    { checkBed(t, "masked", spmdtest.Masked, 1) }
func TestFlow(t *testing.T)      { checkBed(t, "flow", spmdtest.Flow, 1, 3) }
func TestSpaces(t *testing.T)    { checkBed(t, "spaces", spmdtest.Spaces, 1, 2, 3, 5, 8) }
func TestScaled(t *testing.T)    { checkBed(t, "scaled", spmdtest.Scaled, 1) }
func TestUnchosen(t *testing.T)  { checkBed(t, "unchosen", spmdtest.Unchosen, 1, 2, 3) }
func TestDot(t *testing.T)       { checkBedOf(t, ByteNames(), "dot", spmdtest.Dot, 1) }
func TestDotChains(t *testing.T) { checkBedOf(t, ByteNames(), "dotchains", spmdtest.DotChains, 1) }
func TestMMA(t *testing.T) {
	checkBedOf(t, []string{"x86-64-v4+vnni+amx"}, "mma", spmdtest.MMA, 1, 2)
}

func TestRandomKernels(t *testing.T) {
	checkBed(t, "random", func(t testing.TB, target spmd.Target) *spmdtest.Bed { return spmdtest.Random(t, target, 0, 40) }, 1)
	checkBedOf(t, ByteNames(), "randombytes", func(t testing.TB, target spmd.Target) *spmdtest.Bed { return spmdtest.Random(t, target, 40, 46) }, 1)
}

func TestEveryOpHasCode(t *testing.T) {
	spmdtest.EveryOp(t, func(op spmd.Op) bool { return int(op) < len(emitters) && emitters[op] != nil })
}
