package ptx

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

func TestTargets(t *testing.T) {
	for _, name := range Names() {
		target, err := Target(name)
		if err != nil || target.Name != name || target.Lanes != warp {
			t.Errorf("%s: %+v, %v", name, target, err)
		}
	}
	for _, name := range []string{"", "sm_80", "ptx:", "ptx:sm_70", "x86-64-v4"} {
		if _, err := Target(name); err == nil || !strings.Contains(err.Error(), "fix: use one of ptx:sm_80, ptx:sm_86, ptx:sm_89, ptx:sm_90a") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestSameBytes builds and emits a program twice.
func TestSameBytes(t *testing.T) {
	var texts [2][]byte
	for i := range texts {
		var err error
		if texts[i], err = Emit("model", testSHA, spmdtest.Spaces(t, gpuTarget(t, 1)).Program); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("the same program gives two modules")
	}
}

// TestReadable wants the names of phases, kernels and checkpoint tensors where somebody who reads the text looks for them, and nothing in them that
// could end a comment.
func TestReadable(t *testing.T) {
	d := spmdtest.New(t, gpuTarget(t, 1))
	d.Kernel("norm", spmdtest.One, func(k *spmdtest.Body) { k.Store(k.Output(spmd.F32, 1), nil, 0, k.F(1)) })
	d.Done()
	d.Program.Phases[0].Name = "layers.0 norm"
	d.Program.Phases[0].Launches[0].Note = "backbone.layers.0.norm\n.weight \u00e9"
	text, err := Emit("model", testSHA, d.Program)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"// bed for sm_80: 1 phases, 1 kernels. See docs/ptx.md.\n",
		"\t0, 0, 0, // 0 layers.0 norm\n",
		"\t0, 0, 1, 0, 1, 0, 0, 1, 0, -1 // 0 backbone.layers.0.norm?.weight ?\n",
		"// norm\n// launched by [layers.0 norm: backbone.layers.0.norm?.weight ?]\n// p0: f32 of work\n.func model_k0_norm ",
		".visible .entry model_step (.param .u64 model_step_ctx)\n.maxntid 256, 1, 1\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
}

// TestEmitErrors wants each mistake named, and all of them at once.
func TestEmitErrors(t *testing.T) {
	change := func(f func(p *spmd.Program)) *spmd.Program {
		p := spmdtest.Chain(t, gpuTarget(t, 1), chainPhases).Program
		f(p)
		return p
	}
	cases := []struct {
		name, prefix, sha string
		p                 *spmd.Program
		want              []string
	}{
		{"no program, prefix, checksum", "2x", "abc", nil, []string{`prefix "2x" is not an identifier`, `"abc" is not 64 hexadecimal digits`, "no program"}},
		{"unknown target", "model", testSHA, change(func(p *spmd.Program) { p.Target.Name = "ptx:sm_70" }), []string{`"ptx:sm_70" is unknown`, "ptx:sm_90a"}},
		{"lanes", "model", testSHA, change(func(p *spmd.Program) { p.Target.Lanes, p.Kernels = 16, nil; p.Phases = nil }), []string{"a warp has 32 lanes, the program was built for 16", "no phases"}},
		{"members", "model", testSHA, change(func(p *spmd.Program) { p.Target.Members = 9 }), []string{"a block has 8 warps, a team of the program 9"}},
		{"empty phase", "model", testSHA, change(func(p *spmd.Program) { p.Phases[3].Launches = nil }), []string{"phase 3 (link 3) launches nothing"}},
		{"not verified", "model", testSHA, change(func(p *spmd.Program) { p.Phases[3].Launches[0].Kernel = 7 }), []string{"kernel 7 of 1"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Emit(tc.prefix, tc.sha, tc.p)
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

// TestWrongInstruction has an instruction that cannot be: the error must name it, and the process must live.
func TestWrongInstruction(t *testing.T) {
	p := spmdtest.Chain(t, gpuTarget(t, 1), chainPhases).Program
	m, err := newModule("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	b := spmd.NewBuilder("other", p.Target)
	add := p.Kernels[0].Body.Body[len(p.Kernels[0].Body.Body)-2]
	add.Args[1] = b.Rows() // of another kernel
	if _, err := m.kernel(0); err == nil || !strings.Contains(err.Error(), "used before it is defined") || !strings.Contains(err.Error(), add.Op.String()) {
		t.Errorf("error %v", err)
	}
}

// TestReport reads what ptxas -v prints.
func TestReport(t *testing.T) {
	const text = `ptxas info    : 5424 bytes gmem, 16 bytes cmem[4]
ptxas info    : Compiling entry function 'model_step' for 'sm_80'
ptxas info    : Function properties for model_step
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 146 registers, used 1 barriers, 360 bytes cmem[0]
ptxas info    : Function properties for model_k0_map
    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas warning : something
`
	r := parseReport(text)
	want := &Report{
		Functions: []Function{{Name: "model_step", Registers: 146, Barriers: 1}, {Name: "model_k0_map", Stack: 16, Stores: 12, Loads: 8}},
		Warnings:  []string{"ptxas warning : something"},
	}
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got := r.Entry().Name; got != "model_step" {
		t.Errorf("the entry is %q", got)
	}
	if d := cmp.Diff([]string{"model_k0_map: 12 bytes stored, 8 loaded"}, r.Spills()); d != "" {
		t.Error(d)
	}
}

// TestAssemblerErrors wants the line of PTX with each complaint.
func TestAssemblerErrors(t *testing.T) {
	a := assembler(t)
	_, err := a.Check(context.Background(), []byte(".version 7.8\n.target sm_80\n.address_size 64\n.func f () {\n\tadd.f33 %f1, %f2, %f3;\n}\n"), "ptx:sm_80")
	if err == nil || !strings.Contains(err.Error(), "line 5") || !strings.Contains(err.Error(), "    add.f33 %f1, %f2, %f3;") {
		t.Errorf("error %v", err)
	}
}
