package onig

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type nodeKind uint8

const (
	nodeSet    nodeKind = iota // one character of set
	nodeCat                    // subs one after the other
	nodeAlt                    // the first of subs that leads to a match
	nodeRepeat                 // subs[0], min to max times (max < 0: no limit)
	nodeLook                   // subs[0] must (negate: must not) match here
	nodeAssert                 // a place: '^', '$', 'A' or 'z'
)

type repeatMode uint8

const (
	greedy repeatMode = iota
	lazy
	possessive
)

type node struct {
	kind     nodeKind
	set      *Set
	subs     []*node
	min, max int
	mode     repeatMode
	negate   bool
	assert   byte
	caseless bool // a shorthand or the dot: means the same under (?i)
}

// parser reads a pattern left to right; at is the byte it stands on.
type parser struct {
	src     string
	at      int
	nesting int
}

func parse(pattern string) (*node, error) {
	if !utf8.ValidString(pattern) {
		return nil, fmt.Errorf("the pattern %q is not valid UTF-8", pattern)
	}
	p := parser{src: pattern}
	n, err := p.alternatives(false)
	if err == nil && p.at < len(p.src) {
		err = p.errorf(`")" without "("`)
	}
	return n, err
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("the pattern %q, byte %d: %s", p.src, p.at, fmt.Sprintf(format, args...))
}

func (p *parser) eof() bool { return p.at >= len(p.src) }

// take moves on over s if it stands here.
func (p *parser) take(s string) bool {
	if strings.HasPrefix(p.src[p.at:], s) {
		p.at += len(s)
		return true
	}
	return false
}

// alternatives reads up to the end or to the parenthesis that closes this group.
func (p *parser) alternatives(fold bool) (*node, error) {
	if p.nesting++; p.nesting > maxNesting {
		return nil, p.errorf("groups are nested deeper than %d", maxNesting)
	}
	defer func() { p.nesting-- }()
	alt := &node{kind: nodeAlt}
	for {
		n, err := p.sequence(fold)
		if err != nil {
			return nil, err
		}
		alt.subs = append(alt.subs, n)
		if !p.take("|") {
			break
		}
	}
	if len(alt.subs) == 1 {
		return alt.subs[0], nil
	}
	return alt, nil
}

func (p *parser) sequence(fold bool) (*node, error) {
	cat := &node{kind: nodeCat}
	literal := "" // ASCII letters in a row, under (?i:...)
	for !p.eof() && p.src[p.at] != '|' && p.src[p.at] != ')' {
		from := p.at
		if p.take("(?i)") { // holds to the end of the group, alternatives included
			n, err := p.alternatives(true)
			if err != nil {
				return nil, err
			}
			cat.subs = append(cat.subs, n)
			break
		}
		n, err := p.atom(fold)
		if err != nil {
			return nil, err
		}
		if fold {
			if literal += strings.ToLower(p.src[from:p.at]); n.kind != nodeSet || p.at != from+1 {
				literal = ""
			}
			if err := p.checkFold(n, literal); err != nil {
				return nil, err
			}
		}
		if n, err = p.repeats(n); err != nil {
			return nil, err
		}
		cat.subs = append(cat.subs, n)
	}
	if len(cat.subs) == 1 {
		return cat.subs[0], nil
	}
	return cat, nil
}

// checkFold refuses what only full case folding gets right: Oniguruma lets (?i:ss) match the sharp s and (?i:fi) the ligature.
func (p *parser) checkFold(n *node, literal string) error {
	if n.kind != nodeSet || n.caseless {
		return nil
	}
	if !n.set.isASCII() {
		return p.errorf("characters, properties and classes beyond ASCII under (?i) are not supported")
	}
	for _, pair := range []string{"ss", "ff", "fi", "fl", "st"} {
		if strings.HasSuffix(literal, pair) {
			return p.errorf("%q under (?i) is not supported: it would match single characters too (full case folding)", pair)
		}
	}
	n.set = n.set.fold()
	return nil
}

func (p *parser) atom(fold bool) (*node, error) {
	c, size := utf8.DecodeRuneInString(p.src[p.at:])
	switch c {
	case '(':
		return p.group(fold)
	case '[':
		p.at++
		set, err := p.class(0)
		return &node{kind: nodeSet, set: set}, err
	case '\\':
		return p.escapedAtom()
	case '.':
		p.at++
		return &node{kind: nodeSet, set: newSet([]runeRange{{'\n', '\n'}}).not(), caseless: true}, nil
	case '^', '$':
		p.at++
		return &node{kind: nodeAssert, assert: byte(c)}, nil
	case '*', '+', '?':
		return nil, p.errorf("%q has nothing to repeat", c)
	case '{', '}', ']':
		return nil, p.errorf(`%q stands alone; write \%c for the character`, c, c)
	}
	p.at += size
	return &node{kind: nodeSet, set: newSet([]runeRange{{c, c}})}, nil
}

func (p *parser) escapedAtom() (*node, error) {
	for _, a := range []byte{'A', 'z'} {
		if p.take(`\` + string(a)) {
			return &node{kind: nodeAssert, assert: a}, nil
		}
	}
	caseless := p.at+1 < len(p.src) && strings.IndexByte("sSdDwWhH", p.src[p.at+1]) >= 0
	set, err := p.escape()
	return &node{kind: nodeSet, set: set, caseless: caseless}, err
}

// group reads "(" with what follows it.
func (p *parser) group(fold bool) (*node, error) {
	look, negate := false, false
	switch {
	case p.take("(?:"):
	case p.take("(?i:"):
		fold = true
	case p.take("(?-i:"):
		fold = false
	case p.take("(?="):
		look = true
	case p.take("(?!"):
		look, negate = true, true
	case strings.HasPrefix(p.src[p.at:], "(?"):
		end := min(p.at+4, len(p.src))
		return nil, p.errorf("the group %q... is not supported; (?:, (?i:, (?= and (?! are", p.src[p.at:end])
	default:
		p.at++
	}
	n, err := p.alternatives(fold)
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, p.errorf(`")" is missing`)
	}
	if look {
		n = &node{kind: nodeLook, subs: []*node{n}, negate: negate}
	} else if n.kind == nodeSet { // a group is never part of a literal run
		n = &node{kind: nodeCat, subs: []*node{n}}
	}
	return n, nil
}

// repeats reads the quantifiers behind an atom.
func (p *parser) repeats(n *node) (*node, error) {
	for !p.eof() {
		r := &node{kind: nodeRepeat, subs: []*node{n}, max: -1}
		interval := false
		switch p.src[p.at] {
		case '*':
			p.at++
		case '+':
			p.at++
			r.min = 1
		case '?':
			p.at++
			r.max = 1
		case '{':
			interval = true
			if err := p.interval(r); err != nil {
				return nil, err
			}
		default:
			return n, nil
		}
		exact := interval && r.min == r.max
		switch {
		case exact && !p.eof() && p.src[p.at] == '?':
			return nil, p.errorf("{n}? is not supported (Oniguruma reads it as (x{n})?)")
		case p.take("?"):
			r.mode = lazy
		case !interval && p.take("+"):
			r.mode = possessive
		}
		if err := p.checkRepeat(r); err != nil {
			return nil, err
		}
		n = r
	}
	return n, nil
}

func (p *parser) checkRepeat(r *node) error {
	sub := r.subs[0]
	switch {
	case r.mode == possessive && sub.kind != nodeSet:
		return p.errorf("a possessive repeat of more than one character class is not supported")
	case sub.kind == nodeLook || sub.kind == nodeAssert:
		return p.errorf("a repeat of a lookahead or of a place is not supported")
	case r.max < 0 && sub.nullable():
		return p.errorf("an unlimited repeat of something that may be empty is not supported")
	}
	return nil
}

// interval reads {n}, {n,}, {n,m} or {,m}.
func (p *parser) interval(r *node) error {
	end := strings.IndexByte(p.src[p.at:], '}')
	if end < 0 {
		return p.errorf(`"{" without "}"; write \{ for the character`)
	}
	low, high, comma := strings.Cut(p.src[p.at+1:p.at+end], ",")
	number := func(s string, empty int) (int, error) {
		if s == "" && comma {
			return empty, nil
		}
		v, err := strconv.ParseUint(s, 10, 16)
		if err != nil || v > maxRepeat {
			return 0, p.errorf(`the repeat %q is not {n}, {n,} or {n,m} with numbers up to %d; write \{ for the character`, p.src[p.at:p.at+end+1], maxRepeat)
		}
		return int(v), nil
	}
	var err error
	if r.min, err = number(low, 0); err != nil {
		return err
	}
	r.max = r.min
	if comma {
		if r.max, err = number(high, -1); err != nil {
			return err
		}
	}
	if low == "" && high == "" || r.max >= 0 && r.max < r.min {
		return p.errorf("the repeat %q is empty", p.src[p.at:p.at+end+1])
	}
	p.at += end + 1
	return nil
}
