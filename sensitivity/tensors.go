package sensitivity

import (
	"math"
	"slices"

	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// tensors looks at each tensor alone, layer by layer.
func (r *run) tensors() error {
	for i, p := range r.parts {
		r.stage("one tensor at a time", i, len(r.parts))
		seen := map[string][]float32{}
		out, err := p.run(r.streams[i], r.starts, func(name string, data []float32) {
			if slices.ContainsFunc(r.Points, func(pt passes.Point) bool { return pt.Value == name }) {
				seen[name] = slices.Clone(data)
			}
		})
		if err != nil {
			return err
		}
		for k := range r.Points {
			if pt := &r.Points[k]; pt.Layer == i && pt.Scales > 0 && seen[pt.Value] != nil {
				if err := r.valueTensor(p, pt, seen[pt.Value], out); err != nil {
					return err
				}
			}
		}
		if err := r.weightTensors(p, i, out); err != nil {
			return err
		}
		if err := r.ctx.Err(); err != nil {
			return err
		}
	}
	for k := range r.Points {
		if pt := &r.Points[k]; pt.Layer == quant.Outside && pt.Scales > 0 {
			r.study.Tensors = append(r.study.Tensors, r.observed(pt))
		}
	}
	return nil
}

// observed is what calibration says about a value.
func (r *run) observed(pt *passes.Point) Tensor {
	scales := r.Scales.Values[pt.Tensor]
	t := Tensor{Name: pt.Tensor, Layer: pt.Layer, Role: string(pt.Role), Type: quant.I8.String(), Scale: slices.Max(scales)}
	stats := r.Calibration.Tensors[pt.Tensor]
	if stats == nil {
		return t
	}
	h := stats.Histogram()
	t.Amax, t.RMS = h.Max(), h.RMS()
	t.Crest = t.Amax / math.Max(t.RMS, 1e-30)
	if len(scales) == 1 && !pt.Smooth {
		t.Clipped = h.ClippedShare(float64(scales[0]) * quant.MaxCode)
		t.SQNR = expected(h, float64(scales[0]))
	}
	return t
}

// expected is the SQNR that a scale gives the values of a histogram: rounding is evenly spread, and what is above the largest code is cut.
func expected(h *quant.Histogram, scale float64) float64 {
	var signal, off float64
	for _, b := range h.Bins() {
		v := (b.Low() + b.High()) / 2
		e := math.Min(scale*scale/12, v*v)
		if top := scale * quant.MaxCode; v > top {
			e = (v - top) * (v - top)
		}
		signal += float64(b.Count) * v * v
		off += float64(b.Count) * e
	}
	return compare.DB(signal, off)
}

// valueTensor tries the codes of one value.
func (r *run) valueTensor(p *part, pt *passes.Point, x, out []float32) error {
	t := r.observed(pt)
	if pt.Smooth || pt.Cells != nil { // its scales are of other numbers than the layer has here
		r.study.Tensors = append(r.study.Tensors, t)
		return nil
	}
	scales := r.Scales.Values[pt.Tensor]
	t.SQNR = compare.DB(noise(x, codes(x, scales, pt.Spec.Range)))
	db, err := r.tryValue(p, pt, scales, out)
	if err != nil {
		return err
	}
	t.Output = &db
	r.study.Tensors = append(r.study.Tensors, t)
	return nil
}

// tryValue is the SQNR of what the layer adds when one value is rounded to codes of these scales.
func (r *run) tryValue(p *part, pt *passes.Point, scales, out []float32) (float64, error) {
	q := p.clone()
	if err := q.fakeValue(pt, scales); err != nil {
		return 0, err
	}
	got, err := q.run(r.streams[pt.Layer], r.starts, nil)
	if err != nil {
		return 0, err
	}
	return compare.DB(noise(out, got)), nil
}

// weightTensors tries the codes of each weight of a layer.
func (r *run) weightTensors(p *part, layer int, out []float32) error {
	for _, v := range p.Func.Weights {
		role := quant.Role(v.Role)
		if !quant.IsWeightRole(role) || role == quant.Params {
			continue
		}
		spec := r.Scheme.Weight(role, layer)
		stands, db, err := standsFor(v.Weight, spec, r.gramOf(p.Module, v))
		if err != nil {
			return err
		}
		if stands == nil {
			continue
		}
		t := Tensor{Name: v.Name, Layer: layer, Role: v.Role, Weight: true, Type: spec.Type.String(), SQNR: db}
		if err := t.weigh(v.Weight); err != nil {
			return err
		}
		q := p.clone()
		if err := q.fakeWeight(v.Name, stands); err != nil {
			return err
		}
		got, err := q.run(r.streams[layer], r.starts, nil)
		if err != nil {
			return err
		}
		output := compare.DB(noise(out, got))
		t.Output = &output
		r.study.Tensors = append(r.study.Tensors, t)
	}
	return nil
}

// gramOf is the second moments of what a weight is multiplied by, if the scheme's GPTQ has them.
func (r *run) gramOf(m *ir.Module, w *ir.Value) *quant.Gram {
	if r.Scales.Gram == nil {
		return nil
	}
	for _, u := range m.Func.Uses(w) {
		if u.Op == nil || u.Op.Code != ir.OpLinear || u.Index != 1 {
			continue
		}
		for _, pt := range r.Points {
			if pt.Gram && pt.Value == u.Op.Args[0].Name {
				if g, err := r.Scales.Gram(pt.Tensor); err == nil {
					return g
				}
			}
		}
	}
	return nil
}

// weigh fills in what is known of a weight without calibration.
func (t *Tensor) weigh(w *ir.Weight) error {
	x, err := ir.LoadWeight[float64](w)
	if err != nil {
		return err
	}
	var sum float64
	for _, v := range x.Data {
		t.Amax = math.Max(t.Amax, math.Abs(v))
		sum += v * v
	}
	t.RMS = math.Sqrt(sum / math.Max(float64(len(x.Data)), 1))
	t.Crest = t.Amax / math.Max(t.RMS, 1e-30)
	return nil
}
