package quant

// Map is the second moments of L x, where apply is the linear map L, in place.
func (g *Gram) Map(apply func(x []float64) error) (*Gram, error) {
	m, err := NewGram(g.K)
	if err != nil {
		return nil, err
	}
	m.Rows = g.Rows
	n := m.padded()
	row := make([]float64, g.K)
	half := make([]float64, g.K*g.K) // G L^T, transposed
	for i := range g.K {
		for j := range row {
			row[j] = g.At(i, j)
		}
		if err := apply(row); err != nil {
			return nil, err
		}
		for j, v := range row {
			half[j*g.K+i] = v
		}
	}
	for j := range g.K {
		copy(row, half[j*g.K:])
		if err := apply(row); err != nil {
			return nil, err
		}
		for i, v := range row[:j+1] { // the upper triangle is read
			m.sum[i*n+j] = v
		}
	}
	return m, nil
}
