package runtime

import (
	"context"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"time"
)

// Profile is where the time of steps goes.
type Profile struct {
	Steps        []Step
	TicksPerSec  float64 // of the time stamps
	model        *Model
	decodeSteps  int
	prefillSteps int
}

// Profile records one prefill and a few steps of decoding, phase by phase.
func (m *Model) Profile(ctx context.Context, o BenchOptions) (*Profile, error) {
	o.Ahead = 1 // each step has time stamps
	r, err := m.newBenchRun(o)
	if err != nil {
		return nil, err
	}
	defer r.free()
	if _, err := r.prefill(ctx); err != nil { // the first one only warms
		return nil, err
	}
	clock, ticks := time.Now(), m.engine.ticks()
	if _, err := m.Trace(true); err != nil {
		return nil, err
	}
	_, err = r.prefill(ctx)
	p := &Profile{model: m, prefillSteps: len(m.steps), decodeSteps: o.Generate}
	if err == nil {
		_, err = r.decode(ctx, o.Generate)
	}
	var off error
	if p.Steps, off = m.Trace(false); err == nil {
		err = off
	}
	p.TicksPerSec = float64(m.engine.ticks()-ticks) / time.Since(clock).Seconds()
	return p, err
}

// PhaseTime is the time of all phases of one name: of one kind, in all layers.
type PhaseTime struct {
	Name     string  `json:"name"`
	Count    int     `json:"count"`    // in a step
	Millis   float64 `json:"ms"`       // in a step, on average
	Share    float64 `json:"share"`    // of the step
	Bytes    int64   `json:"bytes"`    // of weights, in a step
	GBs      float64 `json:"gb_s"`     // of weights
	PerPhase float64 `json:"ms_phase"` // on average, one phase
}

// layerNumber is what differs between the phases of two layers.
var layerNumber = regexp.MustCompile(`\d+`)

// Table sums up the recorded steps of decoding, or with prefill those of the prompt, by kinds of phases, the longest first.
func (p *Profile) Table(prefill bool) []PhaseTime {
	steps := p.Steps[p.prefillSteps:]
	if prefill {
		steps = p.Steps[:p.prefillSteps]
	}
	phases, workers := p.model.Manifest.Phases, p.model.engine.lanes()
	index := make(map[string]int)
	var table []PhaseTime
	total := 0.0
	for _, step := range steps {
		for i, phase := range phases {
			if !phase.Runs(int64(step.Rows), int64(step.Chosen)) {
				continue
			}
			name := layerNumber.ReplaceAllString(phase.Name, "*")
			at, known := index[name]
			if !known {
				at = len(table)
				index[name] = at
				table = append(table, PhaseTime{Name: name})
			}
			ms := float64(step.Stamps[(i+1)*workers]-step.Stamps[i*workers]) / p.TicksPerSec * 1e3
			table[at].Count++
			table[at].Millis += ms
			table[at].Bytes += phase.WeightBytes
			total += ms
		}
	}
	for i := range table {
		t := &table[i]
		t.PerPhase, t.Share = t.Millis/float64(t.Count), t.Millis/total
		if t.Millis > 0 {
			t.GBs = float64(t.Bytes) / t.Millis / 1e6
		}
		t.Count /= len(steps)
		t.Millis /= float64(len(steps))
		t.Bytes /= int64(len(steps))
	}
	slices.SortStableFunc(table, func(a, b PhaseTime) int {
		if a.Millis > b.Millis {
			return -1
		}
		return 1
	})
	return table
}

// traceEvent is an event of Chrome's trace format: microseconds.
type traceEvent struct {
	Name     string     `json:"name"`
	Phase    string     `json:"ph"`
	Start    float64    `json:"ts"`
	Duration float64    `json:"dur"`
	Process  int        `json:"pid"`
	Thread   int        `json:"tid"`
	Args     *traceArgs `json:"args,omitempty"`
}

type traceArgs struct {
	Rows  int      `json:"rows"`
	Bytes int64    `json:"weight_bytes"`
	Notes []string `json:"notes,omitempty"`
}

// WriteChrome writes the steps in the form that chrome://tracing and Perfetto read, one row for each worker.
func (p *Profile) WriteChrome(w io.Writer) error {
	var events []traceEvent
	workers := p.model.engine.lanes()
	if len(p.Steps) == 0 {
		return json.NewEncoder(w).Encode(events)
	}
	origin := p.Steps[0].Stamps[0]
	micros := func(stamp uint64) float64 { return float64(int64(stamp-origin)) / p.TicksPerSec * 1e6 }
	for _, step := range p.Steps {
		for i, phase := range p.model.Manifest.Phases {
			if !phase.Runs(int64(step.Rows), int64(step.Chosen)) {
				continue
			}
			for w := range workers {
				start, end := micros(step.Stamps[i*workers+w]), micros(step.Stamps[(i+1)*workers+w])
				events = append(events, traceEvent{phase.Name, "X", start, end - start, 1, w, &traceArgs{step.Rows, phase.WeightBytes, phase.Notes}})
			}
		}
	}
	return json.NewEncoder(w).Encode(struct {
		Events []traceEvent `json:"traceEvents"`
		Unit   string       `json:"displayTimeUnit"`
	}{events, "ms"})
}
