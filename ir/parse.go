package ir

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parse reads the text of one module. It reports all problems at once, each with line and column, and does not verify.
//
//	module "mamba" vocab=256 eos=0 {
//	  weight %w.embed: f32[256, 96]  # backbone.embeddings.weight
//	  state %s0.conv: f32[S, 192, 3]
//	  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, 256]) {
//	    %h0 = gather %w.embed %ids : f32[T, 96]
//	    group contract g0 {  # what was fused
//	      %y, %win = conv %h0 %w.conv _ %s0.conv : f32[T, 192], f32[S, 192, 3]
//	    }
//	    return %logits
//	    next %s0.conv = %win
//	  }
//	}
//
// A type may be followed by the value's role: f32[T, 192] @ssm.u. A weight may be given literally: weight %w: f32[2, 2] = [1 2 3 4]. Absent optional operands are "_", at the end nothing. Commas
// between operands are allowed. A comment that begins a line is dropped; one behind a line is where the op came from.
func Parse(text string) (*Module, error) {
	p := &parser{m: &Module{Meta: Meta{BOS: -1}, Func: &Func{}}, values: map[string]*Value{}}
	p.lines = splitLines(text)
	p.module()
	if len(p.problems) == 0 {
		return p.m, nil
	}
	list, more := p.problems, ""
	if len(list) > maxProblems {
		list, more = list[:maxProblems], fmt.Sprintf("\n  and %d more", len(list)-maxProblems)
	}
	return nil, fmt.Errorf("graph text: %s%s", strings.Join(list, "\n  "), more)
}

type parser struct {
	m        *Module
	lines    []line
	values   map[string]*Value
	problems []string
}

func (p *parser) problem(line, column int, format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf("line %d:%d: ", line, column)+fmt.Sprintf(format, args...))
}

// next takes the next line, or nil at the end.
func (p *parser) next() *line {
	if len(p.lines) == 0 {
		return nil
	}
	l := &p.lines[0]
	p.lines = p.lines[1:]
	l.p = p
	return l
}

func (p *parser) module() {
	l := p.next()
	if l == nil || !l.keyword("module") {
		p.problem(1, 1, "want: module \"family\" {")
		return
	}
	p.header(l)
	functions := 0
	for l = p.next(); l != nil; l = p.next() {
		switch {
		case l.accept("}"):
			l.end()
			if functions == 0 {
				p.problem(l.no, 1, "the module has no func")
			}
			if l = p.next(); l != nil {
				l.fail("text after the end of the module")
			}
			return
		case l.keyword("weight"):
			p.weight(l)
		case l.keyword("state"):
			p.state(l)
		case l.keyword("func"):
			if functions++; functions > 1 {
				l.fail("a module has one func")
			}
			p.function(l)
		default:
			l.fail("want weight, state, func or }")
		}
	}
	p.problem(1, 1, "the module does not end: } is missing")
}

func (p *parser) header(l *line) {
	l.space()
	quoted, err := strconv.QuotedPrefix(l.rest)
	if err != nil || quoted[0] != '"' {
		l.fail("want the family in quotes")
		return
	}
	l.rest = l.rest[len(quoted):]
	p.m.Family, _ = strconv.Unquote(quoted)
	for !l.accept("{") && !l.bad {
		key := l.word()
		l.expect("=")
		text := l.value()
		if l.bad {
			return
		}
		if !strings.HasPrefix(text, "[") {
			text = "[" + text + "]"
		}
		list, err := parseInts(text)
		if err != nil {
			l.fail("%s: %v", key, err)
			return
		}
		if key == "eos" {
			p.m.Meta.EOS = list
			continue
		}
		field := map[string]*int{"vocab": &p.m.Vocab, "bos": &p.m.Meta.BOS, "positions": &p.m.Meta.Positions}[key]
		if field == nil || len(list) != 1 {
			l.fail("want vocab=N, bos=N, eos=N or positions=N")
			return
		}
		*field = list[0]
	}
	if slices.ContainsFunc(p.m.Meta.EOS, func(n int) bool { return n < 0 }) || p.m.Vocab < 0 || p.m.Meta.Positions < 0 || p.m.Meta.BOS < -1 {
		l.fail("negative number")
	}
	l.end()
}

// define makes a value known under its name.
func (p *parser) define(l *line, v *Value) {
	if p.values[v.Name] != nil && !l.bad {
		p.problem(l.no, 1, "%%%s is defined twice", v.Name)
		l.bad = true
	}
	p.values[v.Name] = v
}

// lookup finds a value that has been defined.
func (p *parser) lookup(l *line, name string) *Value {
	v := p.values[name]
	if v == nil {
		l.fail("%%%s is not defined", name)
	}
	return v
}

// constShape requires a shape without symbols.
func constShape(l *line, shape []Dim) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		if d.Symbolic() {
			l.fail("extent %s is not constant", d)
		}
		out[i] = int(d)
	}
	return out
}

func (p *parser) weight(l *line) {
	name := l.name()
	l.expect(":")
	t := l.typ()
	role := l.role()
	w := &Weight{Name: name, DType: t.DType, Shape: constShape(l, t.Shape)}
	if l.from != "" {
		w.Name = l.from
	}
	if err := soundType(t); err != nil && !l.bad {
		l.fail("%v", err)
	}
	if l.accept("=") && !l.bad {
		p.literal(l, w)
	}
	l.end()
	v := &Value{Name: name, Type: t, Weight: w, Role: role, From: w.Name}
	p.define(l, v)
	p.m.Func.Weights = append(p.m.Func.Weights, v)
}

// literal reads a weight's elements. Their number is that of the text, checked against the shape.
func (p *parser) literal(l *line, w *Weight) {
	l.space()
	words := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(l.value(), "["), "]"))
	if len(words) != w.Len() {
		l.fail("%d elements for %v", len(words), w.Shape)
		return
	}
	var raw []byte
	var err error
	if w.DType.Float() {
		data := make([]float64, len(words))
		for i, s := range words {
			if data[i], err = parseFloat(s); err != nil {
				l.fail("%v", err)
				return
			}
		}
		raw, err = Encode(w.DType, data)
	} else {
		data := make([]int64, len(words))
		for i, s := range words {
			if data[i], err = strconv.ParseInt(s, 10, 64); err != nil {
				l.fail("%q is not a whole number", s)
				return
			}
		}
		raw, err = EncodeInts(w.DType, data)
	}
	if err != nil {
		l.fail("%v", err)
	}
	w.Literal = true
	w.Bytes = func() ([]byte, error) { return raw, nil }
}

func (p *parser) state(l *line) {
	name := l.name()
	l.expect(":")
	t := l.typ()
	if !l.bad && (t.Rank() == 0 || t.Shape[0] != Seqs) {
		l.fail("a state's shape begins with S")
	}
	role := l.role()
	l.end()
	if l.bad {
		return
	}
	s := &State{Name: name, DType: t.DType, Shape: constShape(l, t.Shape[1:])}
	v := &Value{Name: name, Type: t, State: s, Role: role, From: l.from}
	p.define(l, v)
	p.m.Func.States = append(p.m.Func.States, v)
	p.m.Func.NextStates = append(p.m.Func.NextStates, nil)
}
