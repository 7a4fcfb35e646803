package runtime

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/ssmc/ssmc/internal/sample"
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

// params are what compiled code is told about the token at this position of its sequence. The random number is a function of seed and position, so that a
// sequence that is saved and taken up again goes on as it would have.
func (s Sampling) params(position int64) sample.Params {
	p := sample.Params{Temperature: float32(s.Temperature), TopK: int32(min(s.TopK, math.MaxInt32)), TopP: float32(s.TopP)}
	if s.TopP > 0 && p.TopP == 0 {
		p.TopP = math.SmallestNonzeroFloat32 // 0 would keep all
	}
	p.U = rand.New(rand.NewPCG(s.Seed, uint64(position))).Float32()
	return p
}

// ErrNotFinite says that a model gave logits that are no numbers: its weights are damaged, or it was fed what it cannot bear.
var ErrNotFinite = errors.New("the model gave logits that are not finite numbers")

// notFinite is the error about logits from which none can be chosen.
func notFinite(logits []float32) error {
	for i, l := range logits {
		if l != l || l > math.MaxFloat32 {
			return fmt.Errorf("%w: %v for token %d", ErrNotFinite, l, i)
		}
	}
	return fmt.Errorf("%w: all are -Inf", ErrNotFinite)
}

// Greedy gives the index of the largest logit, of equal ones the first.
func Greedy(logits []float32) (int32, error) {
	id := sample.Greedy(logits)
	if id == sample.None {
		return 0, notFinite(logits)
	}
	return id, nil
}

// Sampler chooses tokens from logits as compiled code does, to the bit (Model.Next). It keeps its working memory; it is not safe for several goroutines at once.
type Sampler struct {
	Sampling
	chooser sample.Chooser
}

// Next chooses the token that stands at this position of its sequence.
func (s *Sampler) Next(logits []float32, position int64) (int32, error) {
	id := s.chooser.Choose(logits, s.params(position))
	if id == sample.None {
		return 0, notFinite(logits)
	}
	return id, nil
}
