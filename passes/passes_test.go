package passes

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/internal/goldentest"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

func TestMain(m *testing.M) {
	goldentest.Parse()
	os.Setenv("SSMC_CHECK", "1") // every run of the pipeline in these tests evaluates before and after each pass
	os.Exit(m.Run())
}

// TestPasses runs graph text through passes and compares what they report and what they leave.
//
//	pass name=fuse-scan [expect | expect-not] [quiet]
//
// name may be a list: the ones before the last prepare. expect wants the last pass to fire, expect-not wants it not to.
// quiet leaves the graph out of the expected text. Before the graph may stand the lines of a scheme, and lines of scales:
//
//	extends: w8a8
//	scale layers.0.norm.out 0.02
//	most layers.0.norm.out 1 2 1 1
//	order 1 1 0: 2 3 1 0
func TestPasses(t *testing.T) {
	datadriven.Walk(t, "testdata/passes", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "pass" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			o := Options{Seed: 7}
			m, err := ir.Parse(o.takeScheme(t, d.Input))
			if err != nil {
				return err.Error() + "\n"
			}
			for _, arg := range d.CmdArgs {
				if arg.Key == "name" {
					o.Passes = arg.Vals
				}
			}
			before := ir.Print(m)
			report, err := Run(m, o)
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
			if last.Idle != "" {
				fmt.Fprintf(&b, "did nothing: %s\n", last.Idle)
			}
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

// takeScheme reads a scheme and scales that stand before a graph, and returns the graph.
func (o *Options) takeScheme(t *testing.T, text string) string {
	t.Helper()
	at := strings.Index(text, "module ")
	var scheme []string
	for _, line := range strings.Split(strings.TrimSpace(text[:max(at, 0)]), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "" {
			continue
		}
		if word != "scale" && word != "most" && word != "order" {
			scheme = append(scheme, line)
			continue
		}
		if o.Scales == nil {
			o.Scales = &Scales{Values: map[string][]float32{}, Most: map[string][]float32{}, Orders: map[int]Order{}}
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue // there are scales, but none
		}
		var list []float32
		for _, f := range strings.Fields(strings.ReplaceAll(strings.Join(fields[1:], " "), ":", " ")) {
			v, err := strconv.ParseFloat(f, 32)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, float32(v))
		}
		switch word {
		case "most":
			o.Scales.Most[fields[0]] = list
		case "order":
			o.takeOrder(t, fields)
		default:
			o.Scales.Values[fields[0]] = list
		}
	}
	if len(scheme) > 0 {
		s, err := quant.ParseScheme("test.yaml", "", []byte("scheme: test\n"+strings.Join(scheme, "\n")+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		o.Scheme = s
	}
	return text[max(at, 0):]
}

// takeOrder reads a layer's order of heads and, behind a colon, of channels.
func (o *Options) takeOrder(t *testing.T, fields []string) {
	t.Helper()
	numbers := make([]int, 0, len(fields))
	heads := len(fields) - 1
	for i, f := range fields {
		n, err := strconv.Atoi(strings.TrimSuffix(f, ":"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, ":") {
			heads = i
		}
		numbers = append(numbers, n)
	}
	o.Scales.Orders[numbers[0]] = Order{Heads: numbers[1 : 1+heads], Channels: numbers[1+heads:]}
}
