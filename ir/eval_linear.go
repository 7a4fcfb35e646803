package ir

// evalLinear runs over blocks of columns, whose part of the weight stays in the cache over all rows.
func evalLinear[F Float](c *call[F]) error {
	l := layer[F]{arithmetic: c.arithmetic, k: c.args[1].Shape[1], group: c.attrs.GroupSize}
	x, w, b, s, y := c.args[0], c.args[1], c.args[2], c.args[3], c.out[0]
	n := w.Shape[0]
	rows := product(x.Shape[:len(x.Shape)-1])
	const block = 64
	for lo := 0; lo < n; lo += block {
		hi := min(lo+block, n)
		l.load(w, lo, hi, x.Data != nil)
		if s != nil {
			groups := s.Shape[1]
			l.scales = s.Data[lo*groups : hi*groups]
		}
		for r := range rows {
			if y.Ints != nil {
				l.products(y.Ints[r*n+lo:r*n+hi], x.Ints[r*l.k:(r+1)*l.k])
				continue
			}
			out := y.Data[r*n+lo : r*n+hi]
			if b != nil {
				copy(out, b.Data[lo:hi])
			}
			switch {
			case x.Ints != nil:
				l.grouped(out, func(o, from, to int) F {
					return F(dotCodes(x.Ints[r*l.k+from:r*l.k+to], l.codes[o*l.k+from:o*l.k+to]))
				})
			case s != nil:
				l.grouped(out, func(o, from, to int) F {
					return l.chain(0, x.Data[r*l.k+from:r*l.k+to], l.weights[o*l.k+from:o*l.k+to])
				})
			default:
				l.sums(out, x.Data[r*l.k:(r+1)*l.k])
			}
		}
	}
	return nil
}

// layer is a block of columns of a linear: rows of the weight, as numbers or as codes, and their scales.
type layer[F Float] struct {
	arithmetic[F]
	k, group int
	weights  []F
	codes    []int64
	scales   []F
}

// load takes the rows lo to hi-1 of the weight; codes that meet floating-point numbers are converted.
func (l *layer[F]) load(w *Tensor[F], lo, hi int, numbers bool) {
	switch {
	case w.Data != nil:
		l.weights = w.Data[lo*l.k : hi*l.k]
	case numbers:
		l.weights = l.weights[:0]
		for _, v := range w.Ints[lo*l.k : hi*l.k] {
			l.weights = append(l.weights, F(v))
		}
	default:
		l.codes = w.Ints[lo*l.k : hi*l.k]
	}
}

// products are the exact sums of codes times codes.
func (l *layer[F]) products(y, x []int64) {
	for o := range y {
		y[o] = dotCodes(x, l.codes[o*l.k:(o+1)*l.k])
	}
}

func dotCodes(x, w []int64) (s int64) {
	for i, v := range x {
		s += v * w[i]
	}
	return s
}

// grouped adds to each column the sum of each group of neighbours along K times its scale.
func (l *layer[F]) grouped(y []F, sum func(o, from, to int) F) {
	groups := len(l.scales) / max(len(y), 1)
	for o := range y {
		for g := range groups {
			from := g * l.group
			y[o] = l.fma(sum(o, from, min(from+l.group, l.k)), l.scales[o*groups+g], y[o])
		}
	}
}

// sums adds to each column x times its weights, four columns at a time.
func (l *layer[F]) sums(y, x []F) {
	o := 0
	for ; o+4 <= len(y); o += 4 {
		w := l.weights[o*l.k : (o+4)*l.k]
		z := [4]F(y[o : o+4])
		l.chain4(&z, x, w[:l.k], w[l.k:2*l.k], w[2*l.k:3*l.k], w[3*l.k:])
		copy(y[o:], z[:])
	}
	for ; o < len(y); o++ {
		y[o] = l.chain(y[o], x, l.weights[o*l.k:(o+1)*l.k])
	}
}
