package ir

import (
	"fmt"
	"strconv"
	"strings"
)

// Print writes the module as text that Parse reads back. The same module always gives the same text.
func Print(m *Module) string {
	p := &printer{}
	p.line("", "module %s%s {", strconv.Quote(m.Family), metaText(m))
	for _, v := range m.Func.Weights {
		p.weight(v)
	}
	for _, v := range m.Func.States {
		p.line(v.From, "  state %%%s: %s%s", v.Name, v.Type, roleText(v))
	}
	p.function(m.Func)
	p.line("", "}")
	return p.out.String()
}

// String is the module's text.
func (m *Module) String() string { return Print(m) }

// String is the op's line, without groups and indentation.
func (op *Op) String() string { return opText(op) }

type printer struct{ out strings.Builder }

// roleText writes a value's role behind its type: f32[T, 768] @ssm.u.
func roleText(v *Value) string {
	if v.Role == "" {
		return ""
	}
	return " @" + v.Role
}

// line writes one line and, behind it, where it came from.
func (p *printer) line(from, format string, args ...any) {
	fmt.Fprintf(&p.out, format, args...)
	if from = comment(from); from != "" {
		p.out.WriteString("  # " + from)
	}
	p.out.WriteByte('\n')
}

// comment makes one line of a text.
func comment(from string) string {
	from = strings.ToValidUTF8(from, "?")
	return strings.Join(strings.FieldsFunc(from, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == 0x2028 || r == 0x2029
	}), " ")
}

func metaText(m *Module) string {
	var b strings.Builder
	if m.Vocab != 0 {
		fmt.Fprintf(&b, " vocab=%d", m.Vocab)
	}
	if m.Meta.BOS >= 0 {
		fmt.Fprintf(&b, " bos=%d", m.Meta.BOS)
	}
	switch len(m.Meta.EOS) {
	case 0:
	case 1:
		fmt.Fprintf(&b, " eos=%d", m.Meta.EOS[0])
	default:
		b.WriteString(" eos=" + intsText(m.Meta.EOS))
	}
	if m.Meta.Positions != 0 {
		fmt.Fprintf(&b, " positions=%d", m.Meta.Positions)
	}
	return b.String()
}

func (p *printer) weight(v *Value) {
	from := v.Weight.Name
	if from == v.Name {
		from = ""
	}
	literal := ""
	if v.Weight.Literal {
		literal = literalText(v.Weight)
	}
	p.line(from, "  weight %%%s: %s%s%s", v.Name, v.Type, roleText(v), literal)
}

// literalText writes a small weight's elements. One that cannot be read is printed without them.
func literalText(w *Weight) string {
	x, err := LoadWeight[float64](w)
	if err != nil || w.Bytes == nil {
		return ""
	}
	var parts []string
	for _, v := range x.Data {
		bits := 32
		if w.DType == F64 {
			bits = 64
		}
		parts = append(parts, formatFloat(v, bits))
	}
	for _, v := range x.Ints {
		parts = append(parts, strconv.FormatInt(v, 10))
	}
	return " = [" + strings.Join(parts, " ") + "]"
}

func (p *printer) function(f *Func) {
	params := make([]string, len(f.Inputs))
	for i, v := range f.Inputs {
		params[i] = fmt.Sprintf("%%%s: %s%s", v.Name, v.Type, roleText(v))
	}
	results := make([]string, len(f.Returns))
	for i, v := range f.Returns {
		results[i] = v.Type.String()
	}
	p.line("", "  func %s(%s) -> (%s) {", f.Name, strings.Join(params, ", "), strings.Join(results, ", "))
	var group *Group
	for _, op := range f.Ops {
		if op.Group != group {
			if group != nil {
				p.line("", "    }")
			}
			if group = op.Group; group != nil {
				p.line(group.Note, "    group %s g%d {", group.Kind, group.ID)
			}
		}
		indent := "    "
		if group != nil {
			indent = "      "
		}
		p.line(op.From, "%s", indent+opText(op))
	}
	if group != nil {
		p.line("", "    }")
	}
	names := make([]string, len(f.Returns))
	for i, v := range f.Returns {
		names[i] = " %" + v.Name
	}
	p.line("", "    return%s", strings.Join(names, ""))
	for i, v := range f.States {
		p.line("", "    next %%%s = %%%s", v.Name, f.NextStates[i].Name)
	}
	p.line("", "  }")
}

func opText(op *Op) string {
	var b strings.Builder
	for i, v := range op.Results {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("%" + v.Name)
	}
	b.WriteString(" = " + op.Code.String())
	args := op.Args
	for len(args) > 0 && args[len(args)-1] == nil {
		args = args[:len(args)-1]
	}
	for _, a := range args {
		if a == nil {
			b.WriteString(" _")
		} else {
			b.WriteString(" %" + a.Name)
		}
	}
	if op.Code < numOps {
		for _, at := range attrTable {
			if ops[op.Code].attrs&at.set != 0 && (at.plain == nil || !at.plain(&op.Attrs)) {
				b.WriteString(" " + at.key + "=" + at.print(&op.Attrs))
			}
		}
	}
	for i, v := range op.Results {
		sep := ", "
		if i == 0 {
			sep = " : "
		}
		b.WriteString(sep + v.Type.String() + roleText(v))
	}
	return b.String()
}
