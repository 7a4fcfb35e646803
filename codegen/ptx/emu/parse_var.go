package emu

import (
	"math"
	"math/bits"
)

// Limits of what a module may declare; a device's memory comes from these sizes.
const (
	maxVariable   = 64 << 20 // bytes of all .global variables
	maxConstBytes = 64 << 10
	maxLocalBytes = 64 << 10 // of one function, for each thread
	maxRegisters  = 1 << 20  // in one .reg declaration
)

// variables reads what follows a state space: attributes, type, and names with lengths and initialisers, up to the semicolon.
func (p *parser) variables(s space, extern bool) ([]*variable, error) {
	align, t, vec, err := p.varType()
	if err != nil {
		return nil, err
	}
	var out []*variable
	for {
		v, err := p.variable(s, t, align, vec)
		if err != nil {
			return out, err
		}
		v.extern = extern
		if v.count == 0 && !(extern && s == shared) {
			p.note(v.line, "%s has no length", v.name)
		}
		out = append(out, v)
		if !p.is(",") {
			return out, p.expect(";")
		}
	}
}

// varType reads alignment, attributes and the type.
func (p *parser) varType() (align int, t typ, vec int64, err error) {
	vec = 1
	for {
		d := p.next()
		if d.kind != tokDot {
			p.at--
			return 0, 0, 0, p.fail("want a type, not %v", d)
		}
		switch d.text {
		case ".align":
			n, err := p.number("an alignment")
			if err != nil {
				return 0, 0, 0, err
			}
			if n <= 0 || n > 1<<16 || n&(n-1) != 0 {
				return 0, 0, 0, p.fail("an alignment is a power of two, not %d", n)
			}
			align = int(n)
		case ".ptr", ".global", ".shared", ".const", ".local": // what a pointer parameter points to: nothing that we use
		case ".attribute":
			for !p.is(")") && p.next().kind != tokEnd {
			}
		case ".v2", ".v4":
			vec = int64(d.text[2] - '0')
		default:
			t := typeOf(d.text[1:])
			if t == noType || t == pred {
				p.at--
				return 0, 0, 0, p.fail("%s is no type of a variable", d.text)
			}
			if p.peek().text == ".ptr" {
				if align, err = p.pointerAttributes(align); err != nil {
					return 0, 0, 0, err
				}
			}
			return align, t, vec, nil
		}
	}
}

// pointerAttributes passes over .ptr, the space and alignment of what is pointed to.
func (p *parser) pointerAttributes(align int) (int, error) {
	for p.peek().kind == tokDot {
		if p.next().text == ".align" {
			if _, err := p.number("an alignment"); err != nil {
				return 0, err
			}
		}
	}
	return align, nil
}

func (p *parser) variable(s space, t typ, align int, vec int64) (*variable, error) {
	name := p.peek()
	if _, err := p.ident("a name"); err != nil {
		return nil, err
	}
	v := &variable{name: name.text, line: name.line, space: s, typ: t, count: vec, align: max(align, t.bytes()*int(vec))}
	if align != 0 {
		v.align = align
	}
	for p.is("[") {
		if p.is("]") {
			v.count = 0
			continue
		}
		n, err := p.number("a length")
		if err != nil {
			return nil, err
		}
		if n < 0 || v.count > 0 && n > maxVariable/v.count {
			return nil, p.fail("%s has %d elements or more: too many", v.name, n)
		}
		v.count *= n
		if err := p.expect("]"); err != nil {
			return nil, err
		}
	}
	if p.is("=") {
		if s != global && s != constant {
			return nil, p.fail("%s: only .global and .const variables may have an initialiser", v.name)
		}
		if err := p.initialiser(v, 0); err != nil {
			return nil, err
		}
		if v.count == 0 {
			v.count = int64(len(v.init))
		}
		if int64(len(v.init)) > v.count {
			p.note(v.line, "%s has %d elements and an initialiser of %d", v.name, v.count, len(v.init))
		}
	}
	v.bytes = v.count * int64(t.bytes())
	if p.sizes += v.bytes; p.sizes > maxVariable {
		p.sizes = 0
		return nil, p.fail("the module's variables have more than %d bytes", maxVariable)
	}
	return v, nil
}

// initialiser reads one value, or a list in braces.
func (p *parser) initialiser(v *variable, depth int) error {
	if !p.is("{") {
		e, err := p.element(v)
		v.init = append(v.init, e)
		return err
	}
	if depth > 8 {
		return p.fail("lists in lists in lists")
	}
	if p.is("}") {
		return nil
	}
	for {
		if err := p.initialiser(v, depth+1); err != nil {
			return err
		}
		if !p.is(",") {
			return p.expect("}")
		}
	}
}

func (p *parser) element(v *variable) (element, error) {
	e := element{line: p.peek().line}
	minus := p.is("-")
	switch t := p.next(); {
	case t.kind == tokInt && !v.typ.isFloat():
		e.value = t.value
		if minus {
			e.value = -e.value
		}
		if !fitsIn(e.value, v.typ.bytes(), minus) {
			return e, p.fail("%s does not fit .%v", t.text, v.typ)
		}
	case t.kind == tokFloat && v.typ.isFloat():
		e.value = floatBits(t, v.typ, minus)
	case t.kind == tokName && !minus:
		return p.symbol(t.text, e, v)
	default:
		p.at--
		return e, p.fail("want a value for .%v, not %v", v.typ, t)
	}
	return e, nil
}

// symbol reads the address of a variable: name, name + 4, generic(name).
func (p *parser) symbol(name string, e element, v *variable) (element, error) {
	if v.typ.bytes() != 8 || v.typ.isFloat() {
		return e, p.fail("an address wants .u64 or .b64, not .%v", v.typ)
	}
	if name == "generic" && p.is("(") {
		inner, err := p.ident("a variable")
		if err != nil {
			return e, err
		}
		if err := p.expect(")"); err != nil {
			return e, err
		}
		name = inner
	}
	e.symbol = name
	if p.is("+") || p.peek().text == "-" {
		n, err := p.number("an offset")
		e.value = uint64(n)
		return e, err
	}
	return e, nil
}

// fitsIn says whether an integer fits so many bytes, as a signed or an unsigned number.
func fitsIn(v uint64, bytes int, negative bool) bool {
	if negative {
		return int64(v) >= -1<<(8*bytes-1) && int64(v) <= 0
	}
	return bits.Len64(v) <= 8*bytes
}

// floatBits gives the bits of a float constant in type t (f32 or f64; bits by their size).
func floatBits(t token, as typ, minus bool) uint64 {
	var x float64
	if t.single {
		if as.bytes() == 4 { // keep a NaN's bits
			v := t.value
			if minus {
				v ^= 1 << 31
			}
			return v
		}
		x = float64(math.Float32frombits(uint32(t.value)))
	} else {
		x = math.Float64frombits(t.value)
	}
	if minus {
		x = -x
	}
	if as.bytes() == 4 {
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(x)
}
