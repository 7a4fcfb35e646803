package quant

import (
	"math"
	"testing"

	"github.com/ssmc/ssmc/internal/f32"
)

// The reference layers: a Mamba-1 layer in integers, number by number, under two schemes.
var layers = []struct {
	name   string
	ours   bool // per-channel weights, x_proj's output and parameters in float32, the scan reads u before its quantization
	bias   bool
	plain  string
	ranged Range
}{
	{"layer-quamba", false, true, "layer", Full}, {"layer-ssmc", true, true, "layer", Narrow},
	{"layer-odd-quamba", false, false, "layer-odd", Full}, {"layer-odd-ssmc", true, false, "layer-odd", Narrow},
}

// TestFoldReference folds norm and rotations into the weights and quantizes them.
func TestFoldReference(t *testing.T) {
	for _, c := range layers {
		plain, want := openReference(t, c.plain), openReference(t, c.name)
		in, out := plain.f64("mixer.in_proj.weight"), plain.f64("mixer.out_proj.weight")
		norm := plain.f64("norm.weight")
		d, e := len(norm), plain.shape("mixer.out_proj.weight")[1]
		for i := range in {
			in[i] *= norm[i%d]
		}
		stream, y := must(NewHadamard(d)), must(NewHadamard(e))
		for _, err := range []error{y.FoldInput(out), stream.FoldInput(in), stream.FoldOutput(out, e)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		conv := plain.f64("mixer.conv1d.weight")
		for name, w := range map[string][]float64{"in_proj": in, "out_proj": out, "conv1d": conv,
			"x_proj": plain.f64("mixer.x_proj.weight"), "dt_proj": plain.f64("mixer.dt_proj.weight")} {
			shape := want.shape("folded.mixer." + name + ".weight")
			folded := want.f64("folded.mixer." + name + ".weight")
			for r := 0; r < len(w); r += shape[1] {
				near(t, c.name+" "+name, w[r:r+shape[1]], folded[r:r+shape[1]], 1e-6)
			}
			q := must(QuantizeWeight(w, shape[0], c.ours, c.ranged))
			sameCodes(t, c.name+" "+name, q.Codes, want.i8("w."+name))
			for r, s := range want.f32("s." + name) {
				if math.Abs(float64(q.Scale(r)-s)) > 1e-6*float64(s) {
					t.Fatalf("%s %s: the scale of row %d is %v, want %v", c.name, name, r, q.Scale(r), s)
				}
			}
		}
		checkParams(t, c.name, c.ours, plain, want)
	}
}

// sameCodes lets one code in 10,000 be off by one: ties of the fold.
func sameCodes(t *testing.T, what string, got, want []int8) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d codes, want %d", what, len(got), len(want))
	}
	off := 0
	for i := range got {
		if d := int(got[i]) - int(want[i]); d > 1 || d < -1 {
			t.Fatalf("%s: code %d is %d, want %d", what, i, got[i], want[i])
		} else if d != 0 {
			off++
		}
	}
	if off*10_000 > len(got) {
		t.Errorf("%s: %d of %d codes are off by one", what, off, len(got))
	}
}

func checkParams(t *testing.T, name string, ours bool, plain, want reference) {
	t.Helper()
	for key, from := range map[string]string{"A_log": "mixer.A_log", "D": "mixer.D", "dt_bias": "mixer.dt_proj.bias", "conv_bias": "mixer.conv1d.bias"} {
		v := plain.f64(from)
		if !ours {
			codes, scale, stands, err := QuantizeParams(v)
			if err != nil {
				t.Fatal(err)
			}
			same(t, name+" code."+key, codes, want.i8("code."+key))
			sameBits(t, name+" s."+key, []float32{scale}, want.f32("s."+key))
			v = stands
		}
		if key == "A_log" {
			key = "A"
			for i := range v {
				v[i] = -math.Exp(v[i])
			}
		}
		got := apply(v, func(x float64) float32 { return float32(x) })
		if key != "A" {
			sameBits(t, name+" "+key, got, want.f32(key))
			continue
		}
		for i, a := range want.f32(key) { // exp in float64 may differ in the last place between libraries
			if math.Abs(float64(got[i]-a)) > 1e-7*math.Abs(float64(a)) {
				t.Fatalf("%s A[%d] = %v, want %v", name, i, got[i], a)
			}
		}
	}
}

// TestMultipliersReference makes the run-time constants of the layers from their scales.
func TestMultipliersReference(t *testing.T) {
	for _, c := range layers {
		r := openReference(t, c.name)
		scale := func(name string) float32 { return r.f32("scale." + name)[0] }
		e := len(r.f32("D"))
		rank, states := r.shape("w.dt_proj")[1], r.shape("A")[1]
		over := func(row, first int, a, b float32) float32 {
			if row < first {
				return a
			}
			return b
		}
		var in, x, dt []float32
		for i, s := range r.f32("s.in_proj") {
			in = append(in, Multiplier(over(i, e, scale("x"), scale("z")), scale("norm_out"), s))
		}
		sameBits(t, c.name+" m.in_proj", in, r.f32("m.in_proj"))
		for i, s := range r.f32("s.x_proj") {
			result := over(i, rank, scale("dt_in"), over(i, rank+states, scale("B"), scale("C")))
			if c.ours {
				result = 1
			}
			x = append(x, Multiplier(result, scale("u"), s))
		}
		sameBits(t, c.name+" m.x_proj", x, r.f32("m.x_proj"))
		for _, s := range r.f32("s.dt_proj") {
			if c.ours {
				dt = append(dt, s)
			} else {
				dt = append(dt, Multiplier(scale("dt"), scale("dt_in"), s))
			}
		}
		sameBits(t, c.name+" m.dt_proj", dt, r.f32("m.dt_proj"))
		sameBits(t, c.name+" m.conv1d", apply(r.f32("s.conv1d"), func(s float32) float32 { return Multiplier(1, scale("x"), s) }), r.f32("m.conv1d"))
		sameBits(t, c.name+" m.out_proj", apply(r.f32("s.out_proj"), func(s float32) float32 { return Multiplier(1, scale("y"), s) }), r.f32("m.out_proj"))
		sameBits(t, c.name+" inv.norm_out", []float32{Inverse(scale("norm_out"))}, r.f32("inv.norm_out"))
		sameBits(t, c.name+" inv.u", []float32{Inverse(scale("u"))}, r.f32("inv.u"))
		sameBits(t, c.name+" inv.y", []float32{must(NewHadamard(e)).InverseRotated(scale("y"))}, r.f32("inv.y"))
	}
}

// intLayer runs a reference layer with the functions of this package, token by token.
type intLayer struct {
	reference
	ours                 bool
	r                    Range
	d, e, n, rank, width int // of model, inner, states, dt_in, convolution
	rotate               *Hadamard
	window               []int8    // [width-1, e]
	state                []float32 // [e, n]
	taps                 map[string][]float32
	codes                map[string][]int8
	accs                 map[string][]int32
}

// linear is the accumulators of a product with an i8 weight.
func (l *intLayer) linear(name string, x []int8) []int32 {
	w := l.i8("w." + name)
	var acc []int32
	for ; len(w) > 0; w = w[len(x):] {
		acc = append(acc, Dot(x, w[:len(x)]))
	}
	l.accs["acc."+name] = append(l.accs["acc."+name], acc...)
	return acc
}

func (l *intLayer) tap(name string, x []float32) { l.taps[name] = append(l.taps[name], x...) }
func (l *intLayer) tapCodes(name string, x []int8) {
	l.codes["q."+name] = append(l.codes["q."+name], x...)
}

func (l *intLayer) requant(acc []int32, m []float32) []int8 {
	q := make([]int8, len(acc))
	for i, a := range acc {
		q[i] = Requant(a, m[i], l.r)
	}
	return q
}

func (l *intLayer) quantize(x []float32, inv string) []int8 {
	q := make([]int8, len(x))
	QuantizeAll(q, x, l.f32("inv." + inv)[0], l.r)
	return q
}

func (l *intLayer) token(res []float32) []float32 {
	scale := f32.RMSScale(res, 1e-5)
	xn := l.quantize(apply(res, func(v float32) float32 { return float32(v * scale) }), "norm_out")
	l.tapCodes("norm_out", xn)
	xz := l.requant(l.linear("in_proj", xn), l.f32("m.in_proj"))
	x, z := xz[:l.e], xz[l.e:]
	l.tapCodes("x", x)
	l.tapCodes("z", z)
	u := l.conv(x)
	qu := l.quantize(u, "u")
	l.tap("u", u)
	l.tapCodes("u", qu)
	dt, b, c := l.project(qu)
	if !l.ours {
		u = apply(qu, func(q int8) float32 { return float32(q) * l.f32("scale.u")[0] })
	}
	y := l.scan(dt, u, b, c, z)
	l.rotate.Sum(y)
	l.tap("y_rotated", y)
	qy := l.quantize(y, "y")
	l.tapCodes("y", qy)
	out := make([]float32, l.d)
	m := l.f32("m.out_proj")
	for i, a := range l.linear("out_proj", qy) {
		out[i] = DequantAdd(a, m[i], res[i])
	}
	l.tap("out", out)
	return out
}

// conv is the causal depthwise convolution over the window, with bias and SiLU.
func (l *intLayer) conv(x []int8) []float32 {
	w, m, bias := l.i8("w.conv1d"), l.f32("m.conv1d"), l.f32("conv_bias")
	all := append(l.window, x...)
	u := make([]float32, l.e)
	for c := range u {
		var acc int32
		for tap := range l.width {
			acc += int32(all[tap*l.e+c]) * int32(w[c*l.width+tap])
		}
		l.accs["acc.conv1d"] = append(l.accs["acc.conv1d"], acc)
		u[c] = f32.SiLU(DequantAdd(acc, m[c], bias[c]))
	}
	l.window = all[l.e:]
	return u
}

// project is x_proj and dt_proj: dt after softplus, B and C.
func (l *intLayer) project(u []int8) (dt, b, c []float32) {
	acc, m, md, bias := l.linear("x_proj", u), l.f32("m.x_proj"), l.f32("m.dt_proj"), l.f32("dt_bias")
	dt = make([]float32, l.e)
	if l.ours {
		xd := make([]float32, len(acc))
		for i, a := range acc {
			xd[i] = Dequant(a, m[i])
		}
		dtIn, b, c := xd[:l.rank], xd[l.rank:l.rank+l.n], xd[l.rank+l.n:]
		l.tap("dt_in", dtIn)
		l.tap("B", b)
		l.tap("C", c)
		w := l.i8("w.dt_proj")
		for i := range dt {
			var v float32
			for k, x := range dtIn {
				v = f32.FMA(float32(w[i*l.rank+k]), x, v)
			}
			dt[i] = f32.Softplus(f32.FMA(v, md[i], bias[i]))
		}
		l.tap("dt", dt)
		return dt, b, c
	}
	xd := l.requant(acc, m)
	l.tapCodes("dt_in", xd[:l.rank])
	l.tapCodes("B", xd[l.rank:l.rank+l.n])
	l.tapCodes("C", xd[l.rank+l.n:])
	floats := func(q []int8, name string) []float32 {
		return apply(q, func(v int8) float32 { return float32(v) * l.f32("scale." + name)[0] })
	}
	qdt := l.requant(l.linear("dt_proj", xd[:l.rank]), md)
	l.tapCodes("dt", qdt)
	for i, q := range qdt {
		dt[i] = f32.Softplus(f32.FMA(float32(q), l.f32("scale.dt")[0], bias[i]))
	}
	l.tap("dt", dt)
	return dt, floats(xd[l.rank:l.rank+l.n], "B"), floats(xd[l.rank+l.n:], "C")
}

// scan is one step of the recurrence, the skip and the gate.
func (l *intLayer) scan(dt, u, b, c []float32, z []int8) []float32 {
	a, d, sz := l.f32("A"), l.f32("D"), l.f32("scale.z")[0]
	y := make([]float32, l.e)
	for i := range y {
		du := float32(dt[i] * u[i])
		var v float32
		for n := range l.n {
			h := &l.state[i*l.n+n]
			*h = f32.FMA(f32.Exp(float32(dt[i]*a[i*l.n+n])), *h, float32(du*b[n]))
			v = f32.FMA(c[n], *h, v)
		}
		y[i] = float32(f32.FMA(d[i], u[i], v) * f32.SiLU(float32(float32(z[i])*sz)))
	}
	l.tap("y", y)
	return y
}

// TestIntegerLayer meets every tensor on the way through the reference layers to the bit.
func TestIntegerLayer(t *testing.T) {
	for _, c := range layers {
		r := openReference(t, c.name)
		l := intLayer{reference: r, ours: c.ours, r: c.ranged, e: r.shape("A")[0], n: r.shape("A")[1], d: r.shape("input_rotated")[1],
			rank: r.shape("w.dt_proj")[1], width: r.shape("w.conv1d")[1], taps: map[string][]float32{}, codes: map[string][]int8{}, accs: map[string][]int32{}}
		l.rotate = must(NewHadamard(l.e))
		l.window, l.state = make([]int8, (l.width-1)*l.e), make([]float32, l.e*l.n)
		for x := r.f32("input_rotated"); len(x) > 0; x = x[l.d:] {
			l.token(x[:l.d])
		}
		met := 0
		for _, tensor := range r.file.Tensors() {
			name, isTap := tensor.Name, true
			if len(name) < 4 || name[:4] != "tap." {
				isTap = false
			}
			what := c.name + " " + name
			switch {
			case name == "end.conv":
				same(t, what, l.window, r.i8(name))
			case name == "end.state" || name == "tap.state":
				sameBits(t, what, l.state, r.f32(name))
			case !isTap:
				continue
			case l.codes[name[4:]] != nil:
				same(t, what, l.codes[name[4:]], r.i8(name))
			case l.accs[name[4:]] != nil:
				same(t, what, l.accs[name[4:]], r.i32(name))
			default:
				sameBits(t, what, l.taps[name[4:]], r.f32(name))
			}
			met++
		}
		if met < 18 {
			t.Errorf("%s: only %d tensors were compared", c.name, met)
		}
	}
}
