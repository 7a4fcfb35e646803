package kernel

import (
	"slices"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// A GPU's lane loads sixteen bytes of its column with one instruction, and a warp hides the time that a load takes by having many on their way. So for
// targets with Target.LaneBytes the weights of products lie in runs, and a loop first loads what an iteration wants, then multiplies.

// planRuns decides how many units of a linear op's weight lie together: what a lane loads at once, but no more than divides a group.
func (p *planner) planRuns(op *ir.Op) {
	w := op.Args[1]
	if p.laneBytes == 0 || w.Weight == nil {
		return
	}
	f := productForm(op.Args[0], w)
	elem := spmd.I32
	if f == plain {
		elem = p.matrixElem(w.Weight)
	}
	run := p.laneBytes / elem.Bytes()
	if group := fragmentGroup(op.Args[0], w, op.Attrs.GroupSize); group > 0 {
		for run > 1 && group/f.perUnit()%run != 0 {
			run /= 2
		}
	}
	if old := p.runs[w]; old > 0 {
		run = min(run, old)
	}
	p.runs[w] = run
}

// strides are those of the product's matrices in mma8, with c in rows of so many columns.
func (m *matrix) strides(columns int64) spmd.Strides {
	run := max(1, m.w.run)
	s := spmd.Strides{C: columns, A: 4 * m.stride, B: 4 * m.panel * run}
	if run > 1 {
		s.Run = run
	}
	return s
}

// sumInRuns computes the tile.
func (t *tile) sumInRuns(k *code) [][]*spmd.Value {
	m := t.m
	switch {
	case m.group > 0:
		return t.groupsInRuns(k)
	case m.w.form == words:
		acc := t.block(k, func(j int) *spmd.Value { return k.LoadV(m.sums.ptr, t.col, int64(t.first+j)*int64(k.Target.Lanes)) })
		t.wordsInRuns(k, acc, k.I(0), m.padded)
		return acc
	}
	acc := t.block(k, func(j int) *spmd.Value { return k.start(m.bias, t.col, int64(t.first+j)*int64(k.Target.Lanes)) })
	t.floatsInRuns(k, acc, k.I(0), m.k)
	return acc
}

// loadsAtOnce is how many runs a lane asks for before it uses the first one: eight, and fewer where the registers are for sums. At sixteen bytes, eight loads
// of eight warps are 32 KiB on their way to each multiprocessor; see docs/ptx.md.
func (t *tile) loadsAtOnce() int64 { return max(1, int64(8/(len(t.at)*t.n))) }

// run is a run of units in registers: column vector by unit.
type run [][]*spmd.Value

// runsAt loads n units from unit+off on: whole runs.
func (t *tile) runsAt(k *code, unit *spmd.Value, off, n int64) run {
	out := make(run, t.n)
	size := t.m.w.run
	for at := off; at < off+n; at += size {
		for j := range out {
			from := at*t.m.panel + int64(t.first+j)*int64(k.Target.Lanes)*size
			out[j] = append(out[j], k.LoadRun(t.weights, k.Mul(unit, k.I(t.m.panel)), from, int(size))...)
		}
	}
	return out
}

// batchedRuns runs body for n units from lo on, batch at a time, then what remains; body gets the units' place and its weights. ahead: a batch is loaded while
// the one before is multiplied. The last one then loads what lies behind the panel and throws it away: the next panel, or what lies behind the last weight,
// which is as long as the largest batch.
func (t *tile) batchedRuns(k *code, acc [][]*spmd.Value, lo *spmd.Value, n, batch int64, ahead bool, body func(unit *spmd.Value, w run, c [][]*spmd.Value, count int64)) {
	if n < batch {
		batch = max(1, n)
	}
	main := n / batch * batch
	if hi := k.Add(lo, k.I(main)); ahead && n >= 2*batch {
		block := append(slices.Clone(acc), t.runsAt(k, lo, 0, batch)...)
		carried(k, block, lo, hi, batch, func(unit *spmd.Value, c [][]*spmd.Value) {
			next := t.runsAt(k, unit, batch, batch)
			body(unit, run(c[len(acc):]), c[:len(acc)], batch)
			copy(c[len(acc):], next)
		})
		copy(acc, block)
	} else {
		carried(k, acc, lo, hi, batch, func(unit *spmd.Value, c [][]*spmd.Value) { body(unit, t.runsAt(k, unit, 0, batch), c, batch) })
	}
	if rest := n - main; rest > 0 {
		body(k.Add(lo, k.I(main)), t.runsAt(k, k.Add(lo, k.I(main)), 0, rest), acc, rest)
	}
}

// carried is a loop over blocks of values that body replaces.
func carried(k *code, acc [][]*spmd.Value, lo, hi *spmd.Value, step int64, body func(unit *spmd.Value, c [][]*spmd.Value)) {
	split := func(flat []*spmd.Value) [][]*spmd.Value {
		out := make([][]*spmd.Value, len(acc))
		for i := range out {
			out[i], flat = flat[:len(acc[i]):len(acc[i])], flat[len(acc[i]):]
		}
		return out
	}
	flat := k.For(lo, hi, step, slices.Concat(acc...), func(unit *spmd.Value, c []*spmd.Value) []*spmd.Value {
		block := split(slices.Clone(c))
		body(unit, block)
		return slices.Concat(block...)
	})
	copy(acc, split(flat))
}

// floatsInRuns adds x*w over n values of k from lo on, which begins a run. The order of each sum is that of k, as everywhere.
func (t *tile) floatsInRuns(k *code, acc [][]*spmd.Value, lo *spmd.Value, n int64) {
	batch := t.m.w.run * t.loadsAtOnce()
	if t.m.w.run == 16 { // converting a byte takes two instructions: half the loads keep the loop short
		batch = max(16, batch/2)
	}
	t.batchedRuns(k, acc, lo, n, batch, len(t.at) == 1, func(unit *spmd.Value, w run, c [][]*spmd.Value, count int64) {
		for u := range count {
			cols := each(c[0], func(j int) *spmd.Value { return asF32(k.Builder, w[j][u]) })
			for i := range c {
				x := k.Splat(k.Load(t.at[i], unit, u))
				for j := range cols {
					c[i][j] = k.FMA(x, cols[j], c[i][j])
				}
			}
		}
	})
}

// wordsInRuns adds the products of codes over n units from lo on, whole runs: what lies behind the last word of a row is multiplied by 0.
func (t *tile) wordsInRuns(k *code, acc [][]*spmd.Value, lo *spmd.Value, n int64) {
	t.batchedRuns(k, acc, lo, n, t.m.w.run*t.loadsAtOnce(), false, func(unit *spmd.Value, w run, c [][]*spmd.Value, count int64) {
		for u := range count {
			for i := range c {
				a := k.Splat(k.Xor(k.Load(t.at[i], unit, u), k.I32(-0x7f7f7f80))) // code + 128
				for j := range c[i] {
					c[i][j] = k.Dot4U(c[i][j], a, w[j][u], 255)
				}
			}
		}
	})
}

// groupsInRuns is y = fma(sum of a group, its scale, y), groups ascending, with the weights of some groups loaded ahead.
func (t *tile) groupsInRuns(k *code) [][]*spmd.Value {
	m := t.m
	y := t.block(k, func(int) *spmd.Value { return k.Splat(k.F(0)) })
	whole := m.k / m.group
	at := t.groupsAtOnce(whole)
	some := func(first *spmd.Value, n int64, y [][]*spmd.Value) {
		t.someGroups(k, first, n, func(g *spmd.Value, off int64, sum [][]*spmd.Value) { t.scaled(k, g, off, sum, y) })
	}
	carried(k, y, k.I(0), k.I(whole/at*at), at, func(g *spmd.Value, c [][]*spmd.Value) { some(g, at, c) })
	if rest := whole % at; rest > 0 {
		some(k.I(whole-rest), rest, y)
	}
	if m.k%m.group > 0 {
		t.scaled(k, k.I(whole), 0, t.lastGroup(k), y)
	}
	return y
}

// groupsAtOnce is how many groups' weights are loaded together, of n.
func (t *tile) groupsAtOnce(n int64) int64 {
	if t.manyPerRun() {
		return 1
	}
	return max(1, min(n, t.m.w.run*t.loadsAtOnce()*t.m.w.form.perUnit()/t.m.group))
}

// manyPerRun says that a run has so many instructions, because each code becomes a float or is multiplied by some rows, that they hide its loads, and are
// worth a loop.
func (t *tile) manyPerRun() bool {
	return t.m.w.form == nibbles && (t.m.x.elem == spmd.F32 || len(t.at) >= 4)
}

// someGroups gives the sums of n groups from first on.
func (t *tile) someGroups(k *code, first *spmd.Value, n int64, got func(g *spmd.Value, off int64, sum [][]*spmd.Value)) {
	per := t.m.group / t.m.w.form.perUnit()
	if t.manyPerRun() { // of which there is one group
		sum, lo := t.zeros(k), k.Mul(first, k.I(per))
		carried(k, sum, lo, k.Add(lo, k.I(per)), t.m.w.run, func(unit *spmd.Value, c [][]*spmd.Value) {
			w, at := t.runsAt(k, unit, 0, t.m.w.run), t.inRow(k, unit)
			for u := range t.m.w.run {
				t.oneUnit(k, at, u, t.m.w.form.perUnit(), each(c[0], func(j int) *spmd.Value { return w[j][u] }), c)
			}
		})
		got(first, 0, t.groupSums(k, first, 0, sum))
		return
	}
	w := t.runsAt(k, k.Mul(first, k.I(per)), 0, n*per)
	for g := range n {
		got(first, g, t.oneGroup(k, first, g, per, t.m.group, w.part(g*per, per)))
	}
}

// lastGroup is the sum of the group that has fewer values than the others.
func (t *tile) lastGroup(k *code) [][]*spmd.Value {
	m := t.m
	whole, per := m.k/m.group, m.group/m.w.form.perUnit()
	units := m.units - whole*per
	return t.oneGroup(k, k.I(whole), 0, units, m.k%m.group, t.runsAt(k, k.I(whole*per), 0, units))
}

// sumRowGroups is sumRows for the groups from..to-1.
func (t *tile) sumRowGroups(k *code, from, to *spmd.Value) {
	ones, per := k.Splat(k.I32(0x01010101)), t.m.group/4
	k.For(from, to, 1, nil, func(g *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		for i, at := range t.at {
			k.Store(t.rowSums, g, int64(i)*t.m.scales.k, sumWords(k, ones, at, k.Mul(g, k.I(per)), per))
		}
		return nil
	})
}

// sumLastGroup is sumRows for the group that has fewer values.
func (t *tile) sumLastGroup(k *code) {
	whole, per := t.m.k/t.m.group, t.m.group/4
	for i, at := range t.at {
		sum := sumWords(k, k.Splat(k.I32(0x01010101)), at, k.I(whole*per), t.wordsOfRow()-whole*per)
		k.Store(t.rowSums, nil, int64(i)*t.m.scales.k+whole, sum)
	}
}

// scaled adds a group's sum, times its scale, to y.
func (t *tile) scaled(k *code, g *spmd.Value, off int64, sum, y [][]*spmd.Value) {
	for j := range t.n {
		s := k.LoadV(t.scales, k.Mul(g, k.I(t.m.panel)), off*t.m.panel+int64(t.first+j)*int64(k.Target.Lanes))
		for i := range y {
			y[i][j] = k.FMA(sum[i][j], s, y[i][j])
		}
	}
}

// sumsOfGroups gives the sums of the whole groups from..to-1 and, to the member who is last, of what remains.
func (t *tile) sumsOfGroups(k *code, from, to, member *spmd.Value, got func(g *spmd.Value, off int64, sum [][]*spmd.Value)) {
	m := t.m
	if t.rowSums != nil {
		t.sumRowGroups(k, from, to)
	}
	at := max(1, min(t.groupsAtOnce(m.k/m.group), m.k/m.group/int64(2*k.Target.Members))) // twice at least
	main := k.Add(from, k.Mul(k.Div(k.Sub(to, from), k.I(at)), k.I(at)))
	loop := func(lo, hi *spmd.Value, n int64) {
		k.For(lo, hi, n, nil, func(g *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			t.someGroups(k, g, n, got)
			return nil
		})
	}
	loop(from, main, at)
	if at > 1 {
		loop(main, to, 1)
	}
	if m.k%m.group == 0 {
		return
	}
	k.If(k.Cmp(spmd.EQ, member, k.I(int64(k.Target.Members)-1)), func() []*spmd.Value {
		if t.rowSums != nil {
			t.sumLastGroup(k)
		}
		got(k.I(m.k/m.group), 0, t.lastGroup(k))
		return nil
	}, nil)
}

// part is n units of a run.
func (r run) part(from, n int64) run {
	out := make(run, len(r))
	for j := range r {
		out[j] = r[j][from : from+n]
	}
	return out
}

// oneGroup is the sum of group g+off, of so many units and so many values of k, as float32.
func (t *tile) oneGroup(k *code, g *spmd.Value, off, units, values int64, w run) [][]*spmd.Value {
	m := t.m
	per := m.group / m.w.form.perUnit()
	first := k.Mul(g, k.I(per)) // unit of group g
	sum, at := t.zeros(k), t.inRow(k, first)
	for u := range units {
		t.oneUnit(k, at, off*per+u, min(m.w.form.perUnit(), values-u*m.w.form.perUnit()), each(sum[0], func(j int) *spmd.Value { return w[j][u] }), sum)
	}
	return t.groupSums(k, g, off, sum)
}

// zeros is where the sums of a group begin.
func (t *tile) zeros(k *code) [][]*spmd.Value {
	return t.block(k, func(int) *spmd.Value {
		if t.m.x.elem == spmd.I32 {
			return k.Splat(k.I32(0))
		}
		return k.Splat(k.F(0))
	})
}

// groupSums is the sums of group g+off as float32. Half bytes are codes plus 8: of a row of codes, 8 times its own sum goes off again.
func (t *tile) groupSums(k *code, g *spmd.Value, off int64, sum [][]*spmd.Value) [][]*spmd.Value {
	if t.m.x.elem != spmd.I32 {
		return sum
	}
	return each2(sum, func(i, j int) *spmd.Value {
		return k.Sub(k.ToF32(sum[i][j]), k.Mul(k.F(8), k.Load(t.rowSums, g, off+int64(i)*t.m.scales.k)))
	})
}

// perElement is how many elements of a row belong to a packed element of the weight.
func (t *tile) perElement() int64 {
	switch {
	case t.m.w.form == plain:
		return 1
	case t.m.x.elem == spmd.I32:
		return 2
	}
	return t.m.w.form.perUnit()
}

// inRow is where a unit's elements begin in a row.
func (t *tile) inRow(k *code, unit *spmd.Value) *spmd.Value { return k.Mul(unit, k.I(t.perElement())) }

// oneUnit adds the products of one packed element, u behind the one whose place in a row is at; so many of its values count.
func (t *tile) oneUnit(k *code, at *spmd.Value, u, values int64, w []*spmd.Value, sum [][]*spmd.Value) {
	x := func(i int, off int64) *spmd.Value { return k.Splat(k.Load(t.at[i], at, u*t.perElement()+off)) }
	switch {
	case t.m.w.form == plain:
		for i := range sum {
			a := x(i, 0)
			for j := range w {
				sum[i][j] = k.FMA(a, asF32(k.Builder, w[j]), sum[i][j])
			}
		}
	case t.m.x.elem == spmd.I32:
		for half := range int64(2) {
			codes := each(w, func(j int) *spmd.Value {
				if half == 1 {
					return k.And(k.Shrl(w[j], 4), k.I32(0x0f0f0f0f))
				}
				return k.And(w[j], k.I32(0x0f0f0f0f))
			})
			for i := range sum {
				a := x(i, half)
				for j := range codes {
					sum[i][j] = k.Dot4U(sum[i][j], codes[j], a, 15)
				}
			}
		}
	default:
		for v := range values {
			codes := each(w, func(j int) *spmd.Value { return k.ToF32(k.Sub(k.And(k.Shr(w[j], v%4*8+v/4*4), k.I32(15)), k.I32(8))) })
			for i := range sum {
				a := x(i, v)
				for j := range codes {
					sum[i][j] = k.FMA(a, codes[j], sum[i][j])
				}
			}
		}
	}
}

// rowInRuns reads a row of a table whose channels lie in runs: W gathered columns, the first of which is a multiple of sixteen.
func (m *rowMap) rowInRuns(k *code, id *spmd.Value) func(col *spmd.Value, off int64) *spmd.Value {
	pad, per, run := m.table.layout.Pad, m.table.form.perUnit(), m.table.run
	size := int64(1) // elements of a unit as the kernel sees them: bytes, of codes
	if m.table.bytes {
		size = 4
	}
	panel := k.Mul(k.Div(id, k.I(pad)), k.I(m.table.unitsOf(m.cols)*size*pad))
	at := k.Offset(m.table.ptr, k.Add(panel, k.Mul(k.Rem(id, k.I(pad)), k.I(size*run))))
	lane := k.Lane()
	inUnit := k.And(lane, k.I32(int32(size-1)))
	upper := k.Cmp(spmd.NE, k.And(lane, k.I32(4)), k.I32(0)) // of eight codes in a word, the last four are the high halves
	return func(col *spmd.Value, off int64) *spmd.Value {
		column := k.Add(k.Truncate(k.Add(col, k.I(off))), lane)
		unit := k.Shr(column, log2(per))
		place := k.Add(k.Mul(k.Shr(unit, log2(run)), k.I32(int32(run*pad*size))), k.Mul(k.And(unit, k.I32(int32(run-1))), k.I32(int32(size))))
		x := k.Gather(at, k.Min(k.Add(place, inUnit), k.I32(int32(m.lastPlace(size)))), 0)
		if m.table.form == nibbles {
			x = k.Sub(k.And(k.Select(upper, k.Shr(x, 4), x), k.I32(15)), k.I32(8))
		}
		return m.tail(k, x, col, off)
	}
}

// lastPlace is where the last column's element of a row lies, from the row's first: columns behind it, which are not looked at, are read from there.
func (m *rowMap) lastPlace(size int64) int64 {
	pad, run := m.table.layout.Pad, m.table.run
	unit := (m.cols - 1) / m.table.form.perUnit()
	return unit/run*run*pad*size + unit%run*size + size - 1
}
