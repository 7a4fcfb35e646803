package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/codegen/amd64"
	"github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/loader/family"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/tokenizer"
)

// Version is that of the tool; it stands in manifests.
const Version = "0.1.0"

// Options says what to compile and how. Model is needed, and Out unless the compile ends before it writes.
type Options struct {
	Model   string // checkpoint: a folder or a safetensors file
	Out     string // folder of the artefact
	Target  string // see Levels; empty: all levels
	Weights string // as-is, f32 or bf16; empty: as-is
	Prefix  string // of the C symbols; empty: model
	LLVM    int    // major version of llc; 0: any that will do
	MaxRows int    // tokens in a step; 0: the kernels' default
	MaxSeqs int    // sequences in a step; 0: the kernels' default
	Fast    bool   // see kernel.Options; for GPUs
	DryRun  bool   // end before anything is written
	Scheme  string // of quantization: the name of one that comes with ssmc, or a file; empty: none
	Calibration
	// CountSaturation makes object code that counts, for every value that is stored as codes, how many numbers it had to clamp.
	CountSaturation bool
	Passes          passes.Options
	// Progress, which may be nil, is told what is being done, and how much of it. total is 0 for stages that have no measure.
	Progress func(stage string, done, total int64)
}

// Result is what a compile did.
type Result struct {
	Manifest *artifact.Manifest // complete unless the compile ended early; then without files and checksums
	Report   *passes.Report
	Graph    *ir.Module
	Pieces   []artifact.Piece // of the packed weights
	Warnings []string
}

// ErrFast is the answer to Fast for a CPU: all of its products are exact or in one order.
var ErrFast = errors.New("the fast path, products of bf16 with sums in any order, is there on GPUs alone\n  fix: leave --fast out, or name a GPU with --target")

// Run compiles.
func Run(ctx context.Context, o Options) (*Result, error) {
	if _, err := Levels(o.Target); err != nil {
		return nil, err
	}
	if o.Fast && !isGPU(o.Target) {
		return nil, ErrFast
	}
	if o.Prefix == "" {
		o.Prefix = "model"
	}
	if !artifact.ValidPrefix(o.Prefix) {
		return nil, fmt.Errorf("prefix %.80q is not the beginning of a C identifier in small letters", o.Prefix)
	}
	c, err := open(ctx, o)
	if err != nil {
		return &Result{}, err
	}
	defer c.checkpoint.Close()
	return c.result, c.run()
}

// compiler is one compile under way.
type compiler struct {
	Options
	ctx        context.Context
	levels     []string
	checkpoint *loader.Checkpoint
	tools      *llvm.Tools
	plan       *kernel.Plan
	float      *Temporary             // the float model of a calibration; nil: there is none
	quantized  *artifact.Quantization // what the manifest says of the scheme; nil: there is none
	points     []passes.Point         // the values that the scheme stores as codes
	calibrated *quant.Calibration     // nil: the scheme needs none
	grams      *calibrate.Grams       // nil: there is no text to make them of
	result     *Result
}

// open reads a checkpoint and builds its graph.
func open(ctx context.Context, o Options) (*compiler, error) {
	if o.Weights == "" {
		o.Weights = "as-is"
	}
	c := &compiler{Options: o, ctx: ctx, result: &Result{}}
	c.stage("reading "+c.Model, 0, 0)
	var err error
	if c.checkpoint, err = loader.Open(c.Model); err != nil {
		return nil, err
	}
	if c.result.Graph, err = family.Build(c.checkpoint); err != nil {
		c.checkpoint.Close()
		return nil, err
	}
	return c, nil
}

func (c *compiler) stage(name string, done, total int64) {
	if c.Progress != nil {
		c.Progress(name, done, total)
	}
}

func (c *compiler) run() (err error) {
	if c.Scheme != "" {
		defer c.closeFloat()
		if err := c.quantize(); err != nil {
			return err
		}
		if !slices.ContainsFunc(c.points, func(p passes.Point) bool { return p.Gram }) {
			c.closeFloat() // else it would lie in memory while the quantized weights are packed
		}
	}
	c.Passes.CountSaturation = c.CountSaturation
	c.stage("fusing the graph", 0, 0)
	if c.result.Report, err = passes.Run(c.result.Graph, c.Passes); err != nil || c.Passes.StopAfter != "" {
		return err
	}
	if c.levels, err = levelsFor(c.Target, hasCodes(c.result.Graph)); err != nil {
		return err
	}
	c.stage("planning kernels", 0, 0)
	if err := c.planKernels(); err != nil {
		return err
	}
	c.result.Manifest = c.manifest()
	if c.DryRun {
		return nil
	}
	if !isGPU(c.levels[0]) {
		if c.tools, err = llvm.Find(c.LLVM); err != nil {
			return err
		}
	}
	return c.write()
}

func (c *compiler) planKernels() error {
	o := kernel.Options{Weights: c.Weights, MaxRows: c.MaxRows, MaxSeqs: c.MaxSeqs, Fast: c.Fast}
	targets, err := targets(c.levels)
	if err != nil {
		return err
	}
	if c.plan, err = kernel.Build(c.result.Graph, targets, o); err != nil {
		return fmt.Errorf("%s: %w", c.Model, err)
	}
	c.result.Pieces, err = pieces(c.plan)
	return err
}

// write makes the artefact: first the weights, since their checksum stands in the object code.
func (c *compiler) write() error {
	if c.Out == "" {
		return errors.New("no folder to write to")
	}
	w, err := artifact.Begin(c.Out)
	if err != nil {
		return err
	}
	defer w.Abort()
	sources := make(chan hashed, 1)
	ctx, cancel := context.WithCancel(c.ctx)
	go c.hashSources(ctx, sources)
	defer func() { // it reads the checkpoint, which is closed when we return
		cancel()
		<-sources
	}()

	m := c.result.Manifest
	if err := c.pack(w); err != nil {
		return err
	}
	if err := c.copyTokenizer(w); err != nil {
		return err
	}
	c.stage("checksums of the checkpoint", 0, 0)
	h := <-sources
	sources <- h
	if h.err != nil {
		return h.err
	}
	m.Sources = h.list
	return w.Commit(m)
}

// pack writes the weights, then the code.
func (c *compiler) pack(w *artifact.Writer) error {
	m := c.result.Manifest
	total := m.Weights.Bytes
	weights, err := w.AddWeights(c.ctx, c.result.Pieces, func(done int64) { c.stage("packing weights", done, total) })
	if err != nil {
		return err
	}
	m.Weights.SHA256 = weights.SHA256
	return c.code(w)
}

// code makes object code and library, or a GPU's module.
func (c *compiler) code(w *artifact.Writer) error {
	c.stage("emitting code", 0, 0)
	if isGPU(c.levels[0]) {
		text, err := ptx.Emit(c.Prefix, c.result.Manifest.Weights.SHA256, c.plan.Programs[0])
		if err != nil {
			return err
		}
		return w.Add(artifact.PTXFile, text)
	}
	var levels []amd64.Level
	for i, name := range c.levels {
		levels = append(levels, amd64.Level{Name: name, Program: c.plan.Programs[i]})
	}
	text, err := amd64.Emit(c.Prefix, c.result.Manifest.Weights.SHA256, levels)
	if err != nil {
		return err
	}
	c.stage("llc "+c.tools.LLCRelease, 0, 0)
	object, err := c.tools.Assemble(c.ctx, text, llvm.Options{})
	if err != nil {
		return err
	}
	library, err := c.tools.LinkShared(c.ctx, [][]byte{object}, artifact.SharedFile)
	if err != nil {
		return err
	}
	t := &c.result.Manifest.Target
	t.LLVM, t.Linker = c.tools.LLCRelease, c.tools.LinkerTitle
	return errors.Join(w.Add(artifact.ObjectFile, object), w.Add(artifact.SharedFile, library))
}

// hashed is the checksums of the checkpoint's files.
type hashed struct {
	list []artifact.Source
	err  error
}

// hashSources runs beside the packing: both read the same files, so that the second finds them in memory.
func (c *compiler) hashSources(ctx context.Context, to chan<- hashed) {
	sources, err := c.checkpoint.Sources(ctx)
	h := hashed{err: err}
	for _, s := range sources {
		h.list = append(h.list, artifact.Source(s))
	}
	to <- h
}

// tokenizerLimit bounds what is copied as a tokenizer. The largest published ones have 35 MB.
const tokenizerLimit = 256 << 20

// copyTokenizer puts the checkpoint's tokenizer into the artefact as it is.
func (c *compiler) copyTokenizer(w *artifact.Writer) error {
	path := filepath.Join(c.checkpoint.Dir, artifact.TokenizerFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.result.Warnings = append(c.result.Warnings, fmt.Sprintf("%s has no %s: the artefact takes token ids, no text", c.checkpoint.Dir, artifact.TokenizerFile))
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > tokenizerLimit {
		return fmt.Errorf("%s is no file of at most %d bytes", path, tokenizerLimit)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, tokenizerLimit))
	if err != nil {
		return err
	}
	c.checkTokenizer(path, text)
	return w.Add(artifact.TokenizerFile, text)
}

// checkTokenizer warns of a tokenizer that will not work: the model itself can be used without it.
func (c *compiler) checkTokenizer(path string, text []byte) {
	t, err := tokenizer.Parse(path, text)
	vocab := c.result.Graph.Vocab
	switch {
	case err != nil:
		c.result.Warnings = append(c.result.Warnings, fmt.Sprintf("the artefact takes token ids, no text: %v", err))
	case t.VocabSize() > vocab:
		c.result.Warnings = append(c.result.Warnings, fmt.Sprintf("%s has ids up to %d, the model only %d: do they belong together?", path, t.VocabSize()-1, vocab))
	}
}
