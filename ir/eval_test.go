package ir

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmc/ssmc/internal/f32"
)

// TestChunksOfSteps runs rows at once and cut in two at every place: scan and conv must give the same bits.
func TestChunksOfSteps(t *testing.T) {
	m := mustParse(t, sample)
	e, err := NewEvaluator[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{0, 1, 2, 15, 16, 17} {
		in := RandomInputs[float32](m, uint64(rows), rows)
		want, err := e.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range rows + 1 {
			first, err := e.Step(Inputs[float32]{IDs: in.IDs[:cut], States: in.States})
			if err != nil {
				t.Fatal(err)
			}
			second, err := e.Step(Inputs[float32]{IDs: in.IDs[cut:], States: first.States()})
			if err != nil {
				t.Fatal(err)
			}
			logits := append(first.Returns[0].Data, second.Returns[0].Data...)
			if d := cmp.Diff(want.Returns[0].Data, logits); d != "" {
				t.Errorf("%d rows cut at %d: %s", rows, cut, d)
			}
			if d := cmp.Diff(want.States(), second.States()); d != "" {
				t.Errorf("%d rows cut at %d: states: %s", rows, cut, d)
			}
		}
	}
}

// TestLinearSizes compares the blocked loop with the definition, at sizes around the blocks: the same bits.
func TestLinearSizes(t *testing.T) {
	for _, n := range []int{0, 1, 3, 4, 5, 17, 63, 64, 65, 131} {
		for _, k := range []int{0, 1, 16, 31} {
			m := mustParse(t, fmt.Sprintf(`module "m" {
				weight %%w: f32[%d, %d]
				weight %%b: f32[%d]
				func f(%%x: f32[T, %d]) -> (f32[T, %d]) {
					%%y = linear %%x %%w %%b : f32[T, %d]
					return %%y
				}
			}`, n, k, n, k, n, n))
			e, err := NewEvaluator[float32](m)
			if err != nil {
				t.Fatal(err)
			}
			x := make([]float32, 3*k)
			for i := range x {
				x[i] = float32(i%7) - 3.1
			}
			out, err := e.Step(Inputs[float32]{SeqStart: []int{0, 3}, Values: map[string][]float32{"x": x}})
			if err != nil {
				t.Fatal(err)
			}
			w, _ := LoadWeight[float32](m.Func.Weights[0].Weight)
			b, _ := LoadWeight[float32](m.Func.Weights[1].Weight)
			for r := range 3 {
				for o := range n {
					sum := b.Data[o]
					for i := range k {
						sum = f32.FMA(x[r*k+i], w.Data[o*k+i], sum)
					}
					if got := out.Returns[0].Data[r*n+o]; got != sum {
						t.Fatalf("n %d, k %d, row %d, column %d: %v, want %v", n, k, r, o, got, sum)
					}
				}
			}
		}
	}
}

func TestStepRefuses(t *testing.T) {
	m := mustParse(t, sample)
	e, err := NewEvaluator[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	for want, in := range map[string]Inputs[float64]{
		"index 5 at position 1 is outside the table's 5 rows":     {IDs: []int32{0, 5}},
		"index -1 at position 0":                                  {IDs: []int32{-1}},
		"index 2 at position 0 is outside the table's 2 rows":     {IDs: []int32{0, 1}, Outs: []int32{2}},
		"2 ids, but the sequences have 3 rows":                    {IDs: []int32{0, 1}, SeqStart: []int{0, 3}},
		"SeqStart [0 2 1] does not ascend":                        {IDs: []int32{0}, SeqStart: []int{0, 2, 1}},
		"SeqStart [1 1] does not ascend":                          {IDs: []int32{0}, SeqStart: []int{1, 1}},
		"SeqStart is empty":                                       {SeqStart: []int{}},
		"1 states given, the function has 2":                      {IDs: []int32{0}, States: [][]float64{nil}},
		"state %h: 3 elements for shape [1 4 2]":                  {IDs: []int32{0}, States: [][]float64{nil, make([]float64, 3)}},
		"input %ids: 2 elements for shape [1]":                    {IDs: []int32{0}, Values: map[string][]float64{"ids": {1, 2}}},
		"evaluate %e = gather (backbone.embeddings.weight): inde": {IDs: []int32{99}},
	} {
		if _, err := e.Step(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := e.Step(Inputs[float64]{IDs: []int32{}}); err != nil {
		t.Errorf("no rows: %v", err)
	}
	if _, err := e.Step(Inputs[float64]{IDs: []int32{}, SeqStart: []int{0}}); err != nil {
		t.Errorf("no sequences: %v", err)
	}
}

// TestCodesInChunks cuts the quantized sample, whose window is codes, at every row, and refuses states and inputs that are no codes.
func TestCodesInChunks(t *testing.T) {
	m := mustParse(t, strings.Replace(codes, "%h.q = quantize %h.next inv=2.5", "%h.q = quantize %h.next full=true", 1))
	e, err := NewEvaluator[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 7
	states := RandomInputs[float32](m, 3, rows).States
	x := make([]float32, 4*rows)
	for i := range x {
		x[i] = float32(i*i%23) - 11
	}
	run := func(lo, hi int, states [][]float32) *Outputs[float32] {
		out, err := e.Step(Inputs[float32]{SeqStart: []int{0, hi - lo}, States: states, Values: map[string][]float32{"x": x[4*lo : 4*hi]}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := run(0, rows, states)
	for cut := range rows + 1 {
		first := run(0, cut, states)
		second := run(cut, rows, first.States())
		if d := cmp.Diff(want.Returns[0].Data, append(first.Returns[0].Data, second.Returns[0].Data...)); d != "" {
			t.Errorf("cut at %d: %s", cut, d)
		}
		if d := cmp.Diff(want.NextStates[0].Ints, second.NextStates[0].Ints); d != "" {
			t.Errorf("cut at %d: window: %s", cut, d)
		}
	}
	for _, bad := range []float32{0.5, 128, -129, 1e30, float32(math.NaN())} {
		states[0][1] = bad
		_, err := e.Step(Inputs[float32]{SeqStart: []int{0, 0}, States: states})
		if want := fmt.Sprintf("state %%win: element 1 is %v, not a number of type i8", bad); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestConstantsAreWide: what depends on weights only is computed in float64 and rounded once, where fold-constants does it and where it does not.
func TestConstantsAreWide(t *testing.T) {
	m := mustParse(t, `module "m" {
		weight %log: f32[64]
		func f(%x: f32[T, 64]) -> (f32[T, 64]) {
			%third = const value=0.3333333333333333 : f32[]
			%e = exp %log : f32[64]
			%a = mul %e %third : f32[64]
			%y = mul %x %a : f32[T, 64]
			return %y
		}
	}`)
	x := make([]float32, 64)
	for i := range x {
		x[i] = 1
	}
	out, err := Eval(m, Inputs[float32]{SeqStart: []int{0, 1}, Values: map[string][]float32{"x": x}})
	if err != nil {
		t.Fatal(err)
	}
	w, _ := LoadWeight[float64](m.Func.Weights[0].Weight)
	for i, got := range out.Returns[0].Data {
		if want := float32(math.Exp(w.Data[i]) * (1.0 / 3)); got != want {
			t.Errorf("element %d is %x, want %x", i, got, want)
		}
	}
}

// TestObserve sees each value that a step makes once, and the precisions agree.
func TestObserve(t *testing.T) {
	m := mustParse(t, sample)
	seen := map[string][]int{}
	e, err := NewEvaluator[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	e.Observe = func(name string, shape []int, data []float32) {
		if seen[name] != nil || product(shape) != len(data) {
			t.Errorf("%s %v: %d elements", name, shape, len(data))
		}
		seen[name] = shape
	}
	if _, err := e.Step(Inputs[float32]{IDs: []int32{1, 2, 3}, Outs: []int32{2}}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]int{
		"e": {3, 4}, "x": {3, 4}, "win.next": {1, 4, 1}, "u": {3, 4}, "u3": {3, 4, 1}, "b": {3, 4, 2}, "y": {3, 4}, "h.next": {1, 4, 2},
		"n": {3, 4}, "n2": {3, 4}, "m": {3, 1}, "d": {3, 4}, "last": {1, 4}, "logits": {1, 5},
	}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
}

// TestConstants: a function of weights only needs no step to run, and returned weights and constants are there.
func TestConstants(t *testing.T) {
	m := mustParse(t, `module "m" {
		weight %a: f32[2] = [1 2]
		func f() -> (f32[2], f32[2]) {
			%b = exp %a : f32[2]
			%c = neg %b : f32[2]
			return %a %c
		}
	}`)
	reads := 0
	w := m.Func.Weights[0].Weight
	bytes := w.Bytes
	w.Bytes = func() ([]byte, error) { reads++; return bytes() }
	w.Release = func() { reads += 10 }
	out, err := Eval(m, Inputs[float64]{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]float64{{1, 2}, {-math.E, -math.E * math.E}}, [][]float64{out.Returns[0].Data, out.Returns[1].Data},
		cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-14 })); d != "" {
		t.Error(d)
	}
	if reads != 11 {
		t.Errorf("the weight was read and released %d times (tens: releases)", reads)
	}
	w.Bytes = func() ([]byte, error) { return nil, fmt.Errorf("the disk is gone") }
	if _, err := Eval(m, Inputs[float64]{}); err == nil || !strings.Contains(err.Error(), `weight "a": the disk is gone`) {
		t.Errorf("got %v", err)
	}
	w.Bytes = func() ([]byte, error) { return make([]byte, 7), nil }
	if _, err := Eval(m, Inputs[float64]{}); err == nil || !strings.Contains(err.Error(), "7 bytes are not 2 elements of f32") {
		t.Errorf("got %v", err)
	}
}

// TestEncode writes and reads back every element type, at the ends of its range.
func TestEncode(t *testing.T) {
	for _, typ := range []DType{F32, F64, F16, BF16} {
		data := []float64{0, -1, 0.5, 1.5, -65504}
		if typ == BF16 {
			data[4] = -65280
		}
		raw, err := Encode(typ, data)
		if err != nil || len(raw) != 5*typ.Size() {
			t.Fatalf("%s: %d bytes, %v", typ, len(raw), err)
		}
		got := make([]float64, 5)
		if err := Decode(got, typ, raw); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(data, got); d != "" {
			t.Errorf("%s: %s", typ, d)
		}
		if err := Decode(got, typ, raw[1:]); err == nil {
			t.Errorf("%s: a byte too few is accepted", typ)
		}
	}
	for _, typ := range []DType{I64, I32, I16, I8, I4, U8, Bool} {
		lo, hi := intRange(typ)
		data := []int64{lo, hi, 0, 1, hi}
		raw, err := EncodeInts(typ, data)
		if err != nil || len(raw) != (5*typ.Bits()+7)/8 {
			t.Fatalf("%s: %d bytes, %v", typ, len(raw), err)
		}
		got := make([]int64, 5)
		if err := DecodeInts(got, typ, raw); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(data, got); d != "" {
			t.Errorf("%s: %s", typ, d)
		}
		if typ == I64 {
			continue
		}
		for _, v := range []int64{lo - 1, hi + 1} {
			if _, err := EncodeInts(typ, []int64{v}); err == nil {
				t.Errorf("%s holds %d", typ, v)
			}
		}
	}
	if _, err := Encode(I8, []float32{1}); err == nil {
		t.Error("floats as i8")
	}
}

// TestRoundBF16 goes through all bfloat16 and the numbers half way between neighbours.
func TestRoundBF16(t *testing.T) {
	for u := range uint32(1 << 16) {
		v := math.Float32frombits(u << 16)
		if v != v {
			if got := roundBF16(v); got == got {
				t.Fatalf("NaN %x became %v", u, got)
			}
			continue
		}
		if got := roundBF16(v); got != v {
			t.Fatalf("%v became %v", v, got)
		}
		if math.IsInf(float64(v), 0) {
			continue
		}
		even := math.Float32frombits((u + u&1) << 16)
		if got := roundBF16(math.Float32frombits(u<<16 | 0x8000)); got != even {
			t.Fatalf("half way above %v became %v, want %v", v, got, even)
		}
	}
}
