package quant

import (
	"cmp"
	"math"
	"slices"
)

// bins of a histogram: the top 16 bits of |x|'s float32 pattern, of which the sign is clear. A bin is 0.4 to 0.8 % wide.
const (
	bins     = 1 << 15
	binShift = 16
	infBits  = 0x7f800000 // |x| patterns from here on are infinite or not numbers
)

// Bin is one bin of a Histogram that is not empty: Count values v with Low <= v < High.
type Bin struct {
	Index int
	Count uint64
}

func edge(index int) float64 { return float64(math.Float32frombits(uint32(index) << binShift)) }

// Low is the smallest value of the bin.
func (b Bin) Low() float64 { return edge(b.Index) }

// High is the smallest value above the bin.
func (b Bin) High() float64 { return edge(b.Index + 1) }

// Histogram counts finite |x|. Counts add up, so threads, batches and order do not matter, and any quantile can be asked afterwards.
// The zero value is empty and ready for use.
type Histogram struct {
	dense  *[bins]uint64 // while values are added
	sparse []Bin         // as read from a file: ascending, no empty bin
	max    uint32        // bits of the largest
	n      uint64
}

// Count is the number of values.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the largest value; 0 if there is none.
func (h *Histogram) Max() float64 { return float64(math.Float32frombits(h.max)) }

// open makes the dense form.
func (h *Histogram) open() *[bins]uint64 {
	if h.dense == nil {
		h.dense = new([bins]uint64)
		for _, b := range h.sparse {
			h.dense[b.Index] = b.Count
		}
		h.sparse = nil
	}
	return h.dense
}

// Bins lists the bins that are not empty, ascending.
func (h *Histogram) Bins() []Bin {
	if h.dense == nil {
		return h.sparse
	}
	var list []Bin
	for i, c := range h.dense {
		if c > 0 {
			list = append(list, Bin{i, c})
		}
	}
	return list
}

func (h *Histogram) merge(o *Histogram) {
	if o.n == 0 {
		return
	}
	d := h.open()
	for _, b := range o.Bins() {
		d[b.Index] += b.Count
	}
	h.n, h.max = h.n+o.n, max(h.max, o.max)
}

// Quantile is the value below which the part alpha of all values lies: rank alpha (n - 1), the bin of its floor, linear inside the bin, never above
// the largest value. An empty histogram has 0.
func (h *Histogram) Quantile(alpha float64) float64 {
	if h.n == 0 {
		return 0
	}
	rank := alpha * float64(h.n-1)
	item := uint64(rank)
	var before uint64
	for _, b := range h.Bins() {
		if before+b.Count > item {
			at := float64((b.High() - b.Low()) * (rank - float64(before)))
			return min(b.Low()+at/float64(b.Count), h.Max())
		}
		before += b.Count
	}
	return h.Max()
}

// clipSteps is how many clip values, equally far from each other up to the largest value, MSEClip tries.
const clipSteps = 64

// MSEClip is the clip value that minimises the expected squared error of 8-bit rounding and clipping, bin centres standing for values.
func (h *Histogram) MSEClip() float64 {
	best, clip := math.Inf(1), 0.0
	list := h.Bins()
	for i := 1; i <= clipSteps; i++ {
		t := h.Max() * float64(i) / clipSteps
		var sum float64
		for _, b := range list {
			sum += float64(float64(b.Count) * clipError((b.Low()+b.High())/2, t))
		}
		if sum < best {
			best, clip = sum, t
		}
	}
	return clip
}

// clipError is the expected squared error of v when values are rounded to 127 steps up to t and clipped there.
func clipError(v, t float64) float64 {
	if v > t {
		return float64((v - t) * (v - t))
	}
	s := t / MaxCode
	return min(float64(s*s)/12, float64(v*v))
}

// ClippedShare is the part of all values that lies above clip, to the width of a bin.
func (h *Histogram) ClippedShare(clip float64) float64 {
	if h.n == 0 || clip >= h.Max() {
		return 0
	}
	var above uint64
	for _, b := range h.Bins() {
		if b.Low() > clip {
			above += b.Count
		}
	}
	return float64(above) / float64(h.n)
}

// RMS is the root mean square, bin centres standing for values.
func (h *Histogram) RMS() float64 {
	if h.n == 0 {
		return 0
	}
	var sum float64
	for _, b := range h.Bins() {
		v := (b.Low() + b.High()) / 2
		sum += float64(float64(b.Count) * float64(v*v))
	}
	return math.Sqrt(sum / float64(h.n))
}

// sampleQuantiles are exact quantiles of one sample, linear between neighbours in float32 as the published code computes them. abs holds the patterns
// of |x|. Only what lies at or above the lowest wanted bin is sorted: for alpha = 0.99 and above, one part in a hundred.
func sampleQuantiles(abs []uint32, alphas []float64) []float32 {
	quantiles := make([]float32, len(alphas))
	if len(abs) == 0 || len(alphas) == 0 {
		return quantiles
	}
	var count [bins]uint32
	for _, b := range abs {
		count[b>>binShift]++
	}
	lowest := int(slices.Min(alphas) * float64(len(abs)-1))
	bin, before := 0, 0
	for before+int(count[bin]) <= lowest {
		before += int(count[bin])
		bin++
	}
	var top []uint32
	for _, b := range abs {
		if int(b>>binShift) >= bin {
			top = append(top, b)
		}
	}
	slices.SortFunc(top, cmp.Compare[uint32])
	for i, alpha := range alphas {
		rank := float64(alpha * float64(len(abs)-1))
		item := int(rank)
		a := math.Float32frombits(top[item-before])
		b := math.Float32frombits(top[min(item+1, len(abs)-1)-before])
		quantiles[i] = a + float32(float32(rank-float64(item))*float32(b-a))
	}
	return quantiles
}
