package spmd

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestText: "kernel" and "program" parse, print and verify a text. What parses is printed and parsed again: the texts must be the same.
// With "same" the input itself must be what is printed.
func TestText(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") {
			return
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var text func(string) (string, error)
			switch d.Cmd {
			case "kernel":
				text = func(s string) (string, error) {
					k, err := ParseKernel(s)
					if err != nil {
						return "", err
					}
					return k.String(), k.Verify()
				}
			case "program":
				text = func(s string) (string, error) {
					p, err := ParseProgram(s)
					if err != nil {
						return "", err
					}
					return p.String(), p.Verify()
				}
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			printed, err := text(d.Input)
			if printed != "" {
				if again, _ := text(printed); again != printed {
					d.Fatalf(t, "printed, parsed and printed again:\n%s\nnot\n%s", again, printed)
				}
			}
			switch {
			case err != nil && d.HasArg("same"):
				d.Fatalf(t, "%v", err)
			case err != nil:
				return err.Error() + "\n"
			case d.HasArg("same") && strings.TrimSpace(d.Input) != strings.TrimSpace(printed):
				d.Fatalf(t, "printed\n%s", printed)
			case d.HasArg("same"):
				return "same\n"
			}
			return printed
		})
	})
}

// TestRoundTrip prints the hand-written programs, parses and runs them: the same text, the same memory.
func TestRoundTrip(t *testing.T) {
	for _, lanes := range allLanes {
		for i, p := range testPrograms(t, lanes) {
			text := p.String()
			q, err := ParseProgram(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if again := q.String(); again != text {
				t.Fatalf("program %d: printed again:\n%s\nnot\n%s", i, again, text)
			}
			k, err := ParseKernel(p.Kernels[0].String())
			if err != nil || k.String() != p.Kernels[0].String() {
				t.Fatalf("program %d: kernel alone: %v", i, err)
			}
			a, b := machine(t, p, []byte(text)), machine(t, q, []byte(text))
			step(t, a, p, oneSequence(5))
			step(t, b, q, oneSequence(5))
			if string(a.Memory[Work]) != string(b.Memory[Work]) {
				t.Errorf("program %d: the parsed program leaves other bytes", i)
			}
		}
	}
}

// TestVerifyBroken builds what no text says: each must be refused, and printed without a panic.
func TestVerifyBroken(t *testing.T) {
	i64, f := Type{Elem: I64}, Type{Elem: F32}
	one := func() *Instr {
		in := &Instr{Op: OpConst, Imm: 1}
		in.Results = []*Value{{Type: i64, Def: in}}
		return in
	}
	for name, k := range map[string]*Kernel{
		"no body":            {Name: "k", Lanes: 8},
		"nil instruction":    {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{nil}}},
		"unknown op":         {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: numOps + 3}}}},
		"nil operand":        {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpSplat, Args: []*Value{nil}}}}},
		"nil result":         {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpTile, Results: []*Value{nil}}}}},
		"no result":          {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpParam}}}},
		"unknown type":       {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpTile, Results: []*Value{{Type: Type{99, 9}}}}}}},
		"predicate":          {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpCmp, Imm: 17}}}},
		"body yields":        {Name: "k", Lanes: 8, Body: &Region{Yield: []*Value{nil}}},
		"loop without parts": {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpFor}}}},
		"nil region":         {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpIf, Regions: []*Region{nil, nil}}}}},
		"regions of a tile":  {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpTile, Results: []*Value{{Type: i64}}, Regions: []*Region{{}}}}}},
		"immediate":          {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpTile, Imm: 3, Results: []*Value{{Type: i64}}}}}},
		"bits":               {Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{{Op: OpConst, Imm: -3, Results: []*Value{{Type: f}}}}}},
		"nil carried": func() *Kernel {
			c := one()
			in := &Instr{Op: OpFor, Imm: 1, Args: []*Value{c.Results[0], c.Results[0], c.Results[0]}, Results: []*Value{nil}, Regions: []*Region{{Params: []*Value{nil, nil}, Yield: []*Value{nil}}}}
			return &Kernel{Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{c, in}}}
		}(),
		"same value twice": func() *Kernel {
			c := one()
			return &Kernel{Name: "k", Lanes: 8, Body: &Region{Body: []*Instr{c, {Op: OpTile, Results: c.Results}}}}
		}(),
		"unknown space": {Name: "k", Lanes: 8, Params: []Param{{"x", F32, numSpaces}}, Body: &Region{}},
		"bool memory":   {Name: "k", Lanes: 8, Params: []Param{{"x", Bool, Work}}, Body: &Region{}},
	} {
		if err := k.Verify(); err == nil || k.String() == "" {
			t.Errorf("%s: verified", name)
		}
	}
	p := &Program{Kernels: []*Kernel{nil}, Phases: []Phase{{Launches: []Launch{{Kernel: 0}, {Kernel: 5}, {Grid: Grid{By: 9}}}}}}
	if err := p.Verify(); err == nil || p.String() == "" {
		t.Error("a broken program verified")
	}
}

// TestBuilderErrors: mistakes come out together, each with the line that made it.
func TestBuilderErrors(t *testing.T) {
	b := NewBuilder("k", target(8))
	b.Add(b.F(1), b.I(1))
	b.ReduceAdd()
	b.Store(b.Param("x", F32, Work), nil, 0, b.I(3))
	_, err := b.Finish()
	if err == nil || strings.Count(err.Error(), "text_test.go:") != 3 {
		t.Errorf("error %v, want three, with lines of this file", err)
	}
}

// TestLimits: depth is bounded in text and in the verifier, and errors are counted, not collected.
func TestLimits(t *testing.T) {
	deep := "kernel k lanes 8 team 0 () {\n%0 = const i64 0\n" + strings.Repeat("if %1 {\n", 100_000)
	if _, err := ParseKernel(deep); err == nil || !strings.Contains(err.Error(), "nested more than 64 deep") {
		t.Errorf("error %v", err)
	}
	many := "kernel k lanes 8 team 0 () {\n%0 = const i64 0\n" + strings.Repeat("prefetch %0\n", 100) + "}"
	k, err := ParseKernel(many)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Verify(); err == nil || strings.Count(err.Error(), "\n") != maxErrors || !strings.HasSuffix(err.Error(), "and 80 more") {
		t.Errorf("error %v", err)
	}
}
