package emu

import (
	"errors"
	"fmt"
	"strings"
)

// maxErrors is how many problems of a module are listed.
const maxErrors = 20

// parser reads one module. A statement that it cannot read is noted and skipped, so that all problems come out together.
type parser struct {
	name   string
	toks   []token
	at     int
	errs   []error
	lines  []string
	sizes  int64 // bytes of all variables
	module *Module
}

// errSyntax unwinds to where reading can go on; the problem itself is in parser.errs.
var errSyntax = errors.New("syntax")

func (p *parser) note(line int32, format string, args ...any) {
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.name, line, fmt.Sprintf(format, args...)))
	}
}

func (p *parser) fail(format string, args ...any) error {
	p.note(p.peek().line, format, args...)
	return errSyntax
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != tokEnd {
		p.at++
	}
	return t
}

// is says whether the next token is this punctuation or directive, and passes over it if so.
func (p *parser) is(text string) bool {
	if t := p.peek(); (t.kind == tokPunct || t.kind == tokDot) && t.text == text {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(text string) error {
	if !p.is(text) {
		return p.fail("want %q, not %v", text, p.peek())
	}
	return nil
}

func (p *parser) ident(what string) (string, error) {
	if t := p.peek(); t.kind == tokName {
		p.at++
		return t.text, nil
	}
	return "", p.fail("want %s, not %v", what, p.peek())
}

// number reads an integer, with or without a minus sign.
func (p *parser) number(what string) (int64, error) {
	minus := p.is("-")
	t := p.peek()
	if t.kind != tokInt {
		return 0, p.fail("want %s, not %v", what, t)
	}
	p.at++
	if minus {
		return -int64(t.value), nil
	}
	return int64(t.value), nil
}

// recover passes over the rest of a statement.
func (p *parser) recover() {
	for {
		switch t := p.peek(); {
		case t.kind == tokEnd || t.kind == tokPunct && (t.text == "}" || t.text == "{"):
			return
		case t.kind == tokPunct && t.text == ";":
			p.at++
			return
		}
		p.at++
	}
}

// Parse reads and checks a module. The error lists all that is wrong, up to twenty problems, each with its line; name is what they call the text.
func Parse(name, text string) (*Module, error) {
	toks, err := lex(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	p := &parser{name: name, toks: toks, lines: strings.Split(text, "\n")}
	p.module = &Module{Name: name, lines: p.lines, functions: map[string]*function{}, variables: map[string]*variable{}}
	for p.peek().kind != tokEnd {
		if err := p.topLevel(); err != nil {
			p.recover()
			if t := p.peek(); t.kind == tokPunct { // a brace that belongs to nothing
				p.at++
			}
		}
	}
	p.header()
	if len(p.errs) == 0 {
		p.layout()
	}
	if len(p.errs) == 0 {
		p.compile()
	}
	return p.module, errors.Join(p.errs...)
}

// header checks the three directives that every module begins with.
func (p *parser) header() {
	m := p.module
	switch {
	case m.version == "":
		p.note(1, "no .version directive")
	case m.Target == "":
		p.note(1, "no .target directive")
	case m.addressSize != 64:
		p.note(1, "want .address_size 64")
	}
}

func (p *parser) topLevel() error {
	t := p.peek()
	if t.kind != tokDot {
		return p.fail("want a directive, not %v", t)
	}
	p.at++
	switch t.text {
	case ".version":
		v := p.next()
		if v.kind != tokFloat {
			p.at--
			return p.fail("want a version such as 8.0, not %v", v)
		}
		p.module.version = v.text
		return nil
	case ".target":
		return p.target()
	case ".address_size":
		n, err := p.number("32 or 64")
		p.module.addressSize = n
		return err
	case ".file", ".loc":
		p.restOfLine(t.line)
		return nil
	case ".section":
		return p.section()
	}
	p.at--
	return p.declaration()
}

func (p *parser) target() error {
	for first := true; first || p.is(","); first = false {
		name, err := p.ident("a target")
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, "sm_") {
			p.module.Target = name
		} else if name != "debug" {
			return p.fail("target %q is not known: want sm_80 and the like", name)
		}
	}
	return nil
}

func (p *parser) restOfLine(line int32) {
	for t := p.peek(); t.kind != tokEnd && t.line == line; t = p.peek() {
		p.at++
	}
}

// section passes over debugging information.
func (p *parser) section() error {
	p.next()
	if err := p.expect("{"); err != nil {
		return err
	}
	for !p.is("}") {
		if p.next().kind == tokEnd {
			return p.fail("a .section has no end")
		}
	}
	return nil
}

// declaration reads a function or a variable of the module.
func (p *parser) declaration() error {
	var extern bool
	for {
		t := p.next()
		if t.kind != tokDot {
			p.at--
			return p.fail("want a declaration, not %v", t)
		}
		switch t.text {
		case ".visible", ".weak", ".common":
		case ".extern":
			extern = true
		case ".entry", ".func":
			return p.function(t.text == ".entry")
		case ".pragma":
			p.recover()
			return nil
		default:
			s, ok := spaceOf(t.text[1:])
			if !ok || s == local || s == param {
				p.at--
				return p.fail("directive %s is not known here", t.text)
			}
			return p.moduleVariables(s, extern)
		}
	}
}

func (p *parser) moduleVariables(s space, extern bool) error {
	vs, err := p.variables(s, extern)
	for _, v := range vs {
		p.addVariable(v)
	}
	return err
}

func (p *parser) addVariable(v *variable) {
	m := p.module
	if m.variables[v.name] != nil || m.functions[v.name] != nil {
		p.note(v.line, "%q is declared twice", v.name)
		return
	}
	m.variables[v.name] = v
	m.order = append(m.order, v)
}
