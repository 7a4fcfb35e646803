package calibrate

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/runtime"
)

// Grams sums second moments of values when GPTQ asks for them, by running the float model over windows again: all of a large model's would not fit into
// memory. As many as fit are summed in one run, in the order in which the graph makes the values, which is about that in which their weights are packed.
type Grams struct {
	Windows int   // how many are run at most; 0: so many that there are 16 rows for each channel, at most 128, the published number
	Budget  int64 // bytes of sums that are held; 0: 1 GiB
	// Progress, which may be nil, is told how many windows of a run are done.
	Progress func(done, total int)

	ctx   context.Context
	m     *runtime.Model
	watch []Watch
	d     *Data

	mu   sync.Mutex
	have map[string]*quant.Gram
}

// rowsPerChannel is how many rows second moments are of: eight times as many changed the divergence of 4-bit models by less than 2 %, and took most of the
// time of a compile.
const rowsPerChannel = 16

// NewGrams is for a model and what it is run on. The model must stay open.
func NewGrams(ctx context.Context, m *runtime.Model, watch []Watch, d *Data) *Grams {
	return &Grams{ctx: ctx, m: m, watch: watch, d: d, have: map[string]*quant.Gram{}}
}

// Of gives the sums of a tensor: passes.Scales.Gram.
func (g *Grams) Of(tensor string) (*quant.Gram, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.have[tensor] == nil {
		if err := g.sum(tensor); err != nil {
			return nil, fmt.Errorf("second moments of %s: %w", tensor, err)
		}
	}
	return g.have[tensor], nil
}

// sum makes the sums of a tensor and of those behind it, and forgets all others.
func (g *Grams) sum(tensor string) error {
	at := slices.IndexFunc(g.watch, func(w Watch) bool { return w.Tensor == tensor })
	if at < 0 {
		return fmt.Errorf("it is not observed")
	}
	budget := g.Budget
	if budget == 0 {
		budget = 1 << 30
	}
	clear(g.have)
	var list []Watch
	for i, w := range g.watch[at:] {
		if i > 0 && !w.Gram {
			continue
		}
		if budget -= 8 * int64(w.Channels) * int64(w.Channels); budget < 0 && i > 0 {
			break
		}
		gram, err := quant.NewGram(w.Channels)
		if err != nil {
			return err
		}
		g.have[w.Tensor] = gram
		list = append(list, w)
	}
	d := g.some()
	var into []float32
	see := func(_ int, l *runtime.Left) error {
		for i := range list {
			w := &list[i]
			for _, p := range l.Parts {
				rows, err := w.rows(into, l, p)
				if err != nil {
					return err
				}
				if w.At.Stride != w.At.Columns {
					into = rows
				}
				if err := g.have[w.Tensor].Add(rows); err != nil {
					return fmt.Errorf("%s: %w", w.Tensor, err)
				}
			}
		}
		return nil
	}
	return runWindows(g.ctx, g.m, d, 0, see, func(_, done int) error {
		if g.Progress != nil {
			g.Progress(done, len(d.Windows))
		}
		return nil
	})
}

// some are the windows that moments are of, spread over the text as all of them are. They are the same whichever tensors are summed together.
func (g *Grams) some() *Data {
	n := g.Windows
	if n == 0 {
		widest := 0
		for _, w := range g.watch {
			if w.Gram {
				widest = max(widest, w.Channels)
			}
		}
		n = min(128, (rowsPerChannel*widest+g.d.Length-1)/max(g.d.Length, 1))
	}
	d := *g.d
	n = max(1, min(n, len(d.Windows)))
	if d.Carry {
		d.Windows = d.Windows[:n]
		return &d
	}
	d.Windows = nil
	for i := range n {
		d.Windows = append(d.Windows, g.d.Windows[i*len(g.d.Windows)/n])
	}
	return &d
}
