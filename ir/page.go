package ir

import (
	"fmt"
	"strings"
)

// OpsPage is docs/ops.md: the table of ops for people.
func OpsPage() string {
	var b strings.Builder
	b.WriteString(`# Ops of the graph IR

Generated from the table in ir/op.go by ` + "`go test ./ir -update`" + `; do not edit.

An operand with "?" may be absent (written ` + "`_`" + `), "..." is one or more. "e": elementwise, each element of the result depends on the same
(broadcast) element of the operands only. "s": the op sees where sequences begin. Arithmetic takes any floating-point types and gives f32;
slice, reshape, permute and concat keep the type. Sums run in order of the index.

| op | operands | attributes | results | | meaning |
|---|---|---|---|---|---|
`)
	for c := OpNone + 1; c < numOps; c++ {
		info := &ops[c]
		var attrs []string
		for _, at := range attrTable {
			if info.attrs&at.set != 0 {
				attrs = append(attrs, at.key)
			}
		}
		results := info.results
		if results == "" {
			results = "y"
		}
		flags := ""
		if c.Elementwise() {
			flags += "e"
		}
		if c.SeesSequences() {
			flags += "s"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", info.name, info.args, strings.Join(attrs, " "), results, flags, strings.ReplaceAll(info.doc, "|", "\\|"))
	}
	return b.String()
}
