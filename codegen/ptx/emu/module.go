package emu

import "slices"

// Module is a parsed and compiled PTX text. It does not change any more; several devices may load it.
type Module struct {
	Name    string
	Target  string   // sm_80
	Inexact []string // instructions whose result PTX does not define to the bit, as "line: text"

	version     string
	addressSize int64
	lines       []string
	functions   map[string]*function
	bodies      []*function
	variables   map[string]*variable
	order       []*variable // all variables but .local and .param ones, those of functions too

	code        []inst
	constBytes  int64
	sharedBytes int64 // static ones
	dynamicAt   int64 // where .extern .shared begins
}

// Kernels gives the names of the entries, in the order of the text.
func (m *Module) Kernels() []string {
	var out []string
	for _, f := range m.bodies {
		if f.entry && f.defined {
			out = append(out, f.name)
		}
	}
	return out
}

// Instructions is how many the module has, after parsing.
func (m *Module) Instructions() int { return len(m.code) }

// source is a line of the text, for errors.
func (m *Module) source(line int32) string {
	if line < 1 || int(line) > len(m.lines) {
		return ""
	}
	return m.lines[line-1]
}

// sharedLimit is the most shared memory that a block may have on a target, static and dynamic.
func (m *Module) sharedLimit() int64 {
	switch m.Target {
	case "sm_80", "sm_87":
		return 163 << 10
	case "sm_86", "sm_89", "sm_120", "sm_121":
		return 99 << 10
	case "sm_90", "sm_90a", "sm_100", "sm_100a":
		return 227 << 10
	}
	return 48 << 10
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// layout gives constants and shared variables their places, and finds what initialisers point to. Variables of functions are those of the
// module under a name that only the function knows.
func (p *parser) layout() {
	m := p.module
	for _, f := range m.bodies {
		for _, s := range f.body {
			if s.kind == stmtVar && s.v.space != local && s.v.space != param {
				m.order = append(m.order, s.v)
			}
		}
	}
	dynamic := int64(16)
	for _, v := range m.order {
		switch {
		case v.space == constant:
			v.at = roundUp(m.constBytes, int64(v.align))
			m.constBytes = v.at + v.bytes
		case v.space == shared && !v.extern:
			v.at = roundUp(m.sharedBytes, int64(v.align))
			m.sharedBytes = v.at + v.bytes
		case v.space == shared:
			dynamic = max(dynamic, int64(v.align))
		case v.extern:
			p.note(v.line, "%s is .extern: only shared memory may be", v.name)
		}
		p.link(v)
	}
	m.dynamicAt = roundUp(m.sharedBytes, dynamic)
	for _, v := range m.order {
		if v.space == shared && v.extern {
			v.at = m.dynamicAt
		}
	}
	if m.constBytes > maxConstBytes {
		p.note(1, "%d bytes of .const variables; there are %d", m.constBytes, maxConstBytes)
	}
	if limit := m.sharedLimit(); m.sharedBytes > limit {
		p.note(1, "%d bytes of .shared variables; a block on %s has %d", m.sharedBytes, m.Target, limit)
	}
}

// link finds the variables whose addresses stand in an initialiser.
func (p *parser) link(v *variable) {
	for i := range v.init {
		e := &v.init[i]
		if e.symbol == "" {
			continue
		}
		if e.target = p.module.variables[e.symbol]; e.target == nil {
			p.note(e.line, "initialiser of %s: no variable %q", v.name, e.symbol)
		} else if e.target.line > e.line {
			p.note(e.line, "initialiser of %s: %q is declared below", v.name, e.symbol)
		}
	}
}

// put writes little-endian bytes.
func put(b []byte, v uint64) {
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
}

// fill writes a variable's initialiser; address says where a variable lies.
func (v *variable) fill(b []byte, address func(*variable) uint64) {
	n := v.typ.bytes()
	for i, e := range v.init {
		x := e.value
		if e.target != nil {
			x += address(e.target)
		}
		put(b[i*n:][:n], x)
	}
}

// compile makes code of all functions.
func (p *parser) compile() {
	m := p.module
	for _, f := range m.bodies {
		if f.defined {
			declare(p, f)
		}
	}
	for _, f := range m.bodies {
		if f.defined {
			newCompiler(p, f).run()
		}
	}
	if m.code = slices.Clip(m.code); len(p.errs) == 0 {
		for i := range m.code {
			if m.code[i].inexact {
				m.Inexact = append(m.Inexact, m.code[i].src.where())
			}
		}
	}
}
