package ptx

import (
	"bytes"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

func TestMerge(t *testing.T) {
	checkBed(t, spmdtest.Scaled, shape{1, warp})
	p := spmdtest.Scaled(t, gpuTarget(t, 1)).Program
	m := spmd.Merge(p)[0]
	if len(m.Kernels) != 2 || len(m.Varies) != 2 {
		t.Errorf("%d kernels with %d constants that vary; want 2 and 2", len(m.Kernels), len(m.Varies))
	}
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(".func ")); n != 2 {
		t.Errorf("%d functions", n)
	}
}
