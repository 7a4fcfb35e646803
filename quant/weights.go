package quant

import (
	"fmt"
	"math"
)

// Weights8 is a weight [Rows, K] in i8 codes, with one scale for all of it or one for each row (output channel).
type Weights8 struct {
	Rows, K int
	Codes   []int8
	Scales  []float32 // 1 or Rows
}

// Scale is the scale of a row.
func (w *Weights8) Scale(row int) float32 {
	if len(w.Scales) == 1 {
		return w.Scales[0]
	}
	return w.Scales[row]
}

// Compensations is Compensation of each row.
func (w *Weights8) Compensations() []int32 {
	c := make([]int32, w.Rows)
	for i := range c {
		c[i] = Compensation(w.Codes[i*w.K : (i+1)*w.K])
	}
	return c
}

// checkWeight is an error if w is not a matrix of so many rows, or holds what no code can stand for.
func checkWeight(w []float64, rows int) (k int, err error) {
	if rows <= 0 || len(w)%rows != 0 {
		return 0, fmt.Errorf("%d elements do not make %d rows", len(w), rows)
	}
	k = len(w) / rows
	for i, v := range w {
		if !(math.Abs(v) <= math.MaxFloat32) {
			return 0, fmt.Errorf("element [%d, %d] is %v, which no code can stand for", i/k, i%k, v)
		}
	}
	return k, nil
}

// QuantizeWeight rounds a folded weight [rows, K] to nearest, ties to even, under one scale a row or one for all.
func QuantizeWeight(w []float64, rows int, perRow bool, r Range) (*Weights8, error) {
	k, err := checkWeight(w, rows)
	if err != nil {
		return nil, err
	}
	q := &Weights8{Rows: rows, K: k, Codes: make([]int8, len(w))}
	if perRow {
		for i := range rows {
			q.Scales = append(q.Scales, ScaleOf(amax64(w[i*k:(i+1)*k])))
		}
	} else {
		q.Scales = []float32{ScaleOf(amax64(w))}
	}
	parallel(rows, 64, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			s := float64(q.Scale(i))
			for j := i * k; j < (i+1)*k; j++ {
				q.Codes[j] = code(w[j]/s, r.Min(), MaxCode)
			}
		}
	})
	return q, nil
}

// QuantizeParams is a vector such as A_log, D or a bias in i8 codes with one scale, and the values that these stand for.
func QuantizeParams(v []float64) (codes []int8, scale float32, stands []float64, err error) {
	q, err := QuantizeWeight(v, 1, false, Narrow)
	if err != nil {
		return nil, 0, nil, err
	}
	stands = make([]float64, len(v))
	for i, c := range q.Codes {
		stands[i] = float64(float64(c) * float64(q.Scales[0]))
	}
	return q.Codes, q.Scales[0], stands, nil
}

// code rounds v half to even between the lowest and the highest code.
func code(v float64, lowest, highest int) int8 {
	return int8(min(max(math.RoundToEven(v), float64(lowest)), float64(highest)))
}

func amax64(w []float64) float64 {
	var most float64
	for _, v := range w {
		most = max(most, math.Abs(v))
	}
	return most
}
