package emu

import "strings"

// instruction reads guard, opcode and operands up to the semicolon.
func (p *parser) instruction() (*instruction, error) {
	in := &instruction{line: p.peek().line}
	var err error
	if p.is("@") {
		in.negate = p.is("!")
		if in.guard, err = p.ident("a predicate"); err != nil {
			return nil, err
		}
	}
	first := p.at
	if in.op, err = p.ident("an instruction"); err != nil {
		return nil, err
	}
	for p.peek().kind == tokDot {
		in.mods = append(in.mods, p.next().text[1:])
	}
	for !p.is(";") {
		if len(in.args) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		o, err := p.operand(0)
		if err != nil {
			return nil, err
		}
		in.args = append(in.args, o)
	}
	in.text = p.source(first)
	return in, nil
}

// source is what was written from token first up to here.
func (p *parser) source(first int) string {
	var b strings.Builder
	for i, t := range p.toks[first : p.at-1] {
		if i > 0 && !t.glued {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

func (p *parser) operand(depth int) (operand, error) {
	t := p.next()
	switch {
	case t.kind == tokName:
		return p.named(t)
	case t.kind == tokInt:
		return operand{kind: argInt, value: t.value}, nil
	case t.kind == tokFloat:
		return operand{kind: argFloat, value: t.value, single: t.single}, nil
	case t.text == "-" && t.kind == tokPunct:
		return p.negative()
	case t.text == "!" && t.kind == tokPunct:
		name, err := p.ident("a predicate")
		return operand{kind: argName, name: name, not: true}, err
	case t.text == "[" && t.kind == tokPunct:
		return p.address()
	case (t.text == "{" || t.text == "(") && t.kind == tokPunct && depth == 0:
		return p.list(t.text)
	}
	p.at--
	return operand{}, p.fail("want an operand, not %v", t)
}

func (p *parser) named(t token) (operand, error) {
	o := operand{kind: argName, name: t.text}
	if t.text == "_" {
		o.kind = argSink
	}
	if n := p.peek(); n.kind == tokDot && n.glued {
		p.at++
		o.part = n.text[1:]
	}
	if p.is("|") {
		second, err := p.ident("a second result")
		o.second = second
		return o, err
	}
	if p.is("+") || p.peek().text == "-" && p.peek().kind == tokPunct { // variable + constant, as mov takes it
		n, err := p.number("a constant")
		o.value = uint64(n)
		return o, err
	}
	return o, nil
}

func (p *parser) negative() (operand, error) {
	switch t := p.next(); t.kind {
	case tokInt:
		return operand{kind: argInt, value: -t.value, minus: true}, nil
	case tokFloat:
		sign := uint64(1) << 63
		if t.single {
			sign = 1 << 31
		}
		return operand{kind: argFloat, value: t.value ^ sign, single: t.single}, nil
	}
	p.at--
	return operand{}, p.fail("want a number, not %v", p.peek())
}

// address reads what follows [: a register or variable, plus or minus a constant, or a constant alone.
func (p *parser) address() (operand, error) {
	o := operand{kind: argAddress}
	if p.peek().kind == tokName {
		o.name = p.next().text
		if p.is("]") {
			return o, nil
		}
		if !p.is("+") { // ptxas too reads "+-4" only
			return o, p.fail("want + or ], not %v", p.peek())
		}
	}
	n, err := p.number("an offset")
	if err != nil {
		return o, err
	}
	o.value = uint64(n)
	return o, p.expect("]")
}

// list reads the elements of {a, b} or (a, b).
func (p *parser) list(open string) (operand, error) {
	o, end := operand{kind: argVector}, "}"
	if open == "(" {
		o.kind, end = argList, ")"
	}
	for !p.is(end) {
		if len(o.list) > 0 {
			if err := p.expect(","); err != nil {
				return o, err
			}
		}
		e, err := p.operand(1)
		if err != nil {
			return o, err
		}
		o.list = append(o.list, e)
	}
	return o, nil
}
