package quant

import (
	"fmt"
	"math"
	"slices"
)

// Keep says what a Stats keeps of its tensor beyond the histogram.
type Keep struct {
	Channels int      // size of the last axis, to keep the largest |x| of each channel; 0: do not
	Means    bool     // and the mean |x| of each channel in a sample, of which the largest over samples counts: for Sort and cluster
	Moving   []Moving // moving averages of per-sample quantiles: the published percentile observer
}

// Moving is one moving average: of the Alpha quantiles of |x|, each new sample with weight Sigma.
type Moving struct {
	Alpha, Sigma float64
}

// Published are the moving averages that comparisons with the published code need: its quantiles for Mamba, for Jamba, and of its later version.
var Published = []Moving{{0.99999, 0.01}, {0.9995, 0.01}, {0.999, 0.01}}

// Stats is what calibration keeps of one tensor. Its size does not depend on the number of samples.
//
// One goroutine adds to a Stats; any number of them may each have their own for the same tensor, and Merge joins these in any order to the same bits.
// Samples are numbered 0, 1, ... over the whole calibration, and all of one sample goes into one Stats. Only the moving averages depend on the order of
// samples: they are taken in order of the numbers, and what comes early waits.
type Stats struct {
	keep Keep
	hist Histogram

	nan, inf uint64
	firstBad int // number of the first sample with one of these; -1: none

	channelMax  []uint32 // bits of |x|
	channelMean []float32
	moving      []average

	open  map[int]*sample // those that have not ended
	spare []*sample
}

// sample is what must be kept of a sample until it ends.
type sample struct {
	abs  []uint32
	sum  []float64
	rows int
}

// NewStats is ready for the first sample.
func NewStats(keep Keep) *Stats {
	s := &Stats{keep: keep, firstBad: -1, open: map[int]*sample{}}
	s.keep.Moving = slices.Clone(keep.Moving)
	if keep.Channels > 0 {
		s.channelMax = make([]uint32, keep.Channels)
		if keep.Means {
			s.channelMean = make([]float32, keep.Channels)
		}
	}
	for range keep.Moving {
		s.moving = append(s.moving, average{})
	}
	return s
}

// Add takes a part of a sample, whole rows of it if channels are kept. Values that are not finite are counted, and else ignored.
func (s *Stats) Add(number int, x []float32) error {
	if number < 0 {
		return fmt.Errorf("sample number %d is negative", number)
	}
	if n := s.keep.Channels; n > 0 && len(x)%n != 0 {
		return fmt.Errorf("sample %d: %d values are not rows of %d channels", number, len(x), n)
	}
	s.count(number, x)
	s.countChannels(x)
	if s.keep.Means && s.keep.Channels > 0 || len(s.moving) > 0 {
		s.extend(number, x)
	}
	return nil
}

func (s *Stats) count(number int, x []float32) {
	d, largest, bad := s.hist.open(), s.hist.max, uint64(0)
	for _, v := range x {
		b := math.Float32bits(v) &^ (1 << 31)
		if b >= infBits {
			bad++
			if b > infBits {
				s.nan++
			} else {
				s.inf++
			}
			continue
		}
		d[b>>binShift]++
		largest = max(largest, b)
	}
	s.hist.max = largest
	s.hist.n += uint64(len(x)) - bad
	if bad > 0 && (s.firstBad < 0 || number < s.firstBad) {
		s.firstBad = number
	}
}

func (s *Stats) countChannels(x []float32) {
	most := s.channelMax
	for len(most) > 0 && len(x) > 0 {
		for c, v := range x[:len(most)] {
			if b := math.Float32bits(v) &^ (1 << 31); b > most[c] && b < infBits {
				most[c] = b
			}
		}
		x = x[len(most):]
	}
}

// extend keeps what the end of the sample needs.
func (s *Stats) extend(number int, x []float32) {
	p := s.open[number]
	if p == nil {
		if p = (&sample{}); len(s.spare) > 0 {
			p, s.spare = s.spare[len(s.spare)-1], s.spare[:len(s.spare)-1]
		}
		s.open[number] = p
	}
	if len(s.moving) > 0 {
		for _, v := range x {
			if b := math.Float32bits(v) &^ (1 << 31); b < infBits {
				p.abs = append(p.abs, b)
			}
		}
	}
	if s.channelMean == nil {
		return
	}
	if p.sum == nil {
		p.sum = make([]float64, s.keep.Channels)
	}
	for ; len(x) > 0; x = x[len(p.sum):] {
		p.rows++
		for c, v := range x[:len(p.sum)] {
			if a := math.Abs(float64(v)); a <= math.MaxFloat32 {
				p.sum[c] += a
			}
		}
	}
}

// End says that all of a sample has been added.
func (s *Stats) End(number int) {
	p := s.open[number]
	if p == nil {
		p = &sample{}
	}
	delete(s.open, number)
	if p.rows > 0 {
		for c, sum := range p.sum {
			s.channelMean[c] = max(s.channelMean[c], float32(sum/float64(p.rows)))
		}
	}
	alphas := make([]float64, len(s.moving))
	for i, m := range s.keep.Moving {
		alphas[i] = m.Alpha
	}
	for i, q := range sampleQuantiles(p.abs, alphas) {
		s.moving[i].add(number, q, float32(s.keep.Moving[i].Sigma))
	}
	p.abs, p.rows = p.abs[:0], 0
	clear(p.sum)
	s.spare = append(s.spare, p)
}

// Merge adds what another Stats of the same tensor has seen, in other samples.
func (s *Stats) Merge(o *Stats) error {
	if s.keep.Channels != o.keep.Channels || s.keep.Means != o.keep.Means || !slices.Equal(s.keep.Moving, o.keep.Moving) {
		return fmt.Errorf("statistics of different kinds cannot be merged: %+v and %+v", s.keep, o.keep)
	}
	if len(s.open)+len(o.open) > 0 {
		return fmt.Errorf("statistics cannot be merged while %d samples have not ended", len(s.open)+len(o.open))
	}
	for i := range s.moving {
		if err := s.moving[i].merge(&o.moving[i], float32(s.keep.Moving[i].Sigma)); err != nil {
			return err
		}
	}
	s.hist.merge(&o.hist)
	s.nan, s.inf = s.nan+o.nan, s.inf+o.inf
	if o.firstBad >= 0 && (s.firstBad < 0 || o.firstBad < s.firstBad) {
		s.firstBad = o.firstBad
	}
	for c, b := range o.channelMax {
		s.channelMax[c] = max(s.channelMax[c], b)
	}
	for c, m := range o.channelMean {
		s.channelMean[c] = max(s.channelMean[c], m)
	}
	return nil
}

// Histogram is the pooled distribution of |x|.
func (s *Stats) Histogram() *Histogram { return &s.hist }

// Kept is what was asked for.
func (s *Stats) Kept() Keep { return s.keep }

// NonFinite counts the values that were ignored, and says in which sample the first one was (-1: none).
func (s *Stats) NonFinite() (nan, inf uint64, first int) { return s.nan, s.inf, s.firstBad }

// ChannelMax is the largest |x| of each channel; nil if it was not kept.
func (s *Stats) ChannelMax() []float32 {
	if s.channelMax == nil {
		return nil
	}
	most := make([]float32, len(s.channelMax))
	for c, b := range s.channelMax {
		most[c] = math.Float32frombits(b)
	}
	return most
}

// ChannelMean is, for each channel, the largest over samples of the mean |x| in a sample; nil if it was not kept.
func (s *Stats) ChannelMean() []float32 { return slices.Clone(s.channelMean) }
