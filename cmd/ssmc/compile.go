package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/amd64"
	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
)

func compileCommand() *command {
	c := &command{
		about: `Compiles a checkpoint, a folder with config.json and safetensors or one safetensors file, into a folder with object code (model.o, model.so),
packed weights, a C header and a manifest. It appears under its name when it is whole; an older artefact of that name is replaced.`,
		examples: []string{
			"ssmc compile ./mamba-130m -o out",
			"ssmc compile ./mamba-130m -o out --weights bf16 --target native",
			"ssmc compile ./mamba-130m --dry-run",
			"ssmc compile ./mamba-130m -o out8 --scheme w8a8 --calibration text.txt --save-calibration 130m.calib",
		},
	}
	var o compile.Options
	what := c.flags("what")
	what.StringVarP(&o.Out, "output", "o", "", "`folder` of the artefact")
	what.StringVar(&o.Weights, "weights", "as-is", "`type` of the matrices: f32, bf16, or as-is (what the checkpoint has)")
	what.StringVar(&o.Prefix, "prefix", "model", "first part of the C functions' `name`s")
	quantizationFlags(c, &o)
	target := c.flags("target")
	countFlag(target, &o)
	target.StringVar(&o.Target, "target", "x86-64", "CPU `levels`: x86-64 (all; the code chooses when it is loaded), native, or some with commas between: "+strings.Join(amd64.ByteNames(), ", ")+"; or a GPU: "+strings.Join(ptx.Names(), ", "))
	target.BoolVar(&o.Fast, "fast", false, "on a GPU, multiply many rows of floats as bf16 or tf32, with sums in any order: logits differ in the last bits from a CPU's")
	target.IntVar(&o.LLVM, "llvm", 0, "major `version` of llc; 0: any from 14 on that is found")
	target.IntVar(&o.MaxRows, "max-rows", 0, "most tokens in a step; 0: 512")
	target.IntVar(&o.MaxSeqs, "max-seqs", 0, "most sequences in a step; 0: 256")
	debug := c.flags("looking inside")
	dryRun := debug.Bool("dry-run", false, "print what would be written, and how large, and write nothing")
	debug.StringVar(&o.Passes.DumpAfter, "dump-after", "", "write the graph after a `pass` (or all) to files")
	debug.StringVar(&o.Passes.DumpDir, "dump-dir", ".", "`folder` of these files")
	debug.StringVar(&o.Passes.StopAfter, "stop-after", "", "stop after a `pass` and print the graph")
	explain := debug.String("explain", "", "print what a `pass` did, and what kept it from doing more; without a name all of them")
	debug.Lookup("explain").NoOptDefVal = "all"
	html := debug.String("html", "", "write a page with the graph after each pass to a `file`")
	times := debug.Bool("time-passes", false, "print how long each pass took")
	asJSON := c.jsonFlag(debug)
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "MODEL"); err != nil {
			return err
		}
		o.Model, o.DryRun, o.Passes.KeepText = args[0], *dryRun, *html != ""
		o.Progress = t.stage
		o.Passes.Command = "ssmc compile " + args[0]
		if err := checkCompile(&o, *explain); err != nil {
			return err
		}
		r, err := compile.Run(ctx, o)
		if r != nil {
			err = errors.Join(showPasses(t, r, *explain, *html, *times), err)
		}
		if err != nil {
			return err
		}
		for _, w := range r.Warnings {
			t.warn(w)
		}
		return showCompiled(t, &o, r, *asJSON)
	}
	return c
}

// checkCompile finds what is wrong with the flags before any work is done.
func checkCompile(o *compile.Options, explain string) error {
	if o.Out == "" && !o.DryRun && o.Passes.StopAfter == "" {
		return usagef("-o DIR is missing\n  fix: say where the artefact shall be, or --dry-run")
	}
	if w := o.Weights; w != "as-is" && w != "f32" && w != "bf16" {
		return usagef("--weights %.40q is unknown\n  fix: use f32, bf16 or as-is", w)
	}
	if _, err := compile.Levels(o.Target); err != nil {
		return usageError{err}
	}
	if o.Fast && !strings.HasPrefix(o.Target, ptx.Prefix) {
		return usageError{compile.ErrFast}
	}
	if err := checkQuantization(o); err != nil {
		return err
	}
	if !artifact.ValidPrefix(o.Prefix) {
		return usagef("--prefix %.40q is no beginning of a C identifier in small letters", o.Prefix)
	}
	if o.MaxRows < 0 || o.MaxRows > 1<<16 || o.MaxSeqs < 0 || o.MaxSeqs > 1<<16 {
		return usagef("--max-rows and --max-seqs must be from 1 to 65536")
	}
	for _, p := range []struct{ flag, name string }{{"--dump-after", o.Passes.DumpAfter}, {"--stop-after", o.Passes.StopAfter}, {"--explain", explain}} {
		if _, known := passes.Lookup(p.name); p.name != "" && !known && (p.name != "all" || p.flag == "--stop-after") {
			return usagef("%s: there is no pass %.40q\n  fix: use one of %s", p.flag, p.name, strings.Join(passes.Names(), ", "))
		}
	}
	return nil
}

// showPasses prints what was asked for about the passes, also when one of them failed.
func showPasses(t *terminal, r *compile.Result, explain, html string, times bool) error {
	if r.Report == nil {
		return nil
	}
	t.endStage()
	var errs []error
	if explain != "" {
		errs = append(errs, r.Report.Explain(t.stdout, strings.TrimPrefix(explain, "all")))
	}
	if times {
		errs = append(errs, r.Report.Times(t.stdout))
	}
	if html != "" {
		errs = append(errs, writeFile(html, func(w io.Writer) error { return passes.WriteHTML(w, r.Report) }))
	}
	return errors.Join(errs...)
}

// writeFile lets a function write a file.
func writeFile(path string, write func(w io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// compiled is the JSON of a compile.
type compiled struct {
	Output   string             `json:"output,omitempty"`
	Sizes    compiledSizes      `json:"sizes"`
	Manifest *artifact.Manifest `json:"manifest"`
	Tensors  []packed           `json:"tensors"`
}

type compiledSizes struct {
	Checkpoint int64 `json:"parameters"`
	Weights    int64 `json:"weights_bytes"`
	State      int64 `json:"state_bytes_per_sequence"`
	Work       int64 `json:"work_bytes"`
	Memory     int64 `json:"memory_bytes"` // to run one sequence
}

// packed is one tensor of the packed weights.
type packed struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
}

// showCompiled prints what was written, or would be.
func showCompiled(t *terminal, o *compile.Options, r *compile.Result, asJSON bool) error {
	if o.Passes.StopAfter != "" {
		t.endStage()
		_, err := io.WriteString(t.stdout, ir.Print(r.Graph))
		return err
	}
	m := r.Manifest
	out := compiled{Output: o.Out, Manifest: m, Sizes: compiledSizes{m.Model.Parameters, m.Weights.Bytes, m.Sizes.SlotBytes, m.Sizes.WorkBytes,
		m.Weights.Bytes + m.Sizes.SlotBytes + m.Sizes.WorkBytes + m.Sizes.TeamBytes}}
	for _, p := range r.Pieces {
		out.Tensors = append(out.Tensors, packed{p.Name, p.DType, p.Shape, p.Bytes})
	}
	if o.DryRun {
		out.Output = ""
	}
	if asJSON {
		return printJSON(t, out)
	}
	rows := [][]string{
		{"model", fmt.Sprintf("%s, %d parameters, vocabulary %d", m.Model.Family, m.Model.Parameters, m.Model.Vocab)},
		{"target", m.Target.Name},
		{"weights", size(m.Weights.Bytes) + " (" + m.Weights.Mode + ")"},
	}
	if m.Quantization != nil {
		rows = append(rows, []string{"scheme", schemeLine(m.Quantization)})
	}
	rows = append(rows, [][]string{
		{"state", size(m.Sizes.SlotBytes) + " a sequence"},
		{"work", size(m.Sizes.WorkBytes) + " for steps of " + fmt.Sprint(m.Sizes.MaxRows) + " tokens"},
		{"memory", size(out.Sizes.Memory) + " for one sequence"},
	}...)
	if o.DryRun {
		for _, p := range out.Tensors {
			rows = append(rows, []string{"tensor", fmt.Sprintf("%s %s %v, %s", p.Name, p.DType, p.Shape, size(p.Bytes))})
		}
		return t.table(rows)
	}
	rows = append(rows, []string{"written", o.Out})
	for _, f := range m.Files {
		rows = append(rows, []string{"", fmt.Sprintf("%s, %s", f.Name, size(f.Bytes))})
	}
	return t.table(rows)
}
