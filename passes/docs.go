package passes

import (
	"fmt"
	"strings"
)

// Docs is docs/passes.md: the pipeline, its order with reasons, and the rules of canonicalize, all from their tables.
func Docs() string {
	var b strings.Builder
	b.WriteString("<!-- Code generated from passes/pipeline.go and passes/canonicalize.go by go test ./passes -update. DO NOT EDIT. -->\n\n# Passes\n\n")
	b.WriteString("`ssmc compile` runs these on the graph, in this order. The runner verifies the graph before the first and after each.\n")
	b.WriteString("With `SSMC_CHECK=1` it also evaluates the graph before and after each pass, in float64, as it is and with independent ops shuffled,\n")
	fmt.Fprintf(&b, "and names the pass that changed a number by more than %g of the largest.\n\n", checkTolerance)
	b.WriteString("Those marked **(scheme)** rest unless the compile has a quantization scheme, those marked **(scales)** also until a calibration has made its scales:\n")
	b.WriteString("without these the graph is the float model that calibration runs.\n\n")
	b.WriteString("| | pass | does | leaves behind |\n|---|---|---|---|\n")
	for i, p := range pipeline {
		leaves := p.Leaves
		if p.Tolerance != 0 {
			leaves += fmt.Sprintf(" (%g)", p.Tolerance)
		}
		if p.needsScales {
			leaves += " **(scales)**"
		} else if p.quant != nil {
			leaves += " **(scheme)**"
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", i+1, p.Name, cell(p.Doc), cell(leaves))
	}
	b.WriteString("\n## Why in this order\n\n| before | after | because |\n|---|---|---|\n")
	for _, c := range order {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", c.before, c.after, cell(c.why))
	}
	b.WriteString("\n## Rules of `canonicalize`\n\n| rule | leaves behind |\n|---|---|\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.name, cell(r.leaves))
	}
	b.WriteString(docsDebugging)
	return b.String()
}

// cell makes a text fit for a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

const docsDebugging = `
## Looking inside

| flag | gives |
|---|---|
| ` + "`--explain[=PASS]`" + ` | what fired, and what kept a pass from doing more |
| ` + "`--dump-after=PASS`, `--dump-after=all`" + ` | the graph as text, ` + "`04-share-common.txt`" + `; of all, those that changed it |
| ` + "`--stop-after=PASS`" + ` | the graph as far as that |
| ` + "`--time-passes`" + ` | how long each took |
| ` + "`--html=FILE`" + ` | all stages side by side on one page |

A pass that fails is named, and ` + "`repro.txt`" + ` holds the graph before it and the command that shows the failure again.
`
