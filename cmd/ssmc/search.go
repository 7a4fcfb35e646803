package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/sensitivity"
	"github.com/ssmc/ssmc/tokenizer"
)

// searchFlags are what a search is asked for.
type searchFlags struct {
	compile.Options
	text, smaller, output string
	windows, window       int
	budget                sensitivity.Budget
	asJSON                bool
}

func searchCommand() *command {
	c := &command{
		about: `Searches for a scheme and writes it as a file that compile takes.
percentile: the observer of ssm.u in each layer (amax, percentiles, mse) that changes what the layer gives least, kept if the predictions come nearer.
mixed: layers are stored as a smaller scheme has them, those first that cost the least divergence for each byte saved, until the weights fit into --max-bytes
or the mean KL reaches --max-kl. The text is one that the calibration is not of.`,
		examples: []string{
			"ssmc search percentile ./mamba-130m --calibration 130m.calib --text valid.txt -o better-u.json",
			"ssmc search mixed ./mamba-130m --calibration text.txt --text valid.txt --max-kl 0.01 -o mixed.json",
			"ssmc compile ./mamba-130m -o out4 --scheme mixed.json --calibration text.txt",
		},
	}
	var s searchFlags
	g := c.flags("what")
	g.StringVar(&s.text, "text", "", "`file` with the text that schemes are judged by")
	g.StringVarP(&s.output, "output", "o", "", "scheme `file` to write; its name is the scheme's")
	g.IntVar(&s.window, "window", 256, "`tokens` in a window of the text")
	g.IntVar(&s.windows, "windows", studyWindows, "how `many` windows, spread evenly over the text")
	g.BoolVar(&s.asJSON, "json", false, "print JSON")
	quantizationFlags(c, &s.Options)
	m := c.flags("mixed precision")
	m.StringVar(&s.smaller, "smaller", "quamba2-w4a8", "`scheme` of the layers that are made smaller; it has the rotations of --scheme")
	m.Int64Var(&s.budget.Bytes, "max-bytes", 0, "most `bytes` of all weights; 0: no limit")
	m.Float64Var(&s.budget.KL, "max-kl", 0, "largest mean `KL`, in nats; 0: no limit")
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 2, 2, "percentile or mixed, and MODEL"); err != nil {
			return err
		}
		if err := s.check(args[0]); err != nil {
			return err
		}
		return s.search(ctx, t, args[0], args[1])
	}
	return c
}

func (s *searchFlags) check(kind string) error {
	if kind != "percentile" && kind != "mixed" {
		return usagef("%.40q is no search\n  fix: use percentile or mixed", kind)
	}
	if s.Scheme == "" {
		s.Scheme = quant.DefaultScheme
	}
	if s.text == "" || s.output == "" || s.windows < 1 || s.window < 2 {
		return usagef("search needs --text FILE and -o FILE, and --windows of 2 tokens or more")
	}
	if kind == "mixed" && s.budget.Bytes <= 0 && !(s.budget.KL > 0) {
		return usagef("search mixed needs an end: --max-bytes or --max-kl")
	}
	return checkQuantization(&s.Options)
}

// search runs one and writes what it found.
func (s *searchFlags) search(ctx context.Context, t *terminal, kind, model string) error {
	s.Model, s.Progress = model, t.stage
	scaled, err := compile.Scale(ctx, s.Options)
	if err != nil {
		return err
	}
	defer scaled.Close()
	for _, w := range scaled.Warnings {
		t.warn(w)
	}
	o := sensitivity.Options{Base: sensitivity.Base(s.Scheme), Progress: t.stage}
	if o.Windows, err = s.cut(scaled.Dir); err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(s.output), filepath.Ext(s.output))
	if kind == "percentile" {
		found, file, err := sensitivity.Percentiles(ctx, scaled, name, o)
		if err == nil {
			err = s.write(file)
		}
		if err != nil {
			return err
		}
		return s.showFound(t, found)
	}
	smaller, err := quant.LoadScheme(s.smaller)
	if err != nil {
		return err
	}
	found, file, err := sensitivity.Mix(ctx, scaled, smaller, name, s.budget, o)
	if err == nil {
		err = s.write(file)
	}
	if err != nil {
		return err
	}
	return s.showMixed(t, found)
}

// cut reads the windows that schemes are judged by.
func (s *searchFlags) cut(model string) ([][]int32, error) {
	var d *calibrate.Data
	var err error
	if calibrate.IsIDs(s.text) {
		d, err = calibrate.ReadIDs(s.text, s.windows, s.window, false)
	} else {
		var tok *tokenizer.Tokenizer
		if tok, err = tokenizer.Load(filepath.Join(model, artifact.TokenizerFile)); err == nil {
			d, err = calibrate.ReadText(s.text, tok, s.windows, s.window, false)
		}
	}
	if err != nil {
		return nil, err
	}
	return d.Windows, nil
}

func (s *searchFlags) write(f *quant.SchemeFile) error {
	text, err := f.JSON()
	if err != nil {
		return err
	}
	return os.WriteFile(s.output, text, 0o666)
}

func (s *searchFlags) showFound(t *terminal, f *sensitivity.Found) error {
	if s.asJSON {
		return printJSON(t, f)
	}
	head := []string{"layer"}
	for _, x := range f.Choices[0].Tried {
		head = append(head, x.Observer)
	}
	rows := [][]string{append(head, "best")}
	for _, c := range f.Choices {
		row := []string{fmt.Sprint(c.Layer)}
		for _, x := range c.Tried {
			row = append(row, fmt.Sprintf("%.1f dB", x.Output))
		}
		best := c.Tried[c.Best].Observer
		if c.Kept {
			best += ", kept"
		}
		rows = append(rows, append(row, best))
	}
	rows = append(rows, []string{"before", distanceLine(f.Before)}, []string{"after", distanceLine(f.After)}, []string{"written", s.output})
	return t.table(rows)
}

// distanceLine says in a line how far a model is from the float one.
func distanceLine(d compare.Distance) string {
	return fmt.Sprintf("KL mean %.6f, perplexity ratio %.5f, logits %.1f dB", d.KL, d.Ratio, d.SQNR)
}

func (s *searchFlags) showMixed(t *terminal, m *sensitivity.Mixed) error {
	if s.asJSON {
		return printJSON(t, m)
	}
	rows := [][]string{{"layer", "saves", "adds KL"}}
	for _, x := range m.Order {
		rows = append(rows, []string{fmt.Sprint(x.Layer), size(x.Saved), fmt.Sprintf("%.6f", x.KL)})
	}
	rows = append(rows,
		[]string{"smaller", fmt.Sprint(m.Smaller)},
		[]string{"weights", fmt.Sprintf("%s, before %s", size(m.Bytes), size(m.Base))},
		[]string{"found", distanceLine(m.Found)},
		[]string{"written", s.output})
	return t.table(rows)
}
