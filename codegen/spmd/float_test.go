package spmd

import (
	"math"
	"testing"
)

func TestRound(t *testing.T) {
	for _, c := range []struct {
		x    float32
		want int32
	}{{0.5, 0}, {1.5, 2}, {2.5, 2}, {-0.5, 0}, {-1.5, -2}, {-2.5, -2}, {0.49999997, 0}, {8388609, 8388609}, {2147483520, 2147483520}, {2147483648, math.MinInt32},
		{-2147483648, math.MinInt32}, {-3e9, math.MinInt32}, {float32(math.NaN()), math.MinInt32}, {float32(math.Inf(1)), math.MinInt32}} {
		if got := round32(c.x); got != c.want {
			t.Errorf("round(%v) = %d, want %d", c.x, got, c.want)
		}
	}
}

// TestNarrow checks both narrow formats against the definition: the nearest value, the even one of two.
func TestNarrow(t *testing.T) {
	for _, f := range []struct {
		name string
		from func(uint16) float32
		to   func(float32) uint16
		inf  uint16
	}{{"f16", fromF16, toF16, 0x7c00}, {"bf16", fromBF16, toBF16, 0x7f80}} {
		for u := uint16(0); u < f.inf; u++ {
			lo, hi := float64(f.from(u)), float64(f.from(u+1))
			if u+1 == f.inf {
				hi = 2*lo - float64(f.from(u-1)) // where the next one would be
			}
			even := u + u&1
			for _, c := range []struct {
				x    float64
				want uint16
			}{{lo, u}, {lo + (hi-lo)/2, even}, {lo + (hi-lo)*0.4999, u}, {lo + (hi-lo)*0.5001, u + 1}} {
				if x := float32(c.x); float64(x) == c.x || f.name == "f16" && u >= 2 || u >= 1<<8 {
					if got := f.to(x); got != c.want {
						t.Fatalf("%s of %x is %#x, want %#x", f.name, x, got, c.want)
					}
					if got := f.to(-x); got != c.want|0x8000 {
						t.Fatalf("%s of %x is %#x, want %#x", f.name, -x, got, c.want|0x8000)
					}
				}
			}
		}
		if x := f.from(f.to(float32(math.NaN()))); x == x {
			t.Errorf("%s: NaN becomes %v", f.name, x)
		}
		if x := f.from(f.to(math.Float32frombits(0x7f800001))); x == x {
			t.Errorf("%s: a NaN with a small payload becomes %v", f.name, x)
		}
		if x := f.from(f.to(float32(math.Inf(-1)))); !math.IsInf(float64(x), -1) {
			t.Errorf("%s: -Inf becomes %v", f.name, x)
		}
	}
}

func BenchmarkFMA(b *testing.B) {
	x := float32(0.3)
	for b.Loop() {
		x = fma32(x, 0.99, 0.1)
	}
}
