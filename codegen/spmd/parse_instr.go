package spmd

import (
	"math"
	"strconv"
)

func (p *parser) instr() *Instr {
	in := &Instr{}
	if p.tok.kind == tokValue {
		in.Results = p.results()
		p.expect("=")
	}
	word := p.want(tokName, "an instruction")
	op, ok := p.ops[word]
	if !ok {
		p.fail("unknown instruction %q", word)
		return in
	}
	in.Op = op
	for i, r := range in.Results {
		if i > 0 {
			p.expect(",")
		}
		r.Type, r.Def = p.typ(), in
	}
	p.operands(in)
	return in
}

func (p *parser) results() (vs []*Value) {
	for p.lex.err == nil {
		vs = append(vs, p.define())
		if !p.accept(",") {
			break
		}
	}
	return vs
}

// operands reads what stands after an instruction's types, by what the op table says about its immediate.
func (p *parser) operands(in *Instr) {
	switch ops[in.Op].imm {
	case immStep:
		p.loop(in)
	case immOffset:
		p.memory(in)
	case immPred:
		in.Imm = p.pred()
		in.Args = p.uses()
	case immValue:
		p.constant(in)
	case noImm:
		in.Args = p.uses()
	case immTiles:
		in.Args = p.uses()
		p.expect("strides")
		in.Strides = Strides{C: p.integer(), A: p.integer(), B: p.integer()}
		if p.accept("run") {
			in.Strides.Run = p.integer()
		}
		if p.accept("ahead") {
			in.Strides.Ahead = p.integer()
		}
		p.expect("tiles")
		in.Imm = p.integer()
	case immStrides:
		in.Args = p.uses()
		p.expect("strides")
		in.Strides = Strides{A: p.integer(), B: p.integer()}
	case immPieces:
		in.Args = p.uses()
		p.expect("strides")
		in.Strides = Strides{C: p.integer(), A: p.integer()}
		p.expect("bytes")
		in.Strides.B = p.integer()
		p.expect("pieces")
		in.Imm = p.integer()
	default:
		in.Args = p.uses()
		in.Imm = p.integer()
	}
	if in.Op == OpIf {
		in.Regions = []*Region{{}, {}}
		p.region(in.Regions[0])
		if p.accept("else") {
			p.region(in.Regions[1])
		}
	}
}

func (p *parser) pred() int64 {
	word := p.want(tokName, "a predicate")
	for i, s := range preds {
		if s == word {
			return int64(i)
		}
	}
	p.fail("unknown predicate %q", word)
	return 0
}

func (p *parser) loop(in *Instr) {
	r := &Region{}
	in.Regions = []*Region{r}
	param := func() {
		v := p.define()
		v.In = r
		r.Params = append(r.Params, v)
		p.expect("=")
		in.Args = append(in.Args, p.use())
	}
	param()
	r.Params[0].Type = Type{Elem: I64}
	p.expect("to")
	in.Args = append(in.Args, p.use())
	p.expect("step")
	in.Imm = p.integer()
	if p.accept("carry") {
		p.expect("(")
		param()
		for p.accept(",") {
			param()
		}
		p.expect(")")
	}
	if p.lex.err == nil && len(r.Params)-1 != len(in.Results) {
		p.fail("the loop carries %d values and has %d results", len(r.Params)-1, len(in.Results))
	}
	for i, v := range in.Results {
		if p.lex.err == nil {
			r.Params[i+1].Type = v.Type
		}
	}
	p.region(r)
}

func (p *parser) memory(in *Instr) {
	in.Args = p.uses()
	if p.is("+") || p.is("-") {
		minus := p.is("-")
		p.advance()
		s := p.want(tokNumber, "a number")
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			p.fail("%q is not an offset", s)
		}
		in.Imm = int64(n)
		if minus {
			in.Imm = -in.Imm
		}
	}
	if p.accept("below") {
		in.Args = append(in.Args, p.use())
	}
	if p.accept("=") {
		in.Args = append(in.Args, p.use())
	}
}

// constant reads an integer, or a float: a decimal that is rounded to the nearest f32, or its bits as 0x....
func (p *parser) constant(in *Instr) {
	if len(in.Results) != 1 || in.Results[0].Type.Elem != F32 {
		in.Imm = p.integer()
		return
	}
	minus := p.accept("-")
	s := p.want(tokNumber, "a number")
	if len(s) > 2 && s[:2] == "0x" {
		n, err := strconv.ParseUint(s[2:], 16, 64)
		if err != nil || minus {
			p.fail("%q is not the bits of a float", s)
		}
		in.Imm = int64(n)
		return
	}
	if minus {
		s = "-" + s
	}
	x, err := strconv.ParseFloat(s, 32)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		p.fail("%q is not a finite f32; write others as their bits, 0x7f800000", s)
	}
	in.Imm = int64(math.Float32bits(float32(x)))
}
