package emu

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestRun runs kernels of testdata/run. The body of kernel k stands there alone, or functions and variables before a line of three dashes, and then
// the body. Arguments: threads, blocks, words (of memory at %out, and how many are shown), shared (dynamic bytes), seed, coop, races.
// What comes out is memory, equal words once with their number, or the error.
func TestRun(t *testing.T) {
	datadriven.Walk(t, "testdata/run", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			threads, blocks, n, sharedBytes, seed, limit := 32, 1, 8, 0, 0, 0
			for key, v := range map[string]*int{"threads": &threads, "blocks": &blocks, "words": &n, "shared": &sharedBytes, "seed": &seed, "limit": &limit} {
				if td.HasArg(key) {
					td.ScanArgs(t, key, v)
				}
			}
			before, body, found := strings.Cut(td.Input, "---\n")
			if !found {
				before, body = "", td.Input
			}
			d := device(t, before+"\n"+one(body))
			d.Races, d.Seed, d.MaxInstructions = td.HasArg("races"), uint64(seed), int64(limit)
			out := d.Alloc("out", 4*n)
			launch := d.Launch
			if td.HasArg("coop") {
				launch = d.LaunchCooperative
			}
			if err := launch("k", [3]int{blocks, 1, 1}, [3]int{threads, 1, 1}, sharedBytes, U64(out)); err != nil {
				return err.Error() + "\n"
			}
			return show(words(d.Bytes(out)))
		})
	})
}

// show prints words, equal ones together.
func show(ws []uint32) string {
	var b strings.Builder
	for i := 0; i < len(ws); {
		j := i
		for j < len(ws) && ws[j] == ws[i] {
			j++
		}
		if j-i > 1 {
			fmt.Fprintf(&b, "%d*", j-i)
		}
		fmt.Fprintf(&b, "%#x ", ws[i])
		i = j
	}
	return strings.TrimSuffix(b.String(), " ") + "\n"
}

// TestParse gives the errors of texts in testdata/parse: of "body" the statements of a kernel, of "module" everything behind the header, of "text" all.
func TestParse(t *testing.T) {
	datadriven.Walk(t, "testdata/parse", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			text := td.Input
			switch td.Cmd {
			case "body":
				text = header + one(td.Input)
			case "module":
				text = header + td.Input
			}
			m, err := Parse("t.ptx", text)
			if err != nil {
				return err.Error() + "\n"
			}
			note(m)
			assemble(t, text)
			return fmt.Sprintf("ok: %d instructions\n", m.Instructions())
		})
	})
}
