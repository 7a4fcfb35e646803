package f32

import (
	"github.com/ssmc/ssmc/internal/f32/f32test"

	"math"
	"math/rand/v2"
	"testing"
)

// TestActivations compares with float64 over a dense sample of all exponents, by the bound that each function states.
func TestActivations(t *testing.T) {
	gelu := func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }
	geluTanh := func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }
	for _, z := range []struct {
		name     string
		fn       func(float32) float32
		want     func(float64) float64
		absolute float64 // error allowed
		relative float64
	}{
		{"tanh", Tanh, math.Tanh, 3e-8, 3e-4},
		{"erf", Erf, math.Erf, 6e-7, 0},
		{"gelu", GELU, gelu, 1e-7, 4e-7},
		{"gelu_tanh", GELUTanh, geluTanh, 1e-7, 4e-7},
	} {
		for u := uint32(0); u < 0x42b00000; u += 4099 { // up to 88
			for _, x := range []float32{math.Float32frombits(u), -math.Float32frombits(u)} {
				got, want := float64(z.fn(x)), z.want(float64(x))
				if d := math.Abs(got - want); d > z.absolute*max(1, math.Abs(float64(x)))+z.relative*math.Abs(want) {
					t.Fatalf("%s(%v) = %v, want %v", z.name, x, got, want)
				}
			}
		}
		for _, x := range f32test.Edges {
			if y := z.fn(x); y != y && x == x && !math.IsInf(float64(x), 0) && math.Abs(float64(x)) < 1e12 {
				t.Errorf("%s(%v) is not a number", z.name, x)
			}
		}
	}
	for _, x := range []float32{0, 0x1p-126, 0x1p-30, 0x1.fffp-13} {
		if Tanh(x) != x || Tanh(-x) != -x {
			t.Errorf("tanh(%v) = %v", x, Tanh(x))
		}
	}
}

// TestChain compares with one FMA after the other, on operands that meet ties, denormals and infinities.
func TestChain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		n := round % 19
		var x []float32
		var y [4][]float32
		draw := func() float32 {
			switch r.IntN(8) {
			case 0:
				return f32test.Edges[r.IntN(len(f32test.Edges))]
			case 1:
				return float32(r.IntN(9)-4) * float32(math.Ldexp(1, r.IntN(30)-15))
			}
			return float32(math.Ldexp(r.Float64()-0.5, r.IntN(4)))
		}
		z := [4]float32{draw(), draw(), draw(), draw()}
		want := z
		for range n {
			x = append(x, draw())
			for j := range y {
				y[j] = append(y[j], draw())
				want[j] = FMA(x[len(x)-1], y[j][len(x)-1], want[j])
			}
		}
		for j := range y {
			if got := Chain(z[j], x, y[j]); !f32test.Same(got, want[j]) {
				t.Fatalf("chain of %d: %x, want %x", n, got, want[j])
			}
		}
		got := z
		Chain4(&got, x, y[0], y[1], y[2], y[3])
		for j := range got {
			if !f32test.Same(got[j], want[j]) {
				t.Fatalf("chain %d of 4, of %d: %x, want %x", j, n, got[j], want[j])
			}
		}
	}
}

func BenchmarkChain4(b *testing.B) {
	x := make([]float32, 1024)
	for i := range x {
		x[i] = float32(i%17) - 8.3
	}
	var z [4]float32
	for b.Loop() {
		Chain4(&z, x, x, x, x, x)
	}
}
