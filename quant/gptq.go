package quant

import (
	"fmt"
	"slices"
)

// GPTQ chooses the 4-bit codes of a folded weight [rows, K] so that its product with the inputs that calibration saw changes least (Frantar et al., 2022):
// columns are rounded one after another, and the error of each is made good by those that are still to come, as far as their inputs are correlated.
// Columns keep their order; the block is the group; the scale of a group is taken from the weights as corrected when it is reached. damp is added to the
// diagonal of the inputs' second moments, as a part of its mean. A group of 0 is the whole row.
func GPTQ(w []float64, rows int, inputs *Gram, group int, damp float64) (*Weights4, error) {
	k, err := checkWeight(w, rows)
	if err != nil {
		return nil, err
	}
	if inputs.K != k || inputs.Rows == 0 {
		return nil, fmt.Errorf("GPTQ of a weight with %d inputs has the second moments of %d rows of %d inputs", k, inputs.Rows, inputs.K)
	}
	q, err := newWeights4(rows, k, group)
	if err != nil {
		return nil, err
	}
	h, dead := moments(inputs, damp)
	l, err := factorOfInverse(h, k)
	if err != nil {
		return nil, fmt.Errorf("GPTQ over %d rows of calibration: %w\n  fix: more samples, or a larger damp than %v", inputs.Rows, err, damp)
	}
	const strip = 16 // rows that share a pass over L
	parallel((rows+strip-1)/strip, 1, func(lo, _ int) {
		first, last := lo*strip, min((lo+1)*strip, rows)
		s := gptqStrip{q: q, l: l, first: first, rows: last - first, left: slices.Clone(w[first*k : last*k]), errs: make([]float64, (last-first)*k)}
		for i := range s.left {
			if dead[i%k] {
				s.left[i] = 0
			}
		}
		for g := range q.Groups() {
			s.roundGroup(g)
		}
	})
	return q, nil
}

// moments is the damped matrix of second moments, and which inputs were always zero.
func moments(g *Gram, damp float64) (h []float64, dead []bool) {
	k := g.K
	h, dead = make([]float64, k*k), make([]bool, k)
	f := 2 / float64(g.Rows)
	for i := range k {
		for j := range k {
			h[i*k+j] = f * g.At(i, j)
		}
	}
	var trace float64
	for i := range k {
		if dead[i] = h[i*k+i] == 0; dead[i] {
			h[i*k+i] = 1
		}
		trace += h[i*k+i]
	}
	for i := range k {
		h[i*k+i] += float64(damp * (trace / float64(k)))
	}
	return h, dead
}

// gptqStrip is some neighbouring rows on their way.
type gptqStrip struct {
	q           *Weights4
	l           []float64 // factorOfInverse
	first, rows int
	left        []float64 // [rows, K], weights, corrected where a group has been reached
	errs        []float64 // [rows, K], the error of each rounded column over its diagonal of L
}

// four is rows r.. of a matrix [rows, K] between two columns, the last row repeated where there are fewer than four.
func (s *gptqStrip) four(m []float64, r, lo, hi int) *[4][]float64 {
	var rows [4][]float64
	for i := range rows {
		at := min(r+i, s.rows-1) * s.q.K
		rows[i] = m[at+lo : at+hi]
	}
	return &rows
}

// roundGroup makes the errors of all columns before group g good in its columns, then takes its scale and rounds them one after another.
func (s *gptqStrip) roundGroup(g int) {
	k := s.q.K
	lo, hi := s.q.span(g)
	for r := 0; r < s.rows; r += 4 {
		before := s.four(s.errs, r, 0, lo)
		for c := lo; c < hi; c += 2 {
			d := min(c+1, hi-1)
			sums := dots4x2(before, s.l[c*k:c*k+lo], s.l[d*k:d*k+lo])
			for i := r; i < min(r+4, s.rows); i++ {
				s.left[i*k+c] -= sums[i-r][0]
				if d > c {
					s.left[i*k+d] -= sums[i-r][1]
				}
			}
		}
		var scales [4]float64
		for i := r; i < min(r+4, s.rows); i++ {
			scale := scale4(s.left[i*k+lo : i*k+hi])
			s.q.Scales[(s.first+i)*s.q.Groups()+g] = scale
			scales[i-r] = float64(scale)
		}
		for c := lo; c < hi; c++ {
			sums := dots4(s.four(s.errs, r, lo, c), s.l[c*k+lo:c*k+c])
			for i := r; i < min(r+4, s.rows); i++ {
				s.roundOne(i, c, s.left[i*k+c]-sums[i-r], scales[i-r])
			}
		}
	}
}

// roundOne rounds the corrected weight w of row i, column c.
func (s *gptqStrip) roundOne(i, c int, w, scale float64) {
	k := s.q.K
	q := code(w/scale, lowest4, highest4)
	s.q.Codes[(s.first+i)*k+c] = q
	s.errs[i*k+c] = (w - float64(float64(q)*scale)) / s.l[c*k+c]
}
