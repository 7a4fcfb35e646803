package sensitivity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// part is one layer of a float graph: it reads the residual stream as an input and returns what the layer adds to it.
type part struct {
	*ir.Module
	in     string // the input
	stream string // the value of the whole graph that it stands for
	width  int
}

// inputName is the name of a part's input.
const inputName = "layer_input"

// cutLayer takes a layer out of a graph whose ops are in no groups.
func cutLayer(m *ir.Module, layer int) (*part, error) {
	c := m.Clone()
	f := c.Func
	prefix := fmt.Sprintf("layers.%d.", layer)
	inside := func(v *ir.Value) bool { return strings.HasPrefix(v.Name, prefix) }
	var from, out *ir.Value
	for _, op := range f.Ops {
		for _, a := range op.Args {
			switch {
			case a == nil || a.Weight != nil || a.Type.Rank() == 0 || !inside(op.Result()) || inside(a):
			case from != nil && from != a:
				return nil, fmt.Errorf("layer %d reads %%%s and %%%s: it is not one input that is added to", layer, from.Name, a.Name)
			default:
				from = a
			}
		}
	}
	for _, op := range f.Ops { // the last addition to the stream
		if from == nil || op.Code != ir.OpAdd || !inside(op.Result()) {
			continue
		}
		for i, a := range op.Args {
			if a == from && inside(op.Args[1-i]) {
				out = op.Args[1-i]
			}
		}
	}
	if out == nil {
		return nil, fmt.Errorf("layer %d adds nothing to the residual stream", layer)
	}
	in := &ir.Value{Name: inputName, Type: from.Type}
	f.ReplaceUses(from, in)
	f.Inputs = append(f.Inputs, in)
	f.Returns = []*ir.Value{out}
	var states, next []*ir.Value
	for i, s := range f.States {
		if inside(s) {
			states, next = append(states, s), append(next, f.NextStates[i])
		}
	}
	f.States, f.NextStates = states, next
	f.RemoveDead()
	c.Vocab = 0 // what it returns are no logits
	width := int(from.Type.Shape[len(from.Type.Shape)-1])
	return &part{Module: c, in: inputName, stream: from.Name, width: width}, ir.Verify(c)
}

// layers counts the layers of a graph.
func layers(m *ir.Module) int {
	n := 0
	for v := range m.Func.Values() {
		n = max(n, layerOf(v.Name)+1)
	}
	return n
}

// layerOf is the number of the layer that a name begins with.
func layerOf(name string) int {
	n := quant.Outside
	if rest, ok := strings.CutPrefix(name, "layers."); ok {
		fmt.Sscanf(rest, "%d", &n)
	}
	return n
}

// value finds a value by its name.
func (p *part) value(name string) *ir.Value {
	for v := range p.Func.Values() {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// clone copies the part, to change one thing in it.
func (p *part) clone() *part {
	q := *p
	q.Module = p.Module.Clone()
	return &q
}

// run evaluates the part on rows of the stream, as sequences that begin at starts, and gives what the layer adds. observe may be nil.
func (p *part) run(rows []float32, starts []int, observe func(name string, data []float32)) ([]float32, error) {
	e, err := ir.NewEvaluator[float32](p.Module)
	if err != nil {
		return nil, err
	}
	if observe != nil {
		e.Observe = func(name string, _ []int, data []float32) { observe(name, data) }
	}
	n := len(rows) / p.width
	out, err := e.Step(ir.Inputs[float32]{IDs: make([]int32, n), SeqStart: append(slices.Clone(starts), n), Values: map[string][]float32{p.in: rows}})
	if err != nil {
		return nil, err
	}
	return out.Returns[0].Data, nil
}
