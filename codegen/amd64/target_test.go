package amd64

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/codegen/spmd"
)

func TestTarget(t *testing.T) {
	v3, err := Target("x86-64-v3")
	if err != nil || v3.Lanes != 8 || v3.Registers != 16 || v3.Members != 1 {
		t.Errorf("x86-64-v3: %+v, %v", v3, err)
	}
	v4, err := Target("x86-64-v4")
	if err != nil || v4.Lanes != 16 || v4.Registers != 32 || v4.Members != 1 {
		t.Errorf("x86-64-v4: %+v, %v", v4, err)
	}
	none, err := Target("sm_80")
	if d := cmp.Diff(spmd.Target{}, none); d != "" || err == nil || !strings.Contains(err.Error(), "x86-64-v3, x86-64-v4") {
		t.Errorf("sm_80: %+v, %v", none, err)
	}
}

// TestFeatureBits wants no feature twice and no two in the same place: a slip in the table would let an illegal instruction through.
func TestFeatureBits(t *testing.T) {
	type place struct {
		leaf uint32
		reg  register
		bit  uint
	}
	names, places := map[string]bool{}, map[place]string{}
	for _, f := range allFeatures(len(levels) - 1) {
		p := place{f.leaf, f.reg, f.bit}
		if names[f.llvm] || places[p] != "" {
			t.Errorf("%s: twice, or in the place of %q", f.llvm, places[p])
		}
		names[f.llvm], places[p] = true, f.llvm
	}
}
