package family

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/ir"
)

// graph is a module being built from a checkpoint, with the names of the layer at hand.
type graph struct {
	*ir.Builder
	c      *checkpoint
	layer  string // "layers.3."
	tensor string // "backbone.layers.3."
}

// norm describes the norms between the blocks.
type norm struct {
	eps   float64
	layer bool // LayerNorm with a bias, not RMSNorm
}

// backbone is what all families here share around their mixers.
type backbone struct {
	vocab, width, layers int
	tied                 bool
	norm                 norm
	bos                  int
	eos                  []int
}

// at names a value of the layer at hand.
func (g *graph) at(role string) string { return g.layer + role }

// weightRoles is what quantization schemes call the weights of a mixer. What is cut out of a weight, or computed from it, is for the same.
// Norms and the biases of linears have no role: they stay as they are.
var weightRoles = map[string]string{
	"in_proj": "ssm.in_proj", "conv1d": "ssm.conv", "x_proj": "ssm.x_proj", "dt_proj": "ssm.dt_proj", "out_proj": "ssm.out_proj",
	"A_log": "ssm.params", "D": "ssm.params", "dt_proj.bias": "ssm.params", "dt_bias": "ssm.params", "conv1d.bias": "ssm.params",
}

// weight takes a tensor of the layer at hand; the value is named for the tensor's leaf: layers.3.in_proj.
func (g *graph) weight(leaf, tensor string, shape ...int) *ir.Value {
	return g.Mark(weightRoles[leaf], g.c.weight(g.Builder, g.at(leaf), g.tensor+tensor, shape...))
}

// build makes the whole model: embedding, layers h = h + mixer(norm(h)), final norm, head.
func (bb *backbone) build(c *checkpoint, mixer func(g *graph, n *ir.Value) *ir.Value) (*ir.Module, error) {
	g := &graph{Builder: ir.NewBuilder(c.family.String(), "step"), c: c}
	ids := g.Input("ids", ir.TypeOf(ir.I32, ir.Rows))
	outs := g.Input("outs", ir.TypeOf(ir.I32, ir.Outs))

	embedding := "backbone.embeddings.weight"
	if other := "backbone.embedding.weight"; c.has(other) && !c.has(embedding) {
		embedding = other
	}
	table := g.Mark("embed", c.weight(g.Builder, "w.embed", embedding, bb.vocab, bb.width))
	head := table
	if name := "lm_head.weight"; bb.tied {
		c.use(name, table)
	} else if c.has(name) { // a file without a head is tied, whatever its configuration says
		head = g.Mark("head", c.weight(g.Builder, "w.head", name, bb.vocab, bb.width))
	}

	g.From(embedding)
	h := g.Mark("stream", g.Gather("embed", table, ids))
	for i := range bb.layers {
		if c.hopeless() {
			break
		}
		g.layer, g.tensor = fmt.Sprintf("layers.%d.", i), fmt.Sprintf("backbone.layers.%d.", i)
		n := g.Mark("norm.out", g.norm(bb.norm, g.at("n"), g.at("norm"), g.tensor+"norm", h, bb.width))
		out := mixer(g, n)
		g.From(g.tensor + "mixer")
		h = g.Mark("stream", g.Binary(ir.OpAdd, g.at("h"), h, out))
	}
	g.From("rows whose logits are wanted")
	h = g.Mark("stream", g.Gather("last", h, outs))
	h = g.Mark("head.in", g.norm(bb.norm, "final_norm", "w.final_norm", "backbone.norm_f", h, bb.width))
	g.From(head.From)
	g.Return(g.Linear("logits", h, head, nil))

	m := g.Module()
	m.Vocab = bb.vocab
	c.ids(m, bb.bos, bb.eos)
	return c.finish(g.Builder)
}

// norm normalizes h with the weight, and for LayerNorm the bias, of that name.
func (g *graph) norm(kind norm, name, weight, tensor string, h *ir.Value, width int) *ir.Value {
	w := g.c.weight(g.Builder, weight, tensor+".weight", width)
	g.From(tensor + ".weight")
	if !kind.layer {
		return g.RMSNorm(name, h, w, kind.eps, 1)
	}
	b := g.c.weight(g.Builder, weight+".bias", tensor+".bias", width)
	return g.Op(ir.OpLayerNorm, name, ir.Attrs{Eps: kind.eps}, h, w, b)
}

// rows cuts rows lo to hi-1 out of a weight or a bias; nil stays nil.
func (g *graph) rows(w *ir.Value, lo, hi int) *ir.Value {
	if w == nil {
		return nil
	}
	g.From(w.From)
	return g.Slice(fmt.Sprintf("%s[%d:%d]", w.Name, lo, hi), w, 0, lo, hi)
}

// linear multiplies x by rows lo to hi-1 of a weight.
func (g *graph) linear(role string, x, w, bias *ir.Value, lo, hi int) *ir.Value {
	w, bias = g.rows(w, lo, hi), g.rows(bias, lo, hi)
	g.From(w.From)
	return g.Linear(g.at(role), x, w, bias)
}

// bias takes the bias of a linear if it has one.
func (g *graph) bias(has bool, role, leaf string, n int) *ir.Value {
	if !has {
		return nil
	}
	return g.weight(role, leaf, n)
}

// filters takes conv1d.weight [C, 1, K], as [C, K], and its bias.
func (g *graph) filters(bias bool, channels, k int) (w, b *ir.Value) {
	w = g.weight("conv1d", "mixer.conv1d.weight", channels, 1, k)
	b = g.bias(bias, "conv1d.bias", "mixer.conv1d.bias", channels)
	g.From(w.From)
	return g.Reshape(g.at("conv1d.taps"), w, ir.Dim(channels), ir.Dim(k)), b
}

// conv convolves x with its own window of inputs, and applies the activation. What is convolved is ssm.x; in Mamba-2, which convolves what will
// be B and C as well, these are its parts ssm.x.B and ssm.x.C.
func (g *graph) conv(role, out, state string, act activation, x, w, b *ir.Value, channels, k int) *ir.Value {
	g.From(g.tensor + "mixer.conv1d.weight")
	mark := "ssm.x"
	if role != "x" {
		mark += "." + role
	}
	g.Mark(mark, x)
	win := g.Mark("conv.window", g.State(g.at(state), ir.F32, channels, k-1))
	y, next := g.Conv(g.at(role+"_conv"), g.at(state+".next"), x, w, b, win)
	g.Next(win, next)
	return act.apply(g, g.at(out), y)
}

// negExp makes A = -exp(A_log).
func (g *graph) negExp(shape ...int) *ir.Value {
	log := g.weight("A_log", "mixer.A_log", shape...)
	g.From(log.From)
	return g.Unary(ir.OpNeg, g.at("A"), g.Unary(ir.OpExp, g.at("exp(A_log)"), log))
}

// clamp bounds x to lo and hi where these bound anything: a softplus is above 0 and below infinity by itself.
func (g *graph) clamp(name string, x *ir.Value, lo, hi float64) *ir.Value {
	g.From("time_step_limit")
	if lo > 0 {
		x = g.Binary(ir.OpMax, name+".above", x, g.Const(name+".lo", lo))
	}
	if !math.IsInf(hi, 1) {
		x = g.Binary(ir.OpMin, name+".below", x, g.Const(name+".hi", hi))
	}
	return x
}

// scan runs the recurrence with a new state.
func (g *graph) scan(role string, a, b, c *ir.Value, shape ...int) *ir.Value {
	g.From(g.tensor + "mixer")
	h0 := g.Mark("ssm.state", g.State(g.at("ssm"), ir.F32, shape...))
	y, next := g.Scan(g.at(role), g.at("ssm.next"), a, b, c, h0)
	g.Next(h0, next)
	return y
}

// activation is an elementwise function by its name in a configuration.
type activation struct {
	name string
	code ir.OpCode
}

// activations are the names in use for what hidden_act may be.
var activations = []activation{
	{"silu", ir.OpSiLU}, {"swish", ir.OpSiLU},
	{"gelu", ir.OpGELU}, {"gelu_python", ir.OpGELU},
	{"gelu_tanh", ir.OpGELUTanh}, {"gelu_pytorch_tanh", ir.OpGELUTanh}, {"gelu_new", ir.OpGELUTanh},
	{"relu", ir.OpReLU}, {"sigmoid", ir.OpSigmoid}, {"tanh", ir.OpTanh},
}

func (a activation) apply(g *graph, name string, x *ir.Value) *ir.Value {
	g.From("hidden_act " + a.name)
	return g.Unary(a.code, name, x)
}
