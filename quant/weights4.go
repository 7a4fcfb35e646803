package quant

import (
	"fmt"
	"math"

	"github.com/x448/float16"
)

// Weights4 is a weight [Rows, K] in codes -8..7, with one scale for each Group neighbours along K; the last group of a row may be shorter.
type Weights4 struct {
	Rows, K, Group int
	Codes          []int8
	Scales         []float32 // [Rows, Groups()]
}

// Groups is the number of groups of a row.
func (w *Weights4) Groups() int { return (w.K + w.Group - 1) / w.Group }

// span is where group g begins and ends in a row.
func (w *Weights4) span(g int) (lo, hi int) { return g * w.Group, min((g+1)*w.Group, w.K) }

// newWeights4 takes a group of 0 as the whole row.
func newWeights4(rows, k, group int) (*Weights4, error) {
	if group == 0 {
		group = max(k, 1)
	}
	if group < 0 {
		return nil, fmt.Errorf("a group of %d weights", group)
	}
	w := &Weights4{Rows: rows, K: k, Group: group, Codes: make([]int8, rows*k)}
	w.Scales = make([]float32, rows*w.Groups())
	return w, nil
}

const (
	lowest4  = -8
	highest4 = 7
)

// scale4 is the scale of a group: its codes reach from -8 to 7, so the largest weight lies half a step outside.
func scale4(w []float64) float32 {
	if a := amax64(w); a >= deadBelow {
		return float32(a / 7.5)
	}
	return 1
}

// QuantizeWeight4 rounds a folded weight [rows, K] to nearest in groups; a group of 0 is the whole row.
func QuantizeWeight4(w []float64, rows, group int) (*Weights4, error) {
	k, err := checkWeight(w, rows)
	if err != nil {
		return nil, err
	}
	q, err := newWeights4(rows, k, group)
	if err != nil {
		return nil, err
	}
	parallel(rows, 64, func(first, last int) {
		for r := first; r < last; r++ {
			for g := range q.Groups() {
				lo, hi := q.span(g)
				s := scale4(w[r*k+lo : r*k+hi])
				q.Scales[r*q.Groups()+g] = s
				for i := r*k + lo; i < r*k+hi; i++ {
					q.Codes[i] = code(w[i]/float64(s), lowest4, highest4)
				}
			}
		}
	})
	return q, nil
}

// Pack puts two codes in a byte along K: byte j of a row is (code[2j] + 8) | (code[2j+1] + 8) << 4. Where K is odd, the last one is padded by code 0.
func (w *Weights4) Pack() []byte {
	stride := (w.K + 1) / 2
	packed := make([]byte, w.Rows*stride)
	for r := range w.Rows {
		row := w.Codes[r*w.K : (r+1)*w.K]
		for j := range stride {
			low, high := row[2*j], int8(0)
			if 2*j+1 < w.K {
				high = row[2*j+1]
			}
			packed[r*stride+j] = byte(low+8) | byte(high+8)<<4
		}
	}
	return packed
}

// Unpack is the codes of Pack.
func Unpack(packed []byte, rows, k int) ([]int8, error) {
	stride := (k + 1) / 2
	if rows < 0 || k < 0 || len(packed) != rows*stride {
		return nil, fmt.Errorf("%d bytes are not %d rows of %d packed 4-bit codes", len(packed), rows, k)
	}
	codes := make([]int8, rows*k)
	for r := range rows {
		for i := range k {
			codes[r*k+i] = int8(packed[r*stride+i/2]>>(4*(i%2))&15) - 8
		}
	}
	return codes, nil
}

// Expanded is the published second level of 4-bit weights: i8 codes that are made while running, with one scale a channel.
type Expanded struct {
	Weights8
	Factors []float16.Float16 // [Rows, groups]: the scale of a group over that of the channel
}

// Expand makes the two-level form. It rounds a second time: the code is round(code4 * factor).
func (w *Weights4) Expand() *Expanded {
	groups := w.Groups()
	e := &Expanded{Weights8{w.Rows, w.K, make([]int8, len(w.Codes)), make([]float32, w.Rows)}, make([]float16.Float16, len(w.Scales))}
	for r := range w.Rows {
		var most float64
		for i := range w.K {
			s := float64(w.Scales[r*groups+i/w.Group])
			most = max(most, math.Abs(float64(w.Codes[r*w.K+i])*s))
		}
		channel := ScaleOf(most)
		e.Scales[r] = channel
		for g := range groups {
			f := toFloat16(float64(w.Scales[r*groups+g]) / float64(channel))
			e.Factors[r*groups+g] = f
			lo, hi := w.span(g)
			for i := r*w.K + lo; i < r*w.K+hi; i++ {
				e.Codes[i] = code(float64(float32(w.Codes[i])*f.Float32()), -MaxCode, MaxCode) // the product is exact: 4 and 11 bits
			}
		}
	}
	return e
}

// toFloat16 rounds once: to float32 with the last bit set if anything was lost, which decides ties rightly, and then to float16.
func toFloat16(v float64) float16.Float16 {
	f := float32(v)
	if bits := math.Float32bits(f); float64(f) != v && bits&1 == 0 {
		if math.Abs(float64(f)) > math.Abs(v) {
			bits--
		} else {
			bits++
		}
		f = math.Float32frombits(bits)
	}
	return float16.Fromfloat32(f)
}

// Float is the weight that the codes stand for.
func (w *Weights4) Float() []float64 {
	f := make([]float64, len(w.Codes))
	for i, c := range w.Codes {
		f[i] = float64(c) * float64(w.Scales[i/w.K*w.Groups()+i%w.K/w.Group])
	}
	return f
}
