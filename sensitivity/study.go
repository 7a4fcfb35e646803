package sensitivity

import (
	"context"
	"fmt"

	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// Options of a study.
type Options struct {
	Base    Base      // the scheme, as it was named
	Windows [][]int32 // of a text that the scales are not of
	Rows    int       // tokens on which single tensors are tried in a layer; 0: 256
	// Progress, which may be nil, is told what is being done.
	Progress func(stage string, done, total int64)
}

func (o *Options) stage(name string, done, total int) {
	if o.Progress != nil {
		o.Progress(name, int64(done), int64(total))
	}
}

// Study is what quantization costs, by layer and tensor.
type Study struct {
	Scheme    string           `json:"scheme"`
	Rotations string           `json:"rotations"`
	Whole     compare.Distance `json:"whole"` // the quantized model against the float one, as prompts
	Layers    []Layer          `json:"layers"`
	Tensors   []Tensor         `json:"tensors"`

	calibration *quant.Calibration
	plain       *quant.Calibration // without rotations, on a few windows
}

// Layer is what a layer costs. Layer quant.Outside is embedding and head together.
type Layer struct {
	Layer      int      `json:"layer"`
	KL         float64  `json:"kl_mean"` // with only this layer quantized
	KL99       float64  `json:"kl_p99"`
	SQNR       float64  `json:"logits_sqnr_db"`
	Stream     *float64 `json:"stream_sqnr_db,omitempty"` // of the residual stream behind it, with everything quantized: what errors come to
	FloatBytes int64    `json:"float_bytes"`
	Bytes      int64    `json:"bytes"`
}

// Tensor is what one tensor costs in its layer.
type Tensor struct {
	Name    string   `json:"name"` // as scales are named: layers.3.ssm.u; a weight's is that of the graph
	Layer   int      `json:"layer"`
	Role    string   `json:"role"`
	Weight  bool     `json:"weight,omitempty"`
	Type    string   `json:"type"`
	Amax    float64  `json:"amax"` // in calibration
	RMS     float64  `json:"rms"`
	Crest   float64  `json:"amax_over_rms"`
	Scale   float32  `json:"scale,omitempty"`          // the only, or the largest
	Clipped float64  `json:"clipped"`                  // share of the values in calibration that are above the largest code
	SQNR    float64  `json:"sqnr_db"`                  // of the tensor; 0: not known, as its channels are smoothed or sorted
	Output  *float64 `json:"output_sqnr_db,omitempty"` // of what the layer adds to the stream, with only this tensor quantized
}

// Run makes a study.
func Run(ctx context.Context, s *compile.Scaled, o Options) (*Study, error) {
	if o.Rows == 0 {
		o.Rows = 256
	}
	if len(o.Windows) == 0 {
		return nil, fmt.Errorf("a study needs windows of a text")
	}
	r := &run{Scaled: s, Options: o, ctx: ctx, study: &Study{Scheme: s.Scheme.Name, calibration: s.Calibration}}
	defer r.close()
	for _, step := range []func() error{r.prepare, r.bytes, r.whole, r.tensors, r.layers, r.unrotated} {
		if err := step(); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return r.study, nil
}

// run is one study under way.
type run struct {
	*compile.Scaled
	Options
	ctx     context.Context
	study   *Study
	graph   *ir.Module // the float one
	parts   []*part
	names   []string           // of the stream before each layer, and behind the last
	float   *compile.Temporary // keeps these
	streams [][]float32        // their rows, of the first windows
	starts  []int              // where the windows begin in them
}

func (r *run) close() {
	if r.float != nil {
		r.float.Close()
	}
}

// few are the windows that single layers are tried on, cut so that they have the rows that were asked for.
func (r *run) few() [][]int32 {
	var list [][]int32
	left := r.Rows
	each := max(1, r.Rows/2)
	for _, w := range r.Windows {
		n := min(len(w), left, each)
		if n == 0 {
			break
		}
		list = append(list, w[:n])
		left -= n
	}
	return list
}

// prepare cuts the graph into layers and gets what the float model gives each of them.
func (r *run) prepare() error {
	r.stage("compiling the float model", 0, 0)
	var err error
	if r.graph, err = r.Float(); err != nil {
		return err
	}
	r.study.Rotations = calibrate.Rotation(r.Scheme, r.graph)
	n := layers(r.graph)
	for i := range n {
		p, err := cutLayer(r.graph, i)
		if err != nil {
			return err
		}
		r.parts = append(r.parts, p)
		r.names = append(r.names, p.stream)
	}
	r.names = append(r.names, lastStream(r.graph, n-1))
	if r.float, err = openFloat(r.Scaled, r.names); err != nil {
		return err
	}
	at := 0
	for _, w := range r.few() {
		r.starts = append(r.starts, at)
		at += len(w)
	}
	r.streams, err = collect(r.ctx, r.float, r.few())
	return err
}

// lastStream is the name of the residual stream behind a layer.
func lastStream(m *ir.Module, layer int) string {
	name := ""
	for _, op := range m.Func.Ops {
		if v := op.Result(); v.Role == string(quant.Stream) && layerOf(v.Name) == layer {
			name = v.Name
		}
	}
	return name
}

// bytes counts the weights of each layer, before and after.
func (r *run) bytes() error {
	n := len(r.parts)
	r.study.Layers = make([]Layer, n+1)
	for i := range r.study.Layers {
		r.study.Layers[i].Layer = i
	}
	r.study.Layers[n].Layer = quant.Outside
	m, err := r.Quantized(r.Scheme, nil, nil)
	if err != nil {
		return err
	}
	plain, err := r.Build()
	if err != nil {
		return err
	}
	count := func(m *ir.Module, add func(l *Layer, bytes int64)) {
		for _, w := range m.Func.Weights {
			i := layerOf(w.Name)
			if i == quant.Outside {
				i = n
			}
			add(&r.study.Layers[i], int64(w.Weight.Len())*int64(w.Weight.DType.Bits())/8)
		}
	}
	count(plain, func(l *Layer, b int64) { l.FloatBytes += b })
	count(m, func(l *Layer, b int64) { l.Bytes += b })
	return nil
}

// windows are those that predictions are compared on.
func (r *run) windows() []compare.Window {
	var list []compare.Window
	for _, w := range r.Windows {
		list = append(list, compare.Window{IDs: w, Score: 1})
	}
	return list
}

// against compiles the model as a scheme stores it and compares it with the float one.
func (r *run) against(s *quant.Scheme, scales *passes.Scales, keep []string) (compare.Distance, [][]float32, error) {
	t, err := openQuantized(r.Scaled, s, scales, keep)
	if err != nil {
		return compare.Distance{}, nil, err
	}
	defer t.Close()
	d, err := compare.Run(r.ctx, t.Model, r.float.Model, r.windows(), compare.Prefill, nil)
	if err != nil || len(keep) == 0 {
		return d, nil, err
	}
	rows, err := collect(r.ctx, t, r.few())
	return d, rows, err
}

// whole looks at the model with everything quantized.
func (r *run) whole() error {
	r.stage("the whole model", 0, 0)
	d, rows, err := r.against(r.Scheme, nil, r.names)
	if err != nil {
		return err
	}
	r.study.Whole = d
	for i, db := range departure(r.streams, rows)[1:] {
		r.study.Layers[i].Stream = &db
	}
	return nil
}

// layers looks at the model with one layer quantized, for each.
func (r *run) layers() error {
	for i := range r.study.Layers {
		l := &r.study.Layers[i]
		r.stage("one layer at a time", i, len(r.study.Layers))
		s, err := r.Base.only(len(r.parts), l.Layer)
		if err != nil {
			return err
		}
		d, _, err := r.against(s, nil, nil)
		if err != nil {
			return err
		}
		l.KL, l.KL99, l.SQNR = d.KL, d.KL99, d.SQNR
	}
	return nil
}

// unrotated observes a few windows without rotations, to show what these do to channels.
func (r *run) unrotated() error {
	if r.Calibration == nil || !r.Scheme.Stream.Hadamard && !r.Scheme.Y.Hadamard {
		return nil
	}
	r.stage("the model without rotations", 0, 0)
	s, err := r.Base.parse(&quant.SchemeFile{Scheme: "unrotated", Extends: r.Base.extends(), Rotate: &quant.Rotations{}})
	if err != nil {
		return err
	}
	m, err := r.Build()
	if err != nil {
		return err
	}
	points, err := calibrate.Prepare(m, s)
	if err != nil {
		return err
	}
	t, err := r.Open(m)
	if err != nil {
		return err
	}
	defer t.Close()
	watch, err := calibrate.Watches(points, t.Kept)
	if err != nil {
		return err
	}
	d := &calibrate.Data{Windows: r.Windows[:min(len(r.Windows), 8)]}
	r.study.plain = quant.NewCalibration()
	return calibrate.Run(r.ctx, t.Model, watch, d, r.study.plain, calibrate.Options{})
}
