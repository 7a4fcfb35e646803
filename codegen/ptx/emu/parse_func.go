package emu

import "strings"

// function reads an entry or a function: returns, name, parameters, directives, body.
func (p *parser) function(entry bool) error {
	f := &function{entry: entry, line: p.peek().line}
	var err error
	if !entry && p.is("(") {
		if f.returns, err = p.formals(f); err != nil {
			return err
		}
	}
	if f.name, err = p.ident("the function's name"); err != nil {
		return err
	}
	if p.is("(") {
		if f.params, err = p.formals(f); err != nil {
			return err
		}
	}
	if err := p.directives(f); err != nil {
		return err
	}
	if !p.is(";") {
		f.defined = true
		if err := p.body(f); err != nil {
			return err
		}
	}
	p.addFunction(f)
	return nil
}

// addFunction joins a definition with the declarations of the same name.
func (p *parser) addFunction(f *function) {
	m := p.module
	old := m.functions[f.name]
	switch {
	case m.variables[f.name] != nil || old != nil && old.defined && f.defined:
		p.note(f.line, "%q is declared twice", f.name)
	case old == nil:
		m.functions[f.name] = f
		m.bodies = append(m.bodies, f)
	case f.defined:
		f.line = old.line // where it can be called from
		*old = *f
	}
}

func (p *parser) formals(f *function) ([]formal, error) {
	var out []formal
	for !p.is(")") {
		if len(out) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		switch {
		case p.is(".reg"):
			if f.entry {
				return nil, p.fail("parameters of an entry are in .param space")
			}
			regs, err := p.register()
			if err != nil {
				return nil, err
			}
			out = append(out, formal{reg: regs})
		case p.is(".param"):
			align, t, vec, err := p.varType()
			if err != nil {
				return nil, err
			}
			v, err := p.variable(param, t, align, vec)
			if err != nil {
				return nil, err
			}
			if v.count == 0 {
				return nil, p.fail("%s has no length", v.name)
			}
			out = append(out, formal{variable: v})
		default:
			return nil, p.fail("want .param or .reg, not %v", p.peek())
		}
	}
	return out, nil
}

// register reads the type and name of one register parameter.
func (p *parser) register() (regDecl, error) {
	d := p.next()
	t := typeOf(strings.TrimPrefix(d.text, "."))
	if d.kind != tokDot || t == noType {
		p.at--
		return regDecl{}, p.fail("want a type, not %v", d)
	}
	name, err := p.ident("a register")
	return regDecl{name: name, typ: t, count: -1}, err
}

// directives are what stands between the parameters and the body.
func (p *parser) directives(f *function) error {
	for p.peek().kind == tokDot {
		switch d := p.next(); d.text {
		case ".maxntid":
			if err := p.triple(&f.maxBlock); err != nil {
				return err
			}
		case ".reqntid":
			if err := p.triple(&f.reqBlock); err != nil {
				return err
			}
		case ".minnctapersm", ".maxnreg", ".maxnctapersm":
			if _, err := p.number("a number"); err != nil {
				return err
			}
		case ".noreturn":
		case ".pragma":
			p.recover()
		default:
			p.at--
			return p.fail("directive %s is not known here", d.text)
		}
	}
	return nil
}

func (p *parser) triple(to *[3]int) error {
	*to = [3]int{1, 1, 1}
	for i := range to {
		n, err := p.number("a number of threads")
		if err != nil {
			return err
		}
		if n < 1 || n > 1024 {
			return p.fail("%d threads", n)
		}
		to[i] = int(n)
		if i == 2 || !p.is(",") {
			break
		}
	}
	return nil
}

func (p *parser) body(f *function) error {
	if err := p.expect("{"); err != nil {
		return err
	}
	for depth := 1; ; {
		t := p.peek()
		switch {
		case t.kind == tokEnd:
			return p.fail("function %s has no end", f.name)
		case p.is("{"):
			depth++
			f.body = append(f.body, statement{kind: stmtOpen, line: t.line})
		case p.is("}"):
			if depth--; depth == 0 {
				return nil
			}
			f.body = append(f.body, statement{kind: stmtClose, line: t.line})
		default:
			if err := p.statement(f); err != nil {
				p.recover()
			}
		}
	}
}

func (p *parser) statement(f *function) error {
	t := p.peek()
	switch {
	case t.kind == tokDot:
		return p.bodyDirective(f)
	case t.kind == tokName && p.toks[p.at+1].kind == tokPunct && p.toks[p.at+1].text == ":":
		p.at += 2
		return p.label(f, t)
	case p.is(";"):
		return nil
	}
	in, err := p.instruction()
	if err == nil {
		f.body = append(f.body, statement{kind: stmtInstr, line: t.line, instr: in})
	}
	return err
}

func (p *parser) label(f *function, t token) error {
	if !p.is(".branchtargets") {
		f.body = append(f.body, statement{kind: stmtLabel, line: t.line, label: t.text})
		return nil
	}
	s := statement{kind: stmtTargets, line: t.line, label: t.text}
	for first := true; first || p.is(","); first = false {
		name, err := p.ident("a label")
		if err != nil {
			return err
		}
		s.targets = append(s.targets, name)
	}
	f.body = append(f.body, s)
	return p.expect(";")
}

func (p *parser) bodyDirective(f *function) error {
	t := p.next()
	switch t.text {
	case ".reg":
		return p.registers(f, t.line)
	case ".loc", ".file":
		p.restOfLine(t.line)
		return nil
	case ".pragma":
		p.recover()
		return nil
	}
	s, ok := spaceOf(t.text[1:])
	if !ok {
		p.at--
		return p.fail("directive %s is not known here", t.text)
	}
	vs, err := p.variables(s, false)
	for _, v := range vs {
		f.body = append(f.body, statement{kind: stmtVar, line: v.line, v: v})
	}
	return err
}

func (p *parser) registers(f *function, line int32) error {
	d := p.next()
	t := typeOf(strings.TrimPrefix(d.text, "."))
	if d.kind != tokDot || t == noType || t == b8 || t == u8 || t == s8 {
		p.at--
		return p.fail("%v is no type of a register", d)
	}
	s := statement{kind: stmtReg, line: line}
	for first := true; first || p.is(","); first = false {
		name, err := p.ident("a register")
		if err != nil {
			return err
		}
		r := regDecl{name: name, typ: t, count: -1}
		if p.is("<") {
			if r.count, err = p.number("how many registers"); err != nil {
				return err
			}
			if r.count < 0 || r.count > maxRegisters {
				return p.fail("%d registers", r.count)
			}
			if err := p.expect(">"); err != nil {
				return err
			}
		}
		s.regs = append(s.regs, r)
	}
	f.body = append(f.body, s)
	return p.expect(";")
}
