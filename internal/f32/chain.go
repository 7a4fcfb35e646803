package f32

import "math"

// Chain is z + x[0] y[0] + x[1] y[1] + ..., one FMA after the other: a sum that has a lane of its own, as every output of a linear layer has. The
// slices have one length.
func Chain(z float32, x, y []float32) float32 {
	for i, v := range x {
		z = FMA(v, y[i], z)
	}
	return z
}

// Chain4 is four chains with one x: four sums are in flight where one would wait for each of its additions.
func Chain4(z *[4]float32, x, y0, y1, y2, y3 []float32) {
	s0, s1, s2, s3 := z[0], z[1], z[2], z[3]
	y0, y1, y2, y3 = y0[:len(x)], y1[:len(x)], y2[:len(x)], y3[:len(x)]
	for i, v := range x {
		w := float64(v)
		p0, p1, p2, p3 := w*float64(y0[i]), w*float64(y1[i]), w*float64(y2[i]), w*float64(y3[i])
		d0, d1, d2, d3 := p0+float64(s0), p1+float64(s1), p2+float64(s2), p3+float64(s3)
		if hard(d0) || hard(d1) || hard(d2) || hard(d3) {
			s0, s1, s2, s3 = FMA(v, y0[i], s0), FMA(v, y1[i], s1), FMA(v, y2[i], s2), FMA(v, y3[i], s3)
			continue
		}
		s0, s1, s2, s3 = float32(d0), float32(d1), float32(d2), float32(d3)
	}
	*z = [4]float32{s0, s1, s2, s3}
}

// hard says whether a sum in double is half way between two floats or outside the normal floats: then FMA looks closer.
func hard(s float64) bool {
	b := math.Float64bits(s)
	return b&(1<<29-1) == 1<<28 || b>>52&0x7ff-897 >= 2047-897
}
