package hadamard

import "fmt"

// Matrix is the one H_m that is used for each order m, row-major. A checkpoint is bound to the matrix that it was rotated with: 12 and 40 are those
// of published Quamba checkpoints.
func Matrix(m int) ([]int8, error) {
	switch {
	case m == 1:
		return []int8{1}, nil
	case m == 12:
		return paley2(5), nil
	case m == 40:
		return kron([]int8{1, 1, 1, -1}, 2, paley1(19), 20), nil
	case m > 2 && m <= MaxDense && m%4 == 0 && prime(m-1): // m - 1 = 3 mod 4
		return paley1(m - 1), nil
	case m > 2 && m <= MaxDense && m%4 == 0 && prime(m/2-1) && m/2%4 == 2: // m/2 - 1 = 1 mod 4
		return paley2(m/2 - 1), nil
	}
	return nil, fmt.Errorf("no closed form is known here for a Hadamard matrix of order %d", m)
}

func prime(q int) bool {
	for p := 2; p*p <= q; p++ {
		if q%p == 0 {
			return false
		}
	}
	return q > 1
}

// characters is chi modulo the prime q: 0 for 0, 1 for squares, -1 for the rest.
func characters(q int) []int8 {
	chi := make([]int8, q)
	for a := 1; a < q; a++ {
		chi[a] = -1
	}
	for a := 1; a < q; a++ {
		chi[a*a%q] = 1
	}
	return chi
}

// kron is the Kronecker product of a, of order n, and b, of order m: each element of a becomes a copy of b times it.
func kron(a []int8, n int, b []int8, m int) []int8 {
	p := make([]int8, n*m*n*m)
	for i := range n * m {
		for j := range n * m {
			p[i*n*m+j] = a[i/m*n+j/m] * b[i%m*m+j%m]
		}
	}
	return p
}

// paley1 has order q + 1, q a prime = 3 mod 4: I + [[0, -1...], [1..., -Q]], Q[i, j] = chi(j - i). First row + - - ..., first column all +.
func paley1(q int) []int8 {
	n, chi := q+1, characters(q)
	h := make([]int8, n*n)
	for i := range n {
		for j := range n {
			switch {
			case i == j || j == 0:
				h[i*n+j] = 1
			case i == 0:
				h[i*n+j] = -1
			default:
				h[i*n+j] = -chi[(j-i+q)%q]
			}
		}
	}
	return h
}

// paley2 has order 2(q + 1), q a prime = 1 mod 4: C (x) [[1, 1], [1, -1]] + I (x) [[1, -1], [-1, -1]] with C = [[0, 1...], [1..., Q]].
func paley2(q int) []int8 {
	n, chi := q+1, characters(q)
	c := make([]int8, n*n)
	for i := range n {
		for j := range n {
			switch {
			case i == j:
			case i == 0 || j == 0:
				c[i*n+j] = 1
			default:
				c[i*n+j] = chi[(j-i+q)%q]
			}
		}
	}
	h := kron(c, n, []int8{1, 1, 1, -1}, 2)
	for i := range n { // the diagonal blocks of the first term are 0
		for k, v := range [...]int8{1, -1, -1, -1} {
			h[(2*i+k/2)*2*n+2*i+k%2] = v
		}
	}
	return h
}
