package ir

import (
	"math"

	"github.com/ssmc/ssmc/internal/hadamard"
)

// evalQuantize multiplies, clamps, then rounds: the conversion cannot overflow, and NaN is the lowest code.
func evalQuantize[F Float](c *call[F]) error {
	y := c.out[0]
	forScaled(c.attrs, c.args[0], c.args[1], func(i int, t, lo, hi F) {
		if !(t > lo) {
			t = lo
		}
		if !(t < hi) {
			t = hi
		}
		y.Ints[i] = int64(math.RoundToEven(float64(t)))
	})
	return nil
}

// forScaled calls visit with every element of a quantize's operand, scaled, and the lowest and the highest code.
func forScaled[F Float](a *Attrs, x, inv *Tensor[F], visit func(i int, t, lo, hi F)) {
	lo, hi := F(-127), F(127)
	if a.Full {
		lo = -128
	}
	factor := func(int) F { return F(a.Inv) }
	if inv != nil {
		ix := broadcastIndex(inv.Shape, x.Shape)
		factor = func(i int) F { return inv.Data[ix.at(i)] }
	}
	scaled := inv != nil || a.Inv != 0 && a.Inv != 1
	for i, t := range x.Data {
		if scaled {
			t = F(t * factor(i))
		}
		visit(i, t, lo, hi)
	}
}

// clamped is how many elements a quantize had to clamp: what lies beyond the lowest and the highest code, and what is no number.
func clamped[F Float](a *Attrs, x, inv *Tensor[F]) (n int) {
	forScaled(a, x, inv, func(_ int, t, lo, hi F) {
		if !(t >= lo && t <= hi) {
			n++
		}
	})
	return n
}

// evalRowScale finds the largest element of each row, whose scale it gives. A row without one that matters has scale 1: all of its codes are 0.
func evalRowScale[F Float](c *call[F]) error {
	x, y := c.args[0], c.out[0]
	n := x.Shape[len(x.Shape)-1]
	for row := range y.Data {
		var most F
		for _, v := range x.Data[row*n : (row+1)*n] {
			if v < 0 {
				v = -v
			}
			if v > most {
				most = v
			}
		}
		if y.Data[row] = 1; most >= 0x1p-60 {
			y.Data[row] = most / 127
		}
	}
	return nil
}

func evalHadamard[F Float](c *call[F]) error {
	x, signs, y := c.args[0], c.args[1], c.out[0]
	h, err := hadamard.New(c.attrs.Blocks, c.attrs.M, c.attrs.K)
	if err != nil {
		return err
	}
	if c.attrs.Transposed {
		h = h.Transpose()
	}
	copy(y.Data, x.Data)
	n := h.N()
	for at := 0; at < len(y.Data); at += n {
		row := y.Data[at : at+n]
		if !c.attrs.Transposed {
			signs.flip(row)
		}
		hadamard.Sum(h, row)
		if c.attrs.Transposed {
			signs.flip(row)
		}
	}
	return nil
}

// flip negates the elements of a row whose signs are negative; without signs it does nothing.
func (x *Tensor[F]) flip(row []F) {
	if x == nil {
		return
	}
	for i := range row {
		if x.negative(i) {
			row[i] = -row[i]
		}
	}
}

// negative says whether an element has its sign bit set.
func (x *Tensor[F]) negative(i int) bool {
	if x.Data != nil {
		return math.Signbit(float64(x.Data[i]))
	}
	return x.Ints[i] < 0
}
