package kernel

import "github.com/ssmc/ssmc/codegen/spmd"

// Codes of four bits come into a stage as they are, half the bytes of what belongs to them of a row, and become bytes on the way into a fragment. A chunk is a
// group.

// groups goes through K by groups: y = fma(sum of a group, its scale, y), groups ascending. Of a member's rows eight at a time are together, the two
// fragments of its columns by four registers.
func (s *stage) groups() []*spmd.Value {
	panel := s.Min(s.Add(s.first, s.Rem(s.member, s.I(s.across))), s.I(panels(panelWide).blocks(s.n)-1))
	scales := s.Offset(s.scales.ptr, s.Mul(panel, s.I(s.scales.k*panelWide)))
	column := s.Shr(s.Lane(), 2)
	return s.For(s.I(0), s.I(s.scales.k), 1, s.zeros(), func(g *spmd.Value, y []*spmd.Value) []*spmd.Value {
		ofGroup := s.Offset(scales, s.Mul(g, s.I(panelWide)))
		scale := each(make([]*spmd.Value, panelWide/8), func(i int) *spmd.Value { return s.Gather(ofGroup, column, int64(i)*8) })
		return s.addGroup(s.arrived(g), scale, y)
	})
}

// addGroup adds a group's sums, of the stage that begins at byte at. Rows are multiplied 32 at a time, if there are so many: a tile may have fewer than it could,
// and ptxas, which puts all products of a straight line before all that follows them, has registers for the sums of 32.
func (s *stage) addGroup(at *spmd.Value, scale, y []*spmd.Value) []*spmd.Value {
	row, column := s.corner(at)
	var columns [2][2][]*spmd.Value
	for n := range int64(4) {
		columns[n/2][n%2] = sixteenfold(s.code, s.fragment(s.w, column, n*8))
	}
	eight := func(m int64) (sums []*spmd.Value) {
		x := s.fragment(s.x, row, m*8)
		for n, two := range columns {
			for i, sum := range groupSums(s.code, two, x) {
				sums = append(sums, s.FMA(sum, scale[2*n+i/2], y[m*8+int64(len(sums))]))
			}
		}
		return sums
	}
	first := s.Mul(s.Div(s.member, s.I(s.across)), s.I(s.across*16))
	var sums []*spmd.Value
	for m := int64(0); m < s.across*2; m += 4 {
		end, there := min(m+4, s.across*2), s.Cmp(spmd.LT, s.Add(first, s.I(m*8)), s.Sub(s.hi, s.lo))
		sums = append(sums, s.If(there, func() (some []*spmd.Value) {
			for i := m; i < end; i++ {
				some = append(some, eight(i)...)
			}
			return some
		}, func() []*spmd.Value { return y[m*8 : end*8] })...)
	}
	return sums
}

// putBlocks stores the member's sums.
func (s *stage) putBlocks(acc []*spmd.Value) {
	rows, panel := s.Mul(s.Div(s.member, s.I(s.across)), s.I(2*s.across)), s.Rem(s.member, s.I(s.across))
	sums, at := s.sumsView(), s.Mul(s.Add(s.Mul(rows, s.I(s.across)), panel), s.I(blockWords))
	for i, x := range acc {
		m, fragment, c := int64(i)/8, int64(i)/4%2, int64(i)%4
		s.StoreV(sums, at, m*s.across*blockWords+inBlock(fragment, c), x)
	}
}

// rowInBlocks is where row m of the tile lies; its panels are blocks one behind the other.
func (s *stage) rowInBlocks(m *spmd.Value) *spmd.Value {
	return s.Add(s.Mul(s.Div(m, s.I(8)), s.I(s.across*blockWords)), rowInBlock(s.code, m))
}
