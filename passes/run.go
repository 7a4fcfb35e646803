package passes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// Options says how the pipeline runs. The zero value runs all of it in silence.
type Options struct {
	Passes    []string // which passes, in this order; empty: the whole pipeline
	StopAfter string   // the last pass to run; empty: all

	DumpAfter string // a pass whose result is written to DumpDir, or "all" (then unchanged results are left out)
	DumpDir   string // default: the current directory
	KeepText  bool   // keep every stage's text in the report, for WriteHTML

	// Scheme is what is stored how; nil: everything as the checkpoint has it. Without Scales the graph is only made ready for it, in float: that
	// is the model that calibration runs.
	Scheme *quant.Scheme
	Scales *Scales

	CountSaturation bool // what codes are made of at run time is counted where it has to be clamped

	Check bool   // evaluate and shuffle around each pass; also set by the environment variable SSMC_CHECK=1
	Seed  uint64 // of the checked mode's inputs and shuffles

	ReproDir string // where repro.txt goes if a pass fails; empty: it is not written
	Command  string // the command that made this run, for repro.txt; empty: "ssmc opt"
}

// Failure is a pass that broke: it returned an error, panicked, left a graph that does not verify, or changed numbers.
type Failure struct {
	Pass  string
	Err   error
	Repro string // the file that shows it again; empty if none was written
}

func (f *Failure) Error() string {
	s := fmt.Sprintf("pass %s: %v", f.Pass, f.Err)
	if f.Repro != "" {
		s += "\n  to see it again: " + f.Repro
	}
	return s
}

func (f *Failure) Unwrap() error { return f.Err }

// Run verifies m, runs the passes on it, and verifies after each. On failure the error is a *Failure and m is as the pass left it.
func Run(m *ir.Module, o Options) (*Report, error) {
	list, err := o.resolve()
	if err != nil {
		return nil, err
	}
	return runPasses(m, list, o)
}

// runPasses is Run with the passes looked up.
func runPasses(m *ir.Module, list []Pass, o Options) (*Report, error) {
	if err := ir.Verify(m); err != nil {
		return nil, fmt.Errorf("the graph is broken before the first pass: %w", err)
	}
	var check *checker
	if o.Check || os.Getenv("SSMC_CHECK") == "1" {
		var err error
		if check, err = newChecker(m, o.Seed); err != nil {
			return nil, err
		}
	}
	text := ir.Print(m)
	report := &Report{}
	if o.KeepText {
		report.Input = text
	}
	for i, p := range list {
		r := &PassReport{Pass: p, Number: i + 1}
		if err := runPass(m, r, &o, check); err != nil {
			return report, o.failed(p.Name, text, err)
		}
		after := ir.Print(m)
		r.Changed = after != text
		text = after
		if o.KeepText {
			r.Text = text
		}
		report.Passes = append(report.Passes, r)
		if o.DumpAfter == p.Name || o.DumpAfter == "all" && r.Changed {
			if err := o.dump(r, text); err != nil {
				return report, err
			}
		}
	}
	return report, nil
}

// resolve gives the passes to run and checks every name that occurs in o.
func (o *Options) resolve() ([]Pass, error) {
	list, err := resolve(o.Passes)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	if err := checkOrder(names); err != nil {
		return nil, err
	}
	if o.DumpAfter != "" && o.DumpAfter != "all" && !slices.Contains(names, o.DumpAfter) {
		return nil, fmt.Errorf("dump after: %w, or all", unknownPass(o.DumpAfter))
	}
	if o.StopAfter != "" {
		i := slices.Index(names, o.StopAfter)
		if i < 0 {
			return nil, fmt.Errorf("stop after: %w", unknownPass(o.StopAfter))
		}
		list = list[:i+1]
	}
	return list, nil
}

// runPass runs one pass on m and on nothing else, and checks what it left.
func runPass(m *ir.Module, r *PassReport, o *Options, check *checker) error {
	if r.Pass.quant != nil {
		if o.Scheme == nil {
			r.Idle = "there is no scheme"
		} else if r.Pass.needsScales && o.Scales == nil {
			r.Idle = "there are no scales yet"
		}
		if r.Idle != "" {
			return nil
		}
	}
	var shuffled *ir.Module
	if check != nil {
		shuffled = check.shuffled(m, r.Number)
	}
	start := time.Now()
	if err := protect(&r.Pass, m, r, o); err != nil {
		return err
	}
	r.Time = time.Since(start)
	if check == nil {
		return nil
	}
	if err := protect(&r.Pass, shuffled, &PassReport{Pass: r.Pass}, o); err != nil {
		return fmt.Errorf("with independent ops in another order (seed %d): %w", check.seed, err)
	}
	return check.compare(r.Pass, m, shuffled)
}

// protect runs a pass and verifies; a panic becomes an error. It is a bug in the pass, and the stack says where.
func protect(p *Pass, m *ir.Module, r *PassReport, o *Options) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	if p.quant != nil {
		err = p.quant(m, r, o)
	} else {
		err = p.run(m, r)
	}
	if err != nil {
		return err
	}
	return ir.Verify(m)
}

// failed wraps what went wrong in a pass and writes the graph before it with the command that shows the failure.
func (o *Options) failed(pass, before string, err error) error {
	f := &Failure{Pass: pass, Err: err}
	if o.ReproDir == "" {
		return f
	}
	command := o.Command
	if command == "" {
		command = "ssmc opt"
	}
	path := filepath.Join(o.ReproDir, "repro.txt")
	first, _, _ := strings.Cut(err.Error(), "\n")
	text := fmt.Sprintf("# pass %s failed in: %s\n# %s\n# again: ssmc opt --passes=%s repro.txt\n%s", pass, command, first, pass, before)
	if werr := os.WriteFile(path, []byte(text), 0o644); werr != nil {
		return errors.Join(f, fmt.Errorf("writing what shows it again: %w", werr))
	}
	f.Repro = path
	return f
}

// dump writes one stage, numbered so that the files sort in the order of the passes.
func (o *Options) dump(r *PassReport, text string) error {
	dir := o.DumpDir
	if dir == "" {
		dir = "."
	}
	path := filepath.Join(dir, fmt.Sprintf("%02d-%s.txt", r.Number, r.Pass.Name))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("dump after %s: %w", r.Pass.Name, err)
	}
	return nil
}
