package passes

import (
	"fmt"
	"io"
	"time"

	"github.com/ssmc/ssmc/ir"
)

// Report is what a run of the pipeline did.
type Report struct {
	Input  string // text of the graph before the first pass; empty unless Options.KeepText
	Passes []*PassReport
}

// PassReport is what one pass did.
type PassReport struct {
	Pass    Pass
	Number  int    // from 1, as in the names of dumped files
	Idle    string // why it did nothing at all; empty if it ran
	Changed bool
	Text    string // the graph after it; empty unless Options.KeepText
	Events  []Event
	Time    time.Duration
}

// Event is one place where a pass did something, or did not.
type Event struct {
	Fired bool
	Op    string // "%y = scan"
	From  string // where the op came from
	What  string // what was done, or why not
}

// String is the line that --explain and the tests show.
func (e Event) String() string {
	word := "skip"
	if e.Fired {
		word = "fired"
	}
	s := fmt.Sprintf("%s %s: %s", word, e.Op, e.What)
	if e.From != "" {
		s += "  # " + e.From
	}
	return s
}

// Fired records what the pass did at op.
func (r *PassReport) Fired(op *ir.Op, format string, args ...any) { r.add(true, op, format, args) }

// Skip records what kept the pass from doing something at op.
func (r *PassReport) Skip(op *ir.Op, format string, args ...any) { r.add(false, op, format, args) }

func (r *PassReport) add(fired bool, op *ir.Op, format string, args []any) {
	r.Events = append(r.Events, Event{fired, opName(op), op.From, fmt.Sprintf(format, args...)})
}

// opName names an op as its line in the text form begins.
func opName(op *ir.Op) string { return fmt.Sprintf("%%%s = %s", op.Result().Name, op.Code) }

// FiredCount is how often the pass fired.
func (r *PassReport) FiredCount() int {
	n := 0
	for _, e := range r.Events {
		if e.Fired {
			n++
		}
	}
	return n
}

// find returns the report of the named pass, nil if it has not run.
func (r *Report) find(name string) *PassReport {
	for _, p := range r.Passes {
		if p.Pass.Name == name {
			return p
		}
	}
	return nil
}

// Explain writes what fired and what kept it from firing, for one pass or, with an empty name, for all of them.
func (r *Report) Explain(w io.Writer, pass string) error {
	list := r.Passes
	if pass != "" {
		if _, ok := Lookup(pass); !ok {
			return unknownPass(pass)
		}
		p := r.find(pass)
		if p == nil {
			return fmt.Errorf("explain: pass %s has not run", pass)
		}
		list = []*PassReport{p}
	}
	for _, p := range list {
		if p.Idle != "" {
			if _, err := fmt.Fprintf(w, "%02d %s: did nothing, %s\n", p.Number, p.Pass.Name, p.Idle); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(w, "%02d %s: %d fired, %d did not\n", p.Number, p.Pass.Name, p.FiredCount(), len(p.Events)-p.FiredCount()); err != nil {
			return err
		}
		for _, e := range p.Events {
			if _, err := fmt.Fprintf(w, "  %s\n", e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Times writes how long each pass took (--time-passes).
func (r *Report) Times(w io.Writer) error {
	for _, p := range r.Passes {
		if _, err := fmt.Fprintf(w, "%10.3f ms  %s\n", float64(p.Time.Microseconds())/1000, p.Pass.Name); err != nil {
			return err
		}
	}
	return nil
}
