package ir

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/internal/goldentest"
)

// opCase turns the short form of testdata/ops into a module: "weight", "state" and "next" lines as in the text form, "input" lines with
// data, and ops; the results of the last op are returned. With "rows=(2,1)" there are sequences of 2 and 1 rows. Weights become inputs if
// that is wanted: then a step computes what would be constant.
func opCase(t *testing.T, d *datadriven.TestData, inputsOnly bool) (*Module, Inputs[float32]) {
	t.Helper()
	in := Inputs[float32]{SeqStart: []int{0}, Values: map[string][]float32{}}
	for _, arg := range d.CmdArgs {
		for _, v := range arg.Vals {
			n, err := strconv.Atoi(v)
			if err != nil || arg.Key != "rows" {
				d.Fatalf(t, "want rows=(n, ...)")
			}
			in.SeqStart = append(in.SeqStart, in.SeqStart[len(in.SeqStart)-1]+n)
		}
	}
	var head, params, body, next []string
	last := ""
	for _, line := range strings.Split(d.Input, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "weight" && inputsOnly {
			word = "input"
		}
		switch word {
		case "weight", "state":
			head = append(head, line)
		case "next":
			next = append(next, line)
		case "input":
			decl, data, _ := strings.Cut(rest, " = ")
			params = append(params, decl)
			name, _, _ := strings.Cut(decl[1:], ":")
			in.Values[name] = []float32{}
			for _, w := range strings.Fields(strings.Trim(data, "[]")) {
				v, err := strconv.ParseFloat(w, 32)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				in.Values[name] = append(in.Values[name], float32(v))
			}
		default:
			body, last = append(body, line), line
		}
	}
	names, _, _ := strings.Cut(last, " = ")
	_, types, _ := strings.Cut(last, " : ")
	text := "module \"test\" {\n" + strings.Join(head, "\n") + "\nfunc f(" + strings.Join(params, ", ") + ") -> (" + types + ") {\n" +
		strings.Join(body, "\n") + "\nreturn " + names + "\n" + strings.Join(next, "\n") + "\n}\n}\n"
	m, err := Parse(text)
	if err != nil {
		d.Fatalf(t, "%v\n%s", err, text)
	}
	return m, in
}

// TestOps parses, verifies, evaluates in both precisions and prints every case.
func TestOps(t *testing.T) {
	seen := map[OpCode]bool{}
	datadriven.Walk(t, "testdata/ops", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "eval" {
				d.Fatalf(t, "unknown command")
			}
			m, in := opCase(t, d, false)
			text := Print(m)
			again, err := Parse(text)
			if err != nil || Print(again) != text {
				d.Fatalf(t, "does not read back (%v):\n%s", err, text)
			}
			wide := Inputs[float64]{SeqStart: in.SeqStart, Values: map[string][]float64{}}
			for name, data := range in.Values {
				wide.Values[name] = widen(data)
			}
			out64, err64 := Eval(again, wide)
			step, in := opCase(t, d, true)
			out, err := Eval(step, in)
			if err != nil {
				return err.Error() + "\n"
			}
			if err64 != nil {
				d.Fatalf(t, "float64: %v", err64)
			}
			for _, op := range m.Func.Ops {
				seen[op.Code] = true
			}
			var b strings.Builder
			for i, r := range out.Returns {
				fmt.Fprintf(&b, "%v %s\n", r.Shape, elements(r))
				near(t, r, out64.Returns[i])
			}
			return b.String()
		})
	})
	for c := OpNone + 1; c < numOps; c++ {
		if !seen[c] {
			t.Errorf("op %s has no case in testdata/ops", c)
		}
	}
}

func widen(data []float32) []float64 {
	out := make([]float64, len(data))
	for i, v := range data {
		out[i] = float64(v)
	}
	return out
}

func elements[F Float](x *Tensor[F]) string {
	var parts []string
	for _, v := range x.Data {
		parts = append(parts, strconv.FormatFloat(float64(v), 'g', 6, 64))
	}
	for _, v := range x.Ints {
		parts = append(parts, strconv.FormatInt(v, 10))
	}
	return strings.Join(parts, " ")
}

// near compares the two precisions.
func near(t *testing.T, a *Tensor[float32], b *Tensor[float64]) {
	t.Helper()
	for i, v := range a.Ints {
		if v != b.Ints[i] {
			t.Errorf("element %d is %d in float32, %d in float64", i, v, b.Ints[i])
		}
	}
	for i, v := range a.Data {
		w := b.Data[i]
		if d := math.Abs(float64(v) - w); d > 1e-5*max(1, math.Abs(w)) || math.IsNaN(float64(v)) != math.IsNaN(w) {
			t.Errorf("element %d is %v in float32, %v in float64", i, v, w)
		}
	}
}

// TestTable checks that no op's declaration has a gap.
func TestTable(t *testing.T) {
	names := map[string]bool{}
	for c := OpNone + 1; c < numOps; c++ {
		info := &ops[c]
		if info.name == "" || info.doc == "" || info.shape == nil || info.eval.f32 == nil || info.eval.f64 == nil {
			t.Errorf("op %d (%s): name, doc, shape or evaluator is missing", c, info.name)
		}
		if names[info.name] {
			t.Errorf("op %s is there twice", info.name)
		}
		names[info.name] = true
		if got, ok := OpByName(info.name); !ok || got != c {
			t.Errorf("OpByName(%q) = %v, %v", info.name, got, ok)
		}
	}
	var all attrSet
	for _, at := range attrTable {
		all |= at.set
	}
	if all != attrHadamard<<1-1 {
		t.Errorf("an attribute is missing from attrTable: %b", all)
	}
}

// TestOpsPage keeps docs/ops.md in step with the table.
func TestOpsPage(t *testing.T) {
	goldentest.File(t, filepath.Join("..", "docs", "ops.md"), OpsPage())
}
