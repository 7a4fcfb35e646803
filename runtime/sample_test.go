package runtime

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGreedy(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	tests := []struct {
		logits []float32
		want   int32
		fails  bool
	}{
		{[]float32{1, 3, 2}, 1, false},
		{[]float32{3, 1, 3}, 0, false}, // of equal ones the first
		{[]float32{-inf, -5, -inf}, 1, false},
		{[]float32{1, nan, 2}, 0, true},
		{[]float32{nan}, 0, true},
		{[]float32{1, inf}, 0, true},
		{[]float32{-inf, -inf}, 0, true},
		{nil, 0, true},
	}
	for _, test := range tests {
		got, err := Greedy(test.logits)
		if errors.Is(err, ErrNotFinite) != test.fails || got != test.want && !test.fails {
			t.Errorf("Greedy(%v) = %v, %v", test.logits, got, err)
		}
	}
}

// Frequencies follow the probabilities, within four standard deviations.
func TestSamplerStatistics(t *testing.T) {
	logits := []float32{0, 1, 2, -1, 2, float32(math.Inf(-1))}
	tests := []struct {
		name     string
		sampling Sampling
		keep     []int // tokens that may be chosen
	}{
		{"temperature 1", Sampling{Temperature: 1}, []int{0, 1, 2, 3, 4}},
		{"temperature 2", Sampling{Temperature: 2, Seed: 3}, []int{0, 1, 2, 3, 4}},
		{"top-k 2", Sampling{Temperature: 1, TopK: 2}, []int{2, 4}},
		{"top-k 3", Sampling{Temperature: 0.7, TopK: 3}, []int{1, 2, 4}},
		{"top-p", Sampling{Temperature: 1, TopP: 0.85}, []int{1, 2, 4}}, // 0.41 + 0.41 are not enough
		{"tiny top-p", Sampling{Temperature: 1, TopP: 1e-9}, []int{2}},  // of equal ones the first
		{"top-k 1", Sampling{Temperature: 1, TopK: 1}, []int{2}},
	}
	const draws = 20000
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := Sampler{Sampling: test.sampling}
			var counts [6]int
			for i := range draws {
				id, err := s.Next(logits, int64(i))
				if err != nil {
					t.Fatal(err)
				}
				counts[id]++
			}
			total := 0.0
			p := make([]float64, len(logits))
			for _, id := range test.keep {
				p[id] = math.Exp(float64(logits[id]) / test.sampling.Temperature)
				total += p[id]
			}
			for id := range counts {
				want := p[id] / total * draws
				if d := math.Abs(float64(counts[id]) - want); d > 4*math.Sqrt(want)+1e-9 {
					t.Errorf("token %d came %d times, want about %.0f", id, counts[id], want)
				}
			}
		})
	}
}

func TestSamplerFollowsSeedAndPosition(t *testing.T) {
	logits := make([]float32, 1000)
	draw := func(seed uint64) []int32 {
		s := Sampler{Sampling: Sampling{Temperature: 1, Seed: seed}}
		var ids []int32
		for i := range 50 {
			id, err := s.Next(logits, int64(i))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	if diff := cmp.Diff(draw(1), draw(1)); diff != "" {
		t.Errorf("the same seed: %s", diff)
	}
	if cmp.Equal(draw(1), draw(2)) {
		t.Error("two seeds give the same")
	}
}

func TestSamplingCheck(t *testing.T) {
	for _, s := range []Sampling{{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: math.Inf(1)}, {TopK: -1}, {TopP: -0.1}, {TopP: 1.1}, {TopP: math.NaN()}} {
		if s.Check() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
	if err := (Sampling{Temperature: 0.8, TopK: 40, TopP: 1, Seed: 9}).Check(); err != nil {
		t.Error(err)
	}
}

func TestCut(t *testing.T) {
	tests := []struct {
		name    string
		lengths []int
		rows    int
		seqs    int
		want    [][]part
	}{
		{"nothing", nil, 128, 8, nil},
		{"an empty sequence", []int{0}, 128, 8, nil},
		{"one", []int{5}, 128, 8, [][]part{{{0, 0, 5}}}},
		{"full", []int{128}, 128, 8, [][]part{{{0, 0, 128}}}},
		{"one more", []int{129}, 128, 8, [][]part{{{0, 0, 128}}, {{0, 128, 129}}}},
		{"cuts at chunks", []int{150}, 130, 8, [][]part{{{0, 0, 128}}, {{0, 128, 150}}}},
		{"small steps", []int{20}, 16, 8, [][]part{{{0, 0, 16}}, {{0, 16, 20}}}},
		{"not cut to fill up", []int{100, 100, 20}, 128, 8, [][]part{{{0, 0, 100}, {2, 0, 20}}, {{1, 0, 100}}}},
		{"sequences", []int{1, 1, 1}, 128, 2, [][]part{{{0, 0, 1}, {1, 0, 1}}, {{2, 0, 1}}}},
	}
	for _, test := range tests {
		got := cut(test.lengths, test.rows, test.seqs)
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(part{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.name, diff)
		}
	}
}
