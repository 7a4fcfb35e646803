package kernel

import "github.com/ssmc/ssmc/codegen/spmd"

// nibbleRows is how many rows are multiplied by codes of four bits at a time, where there are few: what a fragment has.
const nibbleRows = 8

// lanesOfGroup is what a lane has of each group: it loads its runs straight from memory.
type lanesOfGroup struct {
	*sharing
	words   int64       // packed words of a column; there are twice as many of a row
	inPanel *spmd.Value // word of the panel where the lane's first column begins
	quarter *spmd.Value // its number among the lanes of a column
	at      *spmd.Value // number of its column, and of its row
}

// fragments multiplies rows lo..hi-1: a member makes the sums of its groups, and then of a row all of y.
func (s *sharing) fragments(lo, hi *spmd.Value) {
	count := s.matrix.scales.k
	sums := s.Scratch(spmd.F32, count*blockWords)
	from, to := s.part(count)
	l := &lanesOfGroup{sharing: s, words: nibbleBytes(s.group) / copyBytes, quarter: s.And(s.Lane(), s.I32(3)), at: s.Shr(s.Lane(), 2)}
	run := s.Mul(l.quarter, s.I32(int32(l.words)))
	l.inPanel = s.Add(s.Mul(s.Shr(run, 2), s.I32(4*panelWide)), s.Add(s.And(run, s.I32(3)), s.Shl(l.at, 2)))
	column := columnInBlock(s.code)
	s.For(lo, hi, nibbleRows, nil, func(row *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		n := s.Min(s.Sub(hi, row), s.I(nibbleRows))
		l.sumGroups(row, n, from, to, sums)
		s.Barrier()
		s.For(s.member, n, s.members, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
			ofRow := s.Offset(sums, rowInBlock(s.code, i))
			s.scaled(s.Add(row, i), 0, func(g *spmd.Value, u int64) *spmd.Value {
				return s.Gather(s.Offset(ofRow, s.Mul(g, s.I(blockWords))), column, u*blockWords)
			})
			return nil
		})
		s.Barrier()
		return nil
	})
}

// sumGroups stores the sums of groups from..to-1 for n rows; those behind the last one are the last one's again. A group's codes are asked for while those of
// the one before are multiplied.
func (l *lanesOfGroup) sumGroups(row, n, from, to, sums *spmd.Value) {
	x := l.Offset(l.x.ptr, l.Mul(row, l.I(l.stride)))
	last := l.Truncate(l.Sub(n, l.I(1)))
	inRow := l.Add(l.Mul(l.Min(l.at, last), l.I32(int32(l.stride))), l.Mul(l.quarter, l.I32(int32(2*l.words))))
	l.For(from, to, 1, l.codes(from), func(g *spmd.Value, w []*spmd.Value) []*spmd.Value {
		var words []*spmd.Value
		for at := int64(0); at < 2*l.words; at += 4 {
			words = append(words, l.GatherRun(l.Offset(x, l.Mul(g, l.I(l.group/4))), inRow, at, 4)...)
		}
		behind := l.Add(g, l.I(1))
		next := l.If(l.Cmp(spmd.LT, behind, to), func() []*spmd.Value { return l.codes(behind) }, func() []*spmd.Value { return w })
		for fragment := range int64(2) {
			var columns [2][]*spmd.Value
			for i := range columns {
				columns[i] = sixteenfold(l.code, w[(2*fragment+int64(i))*l.words:][:l.words])
			}
			for i, sum := range groupSums(l.code, columns, words) {
				l.StoreV(sums, l.Mul(g, l.I(blockWords)), inBlock(fragment, int64(i)), sum)
			}
		}
		return next
	})
}

// codes loads the lane's words of group g: of four columns, eight apart. Behind the last group lies another panel, or what is behind the last weight.
func (l *lanesOfGroup) codes(g *spmd.Value) []*spmd.Value {
	var w []*spmd.Value
	group := l.Offset(l.weights, l.Mul(g, l.I(4*l.words*panelWide)))
	for column := int64(0); column < panelWide; column += 8 {
		w = append(w, l.GatherRun(group, l.inPanel, column*4, int(l.words))...)
	}
	return w
}
