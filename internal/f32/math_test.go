package f32

import (
	"github.com/ssmc/ssmc/internal/f32/f32test"

	"math"
	"testing"
)

// ulps is the error of got in units of the last place of want.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	unit := math.Float32frombits(math.Float32bits(Abs(w))+1) - Abs(w)
	return math.Abs(float64(got)-want) / float64(unit)
}

// TestErrors holds each function to the error that its comment promises, over its whole domain in small steps.
func TestErrors(t *testing.T) {
	for _, f := range []struct {
		name      string
		got       func(float32) float32
		want      func(float64) float64
		low, high float64
		bound     float64
	}{
		{"exp", Exp, math.Exp, -87, 88, 1.06},
		{"softplus", Softplus, func(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, -86, 100, 2.11},
		{"silu", SiLU, func(x float64) float64 { return x / (1 + math.Exp(-x)) }, -80, 80, 2.5},
		{"sigmoid", Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, -80, 80, 2.5},
	} {
		const steps = 300_000
		worst, at := 0.0, float32(0)
		for i := range steps {
			x := float32(f.low + (f.high-f.low)*float64(i)/steps)
			if e := ulps(f.got(x), f.want(float64(x))); e > worst {
				worst, at = e, x
			}
		}
		if worst > f.bound {
			t.Errorf("%s(%v) is %.2f ulp off, %.2f are promised", f.name, at, worst, f.bound)
		}
	}
}

// TestEnds has what is outside of the domain.
func TestEnds(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name      string
		got, want float32
	}{
		{"exp(NaN)", Exp(nan), Exp(-87)}, {"exp(-inf)", Exp(-inf), Exp(-87)}, {"exp(inf)", Exp(inf), Exp(88)}, {"exp(0)", Exp(0), 1},
		{"softplus(inf)", Softplus(inf), inf}, {"softplus(NaN)", Softplus(nan), Softplus(-100)}, {"silu(0)", SiLU(0), 0}, {"sigmoid(0)", Sigmoid(0), 0.5},
		{"max(NaN, -127)", Max(nan, -127), -127}, {"min(NaN, 127)", Min(nan, 127), 127}, {"round(2.5)", RoundHalfEven(2.5), 2}, {"sqrt(2)", Sqrt(2), math.Sqrt2},
		{"neg(0)", 1 / Neg(0), -inf}, {"abs(-0)", 1 / Abs(Neg(0)), inf},
	} {
		if !f32test.Same(c.got, c.want) {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	for x, want := range map[float32]int32{0.5: 0, 1.5: 2, -2.5: -2, 3e9: math.MinInt32, -3e9: math.MinInt32, 2147483520: 2147483520} {
		if got := Int32(x); got != want {
			t.Errorf("Int32(%v) = %d, want %d", x, got, want)
		}
	}
	if got := Int32(nan); got != math.MinInt32 {
		t.Errorf("Int32(NaN) = %d", got)
	}
}

// TestSums writes the sixteen lanes and the tree out for lengths around their multiples.
func TestSums(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 97} {
		x, y := make([]float32, n), make([]float32, n)
		var lanes, dots [16]float32
		for i := range x {
			x[i], y[i] = 1/float32(i+3), float32(i)-7.3
			lanes[i%16] += x[i]
			dots[i%16] = FMA(x[i], y[i], dots[i%16])
		}
		tree := func(l [16]float32) float32 {
			for w := 8; w > 0; w /= 2 {
				for i := range w {
					l[i] = l[i] + l[i+w]
				}
			}
			return l[0]
		}
		if got, want := Sum16(x), tree(lanes); got != want {
			t.Errorf("n %d: the sum is %v, want %v", n, got, want)
		}
		if got, want := Dot16(x, y), tree(dots); got != want {
			t.Errorf("n %d: the dot product is %v, want %v", n, got, want)
		}
	}
	if got := RMSScale([]float32{3, 4, 0, 0}, 0); got != 0.4 {
		t.Errorf("1 / rms(3, 4, 0, 0) = %v, want 0.4", got)
	}
}
