package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ssmc/ssmc/runtime"
)

// benched is the JSON of a bench.
type benched struct {
	*runtime.Bench
	machine        string
	DecodeProfile  []runtime.PhaseTime  `json:"decode_profile,omitempty"`
	PrefillProfile []runtime.PhaseTime  `json:"prefill_profile,omitempty"`
	Saturation     []runtime.Saturation `json:"saturation,omitempty"`
}

func benchCommand() *command {
	c := &command{
		about: `Measures decoding, prefill, memory, and in the same process what the machine could do: its read bandwidth (the best of many windows of 1 GiB, vector loads) and its
multiply-adds from registers, with as many threads. Of a GPU: its read bandwidth (128-bit loads through 24 times its cache), and its tensor cores' peak from a table; its decoding is queued as in run, --ahead steps at once. decode_tokens_per_s and prefill_tokens_per_s are the best of the repeats; the medians stand beside them.`,
		examples: []string{
			"ssmc bench out --threads 2",
			"ssmc bench out --batch 16 --prompt 32 --json",
			"ssmc bench out --profile --trace steps.json",
		},
	}
	var o runtime.BenchOptions
	g := c.flags("what")
	g.IntVar(&o.Prompt, "prompt", 512, "`tokens` of the prefill")
	g.IntVar(&o.Generate, "generate", 32, "`steps` of decoding")
	g.IntVar(&o.Batch, "batch", 1, "`sequences` that are decoded together; decode_tokens_per_s counts all of them")
	g.IntVar(&o.Repeat, "repeat", 5, "`runs`")
	g.IntVar(&o.Ahead, "ahead", 0, aheadUsage+". With 1 each step brings its logits, with more only the chosen tokens")
	look := c.flags("looking inside")
	profile := look.Bool("profile", false, "print where the time goes, phase by phase")
	trace := look.String("trace", "", "write the steps to a `file` for chrome://tracing or Perfetto")
	asJSON := c.jsonFlag(look)
	var options machineOptions
	machineFlags(c, &options)
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "DIR"); err != nil {
			return err
		}
		if o.Prompt < 1 || o.Generate < 1 || o.Batch < 1 || o.Repeat < 1 || o.Batch > 1<<16 {
			return usagef("--prompt, --generate, --batch and --repeat are 1 or more, --batch at most 65536")
		}
		if err := checkAhead(o.Ahead); err != nil {
			return err
		}
		o.Progress = func(stage string, done, total int) { t.stage(stage, int64(done), int64(total)) }
		b, err := bench(ctx, t, args[0], o, options, *profile, *trace)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(t, b)
		}
		if err := b.print(t); err != nil {
			return err
		}
		return showSaturation(t, t.stdout, b.Saturation)
	}
	return c
}

func bench(ctx context.Context, t *terminal, dir string, o runtime.BenchOptions, options machineOptions, profile bool, trace string) (*benched, error) {
	start := time.Now()
	m, err := openModel(dir, options)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	b := &benched{machine: m.Machine()}
	b.Bench, err = m.Bench(ctx, o, time.Since(start))
	b.Saturation = m.Saturation()
	if err != nil || !profile && trace == "" {
		return b, err
	}
	t.stage("profiling", 0, 0)
	p, err := m.Profile(ctx, o)
	if err != nil {
		return nil, err
	}
	if profile {
		b.DecodeProfile, b.PrefillProfile = p.Table(false), p.Table(true)
	}
	if trace != "" {
		err = writeFile(trace, p.WriteChrome)
	}
	return b, err
}

func (b *benched) decoding() string {
	text := fmt.Sprintf("%.1f tokens/s (median %.1f), %d at a time", b.DecodeRate, b.DecodeMedian, b.Batch)
	if b.Ahead > 1 {
		text += fmt.Sprintf(", %d steps queued at once", b.Ahead)
	}
	return text
}

func (b *benched) arithmetic() string {
	if b.MachinePeak == 0 {
		return fmt.Sprintf("%.1f GFLOP/s; the peak of this GPU is not known", b.PrefillGflops)
	}
	return fmt.Sprintf("%.1f GFLOP/s, %.0f %% of the %.1f that this machine makes (%s)", b.PrefillGflops, 100*b.PeakShare, b.MachinePeak, b.PeakOf)
}

func (b *benched) print(t *terminal) error {
	rows := [][]string{
		{"model", b.Model},
		{"machine", b.machine},
		{"decode", b.decoding()},
		{"bandwidth", fmt.Sprintf("%.1f GB/s of weights, %.0f %% of the %.1f GB/s that this machine reads", b.Bandwidth, 100*b.BandwidthShare, b.MachineBandwidth)},
		{"prefill", fmt.Sprintf("%.1f tokens/s (median %.1f), prompt of %d", b.PrefillRate, b.PrefillMedian, b.Prompt)},
		{"arithmetic", b.arithmetic()},
		{"load", fmt.Sprintf("%.1f ms", b.LoadMillis)},
		{"peak memory", size(b.PeakMemory)},
	}
	if b.DeviceMem > 0 {
		rows = append(rows, []string{"device memory", size(b.DeviceMem)})
	}
	if err := t.table(rows); err != nil {
		return err
	}
	for _, p := range []struct {
		title string
		table []runtime.PhaseTime
	}{{"a step of decoding", b.DecodeProfile}, {"a step of the prefill", b.PrefillProfile}} {
		if p.table == nil {
			continue
		}
		rows := [][]string{{"", "", "", "", ""}, {p.title, "phases", "ms", "share", "GB/s"}}
		for _, x := range p.table {
			rows = append(rows, []string{x.Name, fmt.Sprint(x.Count), fmt.Sprintf("%.3f", x.Millis), fmt.Sprintf("%.1f %%", 100*x.Share), fmt.Sprintf("%.1f", x.GBs)})
		}
		if err := t.table(rows); err != nil {
			return err
		}
	}
	return nil
}
