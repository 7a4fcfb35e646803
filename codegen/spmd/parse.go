package spmd

import (
	"fmt"
	"strconv"
)

// ParseKernel reads the text of one kernel. What it gives is well formed as text only: Verify says whether it means something.
func ParseKernel(text string) (*Kernel, error) {
	p := newParser(text)
	p.lines()
	k := p.kernel()
	p.lines()
	p.want(tokEnd, "")
	if p.lex.err != nil {
		return nil, fmt.Errorf("kernel text: %w", p.lex.err)
	}
	return k, nil
}

// parser is recursive descent over one token of look-ahead. After the first error every token is the end, so that it runs out quickly.
type parser struct {
	lex    lexer
	tok    token
	depth  int
	values map[string]*Value
	first  map[*Value]int // line where a value that is not yet defined was first named
	ops    map[string]Op
}

func newParser(text string) *parser {
	p := &parser{lex: lexer{text: text, line: 1}, ops: map[string]Op{}}
	for o := range ops {
		p.ops[ops[o].name] = Op(o)
	}
	p.advance()
	return p
}

func (p *parser) advance() { p.tok = p.lex.next() }

func (p *parser) fail(format string, args ...any) {
	p.lex.fail(p.tok.line, format, args...)
	p.tok = token{kind: tokEnd, line: p.tok.line}
}

func (p *parser) is(text string) bool {
	return p.tok.text == text && (p.tok.kind == tokMark || p.tok.kind == tokName)
}

// accept takes a mark or a word if it stands here.
func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(texts ...string) {
	for _, t := range texts {
		if !p.accept(t) {
			p.fail("%q is wanted, not %v", t, p.tok)
			return
		}
	}
}

func (p *parser) want(kind tokenKind, what string) string {
	t := p.tok
	if t.kind != kind {
		if kind == tokEnd {
			what = "the end"
		}
		p.fail("%s is wanted, not %v", what, t)
		return ""
	}
	if kind != tokEnd {
		p.advance()
	}
	return t.text
}

// lines skips empty lines; endLine wants at least one.
func (p *parser) lines() {
	for p.tok.kind == tokLine {
		p.advance()
	}
}

func (p *parser) endLine() {
	p.want(tokLine, "the end of the line")
	p.lines()
}

func (p *parser) name() string {
	if p.tok.kind == tokString {
		return p.want(tokString, "a name")
	}
	return p.want(tokName, "a name")
}

func (p *parser) integer() int64 {
	sign := ""
	if p.accept("-") {
		sign = "-"
	}
	s := sign + p.want(tokNumber, "a number")
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil && p.lex.err == nil {
		p.fail("%q is not a 64-bit integer", s)
	}
	return n
}

func (p *parser) smallInt() int {
	n := p.integer()
	if n != int64(int32(n)) {
		p.fail("%d is too large", n)
	}
	return int(int32(n))
}

func (p *parser) typ() Type {
	s := ""
	switch {
	case p.accept("*"):
		s = "*" + p.want(tokName, "an element type")
	case p.accept("<"):
		s = "<" + p.want(tokName, "an element type") + ">"
		p.expect(">")
	default:
		s = p.want(tokName, "a type")
	}
	t, ok := parseType(s)
	if !ok {
		p.fail("unknown type %q", s)
	}
	return t
}

func (p *parser) kernel() *Kernel {
	k := &Kernel{}
	p.values, p.first = map[string]*Value{}, map[*Value]int{}
	p.expect("kernel")
	k.Name = p.name()
	p.expect("lanes")
	k.Lanes, k.Members = p.smallInt(), 1
	if p.accept("members") {
		k.Members = p.smallInt()
	}
	p.expect("team")
	k.Team = p.integer()
	p.expect("(")
	for !p.is(")") && p.lex.err == nil {
		if len(k.Params) > 0 {
			p.expect(",")
		}
		k.Params = append(k.Params, p.param())
	}
	p.expect(")")
	k.Body = &Region{}
	p.region(k.Body)
	p.undefined()
	return k
}

// undefined fails about the first value that is used and has no definition at all; whether it is visible is for Verify to say.
func (p *parser) undefined() {
	var worst *Value
	for v, line := range p.first {
		if worst == nil || line < p.first[worst] || line == p.first[worst] && v.ID < worst.ID {
			worst = v
		}
	}
	if worst != nil && p.lex.err == nil {
		p.lex.fail(p.first[worst], "%s is defined nowhere", worst)
	}
}

func (p *parser) param() Param {
	q := Param{Name: p.name()}
	t := p.typ()
	if t.Kind != Pointer {
		p.fail("parameter %s is %v, not a pointer", printName(q.Name), t)
	}
	q.Elem = t.Elem
	word := p.want(tokName, "a space")
	for s, name := range spaces {
		if name == word {
			q.Space = Space(s)
			return q
		}
	}
	p.fail("unknown space %q", word)
	return q
}

// use gives the value of a name, which may be defined later.
func (p *parser) use() *Value {
	s := p.want(tokValue, "a value")
	if p.lex.err != nil {
		return &Value{}
	}
	if v := p.values[s]; v != nil {
		return v
	}
	id, err := strconv.ParseInt(s[1:], 10, 32)
	if err != nil || s != "%"+strconv.FormatInt(id, 10) {
		p.fail("%q is not a value's number", s)
	}
	v := &Value{ID: int(id)}
	p.values[s], p.first[v] = v, p.tok.line
	return v
}

// define gives the value of a name that has no definition yet.
func (p *parser) define() *Value {
	line := p.tok.line
	v := p.use()
	if _, open := p.first[v]; !open && p.lex.err == nil {
		p.lex.fail(line, "%s is defined twice", v)
	}
	delete(p.first, v)
	return v
}

func (p *parser) uses() (vs []*Value) {
	for p.tok.kind == tokValue {
		vs = append(vs, p.use())
	}
	return vs
}

// region reads from one brace to the other.
func (p *parser) region(r *Region) {
	if p.depth++; p.depth > maxDepth {
		p.fail("regions are nested more than %d deep", maxDepth)
	}
	p.expect("{")
	p.endLine()
	for p.lex.err == nil && !p.is("}") {
		if p.accept("yield") {
			r.Yield = p.uses()
			if len(r.Yield) == 0 {
				p.fail("yield of nothing")
			}
			p.endLine()
			break
		}
		r.Body = append(r.Body, p.instr())
		p.endLine()
	}
	p.expect("}")
	p.depth--
}
