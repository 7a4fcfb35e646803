package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/quant"
)

// quantizationFlags are those of the commands that make scales.
func quantizationFlags(c *command, o *compile.Options) {
	g := c.flags("quantization")
	g.StringVar(&o.Scheme, "scheme", "", "what is stored as codes: a `scheme` file, or one of "+strings.Join(quant.BuiltinSchemes(), ", "))
	g.StringVar(&o.Source, "calibration", "", "`file` that scales are made of: a text, token ids (.safetensors, .npy), or a calibration file")
	g.StringVar(&o.Save, "save-calibration", "", "calibration `file` to write, and to go on with if it is there: other schemes can be made of it at once")
	calibrationFlags(g, o)
}

// countFlag is for the command that makes an artefact.
func countFlag(g *group, o *compile.Options) {
	g.BoolVar(&o.CountSaturation, "count-saturation", false, "object code that counts clamped values, tensor by tensor: run, eval, bench and verify then print the table")
}

// calibrationFlags say how much of a text is run.
func calibrationFlags(g *group, o *compile.Options) {
	g.IntVar(&o.Samples, "samples", 0, "`sequences` of the text that are run; 0: what the scheme says, usually 512")
	g.IntVar(&o.Length, "length", 0, "`tokens` of each; 0: what the scheme says, usually 512")
	g.IntVar(&o.GPTQSamples, "gptq-samples", 0, "`sequences` that the codes of 4-bit weights are chosen by; 0: so many that there are 16 tokens for each channel, at most 128")
	g.IntVar(&o.Calibration.Threads, "calibration-threads", 0, "`threads` of calibration; 0: as many as the process may use")
}

// checkQuantization finds what is wrong with these flags before any work is done.
func checkQuantization(o *compile.Options) error {
	if o.Samples < 0 || o.Length < 0 || o.GPTQSamples < 0 || o.Calibration.Threads < 0 || o.Samples > 1<<24 || o.Length > 1<<20 {
		return usagef("--samples, --length, --gptq-samples and --calibration-threads must be 1 or more")
	}
	if o.CountSaturation && o.Scheme == "" {
		return usagef("--count-saturation counts what a scheme stores as codes\n  fix: add --scheme, such as --scheme %s", quant.DefaultScheme)
	}
	if o.Scheme == "" {
		if o.Source != "" || o.Save != "" {
			return usagef("--calibration is for a scheme\n  fix: add --scheme, such as --scheme %s", quant.DefaultScheme)
		}
		return nil
	}
	_, err := os.Stat(o.Scheme)
	if err != nil && !slices.Contains(quant.BuiltinSchemes(), o.Scheme) {
		return usagef("--scheme %.80q is no file, and none of %s", o.Scheme, strings.Join(quant.BuiltinSchemes(), ", "))
	}
	return nil
}

// schemeLine says in a line what a model is quantized by.
func schemeLine(q *artifact.Quantization) string {
	s := q.Scheme
	if len(q.Extends) > 0 {
		s += " (extends " + strings.Join(q.Extends, ", ") + ")"
	}
	s += ", rotations: " + q.Rotations
	if q.Data != nil {
		s += fmt.Sprintf(", calibrated on %d x %d tokens", q.Data.Samples, q.Data.Length)
	}
	return s
}

// storedRows lists values and weights as they are stored.
func storedRows(q *artifact.Quantization) [][]string {
	var rows [][]string
	for _, w := range q.Weights {
		line := w.Name + " " + w.Type
		if w.Scale != "" {
			line += ", one scale a " + w.Scale
		}
		if w.Method != "" {
			line += ", " + w.Method
		}
		rows = append(rows, []string{"weight", line})
	}
	for _, v := range q.Values {
		line := fmt.Sprintf("%s %s, %s, one scale a %s", v.Name, v.Type, v.Observe, v.Scale)
		if v.Scale == artifact.PerToken {
			line = fmt.Sprintf("%s %s, one scale a token, found while running", v.Name, v.Type)
		}
		if len(v.Scales) == 1 {
			line += fmt.Sprintf(": %.4g", v.Scales[0])
		}
		rows = append(rows, []string{"value", line})
	}
	return rows
}
