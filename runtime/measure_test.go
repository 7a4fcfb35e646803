package runtime

import (
	"context"
	"testing"
)

func BenchmarkBandwidth(b *testing.B) {
	for b.Loop() {
		for _, threads := range []int{1, 2} {
			rate, err := Bandwidth(context.Background(), threads)
			if err != nil {
				b.Skip(err)
			}
			b.Logf("%d threads: %.1f GB/s", threads, rate/1e9)
		}
	}
}

func BenchmarkPeak(b *testing.B) {
	for b.Loop() {
		for _, lanes := range []int{8, 16} {
			for _, threads := range []int{1, 2} {
				rate, err := Peak(context.Background(), threads, lanes)
				if err != nil {
					b.Skip(err)
				}
				b.Logf("%d threads, %d lanes: %.1f GFLOP/s", threads, lanes, rate/1e9)
			}
		}
	}
}
