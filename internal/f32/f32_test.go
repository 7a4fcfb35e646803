package f32

import (
	"github.com/ssmc/ssmc/internal/f32/f32test"

	"math"
	"math/rand/v2"
	"testing"
)

func TestFMAEdges(t *testing.T) {
	for _, x := range f32test.Edges {
		for _, y := range f32test.Edges {
			for _, z := range f32test.Edges {
				if got, want := FMA(x, y, z), f32test.FMA(x, y, z); !f32test.Same(got, want) {
					t.Fatalf("fma(%x, %x, %x) = %x, exact %x", x, y, z, got, want)
				}
			}
		}
	}
}

// TestFMARandom draws operands whose product or sum lies near half way between two floats, or among the denormals, more often than not.
func TestFMARandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	anyBits := func() float32 { return math.Float32frombits(r.Uint32()) }
	few := func() float32 { // few mantissa bits, exponent near e0
		return float32(math.Ldexp(float64(1+r.IntN(255))*float64(1-2*r.IntN(2)), r.IntN(60)-30))
	}
	near := func(x, y float32) float32 { // a z that is some bits above or below the product, half an ulp off now and then
		p := float64(x) * float64(y)
		return float32(math.Ldexp(p, r.IntN(104)-52))
	}
	ties := 0
	for i := range 600_000 {
		var x, y, z float32
		switch i % 6 {
		case 0:
			x, y, z = anyBits(), anyBits(), anyBits()
		case 1:
			x, y, z = few(), few(), few()
		case 2:
			x, y = few(), anyBits()
			z = near(x, y)
		case 3: // denormal results
			x, y, z = float32(math.Ldexp(1+r.Float64(), -70)), float32(math.Ldexp(1+r.Float64(), -70-r.IntN(16))), math.Float32frombits(r.Uint32()&0x80ffffff)
		case 4: // z is an odd float, the product is half its ulp, and a little more or less in the last place
			z = float32(1<<23+r.IntN(1<<23)) * float32(1-2*r.IntN(2))
			x, y = 0x1p-1*math.Float32frombits(0x3f800000+uint32(r.IntN(3))), math.Float32frombits(0x3f800000-uint32(r.IntN(3)))
		case 5: // the product overflows, the sum need not
			x, y, z = float32(math.Ldexp(1+r.Float64(), 63)), float32(math.Ldexp(1+r.Float64(), 64)), -math.MaxFloat32
		}
		got, want := FMA(x, y, z), f32test.FMA(x, y, z)
		if !f32test.Same(got, want) {
			t.Fatalf("fma(%x, %x, %x) = %x, exact %x", x, y, z, got, want)
		}
		if naive := float32(float64(x)*float64(y) + float64(z)); !f32test.Same(naive, want) {
			ties++
		}
	}
	if ties < 100 {
		t.Errorf("only %d operands were hard: the test does not reach the ties", ties)
	}
}

func BenchmarkFMA(b *testing.B) {
	x := float32(0.3)
	for b.Loop() {
		x = FMA(x, 0.99, 0.1)
	}
}
