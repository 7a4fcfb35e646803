package quant

import "fmt"

// Gram sums x x^T over the rows of what a weight reads, in float64: what GPTQ needs to know of the calibration. It has K^2 numbers, however many rows.
//
// Each sum runs over the rows in the order in which they come, so the same rows in the same order are the same bits, in whatever pieces they come and
// however many processors there are.
type Gram struct {
	K    int
	Rows int
	sum  []float64 // [K, K], filled in 4 x 2 tiles that touch the upper triangle
}

// Tiles of the sums: panels of four columns against panels of two, which is what fits into sixteen registers.
const (
	tileI, tileJ = 4, 2
	gramChunk    = 256 // rows of a panel that stay in the nearest cache
)

// NewGram is for inputs of k channels.
func NewGram(k int) (*Gram, error) {
	if k <= 0 || k > 1<<16 {
		return nil, fmt.Errorf("a Gram matrix of %d channels", k)
	}
	padded := (k + tileI - 1) / tileI * tileI
	return &Gram{K: k, sum: make([]float64, padded*padded)}, nil
}

func (g *Gram) padded() int { return (g.K + tileI - 1) / tileI * tileI }

// Add takes rows of K elements. They must be finite.
func (g *Gram) Add(x []float32) error {
	if len(x)%g.K != 0 {
		return fmt.Errorf("%d values are not rows of %d channels", len(x), g.K)
	}
	for i, v := range x {
		if v-v != 0 {
			return fmt.Errorf("row %d, channel %d is %v", g.Rows+i/g.K, i%g.K, v)
		}
	}
	n := g.padded()
	panels := make([]float64, n*min(gramChunk, len(x)/g.K))
	for ; len(x) > 0; x = x[min(len(x), gramChunk*g.K):] {
		rows := min(gramChunk, len(x)/g.K)
		g.addChunk(x[:rows*g.K], panels[:n*rows], rows)
		g.Rows += rows
	}
	return nil
}

// addChunk copies the rows into panels of four columns, [n/4][rows][4], and adds the products of every two of these.
func (g *Gram) addChunk(x []float32, panels []float64, rows int) {
	n := g.padded()
	clear(panels[(n-tileI)*rows:]) // columns that only pad
	for r := range rows {
		for c, v := range x[r*g.K : (r+1)*g.K] {
			panels[c/tileI*rows*tileI+r*tileI+c%tileI] = float64(v)
		}
	}
	panel := func(i int) []float64 { return panels[i*rows : (i+tileI)*rows] }
	parallel(n/tileI, 1, func(lo, _ int) {
		i := lo * tileI
		for j := i; j < n; j += tileI {
			a, b := panel(i), panel(j)
			gramTile(g.sum[i*n+j:], n, a, b)
			gramTile(g.sum[i*n+j+tileJ:], n, a, b[tileJ:])
		}
	})
}

// gramTile adds to a 4 x 2 tile of sums, with rows of n, the products of two panels.
func gramTile(sum []float64, n int, a, b []float64) {
	s0, s1, s2, s3 := sum[0*n:0*n+2], sum[1*n:1*n+2], sum[2*n:2*n+2], sum[3*n:3*n+2]
	s00, s01, s10, s11 := s0[0], s0[1], s1[0], s1[1]
	s20, s21, s30, s31 := s2[0], s2[1], s3[0], s3[1]
	for len(a) >= tileI && len(b) >= tileJ {
		a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
		b0, b1 := b[0], b[1]
		s00 += float64(a0 * b0)
		s01 += float64(a0 * b1)
		s10 += float64(a1 * b0)
		s11 += float64(a1 * b1)
		s20 += float64(a2 * b0)
		s21 += float64(a2 * b1)
		s30 += float64(a3 * b0)
		s31 += float64(a3 * b1)
		a, b = a[tileI:], b[min(tileI, len(b)):]
	}
	s0[0], s0[1], s1[0], s1[1] = s00, s01, s10, s11
	s2[0], s2[1], s3[0], s3[1] = s20, s21, s30, s31
}

// At is the sum of x_i x_j over all rows.
func (g *Gram) At(i, j int) float64 {
	if i > j {
		i, j = j, i
	}
	return g.sum[i*g.padded()+j]
}

// Merge adds the sums of other rows. Which of two orders the rows are summed in changes the last bits.
func (g *Gram) Merge(o *Gram) error {
	if g.K != o.K {
		return fmt.Errorf("Gram matrices of %d and %d channels cannot be merged", g.K, o.K)
	}
	g.Rows += o.Rows
	for i, v := range o.sum {
		g.sum[i] += v
	}
	return nil
}
