// Rotate-hadamard spreads the outliers of what out_proj reads over all channels: y becomes H y / sqrt(n) while running, and out_proj takes H back.
//
// It is the one rotation that costs something for each token, n log n additions, and the one that matters most: without it one channel in a
// hundred decides the scale of all. The transform is not normalised; the product with 1/sqrt(n) behind it is joined with the scale of the codes
// when these are made.

package passes

import (
	"fmt"
	"math"
	"strings"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// rotateHadamard is the pass "rotate-hadamard".
func rotateHadamard(m *ir.Module, r *PassReport, o *Options) error {
	f := m.Func
	if !o.Scheme.Y.Hadamard {
		r.Idle = "the scheme does not rotate ssm.y"
		return nil
	}
	e := newWeightEditor(f)
	var problems []string
	for _, op := range append([]*ir.Op(nil), f.Ops...) {
		y := op.Result()
		if roleOf(y) != quant.SSMY {
			continue
		}
		if bad := notLinear(e.uses[y]); bad != "" {
			problems = append(problems, fmt.Sprintf("%s is read by %s", place(y), bad))
			continue
		}
		h, err := newRotation(rowSize(y), o.Scheme.Y)
		if err != nil {
			r.Skip(op, "%v", err)
			continue
		}
		rotated, err := e.rotate(opBehind(f, op), y, h)
		if err != nil {
			return err
		}
		for _, u := range e.uses[y] {
			u.Op.Args[0] = rotated
			e.replace(u.Op, 1, changedRows(u.Op.Args[1].Weight, "rotated", h.FoldInput))
		}
		rotated.Role, y.Role = y.Role, ""
		r.Fired(op, "rotated by %s", h)
	}
	if len(problems) > 0 {
		return fmt.Errorf("rotate: {ssm.y: hadamard} cannot be done exactly: what reads the value must be linear layers\n  %s\n  fix: leave the rotation out of the scheme",
			strings.Join(problems, "\n  "))
	}
	dropUnread(f)
	return nil
}

// notLinear names the first use that is not as x of a linear with a weight; empty if there is none.
func notLinear(uses []ir.Use) string {
	for _, u := range uses {
		if u.Op == nil || u.Op.Code != ir.OpLinear || u.Index != 0 || u.Op.Args[1].Weight == nil {
			return u.String()
		}
	}
	return ""
}

// rotation is a Hadamard rotation with the signs in front of it; nil: none.
type rotation struct {
	*quant.Hadamard
	signs []bool // true: the element is negated
}

// newRotation is the rotation of width n that a scheme asks for.
func newRotation(n int, asked quant.Rotation) (rotation, error) {
	h, err := quant.NewHadamard(n)
	if err != nil || !asked.Signs {
		return rotation{h, nil}, err
	}
	return rotation{h.WithSigns(asked.Seed), quant.Signs(asked.Seed, n)}, nil
}

// String writes the factors.
func (h rotation) String() string {
	s := fmt.Sprintf("H_%d = %d x 2^%d", h.Block(), h.M, h.K)
	if h.Blocks > 1 {
		s = fmt.Sprintf("%d blocks of %s", h.Blocks, s)
	}
	if h.signs != nil {
		s += ", with signs"
	}
	return s
}

// rotate inserts H v / sqrt(block) before at.
func (e *weightEditor) rotate(at *ir.Op, v *ir.Value, h rotation) (*ir.Value, error) {
	sum, err := e.transform(at, v, h, false)
	if err != nil {
		return nil, err
	}
	root, err := e.insert(at, ir.OpConst, v.Name+".root", ir.Attrs{Value: 1 / math.Sqrt(float64(h.Block()))})
	if err != nil {
		return nil, err
	}
	return e.insert(at, ir.OpMul, v.Name+".rotated", ir.Attrs{}, sum, root)
}

// transform inserts H v, or back with H transposed, not divided by the root, before at.
func (e *weightEditor) transform(at *ir.Op, v *ir.Value, h rotation, back bool) (*ir.Value, error) {
	args := []*ir.Value{v}
	if h.signs != nil {
		one := make([]float64, h.N)
		for i := range one {
			if one[i] = 1; h.signs[i] {
				one[i] = -1
			}
		}
		w, err := ir.NewWeight(v.Name+".signs", ir.F32, []int{h.N}, one)
		if err != nil {
			return nil, err
		}
		args = append(args, e.add(w.Name, "", w))
	}
	return e.insert(at, ir.OpHadamard, v.Name+".sums", ir.Attrs{Blocks: h.Blocks, M: h.M, K: h.K, Transposed: back}, args...)
}

// insert makes an op before at and returns its result.
func (e *weightEditor) insert(at *ir.Op, code ir.OpCode, name string, attrs ir.Attrs, args ...*ir.Value) (*ir.Value, error) {
	op, err := ir.NewOp(code, []string{e.names.Unique(name)}, attrs, args...)
	if err != nil {
		return nil, err
	}
	if len(args) > 0 {
		op.SetFrom(args[0].From)
	}
	e.f.InsertBefore(at, op)
	return op.Result(), nil
}
