package ir

import "math"

// Explicit conversions keep Go from fusing a product into a sum. The orders of sums are those of the kernels: see the table of ops.

func evalReduce[F Float](c *call[F]) error {
	x, y := c.args[0], c.out[0]
	outer, n, inner := around(x.Shape, c.attrs.Axis)
	for o := range outer {
		for i := range inner {
			row := x.Data[min(o*n*inner+i, len(x.Data)):]
			var acc F
			switch {
			case c.attrs.Kind == ReduceMax:
				acc = largest(row, n, inner)
			case inner == 1:
				acc = c.sum(row[:n])
			default:
				for k := range n {
					acc += row[k*inner]
				}
			}
			if c.attrs.Kind == ReduceMean {
				acc /= F(n)
			}
			y.Data[o*inner+i] = acc
		}
	}
	return nil
}

// largest is the maximum of n elements, step apart; NaN if one is.
func largest[F Float](x []F, n, step int) F {
	m := x[0]
	for k := range n {
		if v := x[k*step]; v > m || v != v {
			m = v
		}
	}
	return m
}

// rootInverse is 1 / sqrt(x), rounded twice: the double root of a float, rounded again, is correctly rounded.
func rootInverse[F Float](x F) F { return 1 / F(math.Sqrt(float64(x))) }

func evalRMSNorm[F Float](c *call[F]) error {
	x, w, y := c.args[0], c.args[1], c.out[0]
	d := x.Shape[len(x.Shape)-1]
	g := d / c.attrs.Groups
	for at := 0; at < len(x.Data); at += g {
		in, out := x.Data[at:at+g], y.Data[at:at+g]
		r := rootInverse(F(c.squares(in)/F(g)) + F(c.attrs.Eps))
		for i, v := range in {
			out[i] = F(v * r)
			if w != nil {
				out[i] *= w.Data[at%d+i]
			}
		}
	}
	return nil
}

func evalLayerNorm[F Float](c *call[F]) error {
	x, w, b, y := c.args[0], c.args[1], c.args[2], c.out[0]
	d := x.Shape[len(x.Shape)-1]
	for at := 0; at < len(x.Data); at += d {
		in, out := x.Data[at:at+d], y.Data[at:at+d]
		mean := c.sum(in) / F(d)
		for i, v := range in {
			out[i] = v - mean
		}
		r := rootInverse(F(c.squares(out)/F(d)) + F(c.attrs.Eps))
		for i, v := range out {
			v = F(v * r)
			switch {
			case w != nil && b != nil:
				v = c.fma(v, w.Data[i], b.Data[i])
			case w != nil:
				v *= w.Data[i]
			case b != nil:
				v += b.Data[i]
			}
			out[i] = v
		}
	}
	return nil
}
