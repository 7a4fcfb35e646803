package ir

// evalConv sums in order of the taps: from the bias on by fma, or exactly where all are codes.
func evalConv[F Float](c *call[F]) error {
	x, w, b, win := c.args[0], c.args[1], c.args[2], c.args[3]
	y, next := c.out[0], c.out[1]
	k := w.Shape[1]
	if x.Ints != nil {
		slide(c.start, w.Shape, x.Ints, win.Ints, next.Ints, func(row, ch int, taps []int64) {
			y.Ints[row*w.Shape[0]+ch] = dotCodes(taps, w.Ints[ch*k:(ch+1)*k])
		})
		return nil
	}
	slide(c.start, w.Shape, x.Data, win.Data, next.Data, func(row, ch int, taps []F) {
		var sum F
		if b != nil {
			sum = b.Data[ch]
		}
		y.Data[row*w.Shape[0]+ch] = c.chain(sum, taps, w.Data[ch*k:(ch+1)*k])
	})
	return nil
}

// slide shows sum the last K inputs of every channel at every row, oldest first, and writes the windows that the sequences leave. The shape of
// the weight is [C, K].
func slide[E any](start, shape []int, x, win, next []E, sum func(row, ch int, taps []E)) {
	channels, k := shape[0], shape[1]
	taps := make([]E, k)
	for s := range len(start) - 1 {
		for ch := range channels {
			past := (s*channels + ch) * (k - 1)
			copy(taps[1:], win[past:past+k-1])
			for row := start[s]; row < start[s+1]; row++ {
				copy(taps, taps[1:])
				taps[k-1] = x[row*channels+ch]
				sum(row, ch, taps)
			}
			copy(next[past:past+k-1], taps[1:])
		}
	}
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
	copy(next.Data, h0.Data)
	for s := range len(c.start) - 1 {
		h := next.Data[s*size : (s+1)*size]
		for t := c.start[s]; t < c.start[s+1]; t++ {
			for o := 0; o < size; o += n {
				var sum F
				for i := o; i < o+n; i++ {
					h[i] = c.fma(a[t*step[0]+at[0][i]], h[i], b[t*step[1]+at[1][i]])
					sum = c.fma(cc[t*step[2]+at[2][i]], h[i], sum)
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
