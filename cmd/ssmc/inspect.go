package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/loader/family"
)

func inspectCommand() *command {
	c := &command{
		about: `Says what a checkpoint holds, of which family it is and what keeps it from being compiled, or what an artefact is. Nothing is computed.`,
		examples: []string{
			"ssmc inspect ./mamba-130m",
			"ssmc inspect out",
			"ssmc inspect out --json",
		},
	}
	asJSON := c.jsonFlag(c.flags("output"))
	c.run = func(_ context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "MODEL or DIR"); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(args[0], artifact.ManifestFile)); err == nil {
			return inspectArtifact(t, args[0], *asJSON)
		}
		return inspectCheckpoint(t, args[0], *asJSON)
	}
	return c
}

func inspectArtifact(t *terminal, dir string, asJSON bool) error {
	m, err := artifact.Read(dir)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(t, m)
	}
	by := m.Tool
	if m.Target.GPU == nil {
		by += ", llc " + m.Target.LLVM + ", " + m.Target.Linker
	}
	rows := [][]string{
		{"compiled by", by},
		{"model", fmt.Sprintf("%s, %d parameters, vocabulary %d, begin %d, end %v", m.Model.Family, m.Model.Parameters, m.Model.Vocab, m.Model.BOS, m.Model.EOS)},
		{"target", m.Target.Name},
		{"entry points", fmt.Sprintf("%s_step and others, ABI %d", m.Entry.Prefix, m.Entry.ABI)},
		{"weights", fmt.Sprintf("%s (%s), SHA-256 %.16s...", size(m.Weights.Bytes), m.Weights.Mode, m.Weights.SHA256)},
		{"state", size(m.Sizes.SlotBytes) + " a sequence, " + fmt.Sprint(len(m.States)) + " tensors"},
		{"step", fmt.Sprintf("%d phases, at most %d tokens of %d sequences, %s of activations", len(m.Phases), m.Sizes.MaxRows, m.Sizes.MaxSeqs, size(m.Sizes.WorkBytes))},
		{"decoding reads", size(m.StepWeightBytes()) + " of weights a step"},
	}
	if q := m.Quantization; q != nil {
		rows = append(rows, []string{"scheme", schemeLine(q)})
		rows = append(rows, storedRows(q)...)
	}
	for _, list := range []struct {
		title string
		files []artifact.Source
	}{{"from", m.Sources}, {"files", m.Files}} {
		for _, f := range list.files {
			rows = append(rows, []string{list.title, fmt.Sprintf("%s, %s, SHA-256 %.16s...", f.Name, size(f.Bytes), f.SHA256)})
		}
	}
	return t.table(rows)
}

// inspected is the JSON of a checkpoint.
type inspected struct {
	Family     string            `json:"family"`
	Supported  bool              `json:"supported"`
	Problem    string            `json:"problem,omitempty"` // why it cannot be compiled
	Parameters int64             `json:"parameters"`
	Bytes      int64             `json:"bytes"`
	Tensors    []inspectedTensor `json:"tensors"`
}

type inspectedTensor struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	File  string `json:"file"`
	Bytes int    `json:"bytes"`
}

func inspectCheckpoint(t *terminal, path string, asJSON bool) error {
	c, err := loader.Open(path)
	if err != nil {
		return err
	}
	defer c.Close()
	var out inspected
	if f, err := family.Detect(c); err == nil {
		out.Family = f.String()
	}
	_, problem := family.Build(c)
	out.Supported = problem == nil
	if problem != nil {
		out.Problem = problem.Error()
	}
	for _, name := range c.Names {
		x, _ := c.Tensor(name)
		out.Parameters += int64(x.Elements())
		out.Bytes += int64(len(x.Data))
		out.Tensors = append(out.Tensors, inspectedTensor{name, x.DType.String(), x.Shape, filepath.Base(x.File), len(x.Data)})
	}
	if asJSON {
		return printJSON(t, out)
	}
	rows := [][]string{
		{"family", out.Family},
		{"parameters", fmt.Sprintf("%d in %d tensors, %s", out.Parameters, len(out.Tensors), size(out.Bytes))},
	}
	for _, x := range out.Tensors {
		rows = append(rows, []string{x.Name, fmt.Sprintf("%s %v", x.DType, x.Shape)})
	}
	if err := t.table(rows); err != nil {
		return err
	}
	return problem
}
