package f32

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// bigFMA rounds the exact x*y + z, which has at most 700 bits, once.
func bigFMA(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	if s == 0 || math.IsNaN(s) || math.IsInf(s, 0) {
		return float32(s) // a sum of doubles is 0 only if it is exactly 0, and then has the right sign
	}
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(700).SetFloat64(float64(v)) }
	p := new(big.Float).SetPrec(700).Mul(exact(x), exact(y))
	r, _ := p.Add(p, exact(z)).Float32()
	return r
}

func sameFloat(x, y float32) bool {
	return x != x && y != y || math.Float32bits(x) == math.Float32bits(y)
}

var edgeFloats = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.5, 1.5, 2.5, -2.5, 3, 1e-3, 1 << 23, 1<<24 - 1, 1 << 24, 2147483520, 2147483648, -2147483648, 3e9, 0.49999997,
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-126, -0x1p-126, 0x1.fffffcp-127, 0x1p-64, 0x1p64, 0x1.fffffep63, 0x1.000002p0,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 65504, 65520, 65519.996, 0x1p-24, 0x1p-25, 0x1.8p-24, 6.1e-5}

func TestFMAEdges(t *testing.T) {
	for _, x := range edgeFloats {
		for _, y := range edgeFloats {
			for _, z := range edgeFloats {
				if got, want := FMA(x, y, z), bigFMA(x, y, z); !sameFloat(got, want) {
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
		got, want := FMA(x, y, z), bigFMA(x, y, z)
		if !sameFloat(got, want) {
			t.Fatalf("fma(%x, %x, %x) = %x, exact %x", x, y, z, got, want)
		}
		if naive := float32(float64(x)*float64(y) + float64(z)); !sameFloat(naive, want) {
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
