// Package onig matches the regular expressions of tokenizer.json files: the part of Oniguruma's Ruby syntax that such files use, with Oniguruma's meaning.
//
// The tokenizers library runs Oniguruma over UTF-8 text. Other engines give other splits: Go's regexp has no lookahead, and \s, \p{...} and (?i:...) differ from engine to engine.
// Everything that is not in the list below is an error of Compile that names the construct, never an approximation:
//
//	abc  .  [a-z\s]  [^...]  [a-z&&[^b]]  \s \S \d \D \w \W \h \H \p{L} \P{L} \p{^L} \p{Han}  \t \n \v \f \r \a \e \xHH \x{H} \uHHHH
//	x|y  (x)  (?:x)  (?i:x)  (?i)  (?=x)  (?!x)  ^  $  \A  \z
//	x* x+ x? x{n} x{n,} x{n,m} x{,m}, lazy x*? x+? x?? x{n,}? x{n,m}?, possessive [c]*+ [c]++ [c]?+
//
// Matching backtracks, first alternative first. A loop over one character class keeps a single entry on the backtrack stack whatever its length, so that words and
// runs of blanks of any length cost no memory. The number of steps is bounded (FindAll), so that no pattern from a file can hang the caller.
package onig

import (
	"fmt"
	"sync"
)

// Regexp is a compiled pattern. It may be used by many goroutines at once.
type Regexp struct {
	pattern string
	prog    []inst
	start   int
	first   byteSet // bytes that a match can begin with; all of them if it may be empty
	empty   bool    // it may be empty
	pool    sync.Pool
}

// Span is a stretch of the text, in bytes, and whether the pattern matched it.
type Span struct {
	Start, End int
	Match      bool
}

// limits of what a pattern may ask for; real patterns have some 40 instructions.
const (
	maxPattern = 1 << 13
	maxProgram = 1 << 14
	maxRepeat  = 1000
	maxNesting = 64
)

// Compile reads a pattern.
func Compile(pattern string) (*Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes is longer than the limit of %d", len(pattern), maxPattern)
	}
	root, err := parse(pattern)
	if err != nil {
		return nil, err
	}
	re := &Regexp{pattern: pattern}
	c := compiler{}
	end := c.add(inst{op: opMatch})
	re.start = c.compile(root, end)
	if c.full {
		return nil, fmt.Errorf("the pattern needs more than %d instructions; its {n,m} repeats are too large", maxProgram)
	}
	re.prog = c.prog
	re.first, re.empty = firstBytes(root), root.nullable()
	re.pool.New = func() any { return &machine{re: re} }
	return re, nil
}

// String is the pattern as it was given.
func (re *Regexp) String() string { return re.pattern }

// MatchesEmpty reports whether the pattern can match without taking a character.
func (re *Regexp) MatchesEmpty() bool { return re.empty }

// FindAll cuts text into matches and what lies between them, in order and without gaps, and appends them to spans.
//
// An empty match directly behind another match does not count, as in Oniguruma's iterator. The error is that the pattern needs more steps than
// a sane pattern would for a text of this length.
func (re *Regexp) FindAll(spans []Span, text string) ([]Span, error) {
	m := re.pool.Get().(*machine)
	defer func() {
		m.text = ""
		re.pool.Put(m)
	}()
	m.text, m.budget = text, 1<<22+256*len(text)
	done, from, lastEnd := 0, 0, -1
	for from <= len(text) {
		start, end := m.search(from)
		if m.budget < 0 {
			return spans, fmt.Errorf("the regular expression %q needs too many steps on a text of %d bytes", re.pattern, len(text))
		}
		if start < 0 {
			break
		}
		if start == end && end == lastEnd {
			from += runeLen(text, from)
			continue
		}
		if done < start {
			spans = append(spans, Span{done, start, false})
		}
		spans = append(spans, Span{start, end, true})
		done, from, lastEnd = end, end, end
	}
	if done < len(text) {
		spans = append(spans, Span{done, len(text), false})
	}
	return spans, nil
}
