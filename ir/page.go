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
slice, reshape, permute and concat keep the type. Codes (i8, i4) are read by linear, conv and cast, and made by quantize.

The evaluator in float32 gives the bits of the compiled kernels: one rounding an operation, functions as internal/f32 defines them, sums in the order
that is said here. "In 16 lanes": element i is added to partial sum i mod 16, and these are folded 8, 4, 2, 1. In float64 it is the mathematics. What
depends on weights only is computed in float64 and rounded once, in both.

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
