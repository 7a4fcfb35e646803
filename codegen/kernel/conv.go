package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// fetchHistory asks for what convolve reads of all sequences' states: they lie anywhere, and the product in front of it takes longer than memory.
func (c *contraction) fetchHistory(k *code) {
	window := (c.taps - 1) * c.panel
	k.For(k.I(0), k.Seqs(), 1, nil, func(s *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		_, _, slot := k.sequence(s)
		past := k.inSlot(c.history, slot, k.Mul(k.panel, k.I(window)))
		for at := int64(0); at < window; at += 64 / c.history.elem.Bytes() {
			k.Prefetch(past, nil, at)
		}
		return nil
	})
}

// convolve runs the causal depthwise convolution over each sequence's rows of one panel: y[t] = b + sum_k w[k] x[t-(K-1)+k], k ascending.
// The last K-1 inputs travel in registers; they come from the sequence's state and go back to it. Row r of the panel's inputs lies at
// raw[r*rowStride]. Codes are convolved as float32: at most eight products below 2^14 each are exact there.
func (c *contraction) convolve(k *code, raw *spmd.Value, rowStride int64, col *spmd.Value) {
	w := int64(k.Target.Lanes)
	taps := k.Offset(c.convW.ptr, k.Mul(k.panel, k.I(c.taps*c.panel)))
	window := c.taps - 1
	first, step := c.turns(k)
	k.For(first, k.Seqs(), step, nil, func(s *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		lo, hi, slot := k.sequence(s)
		past := k.inSlot(c.history, slot, k.Mul(k.panel, k.I(window*c.panel)))
		side := c.side(k)
		k.For(k.I(0), k.I(c.panel), side*w, nil, func(lane *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			x := make([]*spmd.Value, window*side) // tap by tap
			place := func(j int) int64 { return int64(j)/side*c.panel + int64(j)%side*w }
			for j := range x {
				x[j] = asF32(k.Builder, k.LoadV(past, lane, place(j)))
			}
			at := k.Add(col, lane)
			x = k.For(lo, hi, 1, x, func(row *spmd.Value, x []*spmd.Value) []*spmd.Value {
				x = x[:len(x):len(x)]
				ps := make([]*point, side)
				for i := range ps {
					x = append(x, asF32(k.Builder, k.LoadV(raw, k.Add(k.Mul(row, k.I(rowStride)), lane), int64(i)*w)))
				}
				for i := range ps {
					y := k.start(c.convB, at, int64(i)*w)
					for j := i; j < len(x); j += int(side) {
						y = k.FMA(x[j], k.LoadV(taps, lane, place(j)), y)
					}
					ps[i] = &point{row: row, col: at, off: int64(i) * w, vals: map[*ir.Value]*spmd.Value{c.conv.Results[0]: y}}
				}
				k.putSide(ps, c.outs)
				return x[side:]
			})
			for j := range x {
				v := x[j]
				if c.history.elem == spmd.I8 {
					v = k.Round(v)
				}
				k.StoreV(past, lane, place(j), v)
			}
			return nil
		})
		return nil
	})
}

// side is how many vectors of a row are convolved side by side: two, if the inputs that travel with them leave registers for the rest.
func (c *contraction) side(k *code) int64 {
	if w := int64(k.Target.Lanes); !roomy(k.Target) && c.panel%(2*w) == 0 && 2*c.taps <= int64(k.Target.Registers)/2 {
		return 2
	}
	return 1
}
