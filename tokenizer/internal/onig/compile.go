package onig

import "unicode/utf8"

// byteSet is a set of first bytes.
type byteSet [4]uint64

func (s *byteSet) has(b byte) bool { return s[b>>6]&(1<<(b&63)) != 0 }
func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }

func (s *byteSet) join(t byteSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

// nullable reports whether n can match without taking a character.
func (n *node) nullable() bool {
	switch n.kind {
	case nodeSet:
		return false
	case nodeRepeat:
		return n.min == 0 || n.subs[0].nullable()
	case nodeCat:
		for _, sub := range n.subs {
			if !sub.nullable() {
				return false
			}
		}
		return true
	case nodeAlt:
		for _, sub := range n.subs {
			if sub.nullable() {
				return true
			}
		}
		return false
	}
	return true
}

// firstBytes is the set of bytes that a match of n can begin with: every byte if n can match without one.
func firstBytes(n *node) byteSet {
	if n.nullable() {
		return byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	}
	var out byteSet
	switch n.kind {
	case nodeSet:
		out = leadBytes(n.set)
	case nodeRepeat:
		out = firstBytes(n.subs[0])
	case nodeAlt:
		for _, sub := range n.subs {
			out.join(firstBytes(sub))
		}
	case nodeCat:
		for _, sub := range n.subs {
			out.join(beginsWith(sub))
			if !sub.nullable() {
				break
			}
		}
	}
	return out
}

// beginsWith is firstBytes for a part that is followed by others: if it is empty it adds nothing.
func beginsWith(n *node) byteSet {
	switch n.kind {
	case nodeLook, nodeAssert:
		return byteSet{}
	case nodeRepeat:
		return beginsWith(n.subs[0])
	case nodeCat, nodeAlt:
		var out byteSet
		for _, sub := range n.subs {
			out.join(beginsWith(sub))
			if n.kind == nodeCat && !sub.nullable() {
				break
			}
		}
		return out
	}
	return leadBytes(n.set)
}

func leadBytes(s *Set) byteSet {
	var out byteSet
	for _, g := range s.ranges {
		for b := int(leadByte(g.lo)); b <= int(leadByte(g.hi)); b++ {
			out.add(byte(b))
		}
	}
	return out
}

func leadByte(r rune) byte {
	if r >= 0xD800 && r <= 0xDFFF { // not in text; its neighbours begin with the same byte
		return 0xED
	}
	var buf [utf8.UTFMax]byte
	utf8.EncodeRune(buf[:], r)
	return buf[0]
}

// compiler makes instructions from the end of the pattern to its beginning: each knows what comes next.
type compiler struct {
	prog []inst
	full bool
}

func (c *compiler) add(in inst) int {
	if len(c.prog) >= maxProgram {
		c.full = true
		return 0
	}
	c.prog = append(c.prog, in)
	return len(c.prog) - 1
}

func (c *compiler) compile(n *node, next int) int {
	if c.full {
		return 0
	}
	switch n.kind {
	case nodeSet:
		return c.add(inst{op: opSet, set: n.set, next: next})
	case nodeCat:
		for i := len(n.subs) - 1; i >= 0; i-- {
			next = c.compile(n.subs[i], next)
		}
		return next
	case nodeAlt:
		branches := make([]branch, len(n.subs))
		for i, sub := range n.subs {
			branches[i] = c.branch(sub, next)
		}
		return c.add(inst{op: opAlt, branches: branches})
	case nodeLook:
		body := c.compile(n.subs[0], c.add(inst{op: opMatch}))
		return c.add(inst{op: opLook, body: body, negate: n.negate, next: next})
	case nodeAssert:
		return c.add(inst{op: opAssert, assert: n.assert, next: next})
	}
	return c.repeat(n, next)
}

func (c *compiler) branch(n *node, next int) branch {
	b := branch{pc: c.compile(n, next)}
	if !n.nullable() {
		first := firstBytes(n)
		b.first = &first
	}
	return b
}

// repeat unrolls what is more than one character: x{2,4} is x x (x (x)?)?, and x* is a choice that comes back to itself.
func (c *compiler) repeat(n *node, next int) int {
	sub := n.subs[0]
	if sub.kind == nodeSet {
		return c.add(inst{op: opLoop, set: sub.set, min: n.min, max: n.max, mode: n.mode, next: next})
	}
	choice := func(body branch) []branch {
		if n.mode == lazy {
			return []branch{{pc: next}, body}
		}
		return []branch{body, {pc: next}}
	}
	at := next
	if n.max < 0 {
		at = c.add(inst{op: opAlt})
		if body := c.branch(sub, at); !c.full {
			c.prog[at].branches = choice(body)
		}
	}
	for i := n.min; i < n.max && !c.full; i++ {
		at = c.add(inst{op: opAlt, branches: choice(c.branch(sub, at))})
	}
	for i := 0; i < n.min && !c.full; i++ {
		at = c.compile(sub, at)
	}
	return at
}
