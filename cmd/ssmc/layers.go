package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/sensitivity"
	"github.com/ssmc/ssmc/tokenizer"
)

// layerFlags are those of eval about single layers and tensors.
type layerFlags struct {
	layers           bool
	html, checkpoint string
	compile.Options
}

func (l *layerFlags) register(c *command) {
	g := c.flags("by layer (the model is compiled again, with parts of it quantized)")
	g.BoolVar(&l.layers, "layers", false, "what each layer and each tensor loses alone, and what errors come to")
	g.StringVar(&l.html, "html", "", "write this as one page with pictures to a `file`")
	g.StringVar(&l.checkpoint, "checkpoint", "", "`folder` of the checkpoint that the model was compiled from")
	g.StringVar(&l.Scheme, "scheme", "", "`scheme` of the model; default: the one that its manifest names, if it comes with ssmc")
	g.StringVar(&l.Source, "calibration", "", "`file` that its scales were made of")
	calibrationFlags(g, &l.Options)
}

// wanted says whether anything by layer was asked for, and what is missing for it.
func (l *layerFlags) wanted() (bool, error) {
	if l.html != "" {
		l.layers = true
	}
	if !l.layers {
		return false, nil
	}
	if l.checkpoint == "" {
		return true, usagef("--layers compiles parts of the model again\n  fix: add --checkpoint MODEL, and --calibration FILE if the scheme needs one")
	}
	return true, nil
}

// studyWindows is how many windows a study takes if nothing is said: each layer runs them once.
const studyWindows = 8

// study looks at single layers and tensors of the model in dir.
func (l *layerFlags) study(ctx context.Context, t *terminal, dir string, tokens *tokenizer.Tokenizer, text string, windows, length int) (*sensitivity.Study, error) {
	m, err := artifact.Read(dir)
	if err != nil {
		return nil, err
	}
	if l.Scheme == "" {
		if m.Quantization == nil {
			return nil, fmt.Errorf("%s is not quantized: there is nothing to study by layer\n  fix: give a quantized model, or --scheme", dir)
		}
		if l.Scheme = m.Quantization.Scheme; !slices.Contains(quant.BuiltinSchemes(), l.Scheme) {
			return nil, usagef("the scheme %.80q of %s does not come with ssmc\n  fix: give its file: --scheme FILE", l.Scheme, dir)
		}
	}
	raw, err := os.ReadFile(text)
	if err != nil {
		return nil, err
	}
	ids, err := tokens.Encode(string(raw), false)
	if err != nil {
		return nil, err
	}
	if windows == 0 {
		windows = studyWindows
	}
	d, err := calibrate.Cut(ids, windows, length, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	l.Model, l.Progress = l.checkpoint, t.stage
	s, err := compile.Scale(ctx, l.Options)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for _, w := range s.Warnings {
		t.warn(w)
	}
	return sensitivity.Run(ctx, s, sensitivity.Options{Base: sensitivity.Base(l.Scheme), Windows: d.Windows, Progress: t.stage})
}

// printStudy writes the tables of a study.
func printStudy(t *terminal, s *sensitivity.Study) error {
	rows := [][]string{{"layer", "KL alone", "99 % below", "logits dB", "stream dB", "bytes"}}
	for _, l := range s.Layers {
		name, stream := fmt.Sprint(l.Layer), ""
		if l.Layer == quant.Outside {
			name = "embedding, head"
		}
		if l.Stream != nil {
			stream = fmt.Sprintf("%.1f", *l.Stream)
		}
		rows = append(rows, []string{name, fmt.Sprintf("%.6f", l.KL), fmt.Sprintf("%.5f", l.KL99), fmt.Sprintf("%.1f", l.SQNR), stream,
			fmt.Sprintf("%s of %s", size(l.Bytes), size(l.FloatBytes))})
	}
	rows = append(rows, []string{"all", fmt.Sprintf("%.6f", s.Whole.KL), fmt.Sprintf("%.5f", s.Whole.KL99), fmt.Sprintf("%.1f", s.Whole.SQNR), "", ""})
	if err := t.table(rows); err != nil {
		return err
	}
	fmt.Fprintln(t.stdout)
	rows = [][]string{{"tensor", "type", "amax", "rms", "amax/rms", "clipped", "tensor dB", "layer dB"}}
	for _, x := range s.Tensors {
		output := ""
		if x.Output != nil {
			output = fmt.Sprintf("%.1f", *x.Output)
		}
		rows = append(rows, []string{x.Name, x.Type, fmt.Sprintf("%.4g", x.Amax), fmt.Sprintf("%.4g", x.RMS), fmt.Sprintf("%.1f", x.Crest),
			fmt.Sprintf("%.2g %%", 100*x.Clipped), fmt.Sprintf("%.1f", x.SQNR), output})
	}
	return t.table(rows)
}

// writePage writes the page of a study.
func writePage(path string, s *sensitivity.Study) error {
	return writeFile(path, func(w io.Writer) error { return sensitivity.WriteHTML(w, s) })
}
