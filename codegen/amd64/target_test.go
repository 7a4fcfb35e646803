package amd64

import (
	"slices"
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
	if d := cmp.Diff(spmd.Target{}, none); d != "" || err == nil || !strings.Contains(err.Error(), "x86-64-v3, x86-64-v3+avxvnni, x86-64-v4,") {
		t.Errorf("sm_80: %+v, %v", none, err)
	}
}

// TestNames: a list for floats, one for bytes, and what is in each comes from the table.
func TestNames(t *testing.T) {
	if d := cmp.Diff([]string{"x86-64-v3", "x86-64-v4"}, Names()); d != "" {
		t.Error(d)
	}
	want := []spmd.Target{
		{Name: "x86-64-v3", Lanes: 8, Dot: spmd.DotSigned},
		{Name: "x86-64-v3+avxvnni", Lanes: 8, Dot: spmd.DotUnsigned},
		{Name: "x86-64-v4", Lanes: 16, Dot: spmd.DotSigned},
		{Name: "x86-64-v4+vnni", Lanes: 16, Dot: spmd.DotUnsigned},
		{Name: "x86-64-v4+vnni+amx", Lanes: 16, Dot: spmd.DotUnsigned, Tiles: true},
	}
	var got []spmd.Target
	for _, name := range ByteNames() {
		target, err := Target(name)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, spmd.Target{Name: target.Name, Lanes: target.Lanes, Dot: target.Dot, Tiles: target.Tiles})
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestFlags: a level has its bases' features, and no others.
func TestFlags(t *testing.T) {
	for name, c := range map[string]struct{ has, hasNot string }{
		"x86-64-v3":          {"avx2 f16c abm", "avx_vnni avx512f avx512_vnni"},
		"x86-64-v3+avxvnni":  {"avx2 avx_vnni", "avx512f avx512_vnni"},
		"x86-64-v4":          {"avx2 avx512bw", "avx_vnni avx512_vnni"},
		"x86-64-v4+vnni":     {"avx2 avx512bw avx512_vnni", "avx_vnni amx_tile"},
		"x86-64-v4+vnni+amx": {"avx2 avx512_vnni amx_tile amx_int8", "avx_vnni"},
	} {
		flags := Flags(name)
		for _, f := range strings.Fields(c.has) {
			if !slices.Contains(flags, f) {
				t.Errorf("%s: no %s in %v", name, f, flags)
			}
		}
		for _, f := range strings.Fields(c.hasNot) {
			if slices.Contains(flags, f) {
				t.Errorf("%s: %s in %v", name, f, flags)
			}
		}
	}
	if flags := Flags("sm_80"); flags != nil {
		t.Errorf("sm_80: %v", flags)
	}
}

// TestHost: the best level is one of the list, and a byte level is not below the float level that it extends.
func TestHost(t *testing.T) {
	best, _, err := Host()
	if err != nil {
		t.Skip(err)
	}
	bytes, _, err := ByteHost()
	if err != nil || !slices.Contains(Names(), best) || !slices.Contains(ByteNames(), bytes) || rank(bytes) < rank(best) {
		t.Errorf("best levels %q and %q, %v", best, bytes, err)
	}
}

// TestFeatureBits wants no feature twice and no two in the same place: a slip in the table would let an illegal instruction through.
func TestFeatureBits(t *testing.T) {
	type place struct {
		leaf, sub uint32
		reg       register
		bit       uint
	}
	names, places := map[string]bool{}, map[place]string{}
	for _, l := range levels {
		for _, f := range l.features {
			p := place{f.leaf, f.sub, f.reg, f.bit}
			if names[f.llvm] || names[f.flag] || places[p] != "" {
				t.Errorf("%s: twice, or in the place of %q", f.llvm, places[p])
			}
			names[f.llvm], names[f.flag], places[p] = true, true, f.llvm
		}
	}
}
