package amd64

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// bedLevels is a program for all levels.
func bedLevels(t *testing.T, make func(t testing.TB, target spmd.Target) *spmdtest.Bed) (ls []Level) {
	t.Helper()
	for _, name := range Names() {
		target, err := Target(name)
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, Level{Name: name, Program: make(t, target).Program})
	}
	return ls
}

// TestSymbols wants the exported names of docs/abi.md, and nothing left to find elsewhere.
func TestSymbols(t *testing.T) {
	text, err := Emit("some_model2", testSHA, bedLevels(t, spmdtest.Spaces))
	if err != nil {
		t.Fatal(err)
	}
	eachLLC(t, func(t *testing.T, tools *llvm.Tools) {
		obj, err := tools.Assemble(context.Background(), text, llvm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(obj))
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := f.Symbols()
		if err != nil {
			t.Fatal(err)
		}
		var global []string
		for _, s := range symbols {
			switch {
			case elf.ST_BIND(s.Info) == elf.STB_LOCAL:
			case s.Section == elf.SHN_UNDEF:
				t.Errorf("%s is undefined", s.Name)
			default:
				global = append(global, s.Name)
			}
		}
		slices.Sort(global)
		var want []string
		for _, name := range []string{"facts", "level", "level_name", "serve", "step", "weights_sha256"} {
			want = append(want, "some_model2_"+name)
		}
		if d := cmp.Diff(want, global); d != "" {
			t.Errorf("exported symbols (-want +got):\n%s", d)
		}
	})
}

// TestSameBytes builds and emits a program twice.
func TestSameBytes(t *testing.T) {
	first, err := Emit("model", testSHA, bedLevels(t, spmdtest.Spaces))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Emit("model", testSHA, bedLevels(t, spmdtest.Spaces))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the same program gives two modules")
	}
}

// TestEmitErrors wants each mistake named, and all of them at once.
func TestEmitErrors(t *testing.T) {
	levels := bedLevels(t, chainOf)
	change := func(f func(ls []Level)) []Level {
		ls := bedLevels(t, chainOf)
		f(ls)
		return ls
	}
	cases := []struct {
		name, prefix, sha string
		levels            []Level
		want              []string
	}{
		{"no levels, prefix, checksum", "2x", "abc", nil, []string{`prefix "2x" is not an identifier`, `"abc" is not 64 hexadecimal digits`, "no CPU level"}},
		{"unknown level", "model", testSHA, []Level{{"x86-64-v2", levels[0].Program}}, []string{`"x86-64-v2" is unknown`, "x86-64-v3, x86-64-v3+avxvnni, x86-64-v4"}},
		{"level twice", "model", testSHA, []Level{levels[0], levels[0]}, []string{"x86-64-v3 is given twice"}},
		{"no program", "model", testSHA, []Level{{"x86-64-v3", nil}}, []string{"x86-64-v3 has no program"}},
		{"lanes", "model", testSHA, []Level{{"x86-64-v4", levels[0].Program}}, []string{"x86-64-v4 has 16 lanes, the program was built for 8"}},
		{"no phases", "model", testSHA, change(func(ls []Level) { ls[0].Program.Phases = nil }), []string{"the program has no phases"}},
		{"bounded launch", "model", testSHA, change(func(ls []Level) { ls[1].Program.Phases[3].Launches[0].Grid.Most = 4 }), []string{"phase 3 (link 3), launch 0 is for some numbers of rows only"}},
		{"team", "model", testSHA, change(func(ls []Level) { ls[1].Program.Target.Members = 4 }), []string{"teams of 4, a worker of a CPU is alone"}},
		{"empty phase", "model", testSHA, change(func(ls []Level) { ls[1].Program.Phases[3].Launches = nil }), []string{"phase 3 (link 3) launches nothing"}},
		{"not verified", "model", testSHA, change(func(ls []Level) { ls[1].Program.Phases[3].Launches[0].Kernel = 7 }), []string{"x86-64-v4", "kernel 7 of 1"}},
		{"different sizes", "model", testSHA, change(func(ls []Level) { ls[1].Program.WeightBytes = 64 }), []string{"not the same program: sizes"}},
		{"different phases", "model", testSHA, change(func(ls []Level) { ls[1].Program.Phases = ls[1].Program.Phases[1:] }), []string{"number of phases 1200 and 1199"}},
		{"different MinRows", "model", testSHA, change(func(ls []Level) { ls[1].Program.Phases[5].MinRows = 2 }), []string{"phase 5 (link 5): MinRows"}},
		{"different launch", "model", testSHA, change(func(ls []Level) { ls[0].Program.Phases[5].Launches[0].Grid.Panels = 2 }), []string{"phase 5 (link 5): launch 0"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Emit(tc.prefix, tc.sha, tc.levels)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q:\n%v", w, err)
				}
			}
		})
	}
}

// TestWrongInstruction makes llir panic: the error must name kernel and instruction, and the process must live.
func TestWrongInstruction(t *testing.T) {
	target, err := Target("x86-64-v3")
	if err != nil {
		t.Fatal(err)
	}
	b := spmd.NewBuilder("wrong", target)
	sum := b.Add(b.Rows(), b.Seqs())
	k, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	sum.Def.Args[1] = b.Lane() // what Verify refuses
	m := newModule("model", []Level{{Name: target.Name, Program: &spmd.Program{Kernels: []*spmd.Kernel{k}}}})
	_, err = m.kernel(0, k, nil)
	if err == nil || !strings.Contains(err.Error(), "add") {
		t.Errorf("error %v", err)
	}
}

// BenchmarkEmit is a model of 60 kernels of 2000 instructions for both levels.
func BenchmarkEmit(b *testing.B) {
	var ls []Level
	for _, name := range Names() {
		target, err := Target(name)
		if err != nil {
			b.Fatal(err)
		}
		p := &spmd.Program{Name: "bench", Target: target, MaxRows: 1, MaxSeqs: 1, WorkBytes: 1 << 20, WeightBytes: 1 << 20}
		for i := range 60 {
			k := spmd.NewBuilder(fmt.Sprint("k", i), target)
			x, w := k.Param("x", spmd.F32, spmd.Work), k.Param("w", spmd.F32, spmd.Weights)
			k.For(k.I(0), k.Rows(), 1, nil, func(i *val, _ []*val) []*val {
				v := k.LoadV(x, i, 0)
				for n := range int64(500) {
					v = k.FMA(v, k.LoadV(w, i, n*16), k.Add(k.Splat(k.Load(x, i, n)), k.F(float32(n))))
				}
				k.StoreV(x, i, 0, v)
				return nil
			})
			built, err := k.Finish()
			if err != nil {
				b.Fatal(err)
			}
			p.Kernels = append(p.Kernels, built)
			p.Phases = append(p.Phases, spmd.Phase{Launches: []spmd.Launch{{Kernel: i, Args: []int64{0, 0}, Grid: spmdtest.One}}})
		}
		ls = append(ls, Level{Name: name, Program: p})
	}
	b.ResetTimer()
	for b.Loop() {
		text, err := Emit("model", testSHA, ls)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(text)))
	}
}
