package compare

import (
	"errors"
	"math"
	goruntime "runtime"
	"sync"

	"github.com/ssmc/ssmc/quant"
)

// row is what one predicted token tells.
type row struct {
	nats, floatNats float64 // -ln p of the token that came
	kl              float64 // of the float model's distribution from the other's, in nats
	same            bool    // both give the largest logit to one token
	signal, noise   float64 // of the logits: squares of the float's, and of the differences
	bad             bool    // there is no number to be had
}

// errNoNumber is what a model that has broken gives.
var errNoNumber = errors.New("the model gave logits that are no numbers")

// measure compares the logits for one token with those of the float model, which may be nil.
func measure(logits, float []float32, next int32) row {
	var r row
	sum, best := logSum(logits)
	r.nats = sum - float64(logits[next])
	r.bad = r.nats != r.nats || math.IsInf(r.nats, 0)
	if float == nil {
		return r
	}
	floatSum, floatBest := logSum(float)
	r.floatNats = floatSum - float64(float[next])
	r.same = best == floatBest
	for i, f := range float {
		x, y := float64(f), float64(logits[i])
		lp := x - floatSum
		r.kl += math.Exp(lp) * (lp - (y - sum))
		r.signal += x * x
		r.noise += (x - y) * (x - y)
	}
	r.kl = max(r.kl, 0) // equal but for roundings
	r.bad = r.bad || r.kl != r.kl || r.floatNats != r.floatNats
	return r
}

// logSum is ln of the sum of exp, and where the largest is.
func logSum(logits []float32) (sum float64, best int) {
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	largest := float64(logits[best])
	for _, l := range logits {
		sum += math.Exp(float64(l) - largest)
	}
	return math.Log(sum) + largest, best
}

// Distance is how one model's predictions are and how far they are from the float model's. Without a float model only Perplexity and Tokens are known.
type Distance struct {
	Tokens          int     `json:"tokens"`
	Perplexity      float64 `json:"perplexity"`
	FloatPerplexity float64 `json:"float_perplexity,omitempty"`
	Ratio           float64 `json:"perplexity_ratio,omitempty"`
	KL              float64 `json:"kl_mean"` // nats
	KL99            float64 `json:"kl_p99"`
	KLMax           float64 `json:"kl_max"`
	Top1            float64 `json:"top1_agreement"`
	SQNR            float64 `json:"logits_sqnr_db"` // 300: no difference at all
}

// tally adds rows up, in order.
type tally struct {
	tokens, same    int
	nats, floatNats float64
	kl              float64
	spread          *quant.Stats // of the divergence, for its percentile
	signal, noise   float64
}

func (t *tally) add(r row) error {
	if r.bad {
		return errNoNumber
	}
	if t.spread == nil {
		t.spread = quant.NewStats(quant.Keep{})
	}
	t.tokens++
	t.nats += r.nats
	t.floatNats += r.floatNats
	t.kl += r.kl
	if r.same {
		t.same++
	}
	t.signal += r.signal
	t.noise += r.noise
	return t.spread.Add(0, []float32{float32(r.kl)})
}

func (t *tally) distance(against bool) Distance {
	n := float64(t.tokens)
	d := Distance{Tokens: t.tokens, Perplexity: math.Exp(t.nats / n)}
	if !against {
		return d
	}
	h := t.spread.Histogram()
	d.FloatPerplexity = math.Exp(t.floatNats / n)
	d.Ratio = math.Exp((t.nats - t.floatNats) / n)
	d.KL, d.KL99, d.KLMax = t.kl/n, h.Quantile(0.99), h.Max()
	d.Top1 = float64(t.same) / n
	d.SQNR = DB(t.signal, t.noise)
	return d
}

// DB is a ratio of powers in decibels; 300 where there is no noise, 0 where there is neither.
func DB(signal, noise float64) float64 {
	switch {
	case signal == 0:
		return 0
	case noise == 0:
		return 300
	}
	return 10 * math.Log10(signal/noise)
}

// parallel calls work for 0 to n-1 in as many goroutines as may run.
func parallel(n int, work func(i int)) {
	var wait sync.WaitGroup
	workers := min(goruntime.GOMAXPROCS(0), n)
	for w := range workers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := w; i < n; i += workers {
				work(i)
			}
		}()
	}
	wait.Wait()
}
