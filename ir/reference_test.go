package ir_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/internal/f32"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
)

// reference opens a file of numbers that were computed elsewhere, in numpy.
func reference(t *testing.T, name string) file {
	t.Helper()
	f, err := loader.OpenFile(filepath.Join("..", "quant", "testdata", "reference", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return file{t, f}
}

type file struct {
	t *testing.T
	f *loader.File
}

// raw gives a tensor's type, shape and bytes.
func (f file) raw(name string) (ir.DType, []int, []byte) {
	f.t.Helper()
	x, ok := f.f.Tensor(name)
	if !ok {
		f.t.Fatalf("no tensor %q", name)
	}
	dtype, ok := ir.DTypeByName(strings.ToLower(x.DType.String()))
	if !ok {
		f.t.Fatalf("%s: no such element type", x)
	}
	return dtype, x.Shape, x.Data
}

// value gives a tensor as a weight's value and as its elements.
func (f file) value(name string) (*ir.Value, *ir.Tensor[float32]) {
	f.t.Helper()
	dtype, shape, raw := f.raw(name)
	w := ir.RawWeight(name, dtype, shape, raw)
	x, err := ir.LoadWeight[float32](w)
	if err != nil {
		f.t.Fatal(err)
	}
	return &ir.Value{Name: name, Type: ir.Type{DType: dtype, Shape: ir.Dims(shape)}, Weight: w}, x
}

func (f file) number(name string) float32 {
	f.t.Helper()
	_, x := f.value(name)
	return x.Data[0]
}

// apply evaluates one op in float32 on tensors of the file, or on the result of the last op, which has the name "".
func (f file) apply(last *ir.Tensor[float32], code ir.OpCode, attrs ir.Attrs, names ...string) *ir.Tensor[float32] {
	f.t.Helper()
	var args []*ir.Value
	var data []*ir.Tensor[float32]
	for _, name := range names {
		v, x := &ir.Value{Name: "last", Type: ir.Type{DType: ir.F32}}, last
		if name != "" {
			v, x = f.value(name)
		} else {
			v.Type.Shape = ir.Dims(last.Shape)
		}
		args, data = append(args, v), append(data, x)
	}
	op, err := ir.NewOp(code, []string{"y"}, attrs, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	for len(data) < len(op.Args) {
		data = append(data, nil)
	}
	out, err := ir.EvalOp(op, data, nil, [3]int{})
	if err != nil {
		f.t.Fatal(err)
	}
	return out[0]
}

// same compares all bits with a tensor of the file.
func (f file) same(got *ir.Tensor[float32], name string) {
	f.t.Helper()
	_, want := f.value(name)
	if len(got.Data) != len(want.Data) || len(got.Ints) != len(want.Ints) {
		f.t.Fatalf("%s: %d and %d elements, want %d and %d", name, len(got.Data), len(got.Ints), len(want.Data), len(want.Ints))
	}
	for i, v := range want.Data {
		if math.Float32bits(got.Data[i]) != math.Float32bits(v) {
			f.t.Fatalf("%s[%d] is %x, want %x", name, i, got.Data[i], v)
		}
	}
	for i, v := range want.Ints {
		if got.Ints[i] != v {
			f.t.Fatalf("%s[%d] is %d, want %d", name, i, got.Ints[i], v)
		}
	}
}

// TestRounding: quantize, dequantize, fma and the functions, against numpy.
func TestRounding(t *testing.T) {
	f := reference(t, "rounding")
	f.same(f.apply(nil, ir.OpQuantize, ir.Attrs{}, "quantize.x"), "quantize.q")
	f.same(f.apply(nil, ir.OpQuantize, ir.Attrs{Full: true}, "quantize.x"), "quantize.q_full_range")
	_, x := f.value("scaled.x_over_scale")
	for i := range 4 {
		p := fmt.Sprintf("scaled.%d.", i)
		scaled := &ir.Tensor[float32]{Shape: x.Shape}
		for _, v := range x.Data {
			scaled.Data = append(scaled.Data, float32(v*f.number(p+"scale")))
		}
		f.same(f.apply(scaled, ir.OpQuantize, ir.Attrs{Inv: f.number(p + "inv")}, ""), p+"q")
		f.same(f.apply(scaled, ir.OpQuantize, ir.Attrs{}, "", p+"inv"), p+"q")
	}
	acc := f.apply(nil, ir.OpCast, ir.Attrs{To: ir.F32}, "requant.acc")
	y := f.apply(acc, ir.OpMul, ir.Attrs{}, "", "requant.m")
	f.same(y, "dequant.y")
	f.same(f.apply(y, ir.OpQuantize, ir.Attrs{}, ""), "requant.q")
	y = f.apply(acc, ir.OpFMA, ir.Attrs{}, "", "requant.m", "requant.bias")
	f.same(y, "dequant.y_bias")
	f.same(f.apply(y, ir.OpQuantize, ir.Attrs{}, ""), "requant.q_bias")

	f.same(f.apply(nil, ir.OpFMA, ir.Attrs{}, "fma.a", "fma.b", "fma.c"), "fma.y")
	f.same(f.apply(nil, ir.OpExp, ir.Attrs{}, "math.x"), "math.exp")
	f.same(f.apply(nil, ir.OpSoftplus, ir.Attrs{}, "math.x"), "math.softplus")
	f.same(f.apply(nil, ir.OpSiLU, ir.Attrs{}, "math.x"), "math.silu")
	for _, n := range []int{16, 64, 100, 768, 2560} {
		p := fmt.Sprintf("rms.%d.", n)
		_, x := f.value(p + "x")
		_, scale := f.value(p + "scale")
		got := f.apply(nil, ir.OpRMSNorm, ir.Attrs{Eps: 1e-5}, p+"x")
		for i, v := range got.Data {
			if want := float32(x.Data[i] * scale.Data[i/n]); v != want {
				t.Fatalf("%s element %d is %x, want %x", p, i, v, want)
			}
		}
	}
}

// TestDot: products and convolutions of codes, against numpy.
func TestDot(t *testing.T) {
	f := reference(t, "dot")
	for _, k := range []int{3, 16, 64, 100, 1536, 5120} {
		p := fmt.Sprintf("%d.", k)
		f.same(f.apply(nil, ir.OpLinear, ir.Attrs{}, p+"a", p+"w"), p+"acc")
	}
	m := parse(t, `module "conv" {
  weight %conv.w: i8[20, 4]
  state %win: i8[S, 20, 3]
  func f(%x: i8[T, 20]) -> (i32[T, 20]) {
    %acc, %next = conv %x %conv.w _ %win : i32[T, 20], i8[S, 20, 3]
    return %acc
    next %win = %next
  }
}`, f)
	_, x := f.value("conv.x")
	in := ir.Inputs[float32]{SeqStart: []int{0, 12}, Values: map[string][]float32{}}
	for _, v := range x.Ints {
		in.Values["x"] = append(in.Values["x"], float32(v))
	}
	out, err := ir.Eval(m, in)
	if err != nil {
		t.Fatal(err)
	}
	f.same(out.Returns[0], "conv.acc")
}

// TestHadamard: the sums in float32 to the bit, the orthonormal transform in float64.
func TestHadamard(t *testing.T) {
	f := reference(t, "hadamard")
	for _, key := range strings.Fields("64 128 96 768 1536 2560 5120 2560.m20 5120.m20 144 224 200") {
		_, factor := f.value("factor." + key)
		attrs := ir.Attrs{Blocks: int(factor.Ints[0]), M: int(factor.Ints[1]), K: int(factor.Ints[2])}
		f.same(f.apply(nil, ir.OpHadamard, attrs, "x."+key), "sum."+key)

		v, x := f.value("x." + key)
		op, err := ir.NewOp(ir.OpHadamard, []string{"y"}, attrs, v)
		if err != nil {
			t.Fatal(err)
		}
		wide := &ir.Tensor[float64]{Shape: x.Shape}
		for _, v := range x.Data {
			wide.Data = append(wide.Data, float64(v))
		}
		out, err := ir.EvalOp(op, []*ir.Tensor[float64]{wide, nil}, nil, [3]int{})
		if err != nil {
			t.Fatal(err)
		}
		_, want := f.value("y." + key)
		n := x.Shape[1]
		for i, got := range out[0].Data {
			if got /= math.Sqrt(float64(n / attrs.Blocks)); math.Abs(got-float64(want.Data[i])) > 1e-5*math.Abs(got)+1e-6 {
				t.Fatalf("y.%s[%d] is %v, want %v", key, i, got, want.Data[i])
			}
		}
	}
}

// TestLinearGroups compares 4-bit weights with scales by groups with the definition, for codes and for numbers, short last group included.
func TestLinearGroups(t *testing.T) {
	const n, k, rows = 5, 100, 2
	for _, group := range []int{1, 7, 32, 64, 100, 128} {
		groups := (k + group - 1) / group
		w := &ir.Tensor[float32]{Shape: []int{n, k}}
		x := &ir.Tensor[float32]{Shape: []int{rows, k}}
		codes := &ir.Tensor[float32]{Shape: []int{rows, k}}
		s := &ir.Tensor[float32]{Shape: []int{n, groups}}
		for i := range n * k {
			w.Ints = append(w.Ints, int64(i*i%16-8))
		}
		for i := range rows * k {
			x.Data = append(x.Data, float32(math.Sin(float64(i*i))))
			codes.Ints = append(codes.Ints, int64(i*i%255-127))
		}
		for i := range n * groups {
			s.Data = append(s.Data, float32(1+i%3)/77)
		}
		for _, in := range []*ir.Tensor[float32]{x, codes} {
			value := func(dtype ir.DType, t *ir.Tensor[float32]) *ir.Value {
				return &ir.Value{Name: "v", Type: ir.Type{DType: dtype, Shape: ir.Dims(t.Shape)}}
			}
			dtype := ir.F32
			if in.Ints != nil {
				dtype = ir.I8
			}
			op, err := ir.NewOp(ir.OpLinear, []string{"y"}, ir.Attrs{GroupSize: group}, value(dtype, in), value(ir.I4, w), nil, value(ir.F32, s))
			if err != nil {
				t.Fatal(err)
			}
			out, err := ir.EvalOp(op, []*ir.Tensor[float32]{in, w, nil, s}, nil, [3]int{})
			if err != nil {
				t.Fatal(err)
			}
			for i, got := range out[0].Data {
				r, o := i/n, i%n
				var y float32
				for g := range groups {
					var acc float32
					var sum int64
					for c := g * group; c < min(g*group+group, k); c++ {
						if in.Ints != nil {
							sum += in.Ints[r*k+c] * w.Ints[o*k+c]
						} else {
							acc = f32.FMA(float32(w.Ints[o*k+c]), in.Data[r*k+c], acc)
						}
					}
					y = f32.FMA(acc+float32(sum), s.Data[o*groups+g], y)
				}
				if got != y {
					t.Fatalf("groups of %d, %s: element %d is %x, want %x", group, dtype, i, got, y)
				}
			}
		}
	}
}

// parse reads a module whose weights have the names of tensors of the file.
func parse(t *testing.T, text string, f file) *ir.Module {
	t.Helper()
	m, err := ir.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, v := range m.Func.Weights {
		dtype, shape, raw := f.raw(v.Name)
		if want := (ir.Type{DType: dtype, Shape: ir.Dims(shape)}); !v.Type.Equal(want) {
			t.Fatalf("weight %%%s is %s, the file's %s", v.Name, v.Type, want)
		}
		v.Weight = ir.RawWeight(v.Name, dtype, shape, raw)
	}
	return m
}

// TestLayer builds the reference layers of two schemes from ops and runs them all at once, row by row and in uneven pieces: every tensor on the
// way is the reference's, to the bit. The text is testdata/layer.txt; lines that begin with a scheme's name are that scheme's.
func TestLayer(t *testing.T) {
	template, err := os.ReadFile(filepath.Join("testdata", "layer", "layer.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range []string{"layer", "layer-odd"} {
		for _, scheme := range []string{"quamba", "ssmc"} {
			t.Run(layer+"-"+scheme, func(t *testing.T) {
				f := reference(t, layer+"-"+scheme)
				m := parse(t, layerText(f, string(template), scheme), f)
				_, input := f.value("input_rotated")
				rows := input.Shape[0]
				runLayer(t, f, m, input, rows)
				runLayer(t, f, m, input, 1)
				runLayer(t, f, m, input, 5)
			})
		}
	}
}

// layerText fills in the sizes and scales of a reference layer.
func layerText(f file, template, scheme string) string {
	_, in, _ := f.raw("w.in_proj")
	_, a, _ := f.raw("A")
	_, dt, _ := f.raw("w.dt_proj")
	_, conv, _ := f.raw("w.conv1d")
	d, e, n, r, k := in[1], a[0], a[1], dt[1], conv[1]
	factors := map[int]string{128: "m=1 k=7", 96: "m=12 k=3"}
	scanInput := map[string]string{"quamba": "uf", "ssmc": "u"}
	fill := strings.NewReplacer("<uf>", scanInput[scheme], "<D>", fmt.Sprint(d), "<E>", fmt.Sprint(e), "<2E>", fmt.Sprint(2*e), "<N>", fmt.Sprint(n), "<R>", fmt.Sprint(r),
		"<R+N>", fmt.Sprint(r+n), "<R+2N>", fmt.Sprint(r+2*n), "<K>", fmt.Sprint(k), "<K-1>", fmt.Sprint(k-1), "<H>", factors[e],
		"<full>", strconv.FormatBool(scheme == "quamba"), "<inv.norm_out>", decimal(f.number("inv.norm_out")), "<inv.u>", decimal(f.number("inv.u")),
		"<inv.y>", decimal(f.number("inv.y")))
	var lines []string
	for _, line := range strings.Split(template, "\n") {
		who, rest, ok := strings.Cut(line, "| ")
		if !ok {
			lines = append(lines, line)
		} else if strings.TrimSpace(who) == scheme {
			lines = append(lines, rest)
		}
	}
	return fill.Replace(strings.Join(lines, "\n"))
}

func decimal(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }

// runLayer runs the rows in pieces and compares every value that the reference has.
func runLayer(t *testing.T, f file, m *ir.Module, input *ir.Tensor[float32], piece int) {
	t.Helper()
	seen := map[string]*ir.Tensor[float32]{}
	add := func(name string) *ir.Tensor[float32] {
		if seen[name] == nil {
			seen[name] = &ir.Tensor[float32]{}
		}
		return seen[name]
	}
	e, err := ir.NewEvaluator[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	e.Observe = func(name string, _ []int, data []float32) { add(name).Data = append(add(name).Data, data...) }
	e.ObserveInts = func(name string, _ []int, data []int64) { add(name).Ints = append(add(name).Ints, data...) }
	rows, d := input.Shape[0], input.Shape[1]
	var out *ir.Outputs[float32]
	var states [][]float32
	for at := 0; at < rows; at += piece {
		n := min(piece, rows-at)
		in := ir.Inputs[float32]{SeqStart: []int{0, n}, States: states, Values: map[string][]float32{"res": input.Data[at*d : (at+n)*d]}}
		if out, err = e.Step(in); err != nil {
			t.Fatal(err)
		}
		states = out.States()
	}
	taps := 0
	for _, x := range f.f.Tensors() {
		if name, ok := strings.CutPrefix(x.Name, "tap."); ok && name != "state" {
			if seen[name] == nil {
				t.Fatalf("no value %%%s", name)
			}
			f.same(seen[name], x.Name)
			taps++
		}
	}
	if taps < 17 {
		t.Errorf("only %d tensors were compared", taps)
	}
	window := out.NextStates[0]
	_, shape, raw := f.raw("end.conv") // [K-1, C]
	for i, v := range window.Ints {
		if c, k := i/shape[0], i%shape[0]; int8(raw[k*shape[1]+c]) != int8(v) {
			t.Fatalf("end.conv: channel %d, place %d is %d", c, k, v)
		}
	}
	_, _, raw = f.raw("end.state")
	for i, v := range out.NextStates[1].Data {
		if math.Float32bits(v) != binary.LittleEndian.Uint32(raw[4*i:]) {
			t.Fatalf("end.state[%d] is %x", i, v)
		}
	}
	f.same(out.NextStates[1], "tap.state")
}
