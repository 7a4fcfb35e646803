package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// With many rows a team multiplies a tile of 16 rows for each member by up to 128 columns. Rows and columns come into scratch by asynchronous copies, some
// stages ahead, and from there into fragments of matrix products, whose sums stay in registers over all of K.
//
// A stage is a chunk of K: of a column four runs of sixteen bytes, and of a row what belongs to them. In scratch the four runs of a column lie together, and
// so do the four of a row, so that lane l of the fragment that begins at row r reads the sixteen bytes at 64 r + 16 l: one load without bank conflicts, whose
// first two words go into one product and whose last two into another. In which order the products of a chunk are added does not matter to exact sums. What has
// twice the bytes lies as its even and its odd runs, each like four runs: floats, where they may be rounded to bf16, which is done on the way into a fragment,
// and the rows that belong to codes of four bits; see staged_nibbles.go. What quads do instead is in staged_quad.go.
const (
	mostStages  = 4
	mostStaged  = 96 << 10 // bytes of all stages: what every GPU has
	chunkRuns   = 4
	copyBytes   = 16
	rowBytes    = chunkRuns * copyBytes // of a chunk: of a column, and of a row of codes of as many bits
	memberRows  = 16
	mostColumns = 128
	quadColumns = 256 // of a tile of quads
	panelWide   = 32  // columns of a panel of GPU targets
)

// Sums are stored as fragments, in registers of 32 lanes that are padded so that a row's neighbouring columns lie in different banks.
const (
	sumStride  = 36  // words from a register of a fragment to the next
	tileStride = 152 // from a fragment to the next
)

// enoughTiles is how many tiles should be there before they are made larger: about as many as a GPU has multiprocessors.
const enoughTiles = 96

// stagedColumns is how many columns a tile of many rows has: the more, the fewer bytes are moved for a product. A layer that is narrower has no use for
// them all, and one with few tiles should rather have more tiles.
func (p *planner) stagedColumns(n int64, quads bool) int64 {
	rows := p.members * memberRows
	most := int64(mostColumns)
	if quads {
		most = quadColumns
	}
	for cols := most; ; cols /= 2 {
		tiles := (n + cols - 1) / cols * ((p.maxRows + rows - 1) / rows)
		narrow, scarce := n <= cols/2, tiles < enoughTiles && cols > 2*panelWide
		if cols == panelWide || !narrow && !scarce {
			return cols
		}
	}
}

// stage multiplies a block of rows by some panels.
type stage struct {
	*matrix
	*code
	lo, hi       *spmd.Value // rows
	first        *spmd.Value // panel
	columns      int64       // of the tile
	down, wide   int64       // fragments of rows and of columns that a member has
	across       int64       // members that share the rows of a fragment
	member       *spmd.Value
	rows         int64 // of the tile
	chunks       int64 // of K
	stages       int64
	buffer       *spmd.Value // i8: stages of rows, then columns
	words        *spmd.Value // the same, i32
	fromX, fromW *spmd.Value // i8: the tile's rows and panels
	x, w         operand
	bytes        int64 // of a stage
	floats       bool  // sums are floats
	quads        bool
	runs         int64 // of sixteen bytes of a column in a chunk, for quads
}

// chunkBytes is how many bytes of a row and of a column are multiplied at a time.
func (m *matrix) chunkBytes() (row, column int64) {
	switch {
	case m.w.form == nibbles:
		column = nibbleBytes(m.group)
		return 2 * column, column
	case m.x.elem == spmd.F32:
		return 2 * rowBytes, rowBytes / 2 * m.w.elem.Bytes()
	}
	return rowBytes, rowBytes
}

// operand is the rows or the columns of a tile.
type operand struct {
	n, size  int64         // how many there are, and bytes of one in a chunk
	floats   bool          // which become bf16
	in, to   []*spmd.Value // what a lane copies: bytes from the tile's start, and from the stage's
	at       int64         // byte of a stage where they begin
	line     int64         // bytes of one that lie together, and from there to the next
	perPlane int64         // bytes from the even runs to the odd ones; 0: they lie together
}

func newOperand(n, size, at int64) operand {
	o := operand{n: n, size: size, at: at, line: size}
	if size > rowBytes {
		o.line, o.perPlane = rowBytes, n*rowBytes
	}
	return o
}

// buildStaged emits the tile.
func (c *contraction) buildStaged(k *code, lo, hi *spmd.Value) {
	members := int64(k.Target.Members)
	s := &stage{matrix: c.m, code: k, lo: lo, hi: hi, columns: c.columns, member: k.Member(), rows: members * memberRows}
	s.floats, s.quads = c.m.x.elem == spmd.F32 || c.m.group > 0, c.quads
	lay, loop := s.lay, s.loop
	if s.quads {
		lay, loop = s.layQuads, s.loopQuads
	}
	lay()
	s.chunks = (c.m.units*c.m.w.elem.Bytes() + s.w.size - 1) / s.w.size
	sums := s.rows / 16 * (s.columns / 8) * tileStride
	s.buffer = k.Scratch(spmd.I8, max(s.stages*s.bytes, 4*sums))
	s.words = k.View(s.buffer, spmd.I32)
	s.first = k.Mul(k.panel, k.I(s.columns/panelWide))
	s.plan()
	acc := loop()
	k.CopyWait(0)
	k.Barrier() // all have read the last stage: the sums take its place
	s.put(acc)
	k.Barrier()
	s.each(func(row, col, sum *spmd.Value) {
		if c.m.bias != nil {
			sum = k.Add(sum, k.LoadV(c.m.bias.ptr, col, 0))
		}
		p := &point{row: row, col: col, vals: map[*ir.Value]*spmd.Value{c.linear.Results[0]: sum}}
		k.putAll(p, c.outs)
	})
}

// lay says who has which sums, and what a stage has.
func (s *stage) lay() {
	s.across = s.columns / panelWide
	s.down, s.wide = s.across, panelWide/8
	row, column := s.chunkBytes()
	s.x, s.w = newOperand(s.rows, row, 0), newOperand(s.columns, column, s.rows*row)
	s.x.floats, s.w.floats = s.matrix.x.elem == spmd.F32, s.matrix.w.elem == spmd.F32
	s.bytes = s.w.at + s.columns*s.w.size
	s.stages = min(mostStages, mostStaged/s.bytes)
}

// plan finds what each lane copies of a chunk, as bytes from the tile's rows and panels and from the start of a stage. Rows that are not there are copies of
// the last one, and so are panels.
func (s *stage) plan() {
	s.fromX = s.Offset(s.xBytes.ptr, s.Mul(s.lo, s.I(4*s.stride)))
	panel := s.padded * panelWide * s.matrix.w.elem.Bytes()
	s.fromW = s.Offset(s.wBytes.ptr, s.Mul(s.first, s.I(panel)))
	lastRow := s.Truncate(s.Sub(s.Sub(s.hi, s.lo), s.I(1)))
	if s.quads {
		s.planQuads(lastRow, s.Sub(s.I(panels(panelWide).blocks(s.n)-1), s.first), panel)
		return
	}
	s.lanes(&s.x, copyBytes, func(row *spmd.Value) *spmd.Value { return s.times(s.Min(row, lastRow), 4*s.stride) })
	lastPanel := s.Truncate(s.Sub(s.I(panels(panelWide).blocks(s.n)-1), s.first))
	s.lanes(&s.w, panelWide*copyBytes, func(column *spmd.Value) *spmd.Value {
		inRun := s.times(s.And(column, s.I32(panelWide-1)), copyBytes)
		return s.Add(s.times(s.Min(s.Shr(column, 5), lastPanel), panel), inRun)
	})
}

func (s *stage) times(v *spmd.Value, n int64) *spmd.Value { return s.Mul(v, s.I32(int32(n))) }

// lanes spreads the runs of an operand over all lanes of the team; eight lanes copy to 128 bytes in a row. perRun is how far runs of one are from each other.
func (s *stage) lanes(o *operand, perRun int64, from func(i *spmd.Value) *spmd.Value) {
	me := s.Add(s.times(s.Truncate(s.member), int64(s.Target.Lanes)), s.Lane())
	below := func(v *spmd.Value, bits int64) *spmd.Value { return s.And(v, s.I32(int32(1<<bits-1))) }
	bits := log2(o.line / copyBytes)
	place, i := below(me, bits), s.Shr(me, bits)
	run, to := place, s.times(place, copyBytes)
	if o.perPlane > 0 { // even or odd runs of two rows
		odd := below(s.Shr(me, 3), 1)
		i = s.Add(s.times(s.Shr(me, 4), 2), below(s.Shr(me, 2), 1))
		run, to = s.Add(s.times(place, 2), odd), s.Add(to, s.times(odd, o.perPlane))
	}
	run, to = s.times(run, perRun), s.Add(to, s.times(i, o.line))
	for at := int64(0); at < o.n; at += int64(s.Target.Members*s.Target.Lanes) * copyBytes / o.size {
		o.to = append(o.to, s.Add(to, s.I32(int32(o.at+at*o.line))))
		o.in = append(o.in, s.Add(from(s.Add(i, s.I32(int32(at)))), run))
	}
}

// ask begins the copies of a chunk, if there is such a one, and ends their group.
func (s *stage) ask(chunk *spmd.Value) {
	s.If(s.Cmp(spmd.LT, chunk, s.I(s.chunks)), func() []*spmd.Value {
		to := s.Offset(s.buffer, s.Mul(s.Rem(chunk, s.I(s.stages)), s.I(s.bytes)))
		for _, o := range []struct {
			operand
			from *spmd.Value
		}{{s.x, s.Offset(s.fromX, s.Mul(chunk, s.I(s.x.size)))}, {s.w, s.Offset(s.fromW, s.Mul(chunk, s.I(panelWide*s.w.size)))}} {
			copies := func() []*spmd.Value {
				for i := range o.to {
					s.CopyAsync(to, o.to[i], o.from, o.in[i])
				}
				return nil
			}
			if busy := o.n * o.size / copyBytes / int64(s.Target.Lanes); busy < int64(s.Target.Members) { // fewer runs than lanes
				s.If(s.Cmp(spmd.LT, s.member, s.I(busy)), copies, nil)
			} else {
				copies()
			}
		}
		return nil
	}, nil)
	s.CopyGroup()
}

// loop goes through K. When a chunk has arrived for all, everybody is done with the one before, whose stage is then filled again.
func (s *stage) loop() []*spmd.Value {
	s.For(s.I(0), s.I(s.stages-1), 1, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		s.ask(i)
		return nil
	})
	if s.group > 0 {
		return s.groups()
	}
	return s.For(s.I(0), s.I(s.chunks), 1, s.zeros(), s.chunk)
}

// zeros is where the sums of a member begin.
func (s *stage) zeros() []*spmd.Value {
	zero := s.Splat(s.I32(0))
	if s.floats {
		zero = s.Splat(s.F(0))
	}
	return each(make([]*spmd.Value, s.down*s.wide*4), func(int) *spmd.Value { return zero })
}

// chunk adds the products of chunk i.
func (s *stage) chunk(i *spmd.Value, acc []*spmd.Value) []*spmd.Value {
	return s.multiply(s.arrived(i), acc)
}

// arrived waits for chunk i, and says at which byte its stage begins.
func (s *stage) arrived(i *spmd.Value) *spmd.Value {
	s.CopyWait(s.stages - 2)
	s.Barrier()
	s.ask(s.Add(i, s.I(s.stages-1)))
	return s.Mul(s.Rem(i, s.I(s.stages)), s.I(s.bytes))
}

// corner is the words where the member's rows and columns begin in the stage that begins at byte at.
func (s *stage) corner(at *spmd.Value) (row, column *spmd.Value) {
	start := s.Mul(s.Shr(at, 6), s.I(rowBytes/4))
	row = s.Add(start, s.Mul(s.Div(s.member, s.I(s.across)), s.I(s.across*16*s.x.line/4)))
	return row, s.Add(start, s.Mul(s.Rem(s.member, s.I(s.across)), s.I(panelWide*s.w.line/4)))
}

// multiply adds the products of the stage that begins at byte at: fragments of rows by fragments of columns, four registers each.
func (s *stage) multiply(at *spmd.Value, acc []*spmd.Value) []*spmd.Value {
	acc = append([]*spmd.Value(nil), acc...)
	row, column := s.corner(at)
	b := make([][]*spmd.Value, panelWide/8)
	for n := range b {
		b[n] = s.fragment(s.w, column, int64(n)*8)
	}
	for m := range s.across {
		var a [2][]*spmd.Value
		for half := range a {
			a[half] = s.fragment(s.x, row, m*16+int64(half)*8)
		}
		for n := range b {
			c := acc[(m*4+int64(n))*4:][:4]
			for part := 0; part < chunkRuns; part += 2 {
				x, y := []*spmd.Value{a[0][part], a[1][part], a[0][part+1], a[1][part+1]}, b[n][part:part+2]
				if s.floats {
					copy(c, s.MMABF16(c, x, y))
				} else {
					copy(c, s.MMAI8(c, x, y))
				}
			}
		}
	}
	return acc
}

// fragment is what the lanes hold of eight rows or columns of a chunk, from one on: their words as they are, or made of twice as many floats. base counts words.
func (s *stage) fragment(o operand, base *spmd.Value, first int64) []*spmd.Value {
	from, off, n := s.words, (o.at+first*o.line)/4, int(o.line/copyBytes)
	if o.floats {
		from = s.View(s.buffer, spmd.F32)
	}
	x := s.LoadRun(from, base, off, n)
	if o.perPlane > 0 {
		x = append(x, s.LoadRun(from, base, off+o.perPlane/4, n)...)
	}
	if !o.floats {
		return x
	}
	return []*spmd.Value{s.PackBF16(x[0], x[1]), s.PackBF16(x[2], x[3]), s.PackBF16(x[4], x[5]), s.PackBF16(x[6], x[7])}
}

// sumsView is the sums in scratch.
func (s *stage) sumsView() *spmd.Value {
	if s.floats {
		return s.View(s.buffer, spmd.F32)
	}
	return s.View(s.buffer, spmd.I32)
}

// put stores the member's sums.
func (s *stage) put(acc []*spmd.Value) {
	if s.group > 0 {
		s.putBlocks(acc)
		return
	}
	sums, perRow := s.sumsView(), s.columns/8*tileStride
	at := s.Add(s.Mul(s.Div(s.member, s.I(s.across)), s.I(s.down*perRow)), s.Mul(s.Rem(s.member, s.I(s.across)), s.I(s.wide*tileStride)))
	for i, x := range acc {
		m, n, c := int64(i)/4/s.wide, int64(i)/4%s.wide, int64(i)%4
		s.StoreV(sums, at, m*perRow+n*tileStride+c*sumStride, x)
	}
}

// each hands W sums at a time to do: the rows in turn to the members, of each its panels.
func (s *stage) each(do func(row, col, sum *spmd.Value)) {
	sums, place, row, panel := s.sumsView(), s.columnInTiles(), s.rowInTiles, int64(panelWide/8*tileStride)
	if s.group > 0 {
		place, row, panel = columnInBlock(s.code), s.rowInBlocks, blockWords
	}
	there := s.Min(s.I(s.columns/panelWide), s.Sub(s.I(panels(panelWide).blocks(s.n)), s.first))
	s.For(s.member, s.Sub(s.hi, s.lo), int64(s.Target.Members), nil, func(m *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		ofRow := row(m)
		s.For(s.I(0), there, 1, nil, func(j *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			sum := s.Gather(s.Offset(sums, s.Add(ofRow, s.Mul(j, s.I(panel)))), place, 0)
			do(s.Add(s.lo, m), s.Mul(s.Add(s.first, j), s.I(panelWide)), sum)
			return nil
		})
		return nil
	})
}

// columnInTiles and rowInTiles are what adds up to the place of the lane's column in row m: column n is in fragment n/8, there in register n%2 and lane n%8/2
// of those of its row.
func (s *stage) columnInTiles() *spmd.Value {
	lane := s.Lane()
	return s.Add(s.times(s.Shr(lane, 3), tileStride), s.Add(s.times(s.And(lane, s.I32(1)), sumStride), s.Shr(s.And(lane, s.I32(7)), 1)))
}

func (s *stage) rowInTiles(m *spmd.Value) *spmd.Value {
	fragment := s.Mul(s.Div(m, s.I(16)), s.I(s.columns/8*tileStride))
	return s.Add(fragment, s.Add(s.Mul(s.Div(s.Rem(m, s.I(16)), s.I(8)), s.I(2*sumStride)), s.Mul(s.Rem(m, s.I(8)), s.I(4))))
}
