package quant

import (
	"fmt"
	"maps"
	"slices"
)

// average is a moving average over samples, which must be taken in order: v <- v + sigma (q - v), started at the first.
// It forgets: with sigma 0.01 a sample a hundred samples back still weighs 37 %, a single outlier never more than 1 %.
type average struct {
	next  int             // samples 0..next-1 are in v
	v     float32         // in float32, as the published code computes it
	early map[int]float32 // quantiles of samples that came before their turn
}

func (a *average) add(number int, q, sigma float32) {
	if number != a.next {
		if a.early == nil {
			a.early = map[int]float32{}
		}
		a.early[number] = q
		return
	}
	a.take(q, sigma)
	a.advance(sigma)
}

func (a *average) take(q, sigma float32) {
	if a.next == 0 {
		a.v = q
	} else {
		a.v += float32(sigma * float32(q-a.v))
	}
	a.next++
}

// advance takes the early samples whose turn has come.
func (a *average) advance(sigma float32) {
	for {
		q, ok := a.early[a.next]
		if !ok {
			return
		}
		delete(a.early, a.next)
		a.take(q, sigma)
	}
}

// merge joins two averages over different samples. Only one of them can have begun: the other never had sample 0.
func (a *average) merge(o *average, sigma float32) error {
	if a.next > 0 && o.next > 0 {
		return fmt.Errorf("sample 0 is in both of the statistics that are to be merged")
	}
	early := maps.Clone(a.early)
	if early == nil {
		early = map[int]float32{}
	}
	for _, number := range slices.Sorted(maps.Keys(o.early)) {
		if _, twice := early[number]; twice || number < a.next {
			return fmt.Errorf("sample %d is in both of the statistics that are to be merged", number)
		}
		early[number] = o.early[number]
	}
	for number := range a.early {
		if number < o.next {
			return fmt.Errorf("sample %d is in both of the statistics that are to be merged", number)
		}
	}
	if o.next > 0 {
		a.next, a.v = o.next, o.v
	}
	a.early = early
	a.advance(sigma)
	return nil
}

// value is the average so far. It is an error if samples are missing in the middle.
func (a *average) value() (float64, error) {
	if len(a.early) > 0 {
		return 0, fmt.Errorf("sample %d is missing: a moving average needs all of them", a.next)
	}
	return float64(a.v), nil
}
