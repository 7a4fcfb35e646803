package sample

import (
	"math"
	"math/rand/v2"
	"testing"
)

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

func TestChoose(t *testing.T) {
	logits := []float32{1, 4, -inf, 4, 2, 3}
	for _, tc := range []struct {
		name   string
		logits []float32
		Params
		want int32
	}{
		{"greedy", logits, Params{U: 0.9}, 1},
		{"greedy, of one", []float32{-7}, Params{}, 0},
		{"negative temperature", logits, Params{Temperature: -1, U: 0.9}, 1},
		{"no temperature", logits, Params{Temperature: nan, U: 0.9}, 1},
		{"top-k 1", logits, Params{Temperature: 1, TopK: 1, U: 0.9}, 1},
		{"all, the first", logits, Params{Temperature: 1}, 0},
		{"all, the last", logits, Params{Temperature: 1, U: 1 - 1.0/(1<<24)}, 5},
		{"never what is forbidden", []float32{1, -inf}, Params{Temperature: 1, U: 2}, 0},
		{"top-k 2, the first", logits, Params{Temperature: 1, TopK: 2}, 1},
		{"top-k 2, the last", logits, Params{Temperature: 1, TopK: 2, U: 0.999}, 3},
		{"top-k of equal ones", []float32{5, 5, 5, 5}, Params{Temperature: 1, TopK: 3, U: 0.999}, 2},
		{"top-k of more than there are", logits, Params{Temperature: 1, TopK: 100, U: 0.999999}, 5},
		{"top-p, half of two", logits, Params{Temperature: 0.01, TopP: 0.5, U: 0.999}, 1},
		{"top-p, a little more", logits, Params{Temperature: 0.01, TopP: 0.50001, U: 0.999}, 3},
		{"tiny top-p", logits, Params{Temperature: 9, TopP: 1e-45, U: 0.999}, 1},
		{"top-p of equal ones", []float32{5, 5, 5, 5}, Params{Temperature: 1, TopP: 0.75, U: 0.999}, 2},
		{"both", logits, Params{Temperature: 100, TopK: 4, TopP: 0.5, U: 0.999}, 3},
		{"hot", []float32{0, 0, -inf, 0}, Params{Temperature: inf, U: 0.999}, 3},
		{"cold", []float32{0, 1e-3, 0}, Params{Temperature: 1e-45, U: 0.999}, 1},
		{"far apart", []float32{-math.MaxFloat32, math.MaxFloat32}, Params{Temperature: 1, U: 0}, 1},
		{"zeros", []float32{float32(math.Copysign(0, -1)), 0}, Params{}, 0},
		{"NaN", []float32{1, nan}, Params{Temperature: 1}, None},
		{"infinite", []float32{1, inf}, Params{}, None},
		{"all forbidden", []float32{-inf, -inf}, Params{Temperature: 1}, None},
		{"nothing", nil, Params{}, None},
		{"u is no number", logits, Params{Temperature: 1, U: nan}, 0},
	} {
		var c Chooser
		if got := c.Choose(tc.logits, tc.Params); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

// probabilities are those that the parameters ask for, computed the plain way in float64 for logits that are all different.
func probabilities(logits []float32, p Params) []float64 {
	w := make([]float64, len(logits))
	for i, l := range logits {
		w[i] = math.Exp(float64(l) / float64(p.Temperature))
	}
	keep := func(drop func(larger int, before, total float64) bool) { // larger: how many are, before: what these weigh
		next, total := make([]float64, len(w)), 0.0
		for _, x := range w {
			total += x
		}
		for i, x := range w {
			larger, before := 0, 0.0
			for _, y := range w {
				if y > x {
					larger++
					before += y
				}
			}
			if !drop(larger, before, total) {
				next[i] = x
			}
		}
		w = next
	}
	if p.TopK > 0 {
		keep(func(larger int, _, _ float64) bool { return larger >= int(p.TopK) })
	}
	if p.TopP > 0 && p.TopP < 1 {
		keep(func(_ int, before, total float64) bool { return before >= float64(p.TopP)*total })
	}
	total := 0.0
	for _, x := range w {
		total += x
	}
	for i := range w {
		w[i] /= total
	}
	return w
}

// TestDistribution wants what is drawn to have the probabilities that were asked for: Pearson's statistic within four standard deviations of what it is on average.
func TestDistribution(t *testing.T) {
	const draws = 20_000
	rng := rand.New(rand.NewPCG(11, 12))
	logits := make([]float32, 560) // two blocks
	for i := range logits {
		logits[i] = float32(rng.NormFloat64() * 2)
	}
	for _, p := range []Params{
		{Temperature: 1}, {Temperature: 0.5}, {Temperature: 2, TopK: 30}, {Temperature: 1, TopP: 0.9}, {Temperature: 1, TopP: 0.3}, {Temperature: 1.5, TopK: 100, TopP: 0.7},
	} {
		want := probabilities(logits, p)
		counts := make([]int, len(logits))
		var c Chooser
		for range draws {
			p.U = rng.Float32()
			counts[c.Choose(logits, p)]++
		}
		statistic, classes, rest, restCount := 0.0, 0, 0.0, 0
		add := func(expected float64, count int) {
			statistic += (float64(count) - expected) * (float64(count) - expected) / expected
			classes++
		}
		for i, q := range want {
			if q == 0 && counts[i] > 0 {
				t.Errorf("%+v: token %d came %d times and should not", p, i, counts[i])
			}
			if e := q * draws; e >= 10 {
				add(e, counts[i])
			} else { // too rare for the statistic: together
				rest += e
				restCount += counts[i]
			}
		}
		if rest >= 10 {
			add(rest, restCount)
		}
		if df := float64(classes - 1); math.Abs(statistic-df) > 4*math.Sqrt(2*df) {
			t.Errorf("%+v: chi-square %.1f with %.0f degrees of freedom", p, statistic, df)
		}
	}
}
