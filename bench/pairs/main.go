// Pairs times artefacts against each other, for changes that are smaller than what a shared machine's speed varies by: all are open in one process
// and do the same step in turn, and what counts is the median of the ratios within a turn.
//
//	go run ./bench/pairs DIR DIR...
//
// The first artefact is what the others are compared with. Each turn decodes with all sequences together, decodes with one, and prefills a prompt.
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/ssmc/ssmc/runtime"
)

// works are what is timed, in the order of a contender's times.
var works = [...]string{"together", "one", "prefill"}

// contender is an artefact with its sequences and the milliseconds that each work took, turn by turn.
type contender struct {
	dir   string
	model *runtime.Model
	batch []runtime.Input
	times [len(works)][]float64
}

func main() {
	rounds := pflag.Int("rounds", 40, "turns, after one that does not count")
	threads := pflag.Int("threads", 2, "of each step")
	batch := pflag.Int("batch", 16, "sequences that are decoded together")
	prompt := pflag.Int("prompt", 512, "tokens of a prefill; 0: none")
	pflag.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: pairs [flags] DIR DIR...\n%s", pflag.CommandLine.FlagUsages())
	}
	pflag.Parse()
	if pflag.NArg() == 0 || *rounds < 1 || *threads < 1 || *batch < 1 || *prompt < 0 {
		pflag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), pflag.Args(), *rounds, *threads, *batch, *prompt); err != nil {
		fmt.Fprintln(os.Stderr, "pairs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dirs []string, rounds, threads, batch, prompt int) (err error) {
	var all []*contender
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.model.Close())
		}
	}()
	for _, dir := range dirs {
		c, err := open(dir, threads, batch)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	for round := range rounds + 1 {
		for i := range all { // whoever comes first has the caches that the last one leaves
			c := all[(i+round)%len(all)]
			if err := c.turn(ctx, prompt, round > 0); err != nil {
				return fmt.Errorf("%s: %w", c.dir, err)
			}
		}
	}
	return report(all)
}

// open opens an artefact, with a slot and a first token for each sequence.
func open(dir string, threads, batch int) (*contender, error) {
	m, err := runtime.Open(dir, runtime.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	c := &contender{dir: dir, model: m}
	for i := range batch {
		slot, err := m.NewSlot()
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		c.batch = append(c.batch, runtime.Input{Slot: slot, IDs: []int32{int32(i)}, Outs: []int{0}})
	}
	return c, nil
}

// turn does each work once, behind a step that brings the artefact's weights and code back into reach.
func (c *contender) turn(ctx context.Context, prompt int, counts bool) error {
	one := c.batch[:1]
	long := []runtime.Input{{Slot: one[0].Slot, IDs: make([]int32, prompt), Outs: []int{prompt - 1}}}
	for i := range long[0].IDs {
		long[0].IDs[i] = int32(i % 97)
	}
	for work, steps := range [len(works)][][]runtime.Input{{c.batch, c.batch}, {one, one}, {long}} {
		if works[work] == "prefill" && prompt == 0 {
			continue
		}
		var last float64
		for _, in := range steps {
			start := time.Now()
			if err := c.model.Run(ctx, in, func(int, int, []float32) error { return nil }); err != nil {
				return err
			}
			last = time.Since(start).Seconds() * 1e3
		}
		if counts {
			c.times[work] = append(c.times[work], last)
		}
	}
	return nil
}

func report(all []*contender) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "artefact\twork\tbest tenth, ms\tmedian, ms\ttimes as fast as the first\ttogether over one")
	for _, c := range all {
		for work, name := range works {
			ms := c.times[work]
			if len(ms) == 0 {
				continue
			}
			over := ""
			if name == "together" {
				n := float64(len(c.batch))
				over = fmt.Sprintf("%.2f", n*quantile(ratios(c.times[1], ms), 0.5))
			}
			fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%.3f\t%s\n", c.dir, name, quantile(ms, 0.1), quantile(ms, 0.5), quantile(ratios(all[0].times[work], ms), 0.5), over)
		}
	}
	return w.Flush()
}

// ratios divides turn by turn.
func ratios(x, y []float64) []float64 {
	r := make([]float64, len(x))
	for i := range r {
		r[i] = x[i] / y[i]
	}
	return r
}

func quantile(x []float64, q float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[int(math.Round(q*float64(len(x)-1)))]
}
