package quant

import (
	"fmt"
	"math"
)

// choleskyBlock is the width of the panels of the factorization: 64 rows of a panel stay in the nearest cache.
const choleskyBlock = 64

// cholesky replaces the lower triangle of the symmetric a [n, n] by L, a = L L^T. Every element is one dot product in ascending order, so the result
// does not depend on the number of processors.
func cholesky(a []float64, n int) error {
	for b := 0; b < n; b += choleskyBlock {
		end := min(b+choleskyBlock, n)
		// What the finished columns 0..b take from columns b..end.
		if b > 0 {
			parallel((n-b+3)/4, 4, func(lo, hi int) {
				for i := b + 4*lo; i < min(b+4*hi, n); i += 4 {
					subtractDots(a, n, i, min(i+4, n), b, end)
				}
			})
		}
		for j := b; j < end; j++ {
			row := a[j*n+b : j*n+j]
			d := a[j*n+j] - dot64(row, row)
			if !(d > 0) || math.IsInf(d, 0) {
				return fmt.Errorf("the matrix is not positive definite at row %d", j)
			}
			d = math.Sqrt(d)
			a[j*n+j] = d
			for i := j + 1; i < end; i++ {
				a[i*n+j] = (a[i*n+j] - dot64(a[i*n+b:i*n+j], row)) / d
			}
		}
		parallel(n-end, 16, func(lo, hi int) {
			for i := end + lo; i < end+hi; i++ {
				for j := b; j < end; j++ {
					a[i*n+j] = (a[i*n+j] - dot64(a[i*n+b:i*n+j], a[j*n+b:j*n+j])) / a[j*n+j]
				}
			}
		})
	}
	return nil
}

// subtractDots takes from a[i, j] the product of the first b elements of rows i and j, for rows i of lo..hi (at most four) and j of b..end, j <= i.
func subtractDots(a []float64, n, lo, hi, b, end int) {
	var rows [4][]float64
	for r := range rows {
		i := min(lo+r, hi-1)
		rows[r] = a[i*n : i*n+b]
	}
	for j := b; j < min(end, hi); j += 2 {
		k := min(j+1, end-1)
		sums := dots4x2(&rows, a[j*n:j*n+b], a[k*n:k*n+b])
		for i := lo; i < hi; i++ {
			if j <= i {
				a[i*n+j] -= sums[i-lo][0]
			}
			if k > j && k <= i {
				a[i*n+k] -= sums[i-lo][1]
			}
		}
	}
}

// dots4x2 is eight dot products at once, so that none waits for another's additions.
func dots4x2(rows *[4][]float64, x, y []float64) (s [4][2]float64) {
	a, b, c, d := rows[0][:len(x)], rows[1][:len(x)], rows[2][:len(x)], rows[3][:len(x)]
	y = y[:len(x)]
	var s00, s01, s10, s11, s20, s21, s30, s31 float64
	for k, v := range x {
		w := y[k]
		s00 += float64(a[k] * v)
		s01 += float64(a[k] * w)
		s10 += float64(b[k] * v)
		s11 += float64(b[k] * w)
		s20 += float64(c[k] * v)
		s21 += float64(c[k] * w)
		s30 += float64(d[k] * v)
		s31 += float64(d[k] * w)
	}
	return [4][2]float64{{s00, s01}, {s10, s11}, {s20, s21}, {s30, s31}}
}

func dot64(x, y []float64) float64 {
	var s float64
	for i, v := range x {
		s += float64(v * y[i])
	}
	return s
}

// inverseTransposed is L^-T of the lower triangle l [n, n], row-major: row j holds column j of L^-1, zero before its diagonal.
func inverseTransposed(l []float64, n int) []float64 {
	inv := make([]float64, n*n)
	const strip = 32 // columns that share a pass over L
	parallel((n+strip-1)/strip, 1, func(lo, _ int) {
		first := lo * strip
		last := min(first+strip, n)
		for i := first; i < n; i++ {
			row, d := l[i*n+first:i*n+i], l[i*n+i]
			for j := first; j < last && j <= i; j += 8 {
				invertColumns(inv, n, row, d, first, i, j, min(j+8, last))
			}
		}
	})
	return inv
}

// invertColumns sets element i of columns j..end of the inverse from the elements first..i before it: row is L[i, first:i], d its diagonal.
func invertColumns(inv []float64, n int, row []float64, d float64, first, i, j, end int) {
	var rows [4][]float64
	for c := j; c < end; c += 4 {
		for r := range rows {
			at := min(c+r, end-1)*n + first
			rows[r] = inv[at : at+len(row)]
		}
		sums := dots4(&rows, row)
		for r := c; r < min(c+4, end); r++ {
			switch {
			case r < i:
				inv[r*n+i] = -sums[r-c] / d
			case r == i:
				inv[r*n+i] = 1 / d
			}
		}
	}
}

// dots4 is four dot products with x at once.
func dots4(rows *[4][]float64, x []float64) [4]float64 {
	a, b, c, d := rows[0][:len(x)], rows[1][:len(x)], rows[2][:len(x)], rows[3][:len(x)]
	var s0, s1, s2, s3 float64
	for k, v := range x {
		s0 += float64(a[k] * v)
		s1 += float64(b[k] * v)
		s2 += float64(c[k] * v)
		s3 += float64(d[k] * v)
	}
	return [4]float64{s0, s1, s2, s3}
}

// factorOfInverse is the lower triangular L with H^-1 = L L^T in the order of columns that GPTQ takes: its transpose is the upper Cholesky factor of the
// inverse. H [n, n] is symmetric and is overwritten. With the order of rows and columns reversed (P), P H P = M M^T gives L = P M^-T P: one factorization
// and one triangular inverse, without the inverse of H itself.
func factorOfInverse(h []float64, n int) ([]float64, error) {
	reverse(h)
	if err := cholesky(h, n); err != nil {
		return nil, err
	}
	l := inverseTransposed(h, n)
	reverse(l)
	return l, nil
}

// reverse turns a matrix by half a turn, which reverses the order of its rows and of its columns.
func reverse(a []float64) {
	for i, j := 0, len(a)-1; i < j; i, j = i+1, j-1 {
		a[i], a[j] = a[j], a[i]
	}
}
