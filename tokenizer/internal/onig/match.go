package onig

import "unicode/utf8"

type opcode uint8

const (
	opMatch  opcode = iota
	opSet           // one character of set
	opLoop          // min to max characters of set
	opAlt           // the branches in order
	opLook          // body must, or must not, match here
	opAssert        // a place
)

type inst struct {
	op       opcode
	mode     repeatMode
	negate   bool
	assert   byte
	set      *Set
	min, max int
	next     int
	body     int
	branches []branch
}

// branch is one alternative; first lets most of them be passed over without a try.
type branch struct {
	pc    int
	first *byteSet
}

// frame is a place to go back to: the other branches of an opAlt (n is the next one), or the shorter or longer choices of an opLoop (n is its bound).
type frame struct{ pc, pos, n int }

// machine is the scratch space of one search.
type machine struct {
	re     *Regexp
	text   string
	budget int // steps left; negative: too many were needed
	stack  []frame
}

func runeLen(text string, at int) int {
	if at >= len(text) {
		return 1
	}
	_, n := utf8.DecodeRuneInString(text[at:])
	return n
}

// search finds the leftmost match at or behind from; start is negative if there is none.
func (m *machine) search(from int) (start, end int) {
	for at := from; at <= len(m.text); at += runeLen(m.text, at) {
		if at < len(m.text) && !m.re.first.has(m.text[at]) {
			m.budget--
			continue
		}
		if end := m.run(m.re.start, at); end >= 0 {
			return at, end
		}
		if m.budget < 0 {
			break
		}
	}
	return -1, -1
}

// run matches from pc on at pos, and returns the end of the match or -1. Frames below those that stand on the stack are not touched: a lookahead runs on the same stack.
func (m *machine) run(pc, pos int) int {
	base := len(m.stack)
	for {
		if m.budget--; m.budget < 0 {
			m.stack = m.stack[:base]
			return -1
		}
		in := &m.re.prog[pc]
		ok := true
		switch in.op {
		case opMatch:
			m.stack = m.stack[:base]
			return pos
		case opSet:
			if r, size := m.decode(pos); size > 0 && in.set.Has(r) {
				pos, pc = pos+size, in.next
			} else {
				ok = false
			}
		case opLoop:
			pos, ok = m.loop(in, pc, pos)
			pc = in.next
		case opAlt:
			pc, ok = m.alternative(in, pc, pos, 0)
		case opLook:
			ok = (m.run(in.body, pos) >= 0) != in.negate
			pc = in.next
		case opAssert:
			ok = m.holds(in.assert, pos)
			pc = in.next
		}
		if !ok {
			if pc, pos, ok = m.back(base); !ok {
				return -1
			}
		}
	}
}

func (m *machine) decode(pos int) (rune, int) {
	if pos >= len(m.text) {
		return 0, 0
	}
	if c := m.text[pos]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(m.text[pos:])
}

// loop takes as many characters as it may (lazy: as it must) and remembers the other choices as one frame.
func (m *machine) loop(in *inst, pc, pos int) (int, bool) {
	limit := in.max
	if in.mode == lazy {
		limit = in.min
	}
	floor, count := pos, 0
	for limit < 0 || count < limit {
		r, size := m.decode(pos)
		if size == 0 || !in.set.Has(r) {
			break
		}
		pos += size
		if count++; count <= in.min {
			floor = pos
		}
	}
	m.budget -= count
	switch {
	case count < in.min:
		return pos, false
	case in.mode == lazy && in.max != in.min:
		m.stack = append(m.stack, frame{pc, pos, in.max - in.min})
	case in.mode == greedy && pos > floor:
		m.stack = append(m.stack, frame{pc, pos, floor})
	}
	return pos, true
}

// alternative goes to the first branch from n on that can begin with the byte at pos, and remembers the others.
func (m *machine) alternative(in *inst, pc, pos, n int) (int, bool) {
	for ; n < len(in.branches); n++ {
		b := in.branches[n]
		if b.first != nil && (pos >= len(m.text) || !b.first.has(m.text[pos])) {
			continue
		}
		if n+1 < len(in.branches) {
			m.stack = append(m.stack, frame{pc, pos, n + 1})
		}
		return b.pc, true
	}
	return pc, false
}

// back takes the next choice from the stack.
func (m *machine) back(base int) (pc, pos int, ok bool) {
	for len(m.stack) > base {
		m.budget--
		top := len(m.stack) - 1
		f := m.stack[top]
		m.stack = m.stack[:top]
		in := &m.re.prog[f.pc]
		switch {
		case in.op == opAlt:
			if pc, ok := m.alternative(in, f.pc, f.pos, f.n); ok {
				return pc, f.pos, true
			}
		case in.mode == lazy:
			r, size := m.decode(f.pos)
			if size == 0 || !in.set.Has(r) {
				continue
			}
			if f.n != 1 { // negative: no limit
				m.stack = append(m.stack, frame{f.pc, f.pos + size, f.n - 1})
			}
			return in.next, f.pos + size, true
		default:
			_, size := utf8.DecodeLastRuneInString(m.text[:f.pos])
			if f.pos -= size; f.pos > f.n {
				m.stack = append(m.stack, f)
			}
			return in.next, f.pos, true
		}
	}
	return 0, 0, false
}

// holds checks a place. Lines end at \n; behind a \n that ends the text no line begins.
func (m *machine) holds(assert byte, pos int) bool {
	switch assert {
	case '^':
		return pos == 0 || pos < len(m.text) && m.text[pos-1] == '\n'
	case '$':
		return pos == len(m.text) || m.text[pos] == '\n'
	case 'A':
		return pos == 0
	}
	return pos == len(m.text)
}
