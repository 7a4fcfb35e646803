package family_test

import (
	"maps"
	"math"
	"testing"

	"github.com/ssmc/ssmc/ir"
)

// naive computes a synthetic model's logits from its definition, with plain loops over plain arrays, in float64. It shares nothing with
// the package: not the graph, not the order of its ops, not the evaluator. What the published references do not cover is checked here.
type naive struct {
	t                            *testing.T
	w                            map[string]array
	width, inner, state, rank    int // D, E or H*P, N, R
	heads, groups                int // of Mamba-2; 0 heads: Mamba-1
	taps                         int
	eps                          float64
	layerNorm, noNorm, normFirst bool
	lo, hi                       float64
	act                          func(float64) float64
	partNorm                     float64
	embedding, head              string
}

func (m *naive) get(name string) []float64 {
	a, ok := m.w[name]
	if !ok {
		m.t.Fatalf("no tensor %s", name)
	}
	return widen(a.data)
}

func widen(data []float32) []float64 {
	out := make([]float64, len(data))
	for i, v := range data {
		out[i] = float64(v)
	}
	return out
}

// times is W x + b; b may be absent.
func (m *naive) times(name string, x []float64) []float64 {
	w := m.get(name + ".weight")
	out := make([]float64, len(w)/len(x))
	for o := range out {
		for i, v := range x {
			out[o] += w[o*len(x)+i] * v
		}
		if b, ok := m.w[name+".bias"]; ok {
			out[o] += float64(b.data[o])
		}
	}
	return out
}

func rms(x []float64, eps float64) []float64 {
	s := 0.0
	for _, v := range x {
		s += v * v / float64(len(x))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v / math.Sqrt(s+eps)
	}
	return out
}

func (m *naive) norm(name string, x []float64) []float64 {
	w := m.get(name + ".weight")
	if !m.layerNorm {
		out := rms(x, m.eps)
		for i := range out {
			out[i] *= w[i]
		}
		return out
	}
	mean := 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - mean
	}
	out = rms(out, m.eps)
	for i := range out {
		out[i] = out[i]*w[i] + m.get(name + ".bias")[i]
	}
	return out
}

func silu(x float64) float64     { return x / (1 + math.Exp(-x)) }
func softplus(x float64) float64 { return math.Log(1 + math.Exp(x)) }

// conv is the convolution of row t of x, with the activation.
func (m *naive) conv(prefix string, x [][]float64, t int) []float64 {
	w := m.get(prefix + "conv1d.weight")
	out := make([]float64, len(x[t]))
	for c := range out {
		for k := range m.taps {
			if at := t - (m.taps - 1) + k; at >= 0 {
				out[c] += w[c*m.taps+k] * x[at][c]
			}
		}
		if b, ok := m.w[prefix+"conv1d.bias"]; ok {
			out[c] += float64(b.data[c])
		}
		out[c] = m.act(out[c])
	}
	return out
}

// mamba1 is the mixer of Mamba-1 on normed rows.
func (m *naive) mamba1(prefix string, rows [][]float64) (out [][]float64) {
	var xs [][]float64
	h := make([]float64, m.inner*m.state)
	logA, skip := m.get(prefix+"A_log"), m.get(prefix+"D")
	for t, row := range rows {
		xz := m.times(prefix+"in_proj", row)
		xs = append(xs, xz[:m.inner])
		u := m.conv(prefix, xs, t)
		p := m.times(prefix+"x_proj", u)
		r, b, c := p[:m.rank], p[m.rank:m.rank+m.state], p[m.rank+m.state:]
		if m.partNorm > 0 {
			r, b, c = rms(r, m.partNorm), rms(b, m.partNorm), rms(c, m.partNorm)
		}
		y := m.times(prefix+"dt_proj", r)
		for e := range y {
			dt := softplus(y[e])
			y[e] = skip[e] * u[e]
			for n := range m.state {
				i := e*m.state + n
				h[i] = math.Exp(-dt*math.Exp(logA[i]))*h[i] + dt*b[n]*u[e]
				y[e] += h[i] * c[n]
			}
			y[e] *= silu(xz[m.inner+e])
		}
		out = append(out, m.times(prefix+"out_proj", y))
	}
	return out
}

// mamba2 is the mixer of Mamba-2 on normed rows.
func (m *naive) mamba2(prefix string, rows [][]float64) (out [][]float64) {
	var xs [][]float64
	d, gn, p := m.inner, m.groups*m.state, m.inner/m.heads
	s := make([]float64, d*m.state)
	logA, skip, bias := m.get(prefix+"A_log"), m.get(prefix+"D"), m.get(prefix+"dt_bias")
	for t, row := range rows {
		all := m.times(prefix+"in_proj", row)
		z := all[:d]
		xs = append(xs, all[d:2*d+2*gn])
		xbc := m.conv(prefix, xs, t)
		y := make([]float64, d)
		for i := range y {
			h := i / p
			g := h / (m.heads / m.groups)
			dt := min(max(softplus(all[2*d+2*gn+h]+bias[h]), m.lo), m.hi)
			y[i] = skip[h] * xbc[i]
			for n := range m.state {
				k := i*m.state + n
				s[k] = math.Exp(-dt*math.Exp(logA[h]))*s[k] + dt*xbc[i]*xbc[d+g*m.state+n]
				y[i] += s[k] * xbc[d+gn+g*m.state+n]
			}
		}
		out = append(out, m.times(prefix+"out_proj", m.gate(prefix, y, z)))
	}
	return out
}

func (m *naive) gate(prefix string, y, z []float64) []float64 {
	out := make([]float64, len(y))
	w := len(y) / m.groups
	for g := range m.groups {
		part := append([]float64(nil), y[g*w:(g+1)*w]...)
		for i := range part {
			if !m.normFirst {
				part[i] *= silu(z[g*w+i])
			}
		}
		if !m.noNorm {
			part = rms(part, m.eps)
		}
		for i, v := range part {
			if !m.noNorm {
				v *= m.get(prefix + "norm.weight")[g*w+i]
			}
			if m.normFirst {
				v *= silu(z[g*w+i])
			}
			out[g*w+i] = v
		}
	}
	return out
}

func (m *naive) logits(ids []int32) (out []float64) {
	table := m.get(m.embedding)
	var h [][]float64
	for _, id := range ids {
		h = append(h, table[int(id)*m.width:(int(id)+1)*m.width])
	}
	for _, layer := range []string{"backbone.layers.0.", "backbone.layers.1."} {
		var rows [][]float64
		for _, row := range h {
			rows = append(rows, m.norm(layer+"norm", row))
		}
		mixer := m.mamba1
		if m.heads > 0 {
			mixer = m.mamba2
		}
		for t, add := range mixer(layer+"mixer.", rows) {
			sum := make([]float64, m.width)
			for i := range sum {
				sum[i] = h[t][i] + add[i]
			}
			h[t] = sum
		}
	}
	for _, row := range h {
		n := m.norm("backbone.norm_f", row)
		head := m.get(m.head)
		for o := range len(head) / m.width {
			s := 0.0
			for i, v := range n {
				s += head[o*m.width+i] * v
			}
			out = append(out, s)
		}
	}
	return out
}

// one and two are what newMamba and newMamba2 make.
var (
	one = naive{width: 6, inner: 12, state: 3, rank: 2, taps: 3, eps: 1e-5, act: silu, embedding: "backbone.embeddings.weight", head: "backbone.embeddings.weight"}
	two = naive{width: 8, inner: 16, state: 3, heads: 4, groups: 2, taps: 3, eps: 1e-5, act: silu, hi: math.Inf(1),
		embedding: "backbone.embedding.weight", head: "backbone.embedding.weight"}
)

// act asks for an activation.
func act(name string, f func(float64) float64) func(s *synthetic, m *naive) {
	return func(s *synthetic, m *naive) { s.config["hidden_act"], m.act = name, f }
}

// options are what a configuration can ask for and the published references do not.
var options = []struct {
	name string
	from func() *synthetic
	m    naive
	do   func(s *synthetic, m *naive)
}{
	{"mamba", newMamba, one, func(*synthetic, *naive) {}},
	{"gelu", newMamba, one, act("gelu", func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 })},
	{"gelu_new", newMamba, one, act("gelu_new", geluTanh)},
	{"gelu_pytorch_tanh", newMamba, one, act("gelu_pytorch_tanh", geluTanh)},
	{"relu", newMamba, one, act("relu", func(x float64) float64 { return max(x, 0) })},
	{"sigmoid", newMamba, one, act("sigmoid", func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })},
	{"swish", newMamba, one, act("swish", silu)},
	{"no conv bias", newMamba, one, func(s *synthetic, _ *naive) {
		s.config["use_conv_bias"] = false
		s.remove("mixer.conv1d.bias")
	}},
	{"biases", newMamba, one, func(s *synthetic, _ *naive) {
		s.config["use_bias"] = true
		s.add("mixer.in_proj.bias", 24)
		s.add("mixer.out_proj.bias", 6)
	}},
	{"untied", newMamba, one, func(s *synthetic, m *naive) {
		s.config["tie_word_embeddings"] = false
		s.add("x", 11, 6)
		s.tensors["lm_head.weight"], m.head = s.tensors["backbone.layers.0.x"], "lm_head.weight"
		s.remove("x")
	}},
	{"eps", newMamba, one, func(s *synthetic, m *naive) { s.config["layer_norm_epsilon"], m.eps = 0.3, 0.3 }},
	{"falcon", newMamba, one, func(s *synthetic, m *naive) {
		s.config["model_type"], s.config["mixer_rms_eps"], m.partNorm = "falcon_mamba", 0.1, 0.1
	}},
	{"falcon's default", newMamba, one, func(s *synthetic, m *naive) { s.config["model_type"], m.partNorm = "falcon_mamba", 1e-6 }},

	{"mamba2", newMamba2, two, func(*synthetic, *naive) {}},
	{"one group", newMamba2, two, func(s *synthetic, m *naive) {
		s.ssm()["ngroups"], m.groups = 1, 1
		s.add("mixer.in_proj.weight", 42, 8)
		s.add("mixer.conv1d.weight", 22, 1, 3)
		s.add("mixer.conv1d.bias", 22)
	}},
	{"norm before gate", newMamba2, two, func(s *synthetic, m *naive) { s.ssm()["norm_before_gate"], m.normFirst = true, true }},
	{"no gated norm", newMamba2, two, func(s *synthetic, m *naive) {
		s.ssm()["rmsnorm"], m.noNorm = false, true
		s.remove("mixer.norm.weight")
	}},
	{"limits", newMamba2, two, func(s *synthetic, m *naive) { s.ssm()["dt_limit"], m.lo, m.hi = []float64{0.3, 0.5}, 0.3, 0.5 }},
	{"upper limit", newMamba2, two, func(s *synthetic, m *naive) { s.ssm()["dt_limit"], m.hi = []float64{0, 0.4}, 0.4 }},
	{"biases 2", newMamba2, two, func(s *synthetic, _ *naive) {
		s.ssm()["bias"] = true
		s.add("mixer.in_proj.bias", 48)
		s.add("mixer.out_proj.bias", 8)
	}},
	{"LayerNorm", newMamba2, two, func(s *synthetic, m *naive) {
		s.config["rms_norm"], m.layerNorm = false, true
		s.add("norm.bias", 8)
		s.tensors["backbone.norm_f.bias"] = s.tensors["backbone.layers.0.norm.bias"]
	}},
}

// TestOptions compares each with plain loops, and checks that the option changes something.
func TestOptions(t *testing.T) {
	for _, c := range options {
		t.Run(c.name, func(t *testing.T) {
			s, m := c.from(), c.m
			before := plainLogits(t, c.from())
			c.do(s, &m)
			m.t, m.w = t, maps.Clone(s.tensors)
			built, err := s.build(t)
			if err != nil {
				t.Fatal(err)
			}
			ids := []int32{1, 8, 0, 3, 3, 5, 7, 2, 1}
			got := step(t, evaluator[float64](t, built), ir.Inputs[float64]{IDs: ids}).Returns[0].Data
			want := m.logits(ids)
			worst := 0.0
			for i, w := range want {
				worst = max(worst, math.Abs(got[i]-w))
			}
			if len(got) != len(want) || !(worst < 1e-12) {
				t.Errorf("%d logits, want %d; largest difference %g", len(got), len(want), worst)
			}
			changed := 0.0
			for i := range min(len(before), len(want)) {
				changed = max(changed, math.Abs(before[i]-want[i]))
			}
			if plain := c.name == "mamba" || c.name == "mamba2" || c.name == "swish"; plain != (changed < 1e-9) {
				t.Errorf("the option changes the logits by %g: the test shows nothing", changed)
			}
		})
	}
}

// plainLogits are the logits of the checkpoint before an option is set.
func plainLogits(t *testing.T, s *synthetic) []float64 {
	m, err := s.build(t)
	if err != nil {
		t.Fatal(err)
	}
	return step(t, evaluator[float64](t, m), ir.Inputs[float64]{IDs: []int32{1, 8, 0, 3, 3, 5, 7, 2, 1}}).Returns[0].Data
}

func geluTanh(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*math.Pow(x, 3))))
}
