package kernel

import "github.com/ssmc/ssmc/codegen/spmd"

// On targets with quads a tile of many rows has up to 256 columns, and its products read both operands from scratch, once for 64 rows: a quad's, of which a
// member has the sums of 16. In scratch sixteen bytes of K of all rows lie together, and so do those of all columns: the weight's own order, so that a run of
// a panel is one piece of a copybulk. A chunk of K has eight runs where K is a multiple of that, so that the products of a chunk take longer than what lies
// between two chunks.
//
// Floats are products of bf16 if the weight is: rows become bf16 on the way to registers. In scratch the 32 bytes of a row that belong to a run of the weight
// lie together, so that a lane's two neighbours of a fragment are one load. A weight of float32 is multiplied as it is.
const (
	quadRuns   = 8
	quadStages = 3
	quadRows   = 64
	pieceBytes = panelWide * copyBytes // a run of a panel
)

// layQuads says who has which sums, and what a stage has.
func (s *stage) layQuads() {
	s.across, s.down, s.wide = 1, 1, s.columns/8
	s.runs = quadRuns
	if s.padded*s.matrix.w.elem.Bytes()%(quadRuns*copyBytes) != 0 {
		s.runs = chunkRuns
	}
	size := s.runs * copyBytes
	s.x = operand{n: s.rows, size: size, floats: s.matrix.w.elem == spmd.BF16}
	if s.x.floats {
		s.x.size *= 2
	}
	s.w = operand{n: s.columns, size: size, at: s.rows * s.x.size}
	s.bytes = s.w.at + s.columns*s.w.size
	s.stages = max(2, min(quadStages, int64(s.Target.Scratch)/s.bytes))
}

// planQuads finds what each lane copies of a chunk's rows, and which panel is the member's to copy. A warp takes 64 bytes of eight rows; eight lanes copy to 128
// bytes in a row.
func (s *stage) planQuads(lastRow, lastPanel *spmd.Value, panel int64) {
	me := s.Add(s.times(s.Truncate(s.member), int64(s.Target.Lanes)), s.Lane())
	together := int64(0) // log2 of the units of a row that lie together
	if s.x.floats {
		together = 1
	}
	units := s.x.size / copyBytes
	below := func(v *spmd.Value, bits int64) *spmd.Value { return s.And(v, s.I32(int32(1<<bits-1))) }
	for at := int64(0); at < s.rows*units; at += int64(s.Target.Members * s.Target.Lanes) {
		u := s.Add(me, s.I32(int32(at)))
		row, block := below(s.Shr(u, together), 3), s.Shr(u, 5)
		run := below(s.Shr(u, 3+together), 2-together)
		row = s.Add(s.times(s.Shr(block, log2(units/4)), 8), row)
		run = s.Add(s.times(below(block, log2(units/4)), 4>>together), run)
		unit := s.Add(s.times(run, 1<<together), below(u, together))
		s.x.to = append(s.x.to, s.Add(s.times(run, s.rows*copyBytes<<together), s.Add(s.times(row, copyBytes<<together), s.times(below(u, together), copyBytes))))
		s.x.in = append(s.x.in, s.Add(s.times(s.Min(row, lastRow), 4*s.stride), s.times(unit, copyBytes)))
	}
	s.fromW = s.Offset(s.fromW, s.Mul(s.Min(s.member, lastPanel), s.I(panel)))
}

// loopQuads goes through K. The stage that is filled again is that of the chunk before, so where stages begin is carried along: their number need not be a power
// of two, and a GPU divides slowly.
func (s *stage) loopQuads() []*spmd.Value {
	for i := range s.stages - 1 {
		s.askBulk(s.I(i), s.I(i*s.bytes))
	}
	carry := append([]*spmd.Value{s.I32(0), s.I32(int32((s.stages - 1) * s.bytes))}, s.zeros()...)
	return s.For(s.I(0), s.I(s.chunks), 1, carry, func(i *spmd.Value, c []*spmd.Value) []*spmd.Value {
		at, before := c[0], c[1]
		s.CopyWait(s.stages - 2)
		s.Barrier()
		s.askBulk(s.Add(i, s.I(s.stages-1)), s.Extend(before))
		acc := s.multiplyQuads(s.Extend(at), c[2:])
		next := s.Add(at, s.I32(int32(s.bytes)))
		next = s.Select(s.Cmp(spmd.EQ, next, s.I32(int32(s.stages*s.bytes))), s.I32(0), next)
		return append([]*spmd.Value{next, at}, acc...)
	})[2:]
}

// askBulk begins the copies of a chunk, if there is such a one, to the stage at a byte, and ends their group.
func (s *stage) askBulk(chunk, at *spmd.Value) {
	s.If(s.Cmp(spmd.LT, chunk, s.I(s.chunks)), func() []*spmd.Value {
		bulk := func() []*spmd.Value {
			to := s.Offset(s.buffer, s.Add(at, s.Add(s.Mul(s.member, s.I(pieceBytes)), s.I(s.w.at))))
			s.CopyBulk(to, s.Offset(s.fromW, s.Mul(chunk, s.I(s.runs*pieceBytes))), s.runs, pieceBytes, s.columns*copyBytes, pieceBytes)
			return nil
		}
		if panels := s.columns / panelWide; panels < int64(s.Target.Members) {
			s.If(s.Cmp(spmd.LT, s.member, s.I(panels)), bulk, nil)
		} else {
			bulk()
		}
		to, from := s.Offset(s.buffer, at), s.Offset(s.fromX, s.Mul(chunk, s.I(s.x.size)))
		for i := range s.x.to {
			s.CopyAsync(to, s.x.to[i], from, s.x.in[i])
		}
		return nil
	}, nil)
	s.CopyGroup()
}

// multiplyQuads adds the products of the stage that begins at byte at, a step of K after the other. Steps stand together: they are a group of the hardware.
func (s *stage) multiplyQuads(at *spmd.Value, acc []*spmd.Value) []*spmd.Value {
	strides := spmd.Strides{A: s.rows * copyBytes, B: s.columns * copyBytes}
	elem := s.matrix.w.elem
	if elem == spmd.I32 { // codes
		elem = spmd.I8
	}
	steps := s.runs / 2
	b := s.steps(elem, s.Add(at, s.I(s.w.at)), 2*strides.B)
	if s.x.floats {
		strides.A = 0
		a := make([][]*spmd.Value, steps)
		for i := range a {
			a[i] = s.rowFragment(at, int64(i))
		}
		for i := range a {
			acc = s.QuadBF16(a[i], b[i], acc, strides)
		}
		return acc
	}
	a := s.steps(elem, s.Add(at, s.Mul(s.Div(s.member, s.I(quadRows/memberRows)), s.I(quadRows*copyBytes))), 2*strides.A)
	product := s.QuadI8
	if s.floats {
		product = s.QuadTF32
	}
	for i := range a {
		acc = product(a[i], b[i], acc, strides)
	}
	return acc
}

// steps is where an operand's steps begin, the first of them at a byte of scratch.
func (s *stage) steps(elem spmd.Elem, at *spmd.Value, apart int64) []*spmd.Value {
	first := s.Offset(s.View(s.buffer, elem), s.Div(at, s.I(elem.Bytes())))
	return each(make([]*spmd.Value, s.runs/2), func(i int) *spmd.Value { return s.Offset(first, s.I(int64(i)*apart/elem.Bytes())) })
}

// rowFragment is what the lanes hold of the member's rows in a step of the stage at byte at, as bf16.
func (s *stage) rowFragment(at *spmd.Value, step int64) []*spmd.Value {
	const perRun = 8 // floats of a row
	floats := s.View(s.buffer, spmd.F32)
	first := s.Add(s.Shr(at, 2), s.Mul(s.member, s.I(memberRows*perRun)))
	return each(make([]*spmd.Value, 4), func(i int) *spmd.Value {
		run, below := 2*step+int64(i)/2, int64(i)%2*8
		x := s.LoadRun(floats, first, (run*s.rows+below)*perRun, 2)
		return s.PackBF16(x[0], x[1])
	})
}
