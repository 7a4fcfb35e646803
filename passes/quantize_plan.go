package passes

import (
	"fmt"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// This file decides which values become codes. Calibration (Points) and the pass "quantize" go by the same decisions.

// stored is how a value that a scheme speaks of is stored.
type stored struct {
	v     *ir.Value
	spec  quant.Value
	layer int

	codes    bool
	why      string // why there are none although the scheme says i8
	channels int    // how many scales: 1, or one for each channel
	groups   int    // of channels that share a scale; 0: no groups, or all channels
	note     string // what became of the granularity
	float    bool   // readers that are no products read the value before it became codes
	state    bool   // it is the state of a scan: v is what a step begins with
	dynamic  bool   // each row has a scale of its own, found while running; then float, too
}

// tensor is the name under which a value's scale and statistics are kept.
func (s *stored) tensor() string { return quant.TensorName(quant.Role(s.v.Role), s.layer) }

// plan is how everything in a function is stored.
type plan struct {
	f        *ir.Func
	scheme   *quant.Scheme
	uses     map[*ir.Value][]ir.Use
	values   map[*ir.Value]*stored
	order    []*stored // as they are made
	problems []string
}

// newPlan decides about all values and looks for what cannot be done.
func newPlan(f *ir.Func, s *quant.Scheme) *plan {
	p := &plan{f: f, scheme: s, uses: f.AllUses(), values: map[*ir.Value]*stored{}}
	layers := 0
	for v := range f.Values() {
		layers = max(layers, layerOf(v)+1)
	}
	if err := s.Check(layers); err != nil {
		p.problems = append(p.problems, err.Error())
	}
	for _, op := range f.Ops {
		for _, v := range op.Results {
			if v.Role != "" && v.Type.DType.Float() {
				p.value(v)
			}
		}
	}
	for _, v := range f.States { // behind all others, of whose channels they may follow the order
		if roleOf(v) == quant.SSMState {
			p.state(v)
		}
	}
	return p
}

func (p *plan) problem(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// value decides about one.
func (p *plan) value(v *ir.Value) {
	role := roleOf(v)
	s := &stored{v: v, layer: layerOf(v), channels: 1}
	s.spec = p.scheme.Value(role, s.layer)
	p.values[v] = s
	p.order = append(p.order, s)
	switch s.spec.Type {
	case quant.F32:
		return
	case quant.I8:
	default:
		s.why = fmt.Sprintf("%s is not stored in %s here, but in f32", role, s.spec.Type)
		return
	}
	products, linears := 0, 0
	for _, u := range p.uses[v] {
		if p.product(u) {
			products++
			if u.Op.Code == ir.OpLinear {
				linears++
			}
		}
	}
	s.dynamic = s.spec.Scale.Kind == quant.PerToken
	s.float = s.dynamic || role == quant.SSMU && s.spec.Scan == quant.F32
	if s.dynamic && products > linears {
		p.problem("%s: %s says scale: token, but a convolution reads it, whose window holds rows with other scales\n  fix: a static scale, such as scale: tensor, or {type: f32}", place(v), s.spec.From)
		return
	}
	if products == 0 && (s.float || !readByScan(role)) {
		s.why = "it feeds no integer product, and stays f32"
		return
	}
	s.codes = true
	p.granularity(s, linears > 0)
}

// readByScan says whether a scan group can take codes of the role.
func readByScan(role quant.Role) bool {
	switch role {
	case quant.SSMZ, quant.SSMB, quant.SSMC, quant.SSMDt, quant.SSMU:
		return true
	}
	return false
}

// product says whether a use is as x of a product with codes of a weight.
func (p *plan) product(u ir.Use) bool {
	if u.Op == nil || u.Index != 0 {
		return false
	}
	switch u.Op.Code {
	case ir.OpLinear:
		w := u.Op.Args[1]
		return w.Weight != nil && codeType(p.weight(u.Op).Type)
	case ir.OpConv:
		return p.convCodes(u.Op) == ""
	}
	return false
}

// maxTaps is the longest convolution of codes.
const maxTaps = 8

// convCodes says why a convolution has no codes for weights; empty if it has.
func (p *plan) convCodes(op *ir.Op) string {
	w := op.Args[1]
	switch spec := p.weight(op); {
	case w.Weight == nil:
		return "its filters are no weight"
	case spec.Type != quant.I8:
		return fmt.Sprintf("its filters are %s", spec.Type)
	case w.Weight.Shape[1] > maxTaps:
		return fmt.Sprintf("it has %d taps, codes at most %d", w.Weight.Shape[1], maxTaps)
	}
	return ""
}

// weight is how the weight that op reads is stored. One tensor that is embedding and head is stored as the head.
func (p *plan) weight(op *ir.Op) quant.Weight {
	i := 1
	if op.Code == ir.OpGather {
		i = 0
	}
	w := op.Args[i]
	role := roleOf(w)
	if role == quant.Embed {
		if keeps, _ := p.scheme.KeepsTie(); op.Code == ir.OpLinear || keeps && p.isTied(w) {
			role = quant.Head
		}
	}
	return p.scheme.Weight(role, layerOf(w))
}

// isTied says whether a weight is read both as a table and as a matrix.
func (p *plan) isTied(w *ir.Value) bool {
	gather, linear := false, false
	for _, u := range p.uses[w] {
		gather = gather || u.Op != nil && u.Op.Code == ir.OpGather
		linear = linear || u.Op != nil && u.Op.Code == ir.OpLinear
	}
	return gather && linear
}

// granularity settles how many scales a value has.
func (p *plan) granularity(s *stored, linear bool) {
	n, kind := rowSize(s.v), s.spec.Scale.Kind
	switch kind {
	case quant.PerTensor, quant.PerToken:
		return
	case quant.PerSSDGroup:
		if s.groups = p.ssdGroups(s.v, s.layer); s.groups <= 1 {
			s.groups, s.note = 0, "the model has one SSD group, so one scale"
			return
		}
	}
	if linear {
		s.groups, s.note = 0, fmt.Sprintf("one scale, not one for each %s: a product over channels must have one", kind)
		return
	}
	if kind == quant.PerCell && (roleOf(s.v) != quant.SSMU || p.headDim(s.layer) <= 1) {
		s.note = "one scale: groups of heads and channels are made of ssm.u, where heads have several channels"
		return
	}
	s.channels = n
}

// stateOf is the SSM state of a layer, nil if it has none.
func (p *plan) stateOf(layer int) *ir.State {
	for _, v := range p.f.States {
		if roleOf(v) == quant.SSMState && layerOf(v) == layer {
			return v.State
		}
	}
	return nil
}

// ssdGroups is how many groups B or C of a layer has: each is as long as the state of a channel.
func (p *plan) ssdGroups(v *ir.Value, layer int) int {
	s := p.stateOf(layer)
	if s == nil || len(s.Shape) == 0 {
		return 1
	}
	n := s.Shape[len(s.Shape)-1]
	if n == 0 || rowSize(v)%n != 0 {
		return 1
	}
	return rowSize(v) / n
}

// headDim is how many channels a head of the layer has: the states of families with heads are [G, H/G, P, N].
func (p *plan) headDim(layer int) int {
	if s := p.stateOf(layer); s != nil && len(s.Shape) == 4 {
		return s.Shape[2]
	}
	return 1
}

// cells is what sort and cluster has to divide: heads and channels of the layer.
func (p *plan) cells(s *stored) *quant.Clusters {
	shape := p.stateOf(s.layer).Shape
	return &quant.Clusters{Groups: shape[0], Heads: shape[0] * shape[1], Dim: shape[2], HeadGroups: s.spec.Scale.Heads, ChannelGroups: s.spec.Scale.Channels}
}
