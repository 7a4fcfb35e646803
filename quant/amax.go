package quant

import (
	"fmt"
	"math"
)

// Amax is the largest |x| that gets a code, by an observer.
func (s *Stats) Amax(o Observer) (float64, error) {
	switch o.Kind {
	case Amax:
		return s.hist.Max(), nil
	case Percentile:
		return s.hist.Quantile(o.Alpha), nil
	case MSE:
		return s.hist.MSEClip(), nil
	case EMAPercentile:
		for i, m := range s.keep.Moving {
			if m == (Moving{o.Alpha, o.Sigma}) {
				return s.moving[i].value()
			}
		}
		return 0, fmt.Errorf("the calibration kept no moving average of the %v quantile with sigma %v, only %v\n  fix: calibrate again with this scheme", o.Alpha, o.Sigma, s.keep.Moving)
	}
	return 0, fmt.Errorf("a scale that is computed while running has no amax from calibration")
}

// Check is an error if the tensor had values that are not finite, or none at all: then no scale must be made of it.
func (s *Stats) Check(name string) error {
	if s.nan+s.inf > 0 {
		return fmt.Errorf("%s: %d values that are not numbers and %d infinite ones in calibration, first in sample %d\n  fix: run that sample in float to see where they begin",
			name, s.nan, s.inf, s.firstBad)
	}
	if s.hist.n == 0 {
		return fmt.Errorf("%s: calibration saw no values of it", name)
	}
	return nil
}

// Scale is the one static scale of a tensor and of those that share it: of the largest amax, each taken by its own observer.
func Scale(stats []*Stats, observers []Observer) (float32, error) {
	var most float64
	for i, s := range stats {
		a, err := s.Amax(observers[i])
		if err != nil {
			return 0, err
		}
		most = max(most, a)
	}
	scale := ScaleOf(most)
	if !GoodScale(scale) {
		return 0, fmt.Errorf("amax %v gives the scale %v, which is of no use", most, scale)
	}
	return scale, nil
}

// ChannelScales is a scale for each channel, from its largest |x|.
func ChannelScales(most []float32) []float32 {
	scales := make([]float32, len(most))
	for i, m := range most {
		scales[i] = ScaleOf(float64(m))
	}
	return scales
}

// GroupScales is a scale for each of equal groups of neighbouring channels: of the B and C of each SSD group, or of the heads of a cache.
func GroupScales(most []float32, groups int) ([]float32, error) {
	if groups <= 0 || len(most)%groups != 0 {
		return nil, fmt.Errorf("%d channels do not make %d equal groups", len(most), groups)
	}
	n := len(most) / groups
	scales := make([]float32, groups)
	for g := range scales {
		scales[g] = ScaleOf(float64(largest(most[g*n : (g+1)*n])))
	}
	return scales, nil
}

func largest(x []float32) float32 {
	var most float32
	for _, v := range x {
		most = max(most, v)
	}
	return most
}

// SmoothFactors is SmoothQuant's: channel j of a value is divided by amax(x_j)^alpha / amax(W_j)^(1-alpha), and the weights that read it are
// multiplied by that. weightMax is the largest |w| of each input channel over all these weights. A channel that is dead on either side keeps 1.
func SmoothFactors(valueMax []float32, weightMax []float64, alpha float64) ([]float64, error) {
	if len(valueMax) != len(weightMax) {
		return nil, fmt.Errorf("%d channels of a value and %d of the weights that read it", len(valueMax), len(weightMax))
	}
	factors := make([]float64, len(valueMax))
	for j, x := range valueMax {
		factors[j] = 1
		if float64(x) >= deadBelow && weightMax[j] >= deadBelow {
			factors[j] = math.Pow(float64(x), alpha) / math.Pow(weightMax[j], 1-alpha)
		}
	}
	return factors, nil
}

// InputMax is the largest |w| of each input channel of weights [rows, k], joined into most, of k elements.
func InputMax(most, w []float64) {
	for i, v := range w {
		k := i % len(most)
		most[k] = max(most[k], math.Abs(v))
	}
}
