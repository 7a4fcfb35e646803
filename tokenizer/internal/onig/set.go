package onig

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Set is a set of code points: a bitmap for ASCII, where most text is, and sorted ranges for the rest.
type Set struct {
	ascii  [2]uint64
	ranges []runeRange // sorted, disjoint, not adjacent; ASCII included
}

type runeRange struct{ lo, hi rune }

// Has reports whether r is in the set.
func (s *Set) Has(r rune) bool {
	if uint32(r) < utf8.RuneSelf {
		return s.ascii[r>>6]&(1<<(uint(r)&63)) != 0
	}
	lo, hi := 0, len(s.ranges)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch g := s.ranges[mid]; {
		case r < g.lo:
			hi = mid
		case r > g.hi:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}

// newSet sorts and joins the ranges.
func newSet(ranges []runeRange) *Set {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b runeRange) int { return int(a.lo) - int(b.lo) })
	s := &Set{}
	for _, g := range ranges {
		if n := len(s.ranges); n > 0 && g.lo <= s.ranges[n-1].hi+1 {
			s.ranges[n-1].hi = max(s.ranges[n-1].hi, g.hi)
			continue
		}
		s.ranges = append(s.ranges, g)
	}
	for _, g := range s.ranges {
		for r := g.lo; r <= g.hi && r < utf8.RuneSelf; r++ {
			s.ascii[r>>6] |= 1 << (uint(r) & 63)
		}
	}
	return s
}

// not is the complement.
func (s *Set) not() *Set {
	var out []runeRange
	next := rune(0)
	for _, g := range s.ranges {
		if next < g.lo {
			out = append(out, runeRange{next, g.lo - 1})
		}
		next = g.hi + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, runeRange{next, unicode.MaxRune})
	}
	return newSet(out)
}

// and is the intersection: not (not s or not t).
func (s *Set) and(t *Set) *Set {
	return newSet(append(slices.Clone(s.not().ranges), t.not().ranges...)).not()
}

// fold adds what simple case folding makes equal: s, S and the long s; k, K and the Kelvin sign.
func (s *Set) fold() *Set {
	out := slices.Clone(s.ranges)
	for _, g := range s.ranges {
		for r := g.lo; r <= g.hi; r++ {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				out = append(out, runeRange{f, f})
			}
		}
	}
	return newSet(out)
}

// isASCII reports whether the set holds ASCII characters only.
func (s *Set) isASCII() bool {
	return len(s.ranges) == 0 || s.ranges[len(s.ranges)-1].hi < utf8.RuneSelf
}

// tableRanges lists what a table of package unicode holds.
func tableRanges(tables ...*unicode.RangeTable) []runeRange {
	var out []runeRange
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			out = append(out, runeRange{lo, hi})
			return
		}
		for r := lo; r <= hi; r += stride {
			out = append(out, runeRange{r, r})
		}
	}
	for _, t := range tables {
		for _, g := range t.R16 {
			add(rune(g.Lo), rune(g.Hi), rune(g.Stride))
		}
		for _, g := range t.R32 {
			add(rune(g.Lo), rune(g.Hi), rune(g.Stride))
		}
	}
	return out
}

// shorthand is the set of \s, \d, \w and \h; upper case letters stand for the complement.
func shorthand(c byte) *Set {
	var s *Set
	switch c | 0x20 {
	case 's':
		s = newSet(tableRanges(unicode.White_Space))
	case 'd':
		s = newSet(tableRanges(unicode.Nd))
	case 'h':
		s = newSet([]runeRange{{'0', '9'}, {'A', 'F'}, {'a', 'f'}})
	default: // \w: letters and what counts as such, marks, digits, connectors; of superscripts and fractions only those of Latin-1
		ranges := tableRanges(unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic)
		s = newSet(append(ranges, runeRange{'²', '³'}, runeRange{'¹', '¹'}, runeRange{'¼', '¾'}))
	}
	if c < 'a' {
		return s.not()
	}
	return s
}

// property is the set of \p{name}: a general category or a script. Case, blanks, '-' and '_' do not count in Oniguruma's names.
func property(name string) (*Set, error) {
	plain, negate := strings.CutPrefix(name, "^")
	table := lookUp(unicode.Categories, plain)
	if table == nil {
		table = lookUp(unicode.Scripts, plain)
	}
	// What is not assigned changes with every Unicode version; nobody splits text by it.
	if table == nil || squash(plain) == "c" || squash(plain) == "cn" {
		return nil, fmt.Errorf(`the property \p{%s} is not supported; general categories such as \p{L} and scripts such as \p{Han} are`, name)
	}
	s := newSet(tableRanges(table))
	if negate {
		return s.not(), nil
	}
	return s, nil
}

func lookUp(tables map[string]*unicode.RangeTable, name string) *unicode.RangeTable {
	name = squash(name)
	if short, ok := longNames[name]; ok {
		return tables[short]
	}
	for key, table := range tables {
		if squash(key) == name {
			return table
		}
	}
	return nil
}

func squash(name string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(name))
}

// longNames are the categories' names in full that patterns are written with.
var longNames = map[string]string{
	"letter": "L", "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt", "modifierletter": "Lm", "otherletter": "Lo",
	"mark": "M", "nonspacingmark": "Mn", "spacingmark": "Mc", "enclosingmark": "Me",
	"number": "N", "decimalnumber": "Nd", "letternumber": "Nl", "othernumber": "No",
	"punctuation": "P", "symbol": "S", "separator": "Z", "spaceseparator": "Zs",
}
