package runtime

import (
	"context"
	"sync/atomic"
	"testing"
)

// Every thread does every run, all of them have begun before one does the next, and a cancelled race ends.
func TestRace(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		var total atomic.Int64
		var behind atomic.Bool
		best := newRace(threads).run(context.Background(), 20, func(_, run int) {
			if n := total.Add(1); n > int64((run+1)*threads) || n <= int64(run*threads) {
				behind.Store(true)
			}
		})
		if total.Load() != int64(20*threads) || behind.Load() || best < 0 {
			t.Errorf("%d threads: %d runs in all, in step: %v, best %v", threads, total.Load(), !behind.Load(), best)
		}
		ctx, cancel := context.WithCancel(context.Background())
		newRace(threads).run(ctx, 1<<40, func(_, run int) {
			if run == 3 {
				cancel()
			}
		})
	}
}

// The yardsticks give what no machine is below, and the wider vectors are not slower.
func TestMeasure(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	narrow, err := Peak(ctx, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	if narrow < 1e9 {
		t.Errorf("%.0f operations a second", narrow)
	}
	if _, err := Peak(ctx, 1, 7); err == nil {
		t.Error("there are vectors of 7 floats")
	}
	cancel()
	if _, err := Bandwidth(ctx, 2); err == nil {
		t.Error("a cancelled measurement gave a figure")
	}
	if a, b := cycles(), cycles(); b <= a {
		t.Errorf("the counter went from %d to %d", a, b)
	}
}
