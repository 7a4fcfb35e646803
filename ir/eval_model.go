package ir

import "math"

// All sums run over the index in order, one rounding an addition; explicit conversions keep Go from fusing a product into a sum.

func evalReduce[F Float](c *call[F]) error {
	x, y := c.args[0], c.out[0]
	outer, n, inner := around(x.Shape, c.attrs.Axis)
	for o := range outer {
		for i := range inner {
			var acc F
			for k := range n {
				v := x.Data[(o*n+k)*inner+i]
				switch {
				case c.attrs.Kind != ReduceMax:
					acc += v
				case k == 0:
					acc = v
				default:
					acc = F(maxNumber(float64(acc), float64(v)))
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

func evalRMSNorm[F Float](c *call[F]) error {
	x, w, y := c.args[0], c.args[1], c.out[0]
	d := x.Shape[len(x.Shape)-1]
	g := d / c.attrs.Groups
	for at := 0; at < len(x.Data); at += g {
		var sum F
		for _, v := range x.Data[at : at+g] {
			sum += F(v * v)
		}
		r := F(1 / math.Sqrt(float64(F(sum/F(g))+F(c.attrs.Eps))))
		for i, v := range x.Data[at : at+g] {
			y.Data[at+i] = F(v * r)
			if w != nil {
				y.Data[at+i] *= w.Data[at%d+i]
			}
		}
	}
	return nil
}

func evalLayerNorm[F Float](c *call[F]) error {
	x, w, b, y := c.args[0], c.args[1], c.args[2], c.out[0]
	d := x.Shape[len(x.Shape)-1]
	for at := 0; at < len(x.Data); at += d {
		var sum, squares F
		for _, v := range x.Data[at : at+d] {
			sum += v
		}
		mean := sum / F(d)
		for _, v := range x.Data[at : at+d] {
			squares += F((v - mean) * (v - mean))
		}
		r := F(1 / math.Sqrt(float64(F(squares/F(d))+F(c.attrs.Eps))))
		for i, v := range x.Data[at : at+d] {
			v = F((v - mean) * r)
			if w != nil {
				v = F(v * w.Data[i])
			}
			if b != nil {
				v += b.Data[i]
			}
			y.Data[at+i] = v
		}
	}
	return nil
}

// evalLinear blocks over rows, so that a block of the weight stays in the cache, and runs four sums side by side, each in order.
func evalLinear[F Float](c *call[F]) error {
	x, w, b, y := c.args[0], c.args[1], c.args[2], c.out[0]
	n, k := w.Shape[0], w.Shape[1]
	rows := product(x.Shape[:len(x.Shape)-1])
	const block = 64
	for lo := 0; lo < n; lo += block {
		hi := min(lo+block, n)
		for r := range rows {
			in, out := x.Data[r*k:(r+1)*k], y.Data[r*n:(r+1)*n]
			o := lo
			for ; o+4 <= hi; o += 4 {
				dot4(out[o:o+4], in, w.Data[o*k:(o+4)*k])
			}
			for ; o < hi; o++ {
				out[o] = dot(in, w.Data[o*k:(o+1)*k])
			}
			if b != nil {
				for o := lo; o < hi; o++ {
					out[o] += b.Data[o]
				}
			}
		}
	}
	return nil
}

func dot[F Float](x, w []F) F {
	var s F
	for i, v := range x {
		s += F(v * w[i])
	}
	return s
}

// dot4 is four dot products with neighbouring rows of w.
func dot4[F Float](out, x, w []F) {
	k := len(x)
	w0, w1, w2, w3 := w[:k], w[k:2*k], w[2*k:3*k], w[3*k:4*k]
	var s0, s1, s2, s3 F
	for i, v := range x {
		s0 += F(v * w0[i])
		s1 += F(v * w1[i])
		s2 += F(v * w2[i])
		s3 += F(v * w3[i])
	}
	out[0], out[1], out[2], out[3] = s0, s1, s2, s3
}

func evalConv[F Float](c *call[F]) error {
	x, w, b, win := c.args[0], c.args[1], c.args[2], c.args[3]
	y, next := c.out[0], c.out[1]
	ch, k := w.Shape[0], w.Shape[1]
	// sample reads channel i of row t of sequence s, counted from the sequence's first row; negative rows lie in the window.
	sample := func(s, t, i int) F {
		if t >= 0 {
			return x.Data[(c.start[s]+t)*ch+i]
		}
		return win.Data[(s*ch+i)*(k-1)+k-1+t]
	}
	for s := range len(c.start) - 1 {
		rows := c.start[s+1] - c.start[s]
		for t := range rows {
			for i := range ch {
				var sum F
				for j := range k {
					sum += F(w.Data[i*k+j] * sample(s, t-(k-1)+j, i))
				}
				if b != nil {
					sum += b.Data[i]
				}
				y.Data[(c.start[s]+t)*ch+i] = sum
			}
		}
		for i := range ch {
			for j := range k - 1 {
				next.Data[(s*ch+i)*(k-1)+j] = sample(s, rows-(k-1)+j, i)
			}
		}
	}
	return nil
}

func evalScan[F Float](c *call[F]) error {
	h0, y, next := c.args[3], c.out[0], c.out[1]
	inner := h0.Shape[1:]
	size, n := product(inner), inner[len(inner)-1]
	var at [3][]int // where a, b, c are read for each element of the state, within one row
	var step [3]int // from one row to the next; 0 if the same for all rows
	for i, v := range c.args[:3] {
		at[i], step[i] = rowIndex(v.Shape, inner, len(y.Data) > 0)
	}
	a, b, cc := c.args[0].Data, c.args[1].Data, c.args[2].Data
	h := next.Data
	copy(h, h0.Data)
	for s := range len(c.start) - 1 {
		h := h[s*size : (s+1)*size]
		for t := c.start[s]; t < c.start[s+1]; t++ {
			for o := 0; o < size; o += n {
				var sum F
				for i := o; i < o+n; i++ {
					h[i] = F(a[t*step[0]+at[0][i]]*h[i]) + b[t*step[1]+at[1][i]]
					sum += F(cc[t*step[2]+at[2][i]] * h[i])
				}
				y.Data[t*(size/n)+o/n] = sum
			}
		}
	}
	return nil
}

// rowIndex prepares reading an operand that broadcasts to [T, inner...]: the position of each element of a row, and the step between rows.
func rowIndex(shape, inner []int, used bool) (at []int, step int) {
	if !used {
		return nil, 0
	}
	row := shape
	if len(shape) > len(inner) {
		row = shape[1:]
		if shape[0] != 1 {
			step = product(row)
		}
	}
	ix := broadcastIndex(row, inner)
	at = make([]int, product(inner))
	for i := range at {
		at[i] = ix.at(i)
	}
	return at, step
}
