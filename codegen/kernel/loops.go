package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
)

// This file holds the loop shapes that the templates share.

// vecs is how many varying values cover n columns; n is a multiple of 16 or less than the lanes.
func vecs(b *spmd.Builder, n int64) int { return int(max(1, n/int64(b.Target.Lanes))) }

// roomy says that a target has so many registers that loads may be done long before they are wanted, and stores long after: on a GPU, where nothing else
// hides the time that a load takes, and where a load is not moved over a store.
func roomy(t spmd.Target) bool { return t.Registers >= 128 }

// batches runs body for lo, lo+step, ... below hi, many steps at once where the target is roomy: body gets where they begin and how far behind that each is.
func batches(b *spmd.Builder, lo, hi, step int64, body func(at *spmd.Value, offs []int64)) {
	batch := int64(1)
	if roomy(b.Target) {
		batch = 8
	}
	for ; lo < hi; batch = 1 {
		end := lo + (hi-lo)/(batch*step)*batch*step
		if batch == 1 {
			end = hi
		}
		if lo < end {
			offs := make([]int64, batch)
			for i := range offs {
				offs[i] = int64(i) * step
			}
			b.For(b.I(lo), b.I(end), batch*step, nil, func(at *spmd.Value, _ []*spmd.Value) []*spmd.Value {
				body(at, offs)
				return nil
			})
		}
		lo = end
	}
}

// accumulators is how many varying values a register block may hold, beside the operands.
func accumulators(t spmd.Target) int {
	if t.Registers >= 32 {
		return 24
	}
	return 12
}

// rowSizes are the numbers of rows that are multiplied together, largest first: with two column vectors they fill the accumulators.
func rowSizes(t spmd.Target) []int64 {
	if t.Registers >= 32 {
		return []int64{12, 6, 4, 2, 1}
	}
	return []int64{6, 4, 2, 1}
}

// rowLoop calls body for blocks of rows from lo to hi: as many as fit of the largest size, then of the next.
func rowLoop(b *spmd.Builder, lo, hi *spmd.Value, sizes []int64, body func(row *spmd.Value, m int)) {
	at := lo
	for i, m := range sizes {
		end := hi
		if m > 1 {
			n := b.Sub(hi, at)
			end = b.Add(at, b.Mul(b.Div(n, b.I(m)), b.I(m)))
		}
		b.For(at, end, m, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			body(row, int(m))
			return nil
		})
		if i+1 < len(sizes) {
			at = end
		}
	}
}

// columnPasses splits v column vectors so that m rows of them fit so many accumulators; each pass gets the vectors first..first+n-1.
func columnPasses(accumulators, m, v int, body func(first, n int)) {
	n := max(1, accumulators/m)
	for n < v && v%n != 0 { // equal passes
		n--
	}
	n = min(n, v)
	for first := 0; first < v; first += n {
		body(first, min(n, v-first))
	}
}

// outer adds the sum over k = lo..hi-1 of a(i, k) * v(j, k) to acc[i][j], k ascending, by one mac each: the register block of every product.
// a and v get k and an offset u to be added to it; mac gives acc + a*v.
func outer(b *spmd.Builder, acc [][]*spmd.Value, lo, hi *spmd.Value, unroll int64, mac func(a, v, acc *spmd.Value) *spmd.Value,
	a func(i int, k *spmd.Value, u int64) *spmd.Value, v func(j int, k *spmd.Value, u int64) *spmd.Value) {
	steps(b, acc, lo, hi, unroll, func(k *spmd.Value, c [][]*spmd.Value, u int64) {
		cols := make([]*spmd.Value, len(c[0]))
		for j := range cols {
			cols[j] = v(j, k, u)
		}
		for i := range c {
			x := a(i, k, u)
			if x.Type.Kind != spmd.Varying {
				x = b.Splat(x)
			}
			for j := range cols {
				c[i][j] = mac(x, cols[j], c[i][j])
			}
		}
	})
}

// steps runs body for k = lo..hi-1 with a block of carried values, which body replaces: unroll steps at a time, then what remains.
func steps(b *spmd.Builder, acc [][]*spmd.Value, lo, hi *spmd.Value, unroll int64, body func(k *spmd.Value, c [][]*spmd.Value, u int64)) {
	n := len(acc[0])
	flat := make([]*spmd.Value, 0, len(acc)*n)
	for _, row := range acc {
		flat = append(flat, row...)
	}
	run := func(k *spmd.Value, c []*spmd.Value, count int64) []*spmd.Value {
		c = append([]*spmd.Value(nil), c...)
		block := make([][]*spmd.Value, len(acc))
		for i := range block {
			block[i] = c[i*n : (i+1)*n]
		}
		for u := range count {
			body(k, block, u)
		}
		return c
	}
	loop := func(lo, hi *spmd.Value, by int64, c []*spmd.Value) []*spmd.Value {
		return b.For(lo, hi, by, c, func(k *spmd.Value, c []*spmd.Value) []*spmd.Value { return run(k, c, by) })
	}
	l, lc := lo.Const()
	h, hc := hi.Const()
	if unroll > 1 {
		main := b.Add(lo, b.Mul(b.Div(b.Sub(hi, lo), b.I(unroll)), b.I(unroll)))
		flat = loop(lo, main, unroll, flat)
		lo = main
	}
	if rest := (h - l) % unroll; lc && hc && unroll > 1 {
		if rest > 0 {
			flat = run(lo, flat, rest)
		}
	} else {
		flat = loop(lo, hi, 1, flat)
	}
	for i := range acc {
		copy(acc[i], flat[i*n:(i+1)*n])
	}
}

// each2 makes a register block of the shape of x.
func each2(x [][]*spmd.Value, f func(i, j int) *spmd.Value) [][]*spmd.Value {
	y := make([][]*spmd.Value, len(x))
	for i := range y {
		y[i] = each(x[i], func(j int) *spmd.Value { return f(i, j) })
	}
	return y
}

// log2 of a power of two.
func log2(n int64) int64 {
	k := int64(0)
	for 1<<k < n {
		k++
	}
	return k
}
