package quant

import (
	"fmt"
	"math"
	"testing"

	"github.com/ssmc/ssmc/internal/f32"
)

func TestQuantizeReference(t *testing.T) {
	r := openReference(t, "rounding")
	x := r.f32("quantize.x")
	same(t, "narrow", apply(x, func(v float32) int8 { return Quantize(v, 1, Narrow) }), r.i8("quantize.q"))
	same(t, "full", apply(x, func(v float32) int8 { return Quantize(v, 1, Full) }), r.i8("quantize.q_full_range"))
	over := r.f32("scaled.x_over_scale")
	for i := range 4 {
		name := fmt.Sprintf("scaled.%d.", i)
		scale := r.f32(name + "scale")[0]
		inv := Inverse(scale)
		sameBits(t, name+"inv", []float32{inv}, r.f32(name+"inv"))
		got := make([]int8, len(over))
		QuantizeAll(got, apply(over, func(v float32) float32 { return v * scale }), inv, Narrow)
		same(t, name+"q", got, r.i8(name+"q"))
	}
}

func TestRequantReference(t *testing.T) {
	r := openReference(t, "rounding")
	acc, bias, m := r.i32("requant.acc"), r.f32("requant.bias"), r.f32("requant.m")[0]
	q, qb, y, yb := make([]int8, len(acc)), make([]int8, len(acc)), make([]float32, len(acc)), make([]float32, len(acc))
	for i, a := range acc {
		q[i], qb[i] = Requant(a, m, Narrow), RequantBias(a, m, bias[i], Narrow)
		y[i], yb[i] = Dequant(a, m), DequantAdd(a, m, bias[i])
	}
	same(t, "q", q, r.i8("requant.q"))
	same(t, "q_bias", qb, r.i8("requant.q_bias"))
	sameBits(t, "y", y, r.f32("dequant.y"))
	sameBits(t, "y_bias", yb, r.f32("dequant.y_bias"))
}

// TestFloatReference checks internal/f32 here, where the reference arrays are.
func TestFloatReference(t *testing.T) {
	r := openReference(t, "rounding")
	a, b, c := r.f32("fma.a"), r.f32("fma.b"), r.f32("fma.c")
	y := make([]float32, len(a))
	for i := range y {
		y[i] = f32.FMA(a[i], b[i], c[i])
	}
	sameBits(t, "fma", y, r.f32("fma.y"))
	x := r.f32("math.x")
	sameBits(t, "exp", apply(x, f32.Exp), r.f32("math.exp"))
	sameBits(t, "softplus", apply(x, f32.Softplus), r.f32("math.softplus"))
	sameBits(t, "silu", apply(x, f32.SiLU), r.f32("math.silu"))
	for _, n := range []int{16, 64, 100, 768, 2560} {
		name := fmt.Sprintf("rms.%d.", n)
		rows := r.f32(name + "x")
		var sums, scales []float32
		for ; len(rows) > 0; rows = rows[n:] {
			sums = append(sums, f32.Sum16Squares(rows[:n]))
			scales = append(scales, f32.RMSScale(rows[:n], 1e-5))
		}
		sameBits(t, name+"sum", sums, r.f32(name+"sum"))
		sameBits(t, name+"scale", scales, r.f32(name+"scale"))
	}
}

func TestDotReference(t *testing.T) {
	r := openReference(t, "dot")
	for _, k := range []int{3, 16, 64, 100, 1536, 5120} {
		name := fmt.Sprintf("%d.", k)
		a, w := r.i8(name+"a"), r.i8(name+"w")
		var acc, sums, shifted []int32
		for i := 0; i < len(a); i += k {
			for j := 0; j < len(w); j += k {
				acc = append(acc, Dot(a[i:i+k], w[j:j+k]))
				// The way of vpdpbusd: activations + 128, from the compensation on.
				s := Compensation(w[j : j+k])
				for n := range k {
					s += int32(uint8(a[i+n])^0x80) * int32(w[j+n])
				}
				shifted = append(shifted, s)
			}
		}
		for j := 0; j < len(w); j += k {
			sums = append(sums, Compensation(w[j:j+k])/-128)
		}
		same(t, name+"acc", acc, r.i32(name+"acc"))
		same(t, name+"shifted", shifted, r.i32(name+"acc"))
		same(t, name+"row_sum", sums, r.i32(name+"row_sum"))
	}
	x, w, channels := r.i8("conv.x"), r.i8("conv.w"), r.shape("conv.x")[1]
	var acc []int32
	for i := range x {
		var s int32
		for tap := range 4 {
			if at := i + (tap-3)*channels; at >= 0 {
				s += int32(x[at]) * int32(w[i%channels*4+tap])
			}
		}
		acc = append(acc, s)
	}
	same(t, "conv.acc", acc, r.i32("conv.acc"))
}

func TestScales(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		amax float64
		want float32
	}{{127, 1}, {0, 1}, {0x1p-61, 1}, {1, float32(1.0 / 127)}, {63, 0.4960629940032959}} {
		if got := ScaleOf(c.amax); got != c.want {
			t.Errorf("the scale of %v is %v, want %v", c.amax, got, c.want)
		}
	}
	for _, c := range []struct {
		scale float32
		want  bool
	}{{1, true}, {0, false}, {-1, false}, {nan, false}, {inf, false}, {1e-40, false}, {ScaleOf(deadBelow), true}} {
		if got := GoodScale(c.scale); got != c.want {
			t.Errorf("GoodScale(%v) = %v", c.scale, got)
		}
	}
	for _, c := range []struct {
		x, inv float32
		r      Range
		want   bool
	}{{127, 1, Narrow, false}, {127.4, 1, Narrow, true}, {-128, 1, Narrow, true}, {-128, 1, Full, false}, {nan, 1, Narrow, true}, {63, 2, Narrow, false}, {inf, 1, Full, true}} {
		if got := Saturated(c.x, c.inv, c.r); got != c.want {
			t.Errorf("Saturated(%v, %v, %v) = %v", c.x, c.inv, c.r, got)
		}
	}
	if sum := int64(MaxK) * MaxCode * MaxCode; sum > math.MaxInt32 || int64(MaxK)*128*MaxCode <= math.MaxInt32 {
		t.Errorf("MaxK sums to %d", sum)
	}
	if got := Multiplier(3, 2, 0.1); got != float32(2*float64(float32(0.1))/3) {
		t.Errorf("Multiplier = %v", got)
	}
}

// TestGroupedDots checks the sums by groups against float64, and that one group is the plain sum.
func TestGroupedDots(t *testing.T) {
	r := random(7)
	for _, k := range []int{0, 1, 15, 16, 17, 127, 128, 131, 300} {
		a, w, x := make([]int8, k), make([]int8, k), normal32(r, k)
		for i := range k {
			a[i], w[i] = int8(r.IntN(255)-127), int8(r.IntN(16)-8)
		}
		for _, group := range []int{32, 128} {
			scales := make([]float32, (k+group-1)/group)
			var want, wantFloat, size float64
			for g := range scales {
				scales[g] = 0.01 + r.Float32()
			}
			for i := range k {
				s := float64(scales[i/group]) * float64(w[i])
				want += s * float64(a[i])
				wantFloat += s * float64(x[i])
				size += math.Abs(s) * (1 + math.Abs(float64(a[i])))
			}
			if got := float64(Dot4(a, w, scales, group)); math.Abs(got-want) > size*1e-6 {
				t.Errorf("Dot4 K %d group %d: %v, want %v", k, group, got, want)
			}
			if got := float64(DotFloat4(x, w, scales, group)); math.Abs(got-wantFloat) > size*1e-5 {
				t.Errorf("DotFloat4 K %d group %d: %v, want %v", k, group, got, wantFloat)
			}
		}
		if k > 0 {
			if got, want := DotFloat4(x, w, []float32{1}, k), DotFloat(x, w); got != want {
				t.Errorf("K %d: one group of scale 1 gives %v, the plain sum %v", k, got, want)
			}
		}
	}
}
