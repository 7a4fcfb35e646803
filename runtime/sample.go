package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen from the logits. The zero value is greedy: the largest logit, of equal ones the first.
type Sampling struct {
	Temperature float64 // logits are divided by it; 0: greedy
	TopK        int     // only the k largest; 0: all
	TopP        float64 // only the largest whose probabilities together reach p; 0 or 1: all
	Seed        uint64  // the same seed and logits give the same tokens
}

// Check says what is impossible in the settings.
func (s Sampling) Check() error {
	var errs []error
	if s.Temperature < 0 || math.IsNaN(s.Temperature) || math.IsInf(s.Temperature, 0) {
		errs = append(errs, fmt.Errorf("temperature %v must be a number from 0 on", s.Temperature))
	}
	if s.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k %d must not be negative", s.TopK))
	}
	if s.TopP < 0 || s.TopP > 1 || math.IsNaN(s.TopP) {
		errs = append(errs, fmt.Errorf("top-p %v must be from 0 to 1", s.TopP))
	}
	return errors.Join(errs...)
}

// Sampler chooses tokens. It keeps its working memory; it is not safe for several goroutines at once.
type Sampler struct {
	Sampling
	candidates []candidate
}

// candidate is a token that may be chosen.
type candidate struct {
	id    int32
	logit float32
	p     float64
}

// ErrNotFinite says that a model gave logits that are no numbers: its weights are damaged, or it was fed what it cannot bear.
var ErrNotFinite = errors.New("the model gave logits that are not finite numbers")

// Greedy gives the index of the largest logit, of equal ones the first.
func Greedy(logits []float32) (int32, error) {
	best, at := float32(math.Inf(-1)), -1
	for i, l := range logits {
		if !(l <= best) { // true for NaN too
			if l != l || l > math.MaxFloat32 {
				return 0, fmt.Errorf("%w: %v for token %d", ErrNotFinite, l, i)
			}
			best, at = l, i
		}
	}
	if at < 0 {
		return 0, fmt.Errorf("%w: all are -Inf", ErrNotFinite)
	}
	return int32(at), nil
}

// Next chooses the token that stands at this position of its sequence. The random number is a function of seed and position, so that a sequence that
// is saved and taken up again goes on as it would have.
func (s *Sampler) Next(logits []float32, position int64) (int32, error) {
	best, err := Greedy(logits)
	if err != nil || s.Temperature == 0 || s.TopK == 1 {
		return best, err
	}
	s.weigh(logits, logits[best])
	keep := s.candidates
	if s.TopK > 0 || s.TopP > 0 && s.TopP < 1 {
		keep = s.largest()
	}
	total := 0.0
	for _, c := range keep {
		total += c.p
	}
	u := rand.New(rand.NewPCG(s.Seed, uint64(position))).Float64() * total
	for _, c := range keep {
		if u -= c.p; u < 0 {
			return c.id, nil
		}
	}
	return keep[len(keep)-1].id, nil // rounding took u a little beyond the end
}

// weigh fills candidates with exp((logit - largest) / temperature), in the order of the ids.
func (s *Sampler) weigh(logits []float32, largest float32) {
	s.candidates = s.candidates[:0]
	for i, l := range logits {
		if p := math.Exp(float64(l-largest) / s.Temperature); p > 0 {
			s.candidates = append(s.candidates, candidate{int32(i), l, p})
		}
	}
}

// largest orders the candidates by probability, of equal ones the lower id first, and cuts them by k and by p.
func (s *Sampler) largest() []candidate {
	list := s.candidates
	slices.SortFunc(list, func(a, b candidate) int {
		if c := cmp.Compare(b.logit, a.logit); c != 0 {
			return c
		}
		return cmp.Compare(a.id, b.id)
	})
	if s.TopK > 0 && s.TopK < len(list) {
		list = list[:s.TopK]
	}
	if s.TopP == 0 || s.TopP == 1 {
		return list
	}
	total := 0.0
	for _, c := range list {
		total += c.p
	}
	sum := 0.0
	for i, c := range list {
		if sum += c.p; sum >= s.TopP*total {
			return list[:i+1]
		}
	}
	return list
}
