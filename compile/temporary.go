package compile

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/runtime"
)

// Temporary is a graph that was compiled for this machine and is open. Closing it removes what was written.
type Temporary struct {
	*runtime.Model
	Kept []kernel.Kept // what the graph's function returns beside the logits
	dir  string
}

// TemporaryOptions of OpenGraph.
type TemporaryOptions struct {
	Weights string // as Options has it
	LLVM    int
	MaxRows int
	MaxSeqs int
	Threads int // 0: as many as the process may use
}

// OpenGraph compiles a graph whose ops are in groups, for the best level that this machine has, in a temporary folder, and opens it. The checkpoint
// that its weights are read from may be closed afterwards.
func OpenGraph(ctx context.Context, m *ir.Module, o TemporaryOptions) (*Temporary, error) {
	dir, err := os.MkdirTemp("", "ssmc-")
	if err != nil {
		return nil, err
	}
	t := &Temporary{dir: dir}
	if err := t.open(ctx, m, o); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Temporary) open(ctx context.Context, m *ir.Module, o TemporaryOptions) error {
	c := &compiler{Options: Options{Model: m.Family, Weights: o.Weights, Prefix: "model", MaxRows: o.MaxRows, MaxSeqs: o.MaxSeqs}, ctx: ctx, result: &Result{Graph: m}}
	if c.Weights == "" {
		c.Weights = "as-is"
	}
	var err error
	if c.levels, err = levelsFor("native", hasCodes(m)); err != nil {
		return err
	}
	if c.tools, err = llvm.Find(o.LLVM); err != nil {
		return err
	}
	if err = c.planKernels(); err != nil {
		return err
	}
	t.Kept = c.plan.Kept
	c.result.Manifest = c.manifest()
	folder := filepath.Join(t.dir, "model")
	w, err := artifact.Begin(folder)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := c.pack(w); err != nil {
		return err
	}
	c.result.Manifest.Sources = []artifact.Source{}
	if err := w.Commit(c.result.Manifest); err != nil {
		return err
	}
	t.Model, err = runtime.Open(folder, runtime.Options{Threads: o.Threads})
	return err
}

// Close ends the model and removes its folder.
func (t *Temporary) Close() error {
	var err error
	if t.Model != nil {
		err = t.Model.Close()
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}
