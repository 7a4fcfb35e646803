package passes

import (
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// This file stores the state of a scan as i8 codes between steps:
//
//	%h     = mul (cast %s) %scale      what the scan begins with
//	%y, %n = scan ... %h
//	%s'    = quantize %n %inv          what the next step finds
//
// Within a step the state is f32. So a decoded token rounds it once, and a prompt only where a step ends. The scale is a number, or one for each
// channel, or one for each channel and state index.

// state decides about a state of a scan.
func (p *plan) state(v *ir.Value) {
	s := &stored{v: v, layer: layerOf(v), channels: 1, state: true}
	s.spec = p.scheme.Value(quant.SSMState, s.layer)
	p.values[v] = s
	switch s.spec.Type {
	case quant.F32:
		return
	case quant.I8:
	default:
		p.problem("%s: %s says %s, but a state is kept in f32 or i8\n  fix: ssm.state: {type: f32}", place(v), s.spec.From, s.spec.Type)
		return
	}
	for _, u := range p.uses[v] {
		if u.Op == nil || u.Op.Code != ir.OpScan || u.Op.Arg("h0") != v {
			p.problem("%s: %s says i8, but more than a scan has to do with it: it %s\n  fix: ssm.state: {type: f32}", place(v), s.spec.From, useNames(p.uses[v]))
			return
		}
	}
	s.codes = true
	switch n := v.State.Shape[len(v.State.Shape)-1]; s.spec.Scale.Kind {
	case quant.PerChannel:
		s.channels = rowSize(v) / max(n, 1)
	case quant.PerStateChannel:
		s.channels = rowSize(v)
	}
	p.order = append(p.order, s)
}

// decodeStates widens the states that are stored as codes, in front of all else.
func (q *quantizer) decodeStates() error {
	for i, v := range q.f.States {
		s := q.values[v]
		if s == nil || !s.codes {
			continue
		}
		scale, err := q.scales.of(s)
		if err != nil {
			return err
		}
		q.at = q.uses[v][0].Op
		v.State = &ir.State{Name: v.State.Name, DType: ir.I8, Shape: v.State.Shape}
		v.Type.DType = ir.I8
		q.coded[v] = &coded{stored: s, q: v, scale: scale}
		q.next[q.f.NextStates[i]] = append(q.next[q.f.NextStates[i]], i)
		q.r.Fired(q.at, "%s is stored as codes between steps", place(v))
	}
	return nil
}

// encodeNext makes the codes that the next step finds of what a scan gives, if these are stored so.
func (q *quantizer) encodeNext(v *ir.Value) error {
	for _, i := range q.next[v] {
		s := q.coded[q.f.States[i]]
		args, attrs := []*ir.Value{v}, ir.Attrs{Full: s.spec.Range == quant.Full, Count: q.count}
		if len(s.scale) == 1 {
			attrs.Inv = quant.Inverse(s.scale[0])
		} else {
			inv := make([]float32, len(s.scale))
			for k, x := range s.scale {
				inv[k] = quant.Inverse(x)
			}
			w, err := q.stateVector(s, v.Name+".inv", inv)
			if err != nil {
				return err
			}
			args = append(args, w)
		}
		codes, err := q.emit(ir.OpQuantize, v.Name+".q", attrs, args...)
		if err != nil {
			return err
		}
		codes.Role = s.v.Role
		q.f.NextStates[i] = codes
	}
	return nil
}

// stateVector is a weight with one number for each channel of a state, or for each channel and state index.
func (q *quantizer) stateVector(s *coded, name string, x []float32) (*ir.Value, error) {
	shape := append([]int(nil), s.v.State.Shape...)
	if last := len(shape) - 1; len(x) < s.v.State.Len() {
		shape[last] = 1
	}
	w, err := ir.NewWeight(name, ir.F32, shape, x)
	if err != nil {
		return nil, err
	}
	return q.addWeight(name, "", w), nil
}
