package spmd

import (
	"fmt"
	"strings"
)

// parseType reads "f32", "<f32>" or "*f32".
func parseType(s string) (Type, bool) {
	var t Type
	switch {
	case strings.HasPrefix(s, "*"):
		t.Kind, s = Pointer, s[1:]
	case strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">"):
		t.Kind, s = Varying, s[1:len(s)-1]
	}
	for e := range elems {
		if elems[e].name == s {
			t.Elem = Elem(e)
			return t, true
		}
	}
	return Type{}, false
}

// valid says whether there are values of this type: pointers to all that memory holds, uniform values of the register types, varying ones of
// those of one 32-bit lane.
func (t Type) valid() bool {
	if int(t.Elem) >= len(elems) {
		return false
	}
	switch t.Kind {
	case Pointer:
		return t.Elem != Bool
	case Uniform:
		return t.Elem == t.Elem.Reg()
	case Varying:
		return t.Elem == t.Elem.Reg() && t.Elem != I64
	}
	return false
}

// binding is what an instruction's operands have given to the variables T and E of its signature so far.
type binding struct {
	of   string // what T may be
	t    Type
	e    Elem
	hasT bool
	hasE bool
}

// match says whether a type fits a pattern of the signature, and if not, what is wanted. The first T and the first *E bind.
func (b *binding) match(pattern string, t Type) (want string) {
	switch pattern {
	case "T":
		if !b.hasT {
			if !oneOf(b.of, t.String()) {
				return strings.Join(strings.Fields(b.of), " or ")
			}
			b.t, b.hasT = t, true
		}
	case "*E":
		if !b.hasE {
			if t.Kind != Pointer {
				return "a pointer"
			}
			b.e, b.hasE = t.Elem, true
		}
	case "C":
		if t.Elem != Bool || t.Kind == Pointer {
			return "bool or <bool>"
		}
		return ""
	}
	if w := b.resolve(pattern); w != t {
		return w.String()
	}
	return ""
}

// resolve gives the type that a pattern stands for once its variables are bound.
func (b *binding) resolve(pattern string) Type {
	switch pattern {
	case "T":
		return b.t
	case "<T>":
		return Type{b.t.Elem, Varying}
	case "*E":
		return Type{b.e, Pointer}
	case "R":
		return Type{b.e.Reg(), Uniform}
	case "<R>":
		return Type{b.e.Reg(), Varying}
	case "bits:T":
		if b.t.Elem == F32 {
			return Type{I32, b.t.Kind}
		}
		return Type{F32, b.t.Kind}
	}
	if elem, ok := strings.CutSuffix(pattern, ":T"); ok {
		t, _ := parseType(elem)
		return Type{t.Elem, b.t.Kind}
	}
	t, _ := parseType(pattern)
	return t
}

func oneOf(list, s string) bool {
	for _, f := range strings.Fields(list) {
		if f == s {
			return true
		}
	}
	return false
}

// operands pairs an instruction's n operands with the names and patterns of its op: optional ones that are missing are left out, repeated ones
// repeated. It says what is wanted where n does not fit.
func (o Op) operands(n int) (names, patterns []string, want string) {
	in, _, _ := strings.Cut(ops[o].sig, "->")
	ps, as := strings.Fields(in), strings.Fields(ops[o].args)
	least, most := 0, 0
	for _, p := range ps {
		switch {
		case strings.HasSuffix(p, "?"):
			most++
		case strings.HasSuffix(p, "..."):
			least++
			most += 1 << 20
		default:
			least++
			most++
		}
	}
	if n < least || n > most {
		return nil, nil, fmt.Sprintf("has %d operands, wants %q", n, ops[o].args)
	}
	for i, p := range ps {
		repeat := 1
		switch {
		case strings.HasSuffix(p, "?"):
			repeat = 0
			if n > least {
				repeat = 1
			}
		case strings.HasSuffix(p, "..."):
			repeat = n - least + 1
		}
		for range repeat {
			names = append(names, strings.TrimRight(as[i], "?."))
			patterns = append(patterns, strings.TrimRight(p, "?."))
		}
	}
	return names, patterns, ""
}

// result is the pattern of an op's result, "" if it has none.
func (o Op) result() string {
	_, out, _ := strings.Cut(ops[o].sig, "->")
	return strings.TrimSpace(out)
}
