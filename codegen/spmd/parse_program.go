package spmd

import (
	"fmt"
	"slices"
)

// ParseProgram reads the text of a program. What it gives is well formed as text only: Verify says whether it means something.
func ParseProgram(text string) (*Program, error) {
	p := newParser(text)
	p.lines()
	prog := &Program{}
	launches := p.program(prog)
	for p.lex.err == nil && p.tok.kind != tokEnd {
		prog.Kernels = append(prog.Kernels, p.kernel())
		p.lines()
	}
	if p.lex.err == nil {
		p.resolve(prog, launches)
	}
	if p.lex.err != nil {
		return nil, fmt.Errorf("program text: %w", p.lex.err)
	}
	return prog, nil
}

// launchName is a launch whose kernel is not known yet.
type launchName struct {
	phase, launch, line int
	kernel              string
}

// resolve finds the kernels of the launches, which stand after the phases.
func (p *parser) resolve(prog *Program, launches []launchName) {
	index := map[string]int{}
	for i, k := range prog.Kernels {
		if _, twice := index[k.Name]; !twice {
			index[k.Name] = i
		}
	}
	for _, l := range launches {
		i, ok := index[l.kernel]
		if !ok {
			p.lex.fail(l.line, "there is no kernel %s", printName(l.kernel))
			return
		}
		prog.Phases[l.phase].Launches[l.launch].Kernel = i
	}
}

func (p *parser) program(prog *Program) (names []launchName) {
	p.expect("program")
	prog.Name = p.name()
	p.expect("{")
	p.endLine()
	p.header(prog)
	for p.accept("phase") {
		ph := Phase{Name: p.name()}
		if p.accept("minrows") {
			ph.MinRows = p.integer()
		}
		if p.accept("minchosen") {
			ph.MinChosen = p.integer()
		}
		p.expect("{")
		p.endLine()
		for p.accept("launch") {
			byIndex := p.tok.kind == tokNumber
			l, name := p.launch()
			if !byIndex {
				names = append(names, launchName{len(prog.Phases), len(ph.Launches), p.tok.line, name})
			}
			ph.Launches = append(ph.Launches, l)
			p.endLine()
		}
		p.expect("}")
		p.endLine()
		prog.Phases = append(prog.Phases, ph)
	}
	p.expect("}")
	p.lines()
	return names
}

// header reads the four lines of sizes.
func (p *parser) header(prog *Program) {
	t := &prog.Target
	p.expect("target")
	t.Name = p.name()
	for _, f := range []struct {
		word string
		to   *int
	}{{"lanes", &t.Lanes}, {"registers", &t.Registers}, {"l1", &t.L1}, {"l2", &t.L2}, {"members", &t.Members}} {
		p.expect(f.word)
		*f.to = p.smallInt()
	}
	p.bytes(t)
	p.endLine()
	for _, line := range [][]struct {
		words []string
		to    *int64
	}{
		{{[]string{"bytes", "weights"}, &prog.WeightBytes}, {[]string{"work"}, &prog.WorkBytes}, {[]string{"team"}, &prog.TeamBytes}, {[]string{"slot"}, &prog.SlotBytes}},
		{{[]string{"logits", "stride"}, &prog.LogitsStride}, {[]string{"vocab"}, &prog.Vocab}},
		{{[]string{"max", "rows"}, &prog.MaxRows}, {[]string{"seqs"}, &prog.MaxSeqs}},
	} {
		for _, f := range line {
			p.expect(f.words...)
			*f.to = p.integer()
		}
		p.endLine()
	}
}

// bytes reads what a target has for products of bytes.
func (p *parser) bytes(t *Target) {
	if p.accept("dot") {
		word := p.want(tokName, "signed or unsigned")
		i := slices.Index(dots[:], word)
		if i < 0 {
			p.fail("unknown product of bytes %q", word)
			return
		}
		t.Dot = Dot(i)
	}
	t.Tiles = p.accept("tiles")
	t.Quads = p.accept("quads")
	if p.accept("scratch") {
		t.Scratch = p.smallInt()
	}
	if p.accept("lanebytes") {
		t.LaneBytes = p.smallInt()
	}
}

func (p *parser) launch() (l Launch, name string) {
	if p.tok.kind == tokNumber {
		l.Kernel = p.smallInt()
	} else {
		name = p.name()
	}
	p.expect("grid")
	l.Grid.Panels = p.integer()
	if p.accept("by") {
		switch {
		case p.accept("seqs"):
			l.Grid.By = BySeqs
		case p.is("rows"), p.is("outs"):
			l.Grid.By = ByOutBlocks
			if p.is("rows") {
				l.Grid.By = ByRowBlocks
			}
			p.advance()
			p.expect("/")
			l.Grid.Block = p.integer()
		default:
			p.fail("rows, seqs or outs are wanted, not %v", p.tok)
		}
	}
	if p.accept("least") {
		l.Grid.Least = p.integer()
	}
	if p.accept("most") {
		l.Grid.Most = p.integer()
	}
	p.expect("args")
	for p.tok.kind == tokNumber || p.is("-") {
		l.Args = append(l.Args, p.integer())
	}
	if p.accept("note") {
		l.Note = p.name()
	}
	return l, name
}
