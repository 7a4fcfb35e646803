package ir

import (
	"errors"
	"fmt"
)

// step is the evaluation of one step.
type step[F Float] struct {
	e       *Evaluator[F]
	in      *Inputs[F]
	start   []int
	extents [3]int // T, S, O
	values  map[*Value]*Tensor[F]
}

// Step runs the function once.
func (e *Evaluator[F]) Step(in Inputs[F]) (*Outputs[F], error) {
	s := &step[F]{e: e, in: &in, values: map[*Value]*Tensor[F]{}}
	if err := s.rows(); err != nil {
		return nil, err
	}
	if err := s.bind(); err != nil {
		return nil, err
	}
	for _, p := range e.plan {
		if err := s.run(p); err != nil {
			return nil, err
		}
	}
	out := &Outputs[F]{}
	for _, v := range e.m.Func.Returns {
		out.Returns = append(out.Returns, s.value(v))
	}
	for _, v := range e.m.Func.NextStates {
		out.NextStates = append(out.NextStates, s.value(v))
	}
	return out, nil
}

// value finds a value that has been made.
func (s *step[F]) value(v *Value) *Tensor[F] {
	if t := s.values[v]; t != nil {
		return t
	}
	return s.e.fixed[v]
}

// rows settles T, S and O and where sequences begin.
func (s *step[F]) rows() error {
	in := s.in
	s.start = in.SeqStart
	if s.start == nil {
		s.start = []int{0, len(in.IDs)}
	}
	last := 0
	for i, at := range s.start {
		if at < last || i == 0 && at != 0 {
			return fmt.Errorf("SeqStart %v does not ascend from 0", s.start)
		}
		last = at
	}
	if len(s.start) == 0 {
		return errors.New("SeqStart is empty; for no sequences it is [0]")
	}
	if in.IDs != nil && len(in.IDs) != last {
		return fmt.Errorf("%d ids, but the sequences have %d rows", len(in.IDs), last)
	}
	outs := len(in.Outs)
	if in.Outs == nil {
		outs = last
	}
	s.extents = [3]int{last, len(s.start) - 1, outs}
	return nil
}

// bind gives inputs and states their tensors.
func (s *step[F]) bind() error {
	for _, v := range s.e.m.Func.Inputs {
		shape, err := concrete(v.Type.Shape, s.extents)
		if err != nil {
			return fmt.Errorf("input %%%s: %w", v.Name, err)
		}
		t := newTensor[F](v.Type.DType, shape)
		s.values[v] = t
		data, given := s.in.Values[v.Name]
		switch {
		case given:
			if err := t.set(v.Type.DType, data); err != nil {
				return fmt.Errorf("input %%%s: %w", v.Name, err)
			}
		case v.Type.Equal(TypeOf(I32, Rows)) && s.in.IDs != nil:
			for i, id := range s.in.IDs {
				t.Ints[i] = int64(id)
			}
		case v.Type.Equal(TypeOf(I32, Outs)):
			for i := range t.Ints {
				t.Ints[i] = int64(i)
				if s.in.Outs != nil {
					t.Ints[i] = int64(s.in.Outs[i])
				}
			}
		default:
			seedTensor(t, v.Type.DType, v.Name)
		}
	}
	if n := len(s.in.States); n != 0 && n != len(s.e.m.Func.States) {
		return fmt.Errorf("%d states given, the function has %d", n, len(s.e.m.Func.States))
	}
	for i, v := range s.e.m.Func.States {
		shape, err := concrete(v.Type.Shape, s.extents)
		if err != nil {
			return fmt.Errorf("state %%%s: %w", v.Name, err)
		}
		t := newTensor[F](v.Type.DType, shape)
		s.values[v] = t
		if s.in.States == nil || s.in.States[i] == nil {
			continue
		}
		if err := t.set(v.Type.DType, s.in.States[i]); err != nil {
			return fmt.Errorf("state %%%s: %w", v.Name, err)
		}
	}
	return nil
}

// run evaluates one op and drops what nothing reads any more.
func (s *step[F]) run(p planned) error {
	args := make([]*Tensor[F], len(p.op.Args))
	for i, a := range p.op.Args {
		if a != nil {
			args[i] = s.value(a)
		}
	}
	out, err := EvalOp(p.op, args, s.start, s.extents)
	if err != nil {
		return err
	}
	if p.op.Attrs.Count && s.e.Clamped != nil {
		s.e.Clamped(p.op.Result().Name, len(args[0].Data), clamped(&p.op.Attrs, args[0], args[1]))
	}
	for i, r := range p.op.Results {
		s.values[r] = out[i]
		if s.e.Observe != nil && out[i].Data != nil {
			s.e.Observe(r.Name, out[i].Shape, out[i].Data)
		}
		if s.e.ObserveInts != nil && out[i].Ints != nil {
			s.e.ObserveInts(r.Name, out[i].Shape, out[i].Ints)
		}
	}
	for _, v := range p.dead {
		delete(s.values, v)
	}
	return nil
}

// RandomInputs makes inputs for a module of any kind from a seed: for each sequence so many rows, ids that every table they index has,
// states that are not zero. Passes are checked with them.
func RandomInputs[F Float](m *Module, seed uint64, rows ...int) Inputs[F] {
	r := splitmix(seed)
	in := Inputs[F]{SeqStart: []int{0}}
	for i, n := range rows {
		in.SeqStart = append(in.SeqStart, in.SeqStart[i]+n)
	}
	for _, v := range m.Func.Inputs {
		if !v.Type.Equal(TypeOf(I32, Rows)) {
			continue
		}
		limit := Dim(1 << 16)
		for _, u := range m.Func.Uses(v) {
			if u.Op != nil && u.Op.Code == OpGather && !u.Op.Args[0].Type.Shape[0].Symbolic() {
				limit = min(limit, u.Op.Args[0].Type.Shape[0])
			}
		}
		in.IDs = make([]int32, in.SeqStart[len(rows)])
		for i := range in.IDs {
			in.IDs[i] = int32(r.next() % uint64(max(limit, 1)))
		}
	}
	for _, v := range m.Func.States {
		data := make([]F, len(rows)*v.State.Len())
		for i := range data {
			if v.Type.DType.Float() {
				data[i] = F(float32(r.float() - 0.5))
			} else {
				lo, hi := intRange(v.Type.DType)
				data[i] = F(max(lo, -127) + int64(r.next()%uint64(min(hi, 127)-max(lo, -127)+1)))
			}
		}
		in.States = append(in.States, data)
	}
	return in
}
