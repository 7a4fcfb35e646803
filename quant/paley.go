package quant

import "fmt"

// maxDense is the largest small matrix: its product is dense, m additions an element.
const maxDense = 64

// matrix is a square matrix of 1, -1 and, while it is built, 0.
type matrix struct {
	n int
	e []int8 // row-major
}

func newMatrix(n int) matrix { return matrix{n: n, e: make([]int8, n*n)} }

func (m matrix) at(i, j int) int8     { return m.e[i*m.n+j] }
func (m matrix) set(i, j int, v int8) { m.e[i*m.n+j] = v }

func (m matrix) transpose() matrix {
	t := newMatrix(m.n)
	for i := range m.n {
		for j := range m.n {
			t.set(j, i, m.at(i, j))
		}
	}
	return t
}

// kron is the Kronecker product: each element of a becomes a copy of b times it.
func kron(a, b matrix) matrix {
	p := newMatrix(a.n * b.n)
	for i := range p.n {
		for j := range p.n {
			p.set(i, j, a.at(i/b.n, j/b.n)*b.at(i%b.n, j%b.n))
		}
	}
	return p
}

var sylvester2 = matrix{2, []int8{1, 1, 1, -1}}

func isPrime(q int) bool {
	for p := 2; p*p <= q; p++ {
		if q%p == 0 {
			return false
		}
	}
	return q > 1
}

// jacobsthal is Q[i, j] = chi(j - i), chi being the quadratic character modulo the prime q: 0 for 0, 1 for squares, -1 for the rest.
func jacobsthal(q int) matrix {
	chi := make([]int8, q)
	for a := range chi {
		chi[a] = -1
	}
	for a := 1; a < q; a++ {
		chi[a*a%q] = 1
	}
	chi[0] = 0
	m := newMatrix(q)
	for i := range q {
		for j := range q {
			m.set(i, j, chi[(j-i+q)%q])
		}
	}
	return m
}

// paley1 has order q + 1, q a prime = 3 mod 4: I + [[0, -1...], [1..., -Q]]. First row + - - ..., first column all +.
func paley1(q int) matrix {
	s, js := newMatrix(q+1), jacobsthal(q)
	for i := range q + 1 {
		for j := range q + 1 {
			switch {
			case i == j:
				s.set(i, j, 1)
			case i == 0:
				s.set(i, j, -1)
			case j == 0:
				s.set(i, j, 1)
			default:
				s.set(i, j, -js.at(i-1, j-1))
			}
		}
	}
	return s
}

// paley2 has order 2(q + 1), q a prime = 1 mod 4: C (x) [[1, 1], [1, -1]] + I (x) [[1, -1], [-1, -1]], C being [[0, 1...], [1..., Q]].
func paley2(q int) matrix {
	c, js := newMatrix(q+1), jacobsthal(q)
	for i := 1; i <= q; i++ {
		c.set(0, i, 1)
		c.set(i, 0, 1)
		for j := 1; j <= q; j++ {
			c.set(i, j, js.at(i-1, j-1))
		}
	}
	p := kron(c, sylvester2)
	for i := range q + 1 {
		p.set(2*i, 2*i, 1)
		p.set(2*i, 2*i+1, -1)
		p.set(2*i+1, 2*i, -1)
		p.set(2*i+1, 2*i+1, -1)
	}
	return p
}

// smallMatrix is the one H_m that is used for each m. A checkpoint is bound to the matrix it was rotated with: for 12 and 40 these are the
// choices under which published Quamba checkpoints are rotated.
func smallMatrix(m int) (matrix, error) {
	switch {
	case m == 1:
		return matrix{1, []int8{1}}, nil
	case m == 12:
		return paley2(5), nil
	case m == 40:
		return kron(sylvester2, paley1(19)), nil
	case m > 2 && m <= maxDense && m%4 == 0 && isPrime(m-1): // m - 1 = 3 mod 4
		return paley1(m - 1), nil
	case m > 2 && m <= maxDense && m%4 == 0 && isPrime(m/2-1) && (m/2-1)%4 == 1:
		return paley2(m/2 - 1), nil
	}
	return matrix{}, fmt.Errorf("no closed form is known here for a Hadamard matrix of order %d", m)
}
