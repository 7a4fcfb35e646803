package family

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/ir"
)

// ssd describes the mixer of Mamba-2.
type ssd struct {
	width, heads, headDim, groups, state, taps int // D, H, P, G, N, K

	bias, convBias bool
	act            activation
	lo, hi         float64 // limits of dt
	gatedNorm      bool
	normFirst      bool // norm, then gate; else gate, then norm
	eps            float64
}

// buildMamba2 builds model_type mamba2 and the original package's Mamba-2.
func buildMamba2(c *checkpoint) (*ir.Module, error) {
	read := readMamba2
	if isOriginal(c.Config) {
		read = readOriginalMamba2
	}
	bb, mixer := read(c)
	if err := c.Config.Problems().Err(); err != nil {
		return nil, err
	}
	return bb.build(c, mixer.build)
}

// readMamba2 reads the configuration of model_type mamba2. Its norm_before_gate and rms_norm are not read: transformers, which defines
// this format, gates first and always has the norm, and published files (Codestral) say otherwise without meaning it.
func readMamba2(c *checkpoint) (backbone, ssd) {
	r := &reader{Config: c.Config}
	bb := backbone{
		vocab:  r.Size("vocab_size", 32768),
		width:  r.Size("hidden_size", 4096),
		layers: r.Size("num_hidden_layers", 64),
		tied:   r.Bool("tie_word_embeddings", false),
		norm:   norm{eps: r.eps("layer_norm_epsilon", 1e-5)},
		bos:    0,
		eos:    []int{2},
	}
	m := ssd{
		width:   bb.width,
		heads:   r.Size("num_heads", 128),
		headDim: r.Size("head_dim", 64),
		groups:  r.Size("n_groups", 8),
		state:   r.Size("state_size", 128),
		taps:    r.Size("conv_kernel", 4),

		bias:      r.Bool("use_bias", false),
		convBias:  r.Bool("use_conv_bias", true),
		act:       r.activation("hidden_act"),
		gatedNorm: true,
		eps:       bb.norm.eps,
	}
	m.lo, m.hi = r.limits("time_step_limit")
	if inner := r.expanded("expand", 2, bb.width); inner != m.heads*m.headDim {
		r.Problems().Add(r.Where("num_heads"), fmt.Sprintf("%d heads of %d are %d channels, expand * hidden_size is %d", m.heads, m.headDim, m.heads*m.headDim, inner),
			"correct num_heads, head_dim or expand")
	}
	r.divides("n_groups", m.groups, m.heads)
	r.groupWidth("state_size", m.groups, m.state)
	c.layers("num_hidden_layers", bb.layers)
	return bb, m
}

// build composes state space duality as the recurrence that it is (Dao and Gu 2024). The published in_proj and convolution are cut
// into their parts z, x, B, C, dt; B and C are shared by the heads of a group, so that the state is [G, H/G, P, N].
func (m ssd) build(g *graph, n *ir.Value) *ir.Value {
	d, gn := m.heads*m.headDim, m.groups*m.state
	q := d + 2*gn
	in := g.weight("in_proj", "mixer.in_proj.weight", d+q+m.heads, m.width)
	inBias := g.bias(m.bias, "in_proj.bias", "mixer.in_proj.bias", d+q+m.heads)
	z := g.Mark("ssm.z", g.linear("z", n, in, inBias, 0, d))
	x := g.linear("x", n, in, inBias, d, 2*d)
	b := g.linear("B_in", n, in, inBias, 2*d, 2*d+gn)
	c := g.linear("C_in", n, in, inBias, 2*d+gn, d+q)

	taps, convBias := g.filters(m.convBias, q, m.taps)
	part := func(role, out string, v *ir.Value, lo, hi int) *ir.Value {
		w, bias := g.rows(taps, lo, hi), g.rows(convBias, lo, hi)
		return g.conv(role, out, "conv."+role, m.act, v, w, bias, hi-lo, m.taps)
	}
	u := g.Mark("ssm.u", part("x", "u", x, 0, d))
	b = g.Mark("ssm.B", part("B", "B", b, d, d+gn))
	c = g.Mark("ssm.C", part("C", "C", c, d+gn, q))

	dt := m.timeStep(g, n, in, inBias, d+q)
	y := m.gate(g, m.recurrence(g, u, dt, b, c), z)

	out := g.weight("out_proj", "mixer.out_proj.weight", m.width, d)
	outBias := g.bias(m.bias, "out_proj.bias", "mixer.out_proj.bias", m.width)
	g.From(out.From)
	return g.Linear(g.at("out"), g.Mark("ssm.y", y), out, outBias)
}

// timeStep is dt [T, H]: the last rows of in_proj, the bias, softplus, and only then the limits.
func (m ssd) timeStep(g *graph, n, in, inBias *ir.Value, lo int) *ir.Value {
	bias := g.weight("dt_bias", "mixer.dt_bias", m.heads)
	if inBias != nil {
		part := g.rows(inBias, lo, lo+m.heads)
		g.From(bias.From)
		bias = g.Binary(ir.OpAdd, g.at("dt_bias.sum"), part, bias)
	}
	w := g.rows(in, lo, lo+m.heads)
	g.From(bias.From)
	dt := g.Unary(ir.OpSoftplus, g.at("dt"), g.Mark("ssm.dt", g.Linear(g.at("dt_in"), n, w, bias)))
	return g.clamp(g.at("dt"), dt, m.lo, m.hi)
}

// recurrence is S = exp(dt A) S + dt u B; y = S C + D u, all [T, G, H/G, P, N] by broadcasting.
func (m ssd) recurrence(g *graph, u, dt, b, c *ir.Value) *ir.Value {
	gr, hg, p, ns := ir.Dim(m.groups), ir.Dim(m.heads/m.groups), ir.Dim(m.headDim), ir.Dim(m.state)
	a := g.negExp(m.heads)
	d := g.weight("D", "mixer.D", m.heads)
	g.From(g.tensor + "mixer")
	decay := g.Unary(ir.OpExp, g.at("a"), g.Binary(ir.OpMul, g.at("dtA"), dt, a))
	decay5 := g.Reshape(g.at("a5"), decay, ir.Rows, gr, hg, 1, 1)
	u4 := g.Reshape(g.at("u4"), u, ir.Rows, gr, hg, p)
	dtu := g.Binary(ir.OpMul, g.at("dtu"), g.Reshape(g.at("dt4"), dt, ir.Rows, gr, hg, 1), u4)
	dtu5 := g.Reshape(g.at("dtu5"), dtu, ir.Rows, gr, hg, p, 1)
	input := g.Binary(ir.OpMul, g.at("b"), dtu5, g.Reshape(g.at("B5"), b, ir.Rows, gr, 1, 1, ns))
	c5 := g.Reshape(g.at("C5"), c, ir.Rows, gr, 1, 1, ns)
	s := g.scan("s", decay5, input, c5, m.groups, m.heads/m.groups, m.headDim, m.state)
	skip := g.Binary(ir.OpMul, g.at("skip"), g.Reshape(g.at("D3"), d, gr, hg, 1), u4)
	return g.Reshape(g.at("y"), g.Binary(ir.OpAdd, g.at("y4"), s, skip), ir.Rows, gr*hg*p)
}

// gate multiplies by silu(z) and normalizes in groups, in the order that the model has.
func (m ssd) gate(g *graph, y, z *ir.Value) *ir.Value {
	g.From(g.tensor + "mixer")
	gate := g.Unary(ir.OpSiLU, g.at("gate"), z)
	if !m.gatedNorm {
		return g.Binary(ir.OpMul, g.at("gated"), y, gate)
	}
	w := g.weight("gated_norm", "mixer.norm.weight", m.heads*m.headDim)
	g.From(w.From)
	if m.normFirst {
		return g.Binary(ir.OpMul, g.at("gated"), g.RMSNorm(g.at("y.norm"), y, w, m.eps, m.groups), gate)
	}
	return g.RMSNorm(g.at("gated.norm"), g.Binary(ir.OpMul, g.at("gated"), y, gate), w, m.eps, m.groups)
}

// noLimit is the default of time_step_limit and dt_limit.
var noLimit = []float64{0, math.Inf(1)}
