package ir

import (
	"slices"
	"strconv"
	"strings"
)

func (p *parser) function(l *line) {
	f := p.m.Func
	f.Name = l.word()
	l.expect("(")
	for !l.accept(")") && !l.bad {
		v := &Value{Name: l.name()}
		l.expect(":")
		v.Type = l.typ()
		v.Role = l.role()
		p.define(l, v)
		f.Inputs = append(f.Inputs, v)
		if !l.accept(",") && !strings.HasPrefix(l.rest, ")") {
			l.fail("want , or )")
		}
	}
	l.expect("->")
	l.expect("(")
	var results []Type
	for !l.accept(")") && !l.bad {
		results = append(results, l.typ())
		if !l.accept(",") && !strings.HasPrefix(l.rest, ")") {
			l.fail("want , or )")
		}
	}
	l.expect("{")
	l.end()
	p.body(l, results)
}

// body reads the lines up to the function's closing bracket.
func (p *parser) body(head *line, results []Type) {
	var group *Group
	returned := false
	for l := p.next(); l != nil; l = p.next() {
		switch {
		case l.accept("}"):
			l.end()
			if group != nil {
				group = nil
				continue
			}
			if !returned {
				l.fail("func %s has no return", p.m.Func.Name)
			}
			for i, v := range p.m.Func.NextStates {
				if v == nil {
					l.fail("no next for state %%%s", p.m.Func.States[i].Name)
				}
			}
			return
		case l.keyword("group"):
			if group != nil {
				l.fail("groups do not nest")
			}
			group = p.group(l)
		case l.keyword("return"):
			returned = true
			p.returns(l, results)
		case l.keyword("next"):
			p.nextState(l)
		default:
			p.op(l, group)
		}
	}
	head.fail("func %s does not end: } is missing", p.m.Func.Name)
}

func (p *parser) group(l *line) *Group {
	kind, ok := GroupKindByName(l.word())
	if !ok {
		l.fail("want a group kind such as map, contract or scan")
	}
	id := l.word()
	n, err := strconv.Atoi(strings.TrimPrefix(id, "g"))
	if err != nil || n < 0 || id != "g"+strconv.Itoa(n) {
		l.fail("want a group's number such as g3")
	}
	l.expect("{")
	l.end()
	return &Group{ID: n, Kind: kind, Note: l.from}
}

// operands takes %names, with or without commas, and _ for absent ones.
func (p *parser) operands(l *line) []*Value {
	var out []*Value
	for !l.bad {
		l.space()
		switch {
		case strings.HasPrefix(l.rest, "%"):
			out = append(out, p.lookup(l, l.name()))
		case l.keyword("_"):
			out = append(out, nil)
		default:
			return out
		}
		l.accept(",")
	}
	return out
}

func (p *parser) returns(l *line, results []Type) {
	p.m.Func.Returns = p.operands(l)
	l.end()
	if l.bad {
		return
	}
	same := slices.EqualFunc(p.m.Func.Returns, results, func(v *Value, t Type) bool { return v != nil && v.Type.Equal(t) })
	if !same {
		l.fail("the returned values are not of the types that func %s declares", p.m.Func.Name)
	}
}

func (p *parser) nextState(l *line) {
	state := p.lookup(l, l.name())
	l.expect("=")
	next := p.lookup(l, l.name())
	l.end()
	if l.bad {
		return
	}
	i := slices.Index(p.m.Func.States, state)
	switch {
	case i < 0:
		l.fail("%%%s is not a state", state.Name)
	case p.m.Func.NextStates[i] != nil:
		l.fail("state %%%s has two next values", state.Name)
	default:
		p.m.Func.NextStates[i] = next
	}
}

func (p *parser) op(l *line, group *Group) {
	var names []string
	for {
		names = append(names, l.name())
		if l.bad || !l.accept(",") {
			break
		}
	}
	l.expect("=")
	code, ok := OpByName(l.word())
	if !ok {
		l.fail("unknown op")
	}
	if l.bad {
		p.forget(l, names)
		return
	}
	op := &Op{Code: code, From: l.from, Group: group, Args: p.operands(l)}
	op.Attrs.setDefaults(code)
	for want := len(code.Operands()); len(op.Args) < want; {
		op.Args = append(op.Args, nil)
	}
	p.attrs(l, op)
	l.expect(":")
	for i, name := range names {
		if i > 0 {
			l.expect(",")
		}
		v := &Value{Name: name, Type: l.typ(), Def: op, Index: i, From: l.from}
		v.Role = l.role()
		op.Results = append(op.Results, v)
		p.define(l, v)
	}
	l.end()
	p.m.Func.Ops = append(p.m.Func.Ops, op)
}

// forget defines the results of an op that could not be read, so that their uses are not problems of their own.
func (p *parser) forget(l *line, names []string) {
	for _, n := range names {
		p.define(l, &Value{Name: n})
	}
}

// attrs takes key=value pairs that the op has.
func (p *parser) attrs(l *line, op *Op) {
	var seen []string
	for !l.bad {
		l.space()
		if l.rest == "" || l.rest[0] == ':' {
			return
		}
		key := l.word()
		l.expect("=")
		text := l.value()
		i := slices.IndexFunc(attrTable, func(at attrInfo) bool { return at.key == key && ops[op.Code].attrs&at.set != 0 })
		if i < 0 || slices.Contains(seen, key) {
			l.fail("%s has no attribute %q, or has it already", op.Code, key)
			return
		}
		seen = append(seen, key)
		if err := attrTable[i].parse(&op.Attrs, text); err != nil {
			l.fail("%s: %v", key, err)
		}
	}
}
