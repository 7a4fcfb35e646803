package sensitivity

import (
	"context"
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// candidates are the observers of ssm.u that a search tries.
var candidates = [...]quant.Observer{
	{Kind: quant.Amax},
	{Kind: quant.Percentile, Alpha: 0.99999},
	{Kind: quant.Percentile, Alpha: 0.9999},
	{Kind: quant.Percentile, Alpha: 0.9995},
	{Kind: quant.Percentile, Alpha: 0.999},
	{Kind: quant.MSE},
}

// Found is what a search for percentiles found.
type Found struct {
	Choices []Choice         `json:"choices"`
	Before  compare.Distance `json:"before"` // of the scheme that was begun with
	After   compare.Distance `json:"after"`
}

// Choice is what a search found for one layer.
type Choice struct {
	Layer int     `json:"layer"`
	Tried []Trial `json:"tried"`
	Best  int     `json:"best"` // of Tried
	Kept  bool    `json:"kept"` // the predictions came nearer to the float model's with it
}

// Trial is one observer in one layer.
type Trial struct {
	Observer string  `json:"observe"`
	Clip     float64 `json:"clip"`           // the largest |x| that has a code
	Output   float64 `json:"output_sqnr_db"` // of what the layer adds to the stream, with only ssm.u quantized
	kind     quant.Observer
}

// Percentiles looks for the observer of ssm.u in each layer that changes the layer's output least, and writes the scheme that has them.
//
// A layer is tried on a few hundred tokens, in which a rare large value may not occur. So a change is only kept if it brings the predictions of the whole
// model nearer to the float model's, on all windows.
func Percentiles(ctx context.Context, s *compile.Scaled, name string, o Options) (*Found, *quant.SchemeFile, error) {
	if o.Rows == 0 {
		o.Rows = 256
	}
	r := &run{Scaled: s, Options: o, ctx: ctx, study: &Study{}}
	defer r.close()
	if err := r.prepare(); err != nil {
		return nil, nil, err
	}
	f := &Found{}
	for i, p := range r.parts {
		r.stage("percentiles", i, len(r.parts))
		at := slices.IndexFunc(s.Points, func(pt passes.Point) bool { return pt.Layer == i && pt.Role == quant.SSMU && pt.Scales == 1 })
		if at < 0 {
			continue
		}
		out, err := p.run(r.streams[i], r.starts, nil)
		if err != nil {
			return nil, nil, err
		}
		c, err := r.percentile(p, &s.Points[at], out)
		if err != nil {
			return nil, nil, err
		}
		f.Choices = append(f.Choices, c)
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
	if len(f.Choices) == 0 {
		return nil, nil, fmt.Errorf("scheme %s stores ssm.u of no layer as codes with one scale: there is nothing to search", s.Scheme.Name)
	}
	if err := r.keep(f, name); err != nil {
		return nil, nil, err
	}
	return f, o.Base.withObservers(name, f.Choices), nil
}

// keep tries the changes one after another in the whole model.
func (r *run) keep(f *Found, name string) error {
	var err error
	if f.Before, _, err = r.against(r.Scheme, nil, nil); err != nil {
		return err
	}
	f.After = f.Before
	for i := range f.Choices {
		c := &f.Choices[i]
		if c.Tried[c.Best].kind == r.Scheme.Value(quant.SSMU, c.Layer).Observe {
			continue
		}
		r.stage("the whole model with it", i, len(f.Choices))
		c.Kept = true
		s, err := r.Base.parse(r.Base.withObservers(name, f.Choices))
		if err != nil {
			return err
		}
		scales, err := r.ScalesOf(s)
		if err != nil {
			return err
		}
		d, _, err := r.against(s, scales, nil)
		if err != nil {
			return err
		}
		if c.Kept = d.KL < f.After.KL; c.Kept {
			f.After = d
		}
	}
	return nil
}

// percentile tries the candidates in one layer.
func (r *run) percentile(p *part, pt *passes.Point, out []float32) (Choice, error) {
	c := Choice{Layer: pt.Layer}
	stats, err := r.Calibration.Stats(quant.SSMU, pt.Layer)
	if err != nil {
		return c, err
	}
	for _, o := range candidates {
		clip, err := stats.Amax(o)
		if err != nil {
			return c, err
		}
		db, err := r.tryValue(p, pt, []float32{quant.ScaleOf(clip)}, out)
		if err != nil {
			return c, err
		}
		text, _ := o.MarshalJSON()
		c.Tried = append(c.Tried, Trial{string(text), clip, db, o})
		if db > c.Tried[c.Best].Output {
			c.Best = len(c.Tried) - 1
		}
	}
	return c, nil
}

// withObservers is a scheme file with what was found and kept: layers that want the same stand together.
func (b Base) withObservers(name string, list []Choice) *quant.SchemeFile {
	f := &quant.SchemeFile{Scheme: name, Extends: b.extends()}
	for _, o := range candidates {
		var found []int
		for _, c := range list {
			if c.Kept && c.Tried[c.Best].kind == o {
				found = append(found, c.Layer)
			}
		}
		if len(found) > 0 {
			f.Overrides = append(f.Overrides, quant.Override{Layers: joined(found), Values: []quant.Rule{{Name: string(quant.SSMU), Entry: quant.Entry{Observe: &o}}}})
		}
	}
	return f
}

// joined makes ranges of ascending layers.
func joined(list []int) []quant.Layers {
	var out []quant.Layers
	for _, i := range list {
		if k := len(out) - 1; k >= 0 && out[k].Last == i-1 {
			out[k].Last = i
		} else {
			out = append(out, quant.Layers{First: i, Last: i})
		}
	}
	return out
}
