package passes

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/ir"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata, and docs/passes.md")

func TestMain(m *testing.M) {
	flag.Parse()
	if *update {
		flag.Set("rewrite", "true")
	}
	os.Setenv("SSMC_CHECK", "1") // every run of the pipeline in these tests evaluates before and after each pass
	os.Exit(m.Run())
}

// TestPasses runs graph text through passes and compares what they report and what they leave.
//
//	pass name=fuse-scan [expect | expect-not] [quiet]
//
// name may be a list: the ones before the last prepare. expect wants the last pass to fire, expect-not wants it not to.
// quiet leaves the graph out of the expected text.
func TestPasses(t *testing.T) {
	datadriven.Walk(t, "testdata/passes", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "pass" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			m, err := ir.Parse(d.Input)
			if err != nil {
				return err.Error() + "\n"
			}
			var names []string
			for _, arg := range d.CmdArgs {
				if arg.Key == "name" {
					names = arg.Vals
				}
			}
			before := ir.Print(m)
			report, err := Run(m, Options{Passes: names, Seed: 7})
			if err != nil {
				return err.Error() + "\n"
			}
			last := report.Passes[len(report.Passes)-1]
			if d.HasArg("expect") && last.FiredCount() == 0 {
				t.Errorf("%s: %s did not fire", d.Pos, last.Pass.Name)
			}
			if d.HasArg("expect-not") && last.FiredCount() > 0 {
				t.Errorf("%s: %s fired", d.Pos, last.Pass.Name)
			}
			var b strings.Builder
			for _, e := range last.Events {
				fmt.Fprintln(&b, e)
			}
			switch after := ir.Print(m); {
			case after == before:
				b.WriteString("unchanged\n")
			case !d.HasArg("quiet"):
				b.WriteString(after)
			}
			return b.String()
		})
	})
}
