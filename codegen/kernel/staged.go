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
// first two words go into one product and whose last two into another. In which order the products of a chunk are added does not matter to exact sums. Rows and
// columns of floats, where they may be rounded to bf16, have twice the bytes: their even and their odd runs lie apart, each like a row of codes, and become
// bf16 on the way into a fragment. What quads do instead is in staged_quad.go.
const (
	mostStages  = 4
	mostStaged  = 96 << 10 // bytes of all stages: what every GPU has
	chunkRuns   = 4
	copyBytes   = 16
	rowBytes    = chunkRuns * copyBytes // of a chunk: of a column, and of a row of codes
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
func (p *planner) stagedColumns(n int64) int64 {
	rows := p.members * memberRows
	most := int64(mostColumns)
	if p.quads {
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
	fromX, fromW *spmd.Value // i8: the tile's rows and panels
	x, w         operand
	bytes        int64 // of a stage
	floats       bool  // sums are floats
	runs         int64 // of sixteen bytes of a column in a chunk, for quads
}

// operand is the rows or the columns of a tile.
type operand struct {
	n, size  int64         // how many there are, and bytes of one in a chunk
	floats   bool          // which become bf16
	in, to   []*spmd.Value // what a lane copies: bytes from the tile's start, and from the stage's
	at       int64         // byte of a stage where they begin
	perPlane int64         // bytes from the even runs to the odd ones
}

func newOperand(n int64, floats bool, at int64) operand {
	o := operand{n: n, size: rowBytes, floats: floats, at: at, perPlane: n * rowBytes}
	if floats {
		o.size *= 2
	}
	return o
}

// buildStaged emits the tile.
func (c *contraction) buildStaged(k *code, lo, hi *spmd.Value) {
	members := int64(k.Target.Members)
	s := &stage{matrix: c.m, code: k, lo: lo, hi: hi, columns: c.columns, member: k.Member(), rows: members * memberRows}
	s.floats = c.m.x.elem == spmd.F32
	lay, loop := s.lay, s.loop
	if k.Target.Quads {
		lay, loop = s.layQuads, s.loopQuads
	}
	lay()
	s.chunks = c.m.padded * c.m.w.elem.Bytes() / s.w.size
	sums := s.rows / 16 * (s.columns / 8) * tileStride
	s.buffer = k.Scratch(spmd.I8, max(s.stages*s.bytes, 4*sums))
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
	s.x = newOperand(s.rows, s.floats, 0)
	s.w = newOperand(s.columns, s.matrix.w.elem == spmd.F32, s.rows*s.x.size)
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
	if s.Target.Quads {
		s.planQuads(lastRow, s.Sub(s.I(panels(panelWide).blocks(s.n)-1), s.first), panel)
		return
	}
	s.lanes(&s.x, func(row, run *spmd.Value) *spmd.Value {
		return s.Add(s.times(s.Min(row, lastRow), 4*s.stride), s.times(run, copyBytes))
	})
	lastPanel := s.Truncate(s.Sub(s.I(panels(panelWide).blocks(s.n)-1), s.first))
	s.lanes(&s.w, func(column, run *spmd.Value) *spmd.Value {
		inPanel := s.Add(s.times(run, panelWide*copyBytes), s.times(s.And(column, s.I32(panelWide-1)), copyBytes))
		return s.Add(s.times(s.Min(s.Shr(column, 5), lastPanel), panel), inPanel)
	})
}

func (s *stage) times(v *spmd.Value, n int64) *spmd.Value { return s.Mul(v, s.I32(int32(n))) }

// lanes spreads the runs of an operand over all lanes of the team; eight lanes copy to 128 bytes in a row.
func (s *stage) lanes(o *operand, from func(i, run *spmd.Value) *spmd.Value) {
	me := s.Add(s.times(s.Truncate(s.member), int64(s.Target.Lanes)), s.Lane())
	below := func(v *spmd.Value, bits int64) *spmd.Value { return s.And(v, s.I32(int32(1<<bits-1))) }
	for at := int64(0); at < o.n*o.size/copyBytes; at += int64(s.Target.Members * s.Target.Lanes) {
		u := s.Add(me, s.I32(int32(at)))
		place, i, run := below(u, 2), s.Shr(u, 2), below(u, 2)
		to := s.Add(s.times(i, rowBytes), s.I32(int32(o.at)))
		if o.floats { // even or odd runs of two rows
			odd := below(s.Shr(u, 3), 1)
			i = s.Add(s.times(s.Shr(u, 4), 2), below(s.Shr(u, 2), 1))
			run = s.Add(s.times(place, 2), odd)
			to = s.Add(s.times(odd, o.perPlane), s.Add(s.times(i, rowBytes), s.I32(int32(o.at))))
		}
		o.to = append(o.to, s.Add(to, s.times(place, copyBytes)))
		o.in = append(o.in, from(i, run))
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
	for i := range s.stages - 1 {
		s.ask(s.I(i))
	}
	zero := s.Splat(s.I32(0))
	if s.floats {
		zero = s.Splat(s.F(0))
	}
	acc := each(make([]*spmd.Value, s.down*s.wide*4), func(int) *spmd.Value { return zero })
	return s.For(s.I(0), s.I(s.chunks), 1, acc, func(i *spmd.Value, acc []*spmd.Value) []*spmd.Value {
		s.CopyWait(s.stages - 2)
		s.Barrier()
		s.ask(s.Add(i, s.I(s.stages-1)))
		return s.multiply(s.Mul(s.Rem(i, s.I(s.stages)), s.I(s.bytes)), acc)
	})
}

// multiply adds the products of the stage that begins at byte at: fragments of rows by fragments of columns, four registers each.
func (s *stage) multiply(at *spmd.Value, acc []*spmd.Value) []*spmd.Value {
	acc = append([]*spmd.Value(nil), acc...)
	start := s.Mul(s.Shr(at, 6), s.I(rowBytes/4))
	row := s.Add(start, s.Mul(s.Div(s.member, s.I(s.across)), s.I(s.across*16*rowBytes/4)))
	column := s.Add(start, s.Mul(s.Rem(s.member, s.I(s.across)), s.I(panelWide*rowBytes/4)))
	b := make([][]*spmd.Value, panelWide/8)
	for n := range b {
		b[n] = s.fragment(s.w, column, int64(n)*8*rowBytes)
	}
	for m := range s.across {
		var a [2][]*spmd.Value
		for half := range a {
			a[half] = s.fragment(s.x, row, (m*16+int64(half)*8)*rowBytes)
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

// fragment is what the lanes hold of eight rows or columns of a chunk: their words as they are, or made of twice as many floats. base counts words.
func (s *stage) fragment(o operand, base *spmd.Value, off int64) []*spmd.Value {
	off = (o.at + off) / 4
	if !o.floats {
		return s.LoadRun(s.View(s.buffer, spmd.I32), base, off, chunkRuns)
	}
	floats := s.View(s.buffer, spmd.F32)
	even, odd := s.LoadRun(floats, base, off, chunkRuns), s.LoadRun(floats, base, off+o.perPlane/4, chunkRuns)
	return []*spmd.Value{s.PackBF16(even[0], even[1]), s.PackBF16(even[2], even[3]), s.PackBF16(odd[0], odd[1]), s.PackBF16(odd[2], odd[3])}
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
	sums, perRow := s.sumsView(), s.columns/8*tileStride
	at := s.Add(s.Mul(s.Div(s.member, s.I(s.across)), s.I(s.down*perRow)), s.Mul(s.Rem(s.member, s.I(s.across)), s.I(s.wide*tileStride)))
	for i, x := range acc {
		m, n, c := int64(i)/4/s.wide, int64(i)/4%s.wide, int64(i)%4
		s.StoreV(sums, at, m*perRow+n*tileStride+c*sumStride, x)
	}
}

// each hands W sums at a time to do: the rows in turn to the members, of each its panels.
func (s *stage) each(do func(row, col, sum *spmd.Value)) {
	sums, perRow := s.sumsView(), s.columns/8*tileStride
	lane := s.Lane()
	// column n is in fragment n/8, there in register n%2 and lane n%8/2 of those of its row
	place := s.Add(s.Mul(s.Shr(lane, 3), s.I32(tileStride)), s.Add(s.Mul(s.And(lane, s.I32(1)), s.I32(sumStride)), s.Shr(s.And(lane, s.I32(7)), 1)))
	there := s.Min(s.I(s.columns/panelWide), s.Sub(s.I(panels(panelWide).blocks(s.n)), s.first))
	s.For(s.member, s.Sub(s.hi, s.lo), int64(s.Target.Members), nil, func(m *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		inTile := s.Rem(m, s.I(16))
		row := s.Add(s.Mul(s.Div(m, s.I(16)), s.I(perRow)), s.Add(s.Mul(s.Div(inTile, s.I(8)), s.I(2*sumStride)), s.Mul(s.Rem(m, s.I(8)), s.I(4))))
		s.For(s.I(0), there, 1, nil, func(j *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			sum := s.Gather(s.Offset(sums, s.Add(row, s.Mul(j, s.I(panelWide/8*tileStride)))), place, 0)
			do(s.Add(s.lo, m), s.Mul(s.Add(s.first, j), s.I(panelWide)), sum)
			return nil
		})
		return nil
	})
}
