package passes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/internal/goldentest"
	"github.com/ssmc/ssmc/ir"
)

const smallGraph = `module "test" {
  weight %w: f32[4, 3]
  func step(%x: f32[T, 3]) -> (f32[T, 4]) {
    %one = const value=1 : f32[]
    %y = linear %x %w : f32[T, 4]
    %z = mul %y %one : f32[T, 4]
    %s = silu %z : f32[T, 4]
    return %s
  }
}
`

func parse(t *testing.T, text string) *ir.Module {
	t.Helper()
	m, err := ir.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The tables must agree with each other: the order holds, every name is known, and every pass has its words and its test file.
func TestTables(t *testing.T) {
	if err := checkOrder(Names()); err != nil {
		t.Error(err)
	}
	for _, c := range order {
		for _, n := range []string{c.before, c.after} {
			if _, ok := Lookup(n); !ok {
				t.Errorf("order names %q, which is no pass", n)
			}
		}
		if c.why == "" {
			t.Errorf("%s before %s: no reason", c.before, c.after)
		}
	}
	for _, p := range pipeline {
		if p.Doc == "" || p.Leaves == "" || (p.run == nil) == (p.quant == nil) || p.quant == nil && p.needsScales {
			t.Errorf("pass %s is not fully declared", p.Name)
		}
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)?$`).MatchString(p.Name) {
			t.Errorf("pass %q is not named verb-object", p.Name)
		}
		file := strings.ReplaceAll(p.Name, "-", "_")
		cases, err := os.ReadFile(filepath.Join("testdata", "passes", file))
		if err != nil || !bytes.Contains(cases, []byte("expect\n")) || !bytes.Contains(cases, []byte("expect-not\n")) {
			t.Errorf("pass %s: testdata/passes/%s must hold a case where it fires and one where it does not (%v)", p.Name, file, err)
		}
		if _, err := os.Stat(file + ".go"); err != nil {
			t.Errorf("pass %s: %v", p.Name, err)
		}
	}
}

func TestOrderIsEnforced(t *testing.T) {
	err := checkOrder([]string{"form-groups", "fuse-contract", "fuse-contract", "fold-constants"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"fuse-contract is listed twice", "fold-constants must come before fuse-contract: ", "fuse-contract must come before form-groups: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	for _, o := range []Options{
		{Passes: []string{"fuse-scan", "fuse-moon", "fold-sheep"}},
		{StopAfter: "fuse-moon"},
		{DumpAfter: "fuse-moon"},
		{Passes: []string{"fuse-scan"}, StopAfter: "fold-constants"},
	} {
		_, err := Run(parse(t, smallGraph), o)
		if err == nil || !strings.Contains(err.Error(), "fix: use one of quantize-params, fold-constants") {
			t.Errorf("%+v: error %v", o, err)
		}
	}
}

// TestDocs keeps docs/passes.md in step with the tables.
func TestDocs(t *testing.T) {
	goldentest.File(t, filepath.Join("..", "docs", "passes.md"), Docs())
}

// number is a pass's place in the pipeline, and stage the file that its dump is written to.
func number(pass string) string { return fmt.Sprintf("%02d", slices.Index(Names(), pass)+1) }
func stage(pass string) string  { return number(pass) + "-" + pass + ".txt" }

// Dumps are numbered by the pass; of all, only those that changed the graph are written.
func TestDumpsAndStop(t *testing.T) {
	for _, test := range []struct {
		o    Options
		want []string
	}{
		{Options{DumpAfter: "all"}, []string{stage("canonicalize"), stage("fuse-contract")}},
		{Options{DumpAfter: "all", StopAfter: "remove-dead"}, []string{stage("canonicalize")}},
		{Options{DumpAfter: "fuse-scan"}, []string{stage("fuse-scan")}},
		{Options{}, nil},
	} {
		test.o.DumpDir = t.TempDir()
		m := parse(t, smallGraph)
		r, err := Run(m, test.o)
		if err != nil {
			t.Fatal(err)
		}
		if test.o.StopAfter != "" && r.Passes[len(r.Passes)-1].Pass.Name != test.o.StopAfter {
			t.Errorf("%+v: went on to %s", test.o, r.Passes[len(r.Passes)-1].Pass.Name)
		}
		files, err := filepath.Glob(filepath.Join(test.o.DumpDir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			got = append(got, filepath.Base(f))
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if ir.Print(parse(t, string(text))) != string(text) {
				t.Errorf("%s does not print as it was read", f)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%+v: files (-want +got):\n%s", test.o, diff)
		}
	}
}

// bad passes, each caught by another check of the runner.
var bad = map[string]Pass{
	"returns an error":   {Name: "test-error", run: func(*ir.Module, *PassReport) error { return errors.New("not today") }},
	"panic: index":       {Name: "test-panic", run: func(m *ir.Module, _ *PassReport) error { panic("index") }},
	"verify step":        {Name: "test-break", run: func(m *ir.Module, _ *PassReport) error { m.Func.Ops = m.Func.Ops[1:]; return nil }},
	"changed numbers: r": {Name: "test-number", run: func(m *ir.Module, _ *PassReport) error { m.Func.Ops[3].Code = ir.OpTanh; return nil }},
	"in another order": {Name: "test-order", run: func(m *ir.Module, _ *PassReport) error {
		if m.Func.Ops[0].Code != ir.OpConst { // depends on how the family happens to be written
			m.Func.Ops = nil
		}
		return nil
	}},
}

func TestFailuresAreNamed(t *testing.T) {
	for want, p := range bad {
		dir := t.TempDir()
		m := parse(t, smallGraph)
		// A seed that puts the linear before the const in the shuffled copy.
		_, err := runPasses(m, []Pass{p}, Options{ReproDir: dir, Command: "ssmc compile m -o out", Seed: 4})
		var f *Failure
		if !errors.As(err, &f) || f.Pass != p.Name {
			t.Errorf("%s: error %v, want a failure of it", p.Name, err)
			continue
		}
		if want != "returns an error" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", p.Name, err, want)
		}
		text, err := os.ReadFile(f.Repro)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if got := ir.Print(parse(t, string(text))); got != smallGraph {
			t.Errorf("%s: repro.txt holds another graph:\n%s", p.Name, text)
		}
		for _, line := range []string{"failed in: ssmc compile m -o out", "again: ssmc opt --passes=" + p.Name + " repro.txt"} {
			if !strings.Contains(string(text), line) {
				t.Errorf("%s: repro.txt does not say %q:\n%s", p.Name, line, text)
			}
		}
	}
}

// A run without a place for repro.txt writes nothing, and a graph that is broken before is not blamed on a pass.
func TestBrokenInput(t *testing.T) {
	m := parse(t, smallGraph)
	m.Func.Ops = m.Func.Ops[1:]
	_, err := Run(m, Options{})
	var f *Failure
	if err == nil || errors.As(err, &f) {
		t.Errorf("error %v, want one that names no pass", err)
	}
}

func TestExplain(t *testing.T) {
	r, err := Run(parse(t, smallGraph), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Explain(&b, "fuse-contract"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(number("fuse-contract")+" fuse-contract: 1 fired, 0 did not\n  fired %y = linear: linear, silu\n", b.String()); diff != "" {
		t.Error(diff)
	}
	if err := r.Explain(&b, "fuse-moon"); err == nil {
		t.Error("an unknown pass is explained")
	}
	b.Reset()
	if err := r.Explain(&b, ""); err != nil || strings.Count(b.String(), " fired, ")+strings.Count(b.String(), ": did nothing, there is no scheme") != len(pipeline) {
		t.Errorf("%v:\n%s", err, b.String())
	}
	b.Reset()
	if err := r.Times(&b); err != nil || strings.Count(b.String(), " ms  ") != len(pipeline) {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestHTML(t *testing.T) {
	run := func(keep bool) (string, error) {
		r, err := Run(parse(t, smallGraph), Options{KeepText: keep})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = WriteHTML(&b, r)
		return b.String(), err
	}
	if _, err := run(false); err == nil {
		t.Error("a report without texts gives a page")
	}
	text, err := run(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<h2>input</h2>`, "<h2>" + number("fuse-contract") + " fuse-contract</h2>", `the graph is unchanged`,
		`<span class="line gone">    <span class="v">%z</span> = mul <span class="v">%y</span> <span class="v">%one</span> : f32[T, 4]</span>`,
		`<span class="line new">    group contract g0 {<span class="c">  # y &#43; silu</span></span>`,
		`fired %y = linear: linear, silu`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not hold %s", want)
		}
	}
	if m := regexp.MustCompile(`(?:src|href)=|https?:`).FindString(text); m != "" {
		t.Errorf("the page is not self-contained: %s", m)
	}
	if again, _ := run(true); again != text {
		t.Error("the same run gives another page")
	}
}
