// Rotate-stream turns the residual stream by H/sqrt(d): what writes it writes H h, what reads it takes H back, and nothing is left at run time.
//
// An RMS norm without a weight commutes with a rotation, so that the codes of the normed stream, which every in_proj reads, are those of a
// rotated vector: outlier channels are spread over all. Embedding rows, the rows of writers, the columns of readers and of the head change, in
// float64.
//
// A head that is the embedding cannot have both the rows as they are read and the columns as they are multiplied. Where the scheme keeps the two
// one tensor, the table stays as it is: the row that was read is rotated, and the vector before the head is rotated back, d log d additions each.
//
// An op that reads or writes the stream and is not linear is an error: the model would be another one.

package passes

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// rotateStream is the pass "rotate-stream".
func rotateStream(m *ir.Module, r *PassReport, o *Options) error {
	f := m.Func
	if !o.Scheme.Stream.Hadamard {
		r.Idle = "the scheme does not rotate the stream"
		return nil
	}
	var err error
	s := &stream{weightEditor: newWeightEditor(f), scheme: o.Scheme, r: r}
	s.collect()
	if len(s.problems) > 0 {
		return fmt.Errorf("rotate: {stream: hadamard} cannot be done exactly: what reads and writes the residual stream must be linear\n  %s\n  fix: leave the rotation of the stream out of the scheme",
			strings.Join(s.problems, "\n  "))
	}
	if s.width == 0 {
		r.Idle = "no value is marked as the residual stream"
		return nil
	}
	if s.h, err = newRotation(s.width, o.Scheme.Stream); err != nil {
		r.Idle = err.Error()
		return nil
	}
	if err = s.rotateAll(); err != nil {
		return err
	}
	dropUnread(f)
	return nil
}

// stream is one run of rotate-stream.
type stream struct {
	*weightEditor
	scheme *quant.Scheme
	r      *PassReport
	h      rotation
	width  int

	tables  []*ir.Op // gathers of embedding rows
	writers []*ir.Op // linears
	added   []*ir.Op // additions of a weight: operand 1
	readers []*ir.Op // linears
	tied    []*ir.Op // norms before a head that is the embedding too

	problems []string
}

// bad notes an op that is not as it should be.
func (s *stream) bad(op *ir.Op, format string, args ...any) {
	text := opName(op)
	if op.From != "" {
		text += " (" + op.From + ")"
	}
	text += ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(s.problems, text) {
		s.problems = append(s.problems, text)
	}
}

func isStream(v *ir.Value) bool { return v.Role == string(quant.Stream) }

// collect finds everything that reads and writes the stream.
func (s *stream) collect() {
	for _, op := range s.f.Ops {
		v := op.Result()
		if !isStream(v) {
			continue
		}
		if n := rowSize(v); s.width != 0 && n != s.width || v.Type.Rank() != 2 {
			s.bad(op, "the stream is %s here and %d wide elsewhere", v.Type, s.width)
		} else {
			s.width = n
		}
		s.source(op)
		for _, u := range s.uses[v] {
			s.use(v, u)
		}
	}
}

// source judges an op that makes a value of the stream.
func (s *stream) source(op *ir.Op) {
	switch op.Code {
	case ir.OpGather:
		if op.Args[0].Weight != nil {
			s.tables = append(s.tables, op)
		} else if !isStream(op.Args[0]) {
			s.bad(op, "it takes rows of something else")
		}
	case ir.OpAdd:
		for i, a := range op.Args {
			switch {
			case isStream(a):
			case a.Weight != nil && i == 1 && a.Weight.Len() == rowSize(op.Result()):
				s.added = append(s.added, op)
			default:
				s.writer(op, a)
			}
		}
	case ir.OpLinear:
		s.writer(op, op.Result())
	default:
		s.bad(op, "it is not linear")
	}
}

// writer judges v, which is added to the stream, or is it.
func (s *stream) writer(op *ir.Op, v *ir.Value) {
	switch {
	case v.Def == nil || v.Def.Code != ir.OpLinear:
		s.bad(op, "it adds %%%s, which is %s", v.Name, source(v))
	case v.Def.Args[1].Weight == nil || v.Def.Args[2] != nil && v.Def.Args[2].Weight == nil:
		s.bad(v.Def, "its matrix is no weight")
	case !isStream(v) && len(s.uses[v]) != 1:
		s.bad(v.Def, "what it writes to the stream %s", useNames(s.uses[v]))
	default:
		s.writers = append(s.writers, v.Def)
	}
}

// use judges a reader of a value of the stream.
func (s *stream) use(v *ir.Value, u ir.Use) {
	op := u.Op
	switch {
	case op == nil:
		s.problems = append(s.problems, fmt.Sprintf("%%%s is the function's %s", v.Name, u))
	case isStream(op.Result()): // judged as a source
	case op.Code == ir.OpRMSNorm && u.Index == 0 && op.Attrs.Groups == 1:
		s.norm(op)
	case op.Code == ir.OpLinear && u.Index == 0 && op.Args[1].Weight != nil:
		s.readers = append(s.readers, op)
	case op.Code == ir.OpLayerNorm:
		s.bad(op, "it subtracts the mean over channels, which a rotation changes")
	default:
		s.bad(op, "it is not linear")
	}
}

// norm judges an RMS norm of the stream: without a weight, and what reads it must be linear.
func (s *stream) norm(op *ir.Op) {
	uses := s.uses[op.Result()]
	if reader := notLinear(uses); reader != "" {
		s.bad(op, "its result is read by %s, which is not linear", reader)
		return
	}
	keeps, _ := s.scheme.KeepsTie()
	if keeps && len(uses) == 1 && isTied(s.weightEditor, uses[0].Op) {
		s.tied = append(s.tied, op)
		return
	}
	if op.Args[1] != nil {
		s.bad(op, "it has a weight that could not be folded")
		return
	}
	for _, u := range uses {
		s.readers = append(s.readers, u.Op)
	}
}

// rotateAll changes weights, and what surrounds a tied table.
func (s *stream) rotateAll() error {
	for _, op := range s.readers {
		untie(s.weightEditor, op, s.r)
		s.replace(op, 1, changedRows(op.Args[1].Weight, "rotated", s.h.FoldInput))
	}
	for _, op := range s.writers {
		cols := op.Args[1].Weight.Shape[1]
		s.replace(op, 1, changed(op.Args[1].Weight, "rotated", func(x []float64) error { return s.h.FoldOutput(x, cols) }))
		if op.Args[2] != nil {
			s.replace(op, 2, changed(op.Args[2].Weight, "rotated", s.h.FoldInput))
		}
	}
	for _, op := range s.added {
		s.replace(op, 1, changedRows(op.Args[1].Weight, "rotated", s.h.FoldInput))
	}
	for _, op := range s.tables {
		if len(s.tied) == 0 {
			s.replace(op, 0, changedRows(op.Args[0].Weight, "rotated", s.h.FoldInput))
		} else if err := s.rotateRows(op); err != nil {
			return err
		}
		s.r.Fired(op, "the stream is rotated by %s: %d writers, %d readers", s.h, len(s.writers), len(s.readers)+len(s.tied))
	}
	for _, op := range s.tied {
		if err := s.rotateBack(op); err != nil {
			return err
		}
	}
	return nil
}

// rotateRows rotates what a gather of a tied table gives.
func (s *stream) rotateRows(op *ir.Op) error {
	v, at := op.Result(), opBehind(s.f, op)
	rotated, err := s.rotate(at, v, s.h)
	if err != nil {
		return err
	}
	for _, u := range s.uses[v] {
		u.Op.Args[u.Index] = rotated
	}
	rotated.Role, v.Role = v.Role, ""
	s.r.Fired(op, "the table is the head as well and stays; its rows are rotated as they are read")
	return nil
}

// rotateBack gives a tied head the vector that it was made for: g * (H' n) / sqrt(d), n being the normed vector and g the norm's weight.
func (s *stream) rotateBack(op *ir.Op) error {
	n, head := op.Result(), s.uses[op.Result()][0].Op
	back, err := s.transform(head, n, s.h, true)
	if err != nil {
		return err
	}
	root := 1 / math.Sqrt(float64(s.h.Block()))
	g, name := op.Args[1], n.Name+".back"
	w := floats(name, ir.F64, []int{s.h.N}, func() ([]float64, error) {
		x := make([]float64, s.h.N)
		for i := range x {
			x[i] = root
		}
		if g == nil {
			return x, nil
		}
		return x, scaleColumns(x, g.Weight)
	})
	y, err := s.insert(head, ir.OpMul, n.Name+".unrotated", ir.Attrs{}, back, s.add(name, "", w))
	if err != nil {
		return err
	}
	op.Args[1] = nil
	head.Args[0] = y
	y.Role, n.Role = n.Role, ""
	s.r.Fired(op, "rotated back for the head, which is the embedding as well")
	return nil
}
