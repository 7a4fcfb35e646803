package calibrate

import (
	"context"
	"fmt"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/runtime"
)

// Options of a run. The zero value runs in silence and writes nothing.
type Options struct {
	Threads  int                   // goroutines that observe; 0: as many as the process may use
	Save     string                // file that is written now and then, and at the end; empty: none
	Every    time.Duration         // how often; 0: every 30 seconds
	Progress func(done, total int) // told behind each step how many samples are done; may be nil
}

// headEvery is the distance of the tokens whose logits a run computes: what the head reads is observed at every fourth token. For a small model the
// head is a third of the work, and nothing about its input needs so many rows.
const headEvery = 4

// Run runs the samples that c does not have yet and adds what it sees. c.Meta must be that of this run; a new calibration gets its tensors here.
func Run(ctx context.Context, m *runtime.Model, watch []Watch, d *Data, c *quant.Calibration, o Options) error {
	r := &runner{Options: o, m: m, watch: watch, d: d, c: c, saved: time.Now()}
	if r.Threads <= 0 {
		r.Threads = goruntime.GOMAXPROCS(0)
	}
	if r.Every == 0 {
		r.Every = 30 * time.Second
	}
	if err := r.tensors(); err != nil {
		return err
	}
	err := runWindows(ctx, m, d, c.Samples, r.see, r.end)
	if err == nil && o.Save != "" {
		err = c.WriteFile(o.Save)
	}
	return err
}

// runner is one run.
type runner struct {
	Options
	m     *runtime.Model
	watch []Watch
	d     *Data
	c     *quant.Calibration
	stats []*quant.Stats // parallel to watch
	saved time.Time
}

// tensors finds or makes the statistics of every watched value.
func (r *runner) tensors() error {
	if r.c.Samples > len(r.d.Windows) {
		return fmt.Errorf("the calibration has %d samples, there are %d", r.c.Samples, len(r.d.Windows))
	}
	for _, w := range r.watch {
		s := r.c.Tensors[w.Tensor]
		if s == nil {
			if r.c.Samples > 0 {
				return fmt.Errorf("the calibration lacks %s\n  fix: calibrate anew", w.Tensor)
			}
			s = quant.NewStats(w.Keep)
			r.c.Tensors[w.Tensor] = s
		}
		r.stats = append(r.stats, s)
	}
	return nil
}

// see adds the rows that a step left. Each tensor is the work of one goroutine, which takes its samples in order: so the number of goroutines changes nothing.
func (r *runner) see(first int, l *runtime.Left) error {
	return r.each(func(i int, into []float32) ([]float32, error) {
		for _, p := range l.Parts {
			var err error
			if into, err = r.watch[i].rows(into, l, p); err == nil {
				err = r.stats[i].Add(first+p.Input, into)
			}
			if err != nil {
				return into, fmt.Errorf("%s: %w", r.watch[i].Tensor, err)
			}
		}
		return into, nil
	})
}

// rows is what a part of a step left of a value.
func (w *Watch) rows(into []float32, l *runtime.Left, p runtime.LeftPart) ([]float32, error) {
	if w.State != "" {
		return l.State(into, p, w.State)
	}
	if w.At.PerWantedRow {
		return l.Rows(into, w.At.Offset, w.At.Stride, w.At.Columns, p.Out, p.Outs), nil
	}
	return l.Rows(into, w.At.Offset, w.At.Stride, w.At.Columns, p.Row, p.To-p.From), nil
}

// each calls work for every watched value, in as many goroutines as there shall be.
func (r *runner) each(work func(i int, into []float32) ([]float32, error)) error {
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, len(r.watch))
	for range min(r.Threads, len(r.watch)) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			var into []float32
			for i := int(next.Add(1)) - 1; i < len(r.watch); i = int(next.Add(1)) - 1 {
				var kept []float32
				if kept, errs[i] = work(i, into); cap(kept) > cap(into) && r.watch[i].At.Stride != r.watch[i].At.Columns {
					into = kept
				}
			}
		}()
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// end ends the samples from first to done-1, and writes what there is if it is time.
func (r *runner) end(first, done int) error {
	err := r.each(func(i int, _ []float32) ([]float32, error) {
		for n := first; n < done; n++ {
			r.stats[i].End(n)
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	r.c.Samples = done
	if r.Progress != nil {
		r.Progress(done, len(r.d.Windows))
	}
	if r.Save != "" && time.Since(r.saved) >= r.Every && done < len(r.d.Windows) {
		if err := r.c.WriteFile(r.Save); err != nil {
			return err
		}
		r.saved = time.Now()
	}
	return nil
}

// runWindows runs windows from first on, as many together as a step has rows for. see is called behind each step with the number of the first window that
// is in it, end when windows from first to done-1 are through.
func runWindows(ctx context.Context, m *runtime.Model, d *Data, from int, see func(first int, l *runtime.Left) error, end func(first, done int) error) error {
	var slots []*runtime.Slot
	defer func() {
		for _, s := range slots {
			s.Free()
		}
	}()
	first := from
	if d.Carry {
		first = 0 // the state of window from is that behind all before it
	}
	for first < len(d.Windows) {
		inputs, err := batch(m, d, first, &slots)
		if err != nil {
			return err
		}
		watch := func(l *runtime.Left) error { return see(first, l) }
		if first < from {
			watch = nil
		}
		if err := m.RunWatched(ctx, inputs, nil, watch); err != nil {
			return err
		}
		done := first + len(inputs)
		if first >= from {
			if err := end(first, done); err != nil {
				return err
			}
		}
		first = done
	}
	return nil
}

// batch is the windows that run together, from first on, in slots that are ready for them.
func batch(m *runtime.Model, d *Data, first int, slots *[]*runtime.Slot) ([]runtime.Input, error) {
	var inputs []runtime.Input
	rows := 0
	for _, ids := range d.Windows[first:] {
		rows += len(ids)
		n := len(inputs)
		if n > 0 && (d.Carry || rows > int(m.Manifest.Sizes.MaxRows) || n == int(m.Manifest.Sizes.MaxSeqs)) {
			break
		}
		if n == len(*slots) {
			s, err := m.NewSlot()
			if err != nil {
				return nil, err
			}
			*slots = append(*slots, s)
		}
		if !d.Carry {
			if err := (*slots)[n].Reset(); err != nil {
				return nil, err
			}
		}
		in := runtime.Input{Slot: (*slots)[n], IDs: ids}
		for t := 0; t < len(ids); t += headEvery {
			in.Outs = append(in.Outs, t)
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}
