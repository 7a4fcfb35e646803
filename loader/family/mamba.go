package family

import (
	"github.com/ssmc/ssmc/ir"
)

// s6 describes the mixer of Mamba-1 and its kin.
type s6 struct {
	width, inner, state, rank, taps int // D, E, N, R, K

	bias, convBias bool
	act            activation
	partNorm       float64 // eps of weightless norms on r, B and C (Falcon-Mamba); 0: none
}

// buildMamba builds model_type mamba and the original package's Mamba-1.
func buildMamba(c *checkpoint) (*ir.Module, error) {
	read := readMamba
	if isOriginal(c.Config) {
		read = readOriginalMamba
	}
	bb, mixer := read(c)
	if err := c.Config.Problems().Err(); err != nil {
		return nil, err
	}
	return bb.build(c, mixer.build)
}

// readMamba reads the configuration of the families that share Mamba's keys.
func readMamba(c *checkpoint) (backbone, s6) {
	r := &reader{Config: c.Config}
	bb := backbone{
		vocab:  r.Size("vocab_size", 50280),
		width:  r.Size("hidden_size", 768),
		layers: r.Size("num_hidden_layers", 32),
		tied:   r.Bool("tie_word_embeddings", true),
		norm:   norm{eps: r.eps("layer_norm_epsilon", 1e-5)},
		bos:    0,
		eos:    []int{0},
	}
	// Published Falcon-Mamba has "expand": 16 and an intermediate_size of 2 D: the latter is what counts where it is there.
	inner := r.Size("intermediate_size", 1)
	if !r.Has("intermediate_size") {
		inner = r.expanded("expand", 2, bb.width)
	}
	m := s6{
		width: bb.width,
		inner: inner,
		state: r.Size("state_size", 16),
		rank:  r.rank("time_step_rank", bb.width),
		taps:  r.Size("conv_kernel", 4),

		bias:     r.Bool("use_bias", false),
		convBias: r.Bool("use_conv_bias", true),
		act:      r.activation("hidden_act"),
	}
	c.layers("num_hidden_layers", bb.layers)
	return bb, m
}

// build composes the selective scan S6 (Gu and Dao 2023, algorithm 2).
func (m s6) build(g *graph, n *ir.Value) *ir.Value {
	e, ns, r := m.inner, m.state, m.rank
	in := g.weight("in_proj", "mixer.in_proj.weight", 2*e, m.width)
	inBias := g.bias(m.bias, "in_proj.bias", "mixer.in_proj.bias", 2*e)
	x := g.linear("x", n, in, inBias, 0, e)
	z := g.Mark("ssm.z", g.linear("z", n, in, inBias, e, 2*e))

	taps, convBias := g.filters(m.convBias, e, m.taps)
	u := g.Mark("ssm.u", g.conv("x", "u", "conv", m.act, x, taps, convBias, e, m.taps))

	xp := g.weight("x_proj", "mixer.x_proj.weight", r+2*ns, e)
	low := g.linear("r", u, xp, nil, 0, r)
	b := g.linear("B", u, xp, nil, r, r+ns)
	c := g.linear("C", u, xp, nil, r+ns, r+2*ns)
	if m.partNorm > 0 {
		g.From("mixer_rms_eps")
		low = g.RMSNorm(g.at("r.norm"), low, nil, m.partNorm, 1)
		b = g.RMSNorm(g.at("B.norm"), b, nil, m.partNorm, 1)
		c = g.RMSNorm(g.at("C.norm"), c, nil, m.partNorm, 1)
	}
	g.Mark("ssm.dt_in", low)
	g.Mark("ssm.B", b)
	g.Mark("ssm.C", c)
	dtp := g.weight("dt_proj", "mixer.dt_proj.weight", e, r)
	dtBias := g.weight("dt_proj.bias", "mixer.dt_proj.bias", e)
	g.From(dtp.From)
	dt := g.Unary(ir.OpSoftplus, g.at("dt"), g.Mark("ssm.dt", g.Linear(g.at("dt_in"), low, dtp, dtBias)))

	y := m.recurrence(g, u, dt, b, c)
	y = g.Binary(ir.OpMul, g.at("gated"), y, g.Unary(ir.OpSiLU, g.at("gate"), z))

	out := g.weight("out_proj", "mixer.out_proj.weight", m.width, e)
	outBias := g.bias(m.bias, "out_proj.bias", "mixer.out_proj.bias", m.width)
	g.From(out.From)
	return g.Linear(g.at("out"), g.Mark("ssm.y", y), out, outBias)
}

// recurrence is h = exp(dt A) h + dt B u; y = C h + D u, with h [E, N]. Exact for A, Euler for B.
func (m s6) recurrence(g *graph, u, dt, b, c *ir.Value) *ir.Value {
	e, ns := ir.Dim(m.inner), ir.Dim(m.state)
	a := g.negExp(m.inner, m.state)
	d := g.weight("D", "mixer.D", m.inner)
	g.From(g.tensor + "mixer")
	dt3 := g.Reshape(g.at("dt3"), dt, ir.Rows, e, 1)
	decay := g.Unary(ir.OpExp, g.at("a"), g.Binary(ir.OpMul, g.at("dtA"), dt3, a))
	dtu := g.Reshape(g.at("dtu3"), g.Binary(ir.OpMul, g.at("dtu"), dt, u), ir.Rows, e, 1)
	input := g.Binary(ir.OpMul, g.at("b"), dtu, g.Reshape(g.at("B3"), b, ir.Rows, 1, ns))
	s := g.scan("s", decay, input, g.Reshape(g.at("C3"), c, ir.Rows, 1, ns), m.inner, m.state)
	return g.Binary(ir.OpAdd, g.at("y"), s, g.Binary(ir.OpMul, g.at("skip"), d, u))
}
