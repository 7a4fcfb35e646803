package spmd

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/internal/goldentest"
)

const (
	docFile  = "../../docs/kernel-language.md"
	docBegin = "<!-- Generated from codegen/spmd/op.go: go test ./codegen/spmd -update -->\n"
	docEnd   = "<!-- End of the generated part. -->\n"
)

// TestDoc keeps the tables of docs/kernel-language.md those of the code.
func TestDoc(t *testing.T) {
	text, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), docBegin)
	_, after, ok2 := strings.Cut(rest, docEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s: no lines that mark the generated part", docFile)
	}
	want := before + docBegin + docTables() + docEnd + after
	_, example, _ := strings.Cut(before, "```\nkernel ")
	example, _, _ = strings.Cut(example, "```")
	k, err := ParseKernel("kernel " + example)
	if err == nil {
		err = k.Verify()
	}
	if err != nil {
		t.Errorf("%s: the example: %v", docFile, err)
	}
	goldentest.File(t, docFile, want)
}

func docTables() string {
	var b strings.Builder
	b.WriteString("\n| instruction | operands | types | T | Imm | meaning |\n|---|---|---|---|---|---|\n")
	imms := [...]string{immValue: "value", immParam: "index", immScratch: "bytes", immOffset: "elements", immShift: "bits", immMost: "largest byte, on the average of two", immByte: "byte", immLane: "lanes", immTiles: "tiles", immPieces: "pieces", immGroups: "groups", immPred: "predicate", immStep: "step"}
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	for _, o := range ops {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", code(o.name), code(o.args), code(o.sig), code(o.of), imms[o.imm], o.doc)
	}
	fmt.Fprintf(&b, "\nPredicates: `%s`. Spaces: `%s`.\n\n| element | bytes | in a register |\n|---|---|---|\n", strings.Join(preds[:], "` `"), strings.Join(spaces[:], "` `"))
	for _, e := range elems {
		fmt.Fprintf(&b, "| `%s` | %d | `%v` |\n", e.name, e.bytes, e.reg)
	}
	b.WriteString("\n")
	return b.String()
}
