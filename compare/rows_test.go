package compare

import (
	"math"
	"testing"
)

// The figures of a row, against their definitions worked out by hand.
func TestMeasure(t *testing.T) {
	ln := func(v float64) float32 { return float32(math.Log(v)) }
	p := []float32{ln(0.5), ln(0.25), ln(0.25)}
	q := []float32{ln(0.25), ln(0.5), ln(0.25)}
	r := measure(q, p, 1)
	wantKL := 0.5*math.Log(2) + 0.25*math.Log(0.5)
	if math.Abs(r.nats-math.Log(2)) > 1e-6 || math.Abs(r.floatNats-math.Log(4)) > 1e-6 || math.Abs(r.kl-wantKL) > 1e-6 || r.same || r.bad {
		t.Errorf("%+v, want KL %v", r, wantKL)
	}
	wantNoise := 2 * math.Log(2) * math.Log(2)
	if math.Abs(r.noise-wantNoise) > 1e-6 {
		t.Errorf("noise %v, want %v", r.noise, wantNoise)
	}
	large := []float32{1e4, 0, -1e4} // nothing overflows
	if r := measure(large, large, 0); r.bad || r.nats != 0 || r.kl != 0 || !r.same {
		t.Errorf("%+v", r)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		if r := measure([]float32{float32(v), 0, 0}, p, 1); !r.bad {
			t.Errorf("logits of %v: %+v", v, r)
		}
	}
	var sum tally
	for range 3 {
		if err := sum.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if d := sum.distance(true); d.Tokens != 3 || math.Abs(d.Ratio-0.5) > 1e-6 || d.Top1 != 0 || math.Abs(d.KL99-wantKL) > 1e-2*wantKL {
		t.Errorf("%+v", d)
	}
	if err := sum.add(row{bad: true}); err == nil {
		t.Error("no number is added up")
	}
}

func TestSpread(t *testing.T) {
	list := make([]Window, 10)
	for i := range list {
		list[i].Score = i
	}
	for n, want := range map[int][]int{0: {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 1: {0}, 2: {0, 9}, 4: {0, 3, 6, 9}, 99: {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		got := Spread(list, n)
		for i, w := range want {
			if len(got) != len(want) || got[i].Score != w {
				t.Errorf("Spread(10, %d) = %v, want %v", n, got, want)
				break
			}
		}
	}
}
