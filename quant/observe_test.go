package quant

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// observed is testdata/reference/observers.json.
type observed struct {
	Amax      float64            `json:"amax"`
	Scale     float32            `json:"amax_scale"`
	Exact     map[string]float64 `json:"quantile_exact_pooled"`
	Histogram map[string]float64 `json:"histogram"`
	MSE       float64            `json:"histogram_mse_amax"`
	EMA       map[string]float64 `json:"ema"`
}

const observerWidth = 600

func readObserved(t *testing.T) (want observed, samples [][]float32, r reference) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "reference", "observers.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	r = openReference(t, "observers")
	for x := r.f32("x"); len(x) > 0; x = x[observerWidth:] {
		samples = append(samples, x[:observerWidth])
	}
	return want, samples, r
}

// allAlphas keeps a moving average of each quantile of the reference, and channels as if the samples were rows of 40.
func allAlphas(want observed) Keep {
	k := Keep{Channels: 40, Means: true}
	for _, key := range []string{"0.99", "0.999", "0.9995", "0.99999", "1.0"} {
		alpha, _ := strconv.ParseFloat(key, 64)
		k.Moving = append(k.Moving, Moving{alpha, 0.01})
	}
	if len(want.EMA) != len(k.Moving) {
		panic("the reference has other quantiles")
	}
	return k
}

func addAll(t *testing.T, s *Stats, number int, x []float32) {
	t.Helper()
	if err := s.Add(number, x[:240]); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(number, x[240:]); err != nil {
		t.Fatal(err)
	}
	s.End(number)
}

func TestObserversReference(t *testing.T) {
	want, samples, r := readObserved(t)
	s := NewStats(allAlphas(want))
	for i, x := range samples {
		addAll(t, s, i, x)
	}
	checkObserved(t, s, want, r)
}

// checkObserved compares with everything that the reference says.
func checkObserved(t *testing.T, s *Stats, want observed, r reference) {
	t.Helper()
	var index, count []int64
	for _, b := range s.Histogram().Bins() {
		index, count = append(index, int64(b.Index)), append(count, int64(b.Count))
	}
	same(t, "histogram bins", index, r.ints("histogram.bin"))
	same(t, "histogram counts", count, r.ints("histogram.count"))
	amax := func(o Observer) float64 {
		a, err := s.Amax(o)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if got := amax(Observer{}); got != want.Amax {
		t.Errorf("amax %v, want %v", got, want.Amax)
	}
	scale, err := Scale([]*Stats{s}, []Observer{{}})
	if err != nil || scale != want.Scale {
		t.Errorf("scale %v (%v), want %v", scale, err, want.Scale)
	}
	if got := amax(Observer{Kind: MSE}); got != want.MSE {
		t.Errorf("mse clip %v, want %v", got, want.MSE)
	}
	for key, v := range want.Histogram {
		alpha, _ := strconv.ParseFloat(key, 64)
		if got := amax(Observer{Kind: Percentile, Alpha: alpha}); math.Abs(got-v) > 1e-12*v {
			t.Errorf("pooled %s: %v, want %v", key, got, v)
		}
		if exact := want.Exact[key]; alpha < 0.99999 && math.Abs(v-exact) > 0.06*exact {
			t.Errorf("pooled %s: %v is far from the exact %v", key, v, exact)
		}
		if got := amax(Observer{Kind: EMAPercentile, Alpha: alpha, Sigma: 0.01}); math.Abs(got-want.EMA[key]) > 1e-6*want.EMA[key] {
			t.Errorf("ema %s: %v, want %v", key, got, want.EMA[key])
		}
	}
	if _, err := s.Amax(Observer{Kind: EMAPercentile, Alpha: 0.5, Sigma: 0.01}); err == nil {
		t.Error("a moving average that was not kept has a value")
	}
	if _, err := s.Amax(Observer{Kind: NoObserver}); err == nil {
		t.Error("a dynamic scale has an amax")
	}
}

// TestAnyOrder shares the samples between goroutines, each with statistics of its own that are merged in an arbitrary order, and wants the same file.
func TestAnyOrder(t *testing.T) {
	want, samples, r := readObserved(t)
	keep := allAlphas(want)
	one := NewStats(keep)
	for i, x := range samples {
		addAll(t, one, i, x)
	}
	for _, workers := range []int{2, 3, 5} {
		parts := make([]*Stats, workers)
		var wait sync.WaitGroup
		for w := range parts {
			wait.Go(func() {
				parts[w] = NewStats(keep)
				for i := len(samples) - 1; i >= 0; i-- {
					if i*7%11%workers == w {
						addAll(t, parts[w], i, samples[i])
					}
				}
			})
		}
		wait.Wait()
		all := parts[workers-1]
		for _, p := range parts[:workers-1] {
			if err := all.Merge(p); err != nil {
				t.Fatal(err)
			}
		}
		checkObserved(t, all, want, r)
		same(t, "the file", encode(t, all), encode(t, one))
	}
}

func encode(t *testing.T, s *Stats) string {
	t.Helper()
	data, err := (&Calibration{Tensors: map[string]*Stats{"x": s}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestChannels(t *testing.T) {
	s := NewStats(Keep{Channels: 3, Means: true})
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for i, x := range [][]float32{{1, -2, 3, -4, 5, nan}, {-1, inf, 0.5}, {}, {2, 2, 2}} {
		if err := s.Add(i, x); err != nil {
			t.Fatal(err)
		}
		s.End(i)
	}
	same(t, "maxima", s.ChannelMax(), []float32{4, 5, 3})
	same(t, "means", s.ChannelMean(), []float32{2.5, 3.5, 2})
	if nan, inf, first := s.NonFinite(); nan != 1 || inf != 1 || first != 0 {
		t.Errorf("NaN %d, Inf %d, first %d", nan, inf, first)
	}
	if n := s.Histogram().Count(); n != 10 {
		t.Errorf("%d finite values, want 10", n)
	}
	if s.Check("x") == nil || NewStats(Keep{}).Check("x") == nil {
		t.Error("values that are not finite, or none at all, pass the check")
	}
	if s.Add(4, []float32{1, 2}) == nil || s.Add(-1, nil) == nil {
		t.Error("half a row or a negative sample is accepted")
	}
}

func TestMergeErrors(t *testing.T) {
	moving := Keep{Moving: Published}
	with := func(k Keep, samples ...int) *Stats {
		s := NewStats(k)
		for _, i := range samples {
			if err := s.Add(i, []float32{float32(i)}); err != nil {
				t.Fatal(err)
			}
			s.End(i)
		}
		return s
	}
	open := NewStats(moving)
	if err := open.Add(3, []float32{1}); err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]*Stats{
		"other kinds":      {with(moving, 0), with(Keep{}, 1)},
		"sample 0 twice":   {with(moving, 0), with(moving, 0)},
		"sample 3 twice":   {with(moving, 0, 3), with(moving, 3)},
		"a past sample":    {with(moving, 0, 1, 2), with(moving, 1)},
		"a future sample":  {with(moving, 1), with(moving, 0, 1)},
		"an open sample":   {with(moving, 0), open},
		"other ones' open": {open, with(moving, 0)},
	} {
		if err := pair[0].Merge(pair[1]); err == nil {
			t.Errorf("%s: merged", name)
		}
	}
	gap := with(moving, 0, 2)
	if _, err := gap.Amax(Observer{EMAPercentile, 0.9995, 0.01}); err == nil {
		t.Error("a moving average with a sample missing has a value")
	}
	if err := gap.Merge(with(moving, 1)); err != nil {
		t.Fatal(err)
	}
	if got, err := gap.Amax(Observer{EMAPercentile, 0.9995, 0.01}); err != nil || math.Abs(got-0.0299) > 1e-6 {
		t.Errorf("moving average of 0, 1, 2: %v (%v), want 0.0299", got, err)
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.MSEClip() != 0 || h.Max() != 0 || h.RMS() != 0 || h.ClippedShare(0) != 0 || h.Bins() != nil {
		t.Error("an empty histogram has values")
	}
	s := NewStats(Keep{})
	if err := s.Add(0, []float32{3, -1, 2, 1e-30, 0}); err != nil {
		t.Fatal(err)
	}
	h = *s.Histogram()
	if got := h.ClippedShare(2.5); got != 0.2 {
		t.Errorf("share above 2.5: %v", got)
	}
	if got := h.RMS(); math.Abs(got-math.Sqrt(14.0/5)) > 0.01 {
		t.Errorf("rms %v", got)
	}
}

func TestScaleHelpers(t *testing.T) {
	scales, err := GroupScales([]float32{1, 127, 0, 0, 254, 3}, 3)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "groups", scales, []float32{1, 1, 2})
	if _, err := GroupScales([]float32{1, 2, 3}, 2); err == nil {
		t.Error("3 channels in 2 groups")
	}
	most := make([]float64, 2)
	InputMax(most, []float64{1, -4, -2, 0})
	same(t, "input maxima", most, []float64{2, 4})
	f, err := SmoothFactors([]float32{8, 0}, most, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "smooth", f, []float64{math.Sqrt(8) / math.Sqrt(2), 1})
	small := NewStats(Keep{})
	if err := small.Add(0, []float32{1e-30}); err != nil {
		t.Fatal(err)
	}
	if s, err := Scale([]*Stats{small}, []Observer{{}}); err != nil || s != 1 {
		t.Errorf("the scale of a dead tensor is %v (%v)", s, err)
	}
}

func BenchmarkObserve(b *testing.B) {
	for name, k := range map[string]Keep{"amax": {Channels: 1536}, "all": {Channels: 1536, Means: true, Moving: Published}} {
		x := normal32(random(1), 512*1536)
		b.Run(name, func(b *testing.B) {
			s := NewStats(k)
			b.SetBytes(int64(4 * len(x)))
			for i := 0; b.Loop(); i++ {
				if err := s.Add(i, x); err != nil {
					b.Fatal(err)
				}
				s.End(i)
			}
		})
	}
}
