package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/tokenizer"
)

// runFlags are the flags of run.
type runFlags struct {
	tokens    int
	sampling  runtime.Sampling
	ahead     int
	ignoreEOS bool
	ids       string
	state     string
	input     string
	output    string
	options   machineOptions
	json      bool
}

func runCommand() *command {
	c := &command{
		about: `Continues a text. What the model adds goes to stdout as it is made. A PROMPT of "-" is read from stdin; without one the model's begin token is the prompt.
With --state the sequence goes on where the file was saved, and is saved again at the end.
With --input tensors go in and out: input_ids, one row or a batch, gives logits, and with --tokens also generated_ids, continued greedily.`,
		examples: []string{
			`ssmc run out "Once upon a time" --tokens 100 --temperature 0.8 --top-p 0.95`,
			`ssmc run out "And then" --state story.state`,
			`ssmc run out --input ids.npy -o logits.safetensors`,
		},
	}
	var f runFlags
	text := c.flags("generation")
	text.IntVarP(&f.tokens, "tokens", "n", 128, "most `tokens` to generate (with --input: 0)")
	text.Float64Var(&f.sampling.Temperature, "temperature", 0, "0: always the likeliest token; 1: as likely as the model says")
	text.IntVar(&f.sampling.TopK, "top-k", 0, "only the `k` likeliest tokens; 0: all")
	text.Float64Var(&f.sampling.TopP, "top-p", 1, "only the likeliest tokens that together have probability `p`")
	text.Uint64Var(&f.sampling.Seed, "seed", 0, "`number` that the random choices follow from")
	text.IntVar(&f.ahead, "ahead", 0, aheadUsage+". The text is the same for all numbers")
	text.BoolVar(&f.ignoreEOS, "ignore-eos", false, "go on at the token that ends a text")
	text.StringVar(&f.ids, "ids", "", "prompt as token `ids` with commas between; the output is ids too")
	text.StringVar(&f.state, "state", "", "`file` with the state of the sequence: read if it is there, written at the end")
	tensors := c.flags("tensors")
	tensors.StringVar(&f.input, "input", "", "`file` with input_ids, .safetensors or .npy")
	tensors.StringVarP(&f.output, "output", "o", "", "`file` for the results, .safetensors")
	machineFlags(c, &f.options)
	f.jsonInto(c)
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 2, "DIR [PROMPT]"); err != nil {
			return err
		}
		if f.input != "" || f.output != "" {
			return runTensors(ctx, t, &f, args, c)
		}
		return runText(ctx, t, &f, args)
	}
	return c
}

func (f *runFlags) jsonInto(c *command) {
	c.flags("output").BoolVar(&f.json, "json", false, "print JSON when all is done")
}

// runTensors is run with --input.
func runTensors(ctx context.Context, t *terminal, f *runFlags, args []string, c *command) error {
	switch {
	case f.input == "" || f.output == "":
		return usagef("--input and -o belong together: tensors in, tensors out")
	case len(args) > 1 || f.ids != "" || f.state != "":
		return usagef("--input takes no prompt and no state")
	case f.tokens < 0:
		return usagef("--tokens %d is negative", f.tokens)
	}
	if !c.changed("tokens") {
		f.tokens = 0
	}
	m, err := openModel(args[0], f.options)
	if err != nil {
		return err
	}
	defer m.Close()
	prompts, err := runtime.ReadPrompts(f.input)
	if err != nil {
		return err
	}
	t.stage("running", 0, 0)
	out, err := m.Evaluate(ctx, prompts.Rows, f.tokens)
	if err != nil {
		return err
	}
	defer out.Free()
	if err := loader.Write(f.output, out.Tensors(prompts.Batch, m.Manifest.Model.Vocab), nil); err != nil {
		return err
	}
	t.note("written: %s", f.output)
	return showSaturation(t, t.stderr, m.Saturation())
}

// changed says whether a flag was given.
func (c *command) changed(name string) bool {
	for _, g := range c.groups {
		if g.Changed(name) {
			return true
		}
	}
	return false
}

// generated is the JSON of a run.
type generated struct {
	Text   string  `json:"text,omitempty"`
	IDs    []int32 `json:"ids"`
	Prompt int     `json:"prompt_tokens"`
	Rate   float64 `json:"tokens_per_s"` // from the first generated token on

	Saturation []runtime.Saturation `json:"saturation,omitempty"` // of an artefact that counts
}

// runText is run with text, or with ids as text.
func runText(ctx context.Context, t *terminal, f *runFlags, args []string) error {
	if err := f.sampling.Check(); err != nil {
		return usageError{err}
	}
	if err := checkAhead(f.ahead); err != nil {
		return err
	}
	if f.tokens < 0 || f.ids != "" && len(args) > 1 {
		return usagef("--tokens must not be negative, and --ids takes no PROMPT")
	}
	m, err := openModel(args[0], f.options)
	if err != nil {
		return err
	}
	defer m.Close()
	g := &generator{m: m, f: f, t: t}
	if err := g.open(args[0]); err != nil {
		return err
	}
	if err := g.prompt(args[1:]); err != nil {
		return err
	}
	return g.run(ctx)
}

// generator is one run of text.
type generator struct {
	m      *runtime.Model
	f      *runFlags
	t      *terminal
	tokens *tokenizer.Tokenizer // nil with --ids
	slot   *runtime.Slot
	ids    []int32 // to be taken in
	out    []int32
	text   strings.Builder
	first  time.Time
}

// open gets the tokenizer, and the state where there is one.
func (g *generator) open(dir string) error {
	var err error
	if g.f.ids == "" {
		path := filepath.Join(dir, artifact.TokenizerFile)
		if g.tokens, err = tokenizer.Load(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s has no %s, so it takes no text\n  fix: give token ids with --ids or --input, or put the tokenizer beside the checkpoint and compile again", dir, artifact.TokenizerFile)
		} else if err != nil {
			return err
		}
	}
	if g.slot, err = g.m.NewSlot(); err != nil {
		return err
	}
	if g.f.state == "" {
		return nil
	}
	g.ids, err = g.slot.Load(g.f.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// prompt puts the prompt behind what was pending.
func (g *generator) prompt(args []string) error {
	switch {
	case g.f.ids != "":
		for _, word := range strings.Split(g.f.ids, ",") {
			id, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
			if err != nil {
				return usagef("--ids: %.40q is no token id", word)
			}
			g.ids = append(g.ids, int32(id))
		}
	case len(args) == 1:
		text := args[0]
		if text == "-" {
			data, err := io.ReadAll(os.Stdin)
			if err != nil {
				return err
			}
			text = string(data)
		}
		ids, err := g.tokens.Encode(text, g.slot.Tokens() == 0)
		if err != nil {
			return err
		}
		g.ids = append(g.ids, ids...)
	}
	if bos := g.m.Manifest.Model.BOS; len(g.ids) == 0 && g.slot.Tokens() == 0 && bos >= 0 {
		g.ids = []int32{int32(bos)}
	}
	if len(g.ids) == 0 {
		return usagef("there is no prompt, and the model has no token that begins a text\n  fix: give a PROMPT")
	}
	return nil
}

func (g *generator) run(ctx context.Context) error {
	var stop []int32
	if !g.f.ignoreEOS {
		stop = g.m.EndTokens()
	}
	var stream *tokenizer.Stream
	if g.tokens != nil {
		stream = g.tokens.NewStream(true)
	}
	emit := func(id int32) error {
		if g.first.IsZero() {
			g.first = time.Now()
		}
		g.out = append(g.out, id)
		if stream == nil {
			return nil
		}
		return g.write(stream.Next(id))
	}
	prompt := len(g.ids)
	pending, err := g.m.Generate(ctx, g.slot, g.ids, runtime.Generation{Tokens: g.f.tokens, Sampling: g.f.sampling, Stop: stop, Ahead: g.f.ahead}, emit)
	rate := 0.0
	if len(g.out) > 1 {
		rate = float64(len(g.out)-1) / time.Since(g.first).Seconds()
	}
	if stream != nil && err == nil {
		err = g.write(stream.Flush())
	}
	if err != nil {
		return err
	}
	if err := g.finish(prompt, rate); err != nil {
		return err
	}
	if g.f.state != "" {
		return g.slot.Save(g.f.state, pending)
	}
	return nil
}

func (g *generator) write(text string) error {
	g.text.WriteString(text)
	if g.f.json {
		return nil
	}
	_, err := io.WriteString(g.t.stdout, text)
	return err
}

func (g *generator) finish(prompt int, rate float64) error {
	if g.f.json {
		return printJSON(g.t, generated{g.text.String(), append([]int32{}, g.out...), prompt, rate, g.m.Saturation()})
	}
	line := "\n"
	if g.tokens == nil {
		words := make([]string, len(g.out))
		for i, id := range g.out {
			words[i] = strconv.Itoa(int(id))
		}
		line = strings.Join(words, ",") + "\n"
	}
	if _, err := io.WriteString(g.t.stdout, line); err != nil {
		return err
	}
	g.t.note("%d tokens, %.1f tokens/s with %s", len(g.out), rate, g.m.Machine())
	return showSaturation(g.t, g.t.stderr, g.m.Saturation())
}
