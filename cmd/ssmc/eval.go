package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/sensitivity"
	"github.com/ssmc/ssmc/tokenizer"
)

// evaluated is the JSON of an eval.
type evaluated struct {
	Perplexity  float64                           `json:"perplexity"` // of the first mode
	BitsPerByte float64                           `json:"bits_per_byte"`
	Tokens      int                               `json:"tokens"`      // scored
	TextTokens  int                               `json:"text_tokens"` // of the whole text
	Bytes       int                               `json:"bytes"`       // of the scored tokens
	Window      int                               `json:"window"`
	Stride      int                               `json:"stride"`
	Modes       map[compare.Mode]compare.Distance `json:"modes"`
	Greedy      *compare.Departure                `json:"greedy,omitempty"`
	Study       *sensitivity.Study                `json:"study,omitempty"`
	Saturation  []runtime.Saturation              `json:"saturation,omitempty"` // of an artefact that counts
	Short       []string                          `json:"short,omitempty"`      // the limits that were missed
}

// evalFlags are what an eval is asked for.
type evalFlags struct {
	text, against, mode     string
	window, stride, windows int
	maxKL, maxRatio         float64
	maxSaturation           float64
	asJSON                  bool
	machine                 machineOptions
	layer                   layerFlags
}

func evalCommand() *command {
	c := &command{
		about: `Perplexity of a text, and with --against how far a quantized model is from the float one: both run side by side, and no file of logits is written.
The text is cut into windows, each run from the empty state; a window's first token, which has nothing before it, is not scored, nor is what a window
before has scored (a stride below the window), nor a rest at the end that fills no window. bits_per_byte is over the bytes of the scored tokens.
KL is that of the float model's distribution from the other's, in nats a token; SQNR is that of the logits. Exit code 3 if a limit is missed.`,
		examples: []string{
			"ssmc eval out --text valid.txt",
			"ssmc eval out --text valid.txt --window 1024 --stride 256 --json",
			"ssmc eval out8 --text valid.txt --against out --mode both --max-kl 0.01 --max-ppl-ratio 1.01",
			"ssmc eval out8 --text valid.txt --layers --html page.html --checkpoint ./mamba-130m --calibration 130m.calib",
		},
	}
	var e evalFlags
	g := c.flags("what")
	g.StringVar(&e.text, "text", "", "`file` with the text, UTF-8")
	g.IntVar(&e.window, "window", 512, "`tokens` in a window")
	g.IntVar(&e.stride, "stride", 0, "`tokens` from one window to the next; 0: the window")
	g.IntVar(&e.windows, "windows", 0, "only so `many` windows, spread evenly over the text; 0: all")
	g.StringVar(&e.mode, "mode", "prefill", "how windows are run: prefill (as prompts), decode (one token a step), both")
	g.StringVar(&e.against, "against", "", "`folder` of the float model to compare with")
	g.BoolVar(&e.asJSON, "json", false, "print JSON")
	limits := c.flags("limits")
	limits.Float64Var(&e.maxKL, "max-kl", 0, "largest allowed mean `KL`, in nats, from the model of --against; 0: none")
	limits.Float64Var(&e.maxRatio, "max-ppl-ratio", 0, "largest allowed `ratio` of the perplexities, with --against; 0: none")
	limits.Float64Var(&e.maxSaturation, "max-saturation", 0, "largest allowed `share` of clamped values of a tensor, of an artefact that counts them; 0: none")
	e.layer.register(c)
	machineFlags(c, &e.machine)
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "DIR"); err != nil {
			return err
		}
		if err := e.check(); err != nil {
			return err
		}
		if _, err := e.layer.wanted(); err != nil {
			return err
		}
		r, err := e.evaluate(ctx, t, args[0])
		if err != nil {
			return err
		}
		if e.layer.html != "" {
			if err := writePage(e.layer.html, r.Study); err != nil {
				return err
			}
		}
		if e.asJSON {
			err = printJSON(t, r)
			warnSaturation(t, r.Saturation)
		} else if err = r.print(t, &e); err == nil {
			err = showSaturation(t, t.stdout, r.Saturation)
		}
		if err == nil && len(r.Short) > 0 {
			return errShort
		}
		return err
	}
	return c
}

func (e *evalFlags) check() error {
	if e.stride == 0 {
		e.stride = e.window
	}
	if e.text == "" || e.window < 2 || e.stride < 1 || e.stride > e.window {
		return usagef("eval needs --text FILE, a --window of 2 tokens or more, and a --stride from 1 to the window")
	}
	if e.windows < 0 || e.windows > 0 && e.stride != e.window {
		return usagef("--windows %d: it must be 1 or more, and does not go with --stride", e.windows)
	}
	if e.mode != "prefill" && e.mode != "decode" && e.mode != "both" {
		return usagef("--mode %.40q is unknown\n  fix: use prefill, decode or both", e.mode)
	}
	if (e.maxKL != 0 || e.maxRatio != 0) && e.against == "" {
		return usagef("--max-kl and --max-ppl-ratio compare with a float model\n  fix: add --against DIR")
	}
	if !(e.maxKL >= 0) || !(e.maxRatio >= 0) || !(e.maxSaturation >= 0) {
		return usagef("--max-kl, --max-ppl-ratio and --max-saturation must not be negative")
	}
	return nil
}

// evaluate runs the model, and the one it is compared with.
func (e *evalFlags) evaluate(ctx context.Context, t *terminal, dir string) (*evaluated, error) {
	m, err := openModel(dir, e.machine)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var float *runtime.Model
	if e.against != "" {
		if float, err = openBeside(e.against, e.machine); err != nil {
			return nil, err
		}
		defer float.Close()
	}
	if e.maxSaturation > 0 && len(m.Manifest.Counters) == 0 {
		return nil, fmt.Errorf("%s does not count clamped values\n  fix: compile it with --count-saturation", dir)
	}
	tokens, err := tokenizer.Load(filepath.Join(dir, artifact.TokenizerFile))
	if err != nil {
		return nil, err
	}
	r := &evaluated{Window: e.window, Stride: e.stride, Modes: map[compare.Mode]compare.Distance{}}
	windows, err := e.cut(tokens, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.text, err)
	}
	first := true
	for _, mode := range []compare.Mode{compare.Prefill, compare.Decode} {
		if e.mode != "both" && e.mode != string(mode) {
			continue
		}
		d, err := compare.Run(ctx, m, float, windows, mode, func(done, total int) { t.stage("scoring, "+string(mode), int64(done), int64(total)) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.text, err)
		}
		r.Modes[mode] = d
		if first {
			r.Perplexity, r.Tokens, first = d.Perplexity, d.Tokens, false
			r.BitsPerByte = math.Log2(d.Perplexity) * float64(d.Tokens) / float64(max(r.Bytes, 1))
		}
		e.hold(mode, d, r)
	}
	r.Saturation = m.Saturation()
	e.holdSaturation(r)
	if float != nil {
		t.stage("greedy output", 0, 0)
		if r.Greedy, err = compare.Greedy(ctx, m, float, windows); err != nil {
			return nil, err
		}
	}
	if e.layer.layers {
		r.Study, err = e.layer.study(ctx, t, dir, tokens, e.text, e.windows, e.window)
	}
	return r, err
}

// hold compares with the limits.
func (e *evalFlags) hold(mode compare.Mode, d compare.Distance, r *evaluated) {
	if e.maxKL > 0 && !(d.KL <= e.maxKL) {
		r.Short = append(r.Short, fmt.Sprintf("%s: mean KL %.5f is above %v", mode, d.KL, e.maxKL))
	}
	if e.maxRatio > 0 && !(d.Ratio <= e.maxRatio) {
		r.Short = append(r.Short, fmt.Sprintf("%s: perplexity ratio %.5f is above %v", mode, d.Ratio, e.maxRatio))
	}
}

// holdSaturation compares what was clamped with its limit.
func (e *evalFlags) holdSaturation(r *evaluated) {
	for _, s := range r.Saturation {
		if e.maxSaturation > 0 && !(s.Share <= e.maxSaturation) {
			r.Short = append(r.Short, fmt.Sprintf("%s: %.3g %% of its values were clamped, above %.3g %%", s.Tensor, 100*s.Share, 100*e.maxSaturation))
		}
	}
}

// cut reads the text and cuts it into windows.
func (e *evalFlags) cut(tokens *tokenizer.Tokenizer, r *evaluated) ([]compare.Window, error) {
	text, err := os.ReadFile(e.text)
	if err != nil {
		return nil, err
	}
	ids, err := tokens.Encode(string(text), true)
	if err != nil {
		return nil, err
	}
	r.TextTokens = len(ids)
	if e.windows > 0 {
		d, err := calibrate.Cut(ids, e.windows, e.window, false)
		if err != nil {
			return nil, err
		}
		var list []compare.Window
		for _, w := range d.Windows {
			list = append(list, compare.Window{IDs: w, Score: 1})
			r.Bytes += len(tokens.Decode(append([]int32(nil), w[1:]...), false))
		}
		return list, nil
	}
	list, scored, err := compare.Windows(ids, e.window, e.stride)
	for from := 0; from < len(scored); { // each run of scored tokens as a text
		to := from + 1
		for to < len(ids) && scored[to] == scored[from] {
			to++
		}
		if scored[from] {
			r.Bytes += len(tokens.Decode(append([]int32(nil), ids[from:to]...), false))
		}
		from = to
	}
	return list, err
}

// print writes the table.
func (r *evaluated) print(t *terminal, e *evalFlags) error {
	rows := [][]string{
		{"perplexity", fmt.Sprintf("%.4f", r.Perplexity)},
		{"bits per byte", fmt.Sprintf("%.5f", r.BitsPerByte)},
		{"tokens", fmt.Sprintf("%d scored of %d, in windows of %d every %d", r.Tokens, r.TextTokens, r.Window, r.Stride)},
	}
	if e.windows > 0 {
		rows[2][1] = fmt.Sprintf("%d scored of %d, in %d windows of %d", r.Tokens, r.TextTokens, e.windows, r.Window)
	}
	for _, mode := range []compare.Mode{compare.Prefill, compare.Decode} {
		d, ok := r.Modes[mode]
		if !ok || e.against == "" && e.mode != "both" {
			continue
		}
		line := fmt.Sprintf("perplexity %.4f", d.Perplexity)
		if e.against != "" {
			line += fmt.Sprintf(", float %.4f, ratio %.5f; KL mean %.6f, 99 %% below %.5f; top-1 agrees %.2f %%; logits %.1f dB",
				d.FloatPerplexity, d.Ratio, d.KL, d.KL99, 100*d.Top1, d.SQNR)
		}
		rows = append(rows, []string{string(mode), line})
	}
	if g := r.Greedy; g != nil {
		line := fmt.Sprintf("%d continuations of %d tokens: the first to differ does so after %d, half of them after %d", g.Prompts, g.Tokens, g.First, g.Median)
		if g.First == g.Tokens {
			line = fmt.Sprintf("%d continuations of %d tokens are all equal", g.Prompts, g.Tokens)
		}
		rows = append(rows, []string{"greedy output", line})
	}
	for _, s := range r.Short {
		rows = append(rows, []string{"FAIL", s})
	}
	if err := t.table(rows); err != nil || r.Study == nil {
		return err
	}
	fmt.Fprintln(t.stdout)
	return printStudy(t, r.Study)
}
