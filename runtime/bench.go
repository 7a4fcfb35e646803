package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BenchOptions says what Bench measures.
type BenchOptions struct {
	Prompt   int // tokens of the prefill
	Generate int // steps of decoding
	Batch    int // sequences that are decoded together
	Repeat   int // measurements, of which the best and the median count
	Ahead    int // steps of decoding that are queued at once; 0: as Generation has it. With one, logits come back; with more, chosen tokens
	Progress func(stage string, done, total int)
}

// Bench is what was measured. The best of the repeats stands for what the code can do, the median for what this machine made of it.
type Bench struct {
	Model     string `json:"model"` // family and size
	Level     string `json:"level"`
	Threads   int    `json:"threads"`
	Device    string `json:"device,omitempty"` // of a GPU
	Prompt    int    `json:"prompt"`
	Generate  int    `json:"generate"`
	Batch     int    `json:"batch"`
	Repeat    int    `json:"repeat"`
	Ahead     int    `json:"steps_ahead"`       // that were queued at once in decoding
	StepBytes int64  `json:"step_weight_bytes"` // weights that a step of decoding reads

	DecodeRate    float64 `json:"decode_tokens_per_s"`
	DecodeMedian  float64 `json:"decode_tokens_per_s_median"`
	PrefillRate   float64 `json:"prefill_tokens_per_s"`
	PrefillMedian float64 `json:"prefill_tokens_per_s_median"`

	Bandwidth        float64 `json:"bandwidth_gb_s"`         // of the weights, when decoding
	MachineBandwidth float64 `json:"machine_bandwidth_gb_s"` // measured after it, with as many threads
	BandwidthShare   float64 `json:"bandwidth_share"`

	PrefillGflops float64 `json:"prefill_gflop_s"`      // operations of the prefill; an exponential counts as expOps
	MachinePeak   float64 `json:"machine_peak_gflop_s"` // multiply-adds from registers, measured after it; on a GPU from a table, 0: not known
	PeakOf        string  `json:"machine_peak_of"`
	PeakShare     float64 `json:"peak_share"`

	LoadMillis float64 `json:"load_ms"`
	PeakMemory int64   `json:"peak_memory_bytes"` // of the process, before the machine was measured
	DeviceMem  int64   `json:"device_memory_bytes,omitempty"`
}

// expOps is what an exponential counts as: a vector unit that makes 104 billion operations of multiply-adds makes 4.8 billion of the
// shortest useful exponentials (range reduction and a polynomial of degree five).
const expOps = 22

// Bench measures prefill, decoding, and then what the machine could do. load is how long opening took.
func (m *Model) Bench(ctx context.Context, o BenchOptions, load time.Duration) (*Bench, error) {
	if o.Prompt < 1 || o.Generate < 1 || o.Batch < 1 || o.Repeat < 1 {
		return nil, fmt.Errorf("a benchmark needs at least one token of prompt and of generation, one sequence and one run")
	}
	if err := checkAhead(o.Ahead); err != nil {
		return nil, err
	}
	o.Ahead = min(m.stepsAhead(o.Ahead), o.Generate)
	b := &Bench{
		Model: fmt.Sprintf("%s, %.1f M parameters, weights %s", m.Manifest.Model.Family, float64(m.Manifest.Model.Parameters)/1e6, m.Manifest.Weights.Mode),
		Level: m.Level, Threads: m.Threads, Device: m.Device, DeviceMem: m.engine.deviceBytes(), Prompt: o.Prompt, Generate: o.Generate, Batch: o.Batch, Repeat: o.Repeat, Ahead: o.Ahead,
		StepBytes: m.Manifest.StepWeightBytes(), LoadMillis: load.Seconds() * 1e3,
	}
	prefill, decode, err := m.rates(ctx, o)
	if err != nil {
		return nil, err
	}
	b.PrefillRate, b.PrefillMedian = bestAndMedian(prefill)
	b.DecodeRate, b.DecodeMedian = bestAndMedian(decode)
	if b.PeakMemory, err = peakMemory(); err != nil {
		return nil, err
	}
	return b, b.compareMachine(ctx, m, o)
}

// compareMachine takes the yardsticks and the shares.
func (b *Bench) compareMachine(ctx context.Context, m *Model, o BenchOptions) error {
	o.progress("measuring the machine", 0, 0)
	y, err := m.measure(ctx)
	if err != nil {
		return err
	}
	c := m.Manifest.Cost
	ops := float64(c.RowOps) + float64(c.OutOps)/float64(o.Prompt)
	if m.Device == "" { // a GPU's tensor cores make no exponentials, and are not kept from anything by them
		ops += expOps * float64(c.RowExp)
	}
	b.Bandwidth, b.MachineBandwidth = b.DecodeRate/float64(o.Batch)*float64(b.StepBytes)/1e9, y.bandwidth/1e9
	b.BandwidthShare = b.Bandwidth / b.MachineBandwidth
	b.PrefillGflops, b.MachinePeak, b.PeakOf = b.PrefillRate*ops/1e9, y.peak/1e9, y.peakOf
	if b.MachinePeak > 0 {
		b.PeakShare = b.PrefillGflops / b.MachinePeak
	}
	return nil
}

// measure takes the machine's yardsticks.
func (m *Model) measure(ctx context.Context) (yardsticks, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return yardsticks{}, errClosed
	}
	return m.engine.yardsticks(ctx)
}

func (o *BenchOptions) progress(stage string, done, total int) {
	if o.Progress != nil {
		o.Progress(stage, done, total)
	}
}

// rates measures tokens a second, one figure a repeat, after one that does not count: it brings the weights into memory and wakes the threads.
func (m *Model) rates(ctx context.Context, o BenchOptions) (prefill, decode []float64, err error) {
	run, err := m.newBenchRun(o)
	if err != nil {
		return nil, nil, err
	}
	defer run.free()
	decoding := run.decode
	if o.Ahead > 1 {
		decoding = run.decodeAhead
	}
	for i := range o.Repeat + 1 {
		o.progress("prefill and decoding", i, o.Repeat+1)
		p, err := run.prefill(ctx)
		if err != nil {
			return nil, nil, err
		}
		d, err := decoding(ctx, o.Generate)
		if err != nil {
			return nil, nil, err
		}
		if i > 0 {
			prefill = append(prefill, float64(o.Prompt)/p.Seconds())
			decode = append(decode, float64(o.Generate*o.Batch)/d.Seconds())
		}
	}
	return prefill, decode, nil
}

// benchRun is the sequences of a benchmark and what they are fed: random tokens, the same in every run.
type benchRun struct {
	m      *Model
	prompt []int32
	slots  []*Slot
	inputs []Input
	random *rand.Rand
	most   int    // steps that are queued at once
	ahead  *ahead // nil: decoding goes a step at a time
}

func (m *Model) newBenchRun(o BenchOptions) (*benchRun, error) {
	r := &benchRun{m: m, random: rand.New(rand.NewPCG(1, 2)), most: o.Ahead}
	for range o.Prompt {
		r.prompt = append(r.prompt, r.token())
	}
	for range o.Batch {
		slot, err := m.NewSlot()
		if err != nil {
			r.free()
			return nil, err
		}
		r.slots = append(r.slots, slot)
		r.inputs = append(r.inputs, Input{Slot: slot, IDs: []int32{0}, Outs: []int{0}})
	}
	if r.most > 1 {
		var err error
		if r.ahead, err = m.newAhead(r.slots, make([]Sampling, o.Batch)); err != nil {
			r.free()
			return nil, err
		}
	}
	return r, nil
}

func (r *benchRun) token() int32 { return r.random.Int32N(int32(r.m.Manifest.Model.Vocab)) }

func (r *benchRun) free() {
	if r.ahead != nil {
		r.ahead.free()
	}
	for _, s := range r.slots {
		s.Free()
	}
}

func ignore(_, _ int, _ []float32) error { return nil }

// prefill takes the prompt into the first slot, from nothing, and copies the state to the others outside of the time.
func (r *benchRun) prefill(ctx context.Context) (time.Duration, error) {
	if err := r.slots[0].Reset(); err != nil {
		return 0, err
	}
	start := time.Now()
	err := r.m.Run(ctx, []Input{{Slot: r.slots[0], IDs: r.prompt, Outs: []int{len(r.prompt) - 1}}}, ignore)
	d := time.Since(start)
	for _, s := range r.slots[1:] {
		if err == nil {
			err = s.CopyFrom(r.slots[0])
		}
	}
	return d, err
}

// decode takes steps of one token for each sequence.
func (r *benchRun) decode(ctx context.Context, steps int) (time.Duration, error) {
	start := time.Now()
	for range steps {
		for i := range r.inputs {
			r.inputs[i].IDs[0] = r.token()
		}
		if err := r.m.Run(ctx, r.inputs, ignore); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// decodeAhead is decode as Generate does it: several steps are queued, with copies of the states, and the host looks at what they chose.
func (r *benchRun) decodeAhead(ctx context.Context, steps int) (time.Duration, error) {
	first := make([]int32, len(r.slots))
	start := time.Now()
	for steps > 0 {
		for i := range first {
			first[i] = r.token()
		}
		chosen, err := r.ahead.advance(ctx, first, min(r.most, steps))
		if err != nil {
			return 0, err
		}
		steps -= len(chosen)
	}
	return time.Since(start), nil
}

func bestAndMedian(rates []float64) (best, median float64) {
	slices.Sort(rates)
	return rates[len(rates)-1], rates[len(rates)/2]
}

// peakMemory is the most memory that the process ever had, mapped files included.
func peakMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no VmHWM")
}
