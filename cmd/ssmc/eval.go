package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/tokenizer"
)

// evaluated is the JSON of an eval.
type evaluated struct {
	Perplexity  float64 `json:"perplexity"`
	BitsPerByte float64 `json:"bits_per_byte"`
	Tokens      int     `json:"tokens"`      // scored
	TextTokens  int     `json:"text_tokens"` // of the whole text
	Bytes       int     `json:"bytes"`       // of the scored tokens
	Window      int     `json:"window"`
	Stride      int     `json:"stride"`
}

func evalCommand() *command {
	c := &command{
		about: `Perplexity of a text. It is cut into windows, each run from the empty state; a window's first token, which has nothing before it, is not scored, nor is what a window
before has scored (a stride below the window), nor a rest at the end that fills no window. bits_per_byte is over the bytes of the scored tokens.`,
		examples: []string{
			"ssmc eval out --text valid.txt",
			"ssmc eval out --text valid.txt --window 2048 --stride 2048",
			"ssmc eval out --text valid.txt --window 1024 --stride 256 --json",
		},
	}
	g := c.flags("what")
	text := g.String("text", "", "`file` with the text, UTF-8")
	window := g.Int("window", 512, "`tokens` in a window")
	stride := g.Int("stride", 0, "`tokens` from one window to the next; 0: the window")
	asJSON := c.jsonFlag(g)
	var o runtime.Options
	machineFlags(c, &o)
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "DIR"); err != nil {
			return err
		}
		if *stride == 0 {
			*stride = *window
		}
		if *text == "" || *window < 2 || *stride < 1 || *stride > *window {
			return usagef("eval needs --text FILE, a --window of 2 tokens or more, and a --stride from 1 to the window")
		}
		e, err := evaluate(ctx, t, args[0], *text, *window, *stride, o)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(t, e)
		}
		return t.table([][]string{
			{"perplexity", fmt.Sprintf("%.4f", e.Perplexity)},
			{"bits per byte", fmt.Sprintf("%.5f", e.BitsPerByte)},
			{"tokens", fmt.Sprintf("%d scored of %d, in windows of %d every %d", e.Tokens, e.TextTokens, e.Window, e.Stride)},
		})
	}
	return c
}

func evaluate(ctx context.Context, t *terminal, dir, path string, window, stride int, o runtime.Options) (*evaluated, error) {
	m, err := openModel(dir, o)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	tokens, err := tokenizer.Load(filepath.Join(dir, artifact.TokenizerFile))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ids, err := tokens.Encode(string(text), true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	score, err := m.Likelihood(ctx, ids, window, stride, func(done, total int) { t.stage("scoring", int64(done), int64(total)) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	bytes := 0
	for from := 0; from < len(ids); { // each run of scored tokens as a text
		to := from + 1
		for to < len(ids) && score.Scored[to] == score.Scored[from] {
			to++
		}
		if score.Scored[from] {
			bytes += len(tokens.Decode(slices.Clone(ids[from:to]), false))
		}
		from = to
	}
	return &evaluated{
		Perplexity: score.Perplexity(), BitsPerByte: score.Nats / math.Ln2 / float64(max(bytes, 1)), Tokens: score.Tokens,
		TextTokens: len(ids), Bytes: bytes, Window: window, Stride: stride,
	}, nil
}
