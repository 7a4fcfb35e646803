package ptx

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// A step of one row is a stream of weights, and weights do not depend on what the step computes. So they are asked for before they are wanted:
// while blocks wait for each other, each worker brings the first part of what it will stream in the next phase into the second-level cache; and loops
// that stream bring what lies some way ahead. A warp asks for 32 lines with one instruction.

const (
	aheadBytes  = 16 << 10 // how far ahead a loop looks
	streamBytes = 1 << 10  // what a loop streams at least, in one iteration, to look ahead
)

// stream is the weight of which each panel is read by one tile: the largest, if a kernel has several.
type stream struct {
	param int
	bytes int64 // of a panel; 0: there is none
}

// findStream looks for pointers that are a weight moved by a multiple of the panel's number, and for loops through a weight of one panel.
func (m *module) findStream(kernel int) stream {
	k := m.p.Kernels[kernel]
	f := newForms(m.p.Program, kernel)
	best := stream{}
	k.Body.Walk(func(in *spmd.Instr) {
		s := stream{}
		switch in.Op {
		case spmd.OpOffset:
			s = f.panels(k, in)
		case spmd.OpFor:
			if m.onePanel(kernel) {
				s = f.single(k, in)
			}
		}
		if s.bytes > best.bytes {
			best = s
		}
	})
	return best
}

// onePanel says that no launch of a kernel has more than one panel.
func (m *module) onePanel(kernel int) bool {
	for _, ph := range m.p.Phases {
		for _, l := range ph.Launches {
			if l.Kernel == kernel && l.Grid.Panels > 1 {
				return false
			}
		}
	}
	return true
}

// weightParam is the parameter that a pointer is, if it points to weights.
func weightParam(k *spmd.Kernel, p *spmd.Value) (param int, ok bool) {
	in := p.Def
	if in == nil || in.Op != spmd.OpParam || k.Params[in.Imm].Space != spmd.Weights {
		return 0, false
	}
	return int(in.Imm), true
}

// panels is the stream behind a pointer that is moved by so many bytes a panel.
func (f *forms) panels(k *spmd.Kernel, in *spmd.Instr) stream {
	param, ok := weightParam(k, in.Args[0])
	form := f.of(in.Args[1])
	if !ok || len(form.terms) != 1 || form.plain != 0 {
		return stream{}
	}
	for v, n := range form.terms {
		if isPanel(v) {
			return stream{param, n * in.Args[0].Type.Elem.Bytes()}
		}
	}
	return stream{}
}

// single is the stream of a loop with known bounds whose loads begin at a weight's start: there is one panel.
func (f *forms) single(k *spmd.Kernel, loop *spmd.Instr) stream {
	lo, ok1 := loop.Args[0].Const()
	hi, ok2 := loop.Args[1].Const()
	if !ok1 || !ok2 || lo != 0 {
		return stream{}
	}
	for _, in := range loop.Regions[0].Body {
		if in.Op != spmd.OpLoadV && in.Op != spmd.OpLoadRun {
			continue
		}
		form := f.address(in, 0)
		if param, ok := weightParam(k, in.Args[0]); ok && len(form.terms) == 2 {
			return stream{param, form.terms[loop.Regions[0].Params[0]] * hi}
		}
	}
	return stream{}
}

// isPanel says whether a value is the number of the tile's panel.
func isPanel(v *spmd.Value) bool {
	if v.Def != nil && v.Def.Op == spmd.OpDiv {
		v = v.Def.Args[0]
	}
	return v.Def != nil && v.Def.Op == spmd.OpTile
}

// ahead asks for the weights that this worker will stream first in the next phase.
func (s *step) ahead(next string) {
	s.note("meanwhile: the first weights of the next phase, into the second-level cache")
	p := s.portion(next)
	share := s.to(word, "div.u32", fmt.Sprint(s.m.gpu.l2/4), s.busy(p.total))
	s.mine(p, func(launch, a, b, shared string) { s.ask(launch, a, b, shared, share) })
}

// busy is how many warps have tiles, at least 1; of tiles that teams share, one.
func (s *step) busy(total string) string {
	n := total
	if s.count == wide {
		n = s.to(word, "cvt.u32.u64", s.to(wide, "min.s64", total, fmt.Sprint(mostWorkers)))
	}
	return s.to(word, "max.s32", s.to(word, "min.s32", n, s.warps), "1")
}

// ask asks for the panels of tiles a..b-1 of a launch, up to a number of bytes. With more than one block of rows a panel has several tiles: then arithmetic
// decides, and nothing is asked for.
func (s *step) ask(launch, a, b, shared, most string) {
	over, head := s.label("over"), s.label("ask")
	bytes := s.to(word, "ld.global.nc.b32", field(launch, 8*launchStreamBytes))
	one := s.to(truth, "setp.eq.s32", s.to(word, "ld.global.nc.b32", field(launch, 8*launchPanels)), s.tiles(launch))
	some := s.to(truth, "setp.gt.s32", bytes, "0")
	both := s.to(truth, "and.pred", one, some)
	s.op("@!%s bra.uni %s", both, over)
	from := s.to(wide, "ld.global.nc.b64", field(launch, 8*launchStream))
	first := s.to(wide, "add.s64", s.get("b64", abi.Weights), from)
	at := s.to(wide, "add.s64", first, s.to(wide, "mul.wide.u32", a, bytes))
	end := s.to(wide, "add.s64", first, s.to(wide, "mul.wide.u32", b, bytes))
	end = s.to(wide, "min.s64", end, s.to(wide, "add.s64", at, s.to(wide, "cvt.u64.u32", most)))
	who, step := s.to(word, "mov.u32", "%laneid"), fmt.Sprint(warp*line)
	if shared != "" { // the warps of a team take turns
		step = s.to(wide, "selp.b64", fmt.Sprint(s.m.members*warp*line), step, shared)
		who = s.to(word, "mad.lo.s32", s.to(word, "selp.b32", s.inTeam, "0", shared), fmt.Sprint(warp), who)
	}
	mine := s.to(wide, "mad.wide.u32", who, fmt.Sprint(line), at)
	s.at(head)
	there := s.to(truth, "setp.lt.s64", mine, end)
	s.op("@%s prefetch.global.L2 [%s]", there, mine)
	s.op("add.s64 %s, %s, %s", mine, mine, step)
	s.op("add.s64 %s, %s, %s", at, at, step)
	again := s.to(truth, "setp.lt.s64", at, end)
	s.op("@%s bra.uni %s", again, head)
	s.at(over)
}

// look says how a load in a loop looks ahead: the loop, how many of its iterations, and how many bytes an iteration streams.
type look struct {
	loop       *spmd.Instr
	iterations int64
	bytes      int64
}

// findLooks finds what a loop streams: loads of weights, neighbours in neighbouring lanes, that cover in each iteration what lies behind those of the last one. The first
// of them looks ahead for all.
func (e *kernel) findLooks(loop *spmd.Instr) {
	i := loop.Regions[0].Params[0]
	groups := map[string][]*spmd.Instr{}
	var order []string
	for _, in := range loop.Regions[0].Body {
		if in.Op != spmd.OpLoadV && in.Op != spmd.OpLoadRun || e.home(in.Args[0]) != (home{space: spmd.Weights}) {
			continue
		}
		terms := e.forms.address(in, 0).text(0)
		if groups[terms] == nil {
			order = append(order, terms)
		}
		groups[terms] = append(groups[terms], in)
	}
	for _, terms := range order {
		loads := groups[terms]
		first, covered := loads[0], int64(0)
		for _, in := range loads {
			if e.forms.address(in, 0).plain < e.forms.address(first, 0).plain {
				first = in
			}
			covered += warp * elementsOfLane(in) * in.Args[0].Type.Elem.Bytes()
		}
		bytes := e.forms.address(first, 0).terms[i] * loop.Imm
		if bytes < streamBytes || bytes != covered || bytes%line != 0 {
			continue
		}
		e.looks[first] = look{loop, max(1, aheadBytes/bytes), bytes}
	}
}

// lookAhead brings what a later iteration will load into the second-level cache, if there is such an iteration. Each lane asks for a line.
func (e *kernel) lookAhead(in *spmd.Instr, l look) {
	i, hi := l.loop.Regions[0].Params[0], l.loop.Args[1]
	k := e.class(i)
	if e.class(hi) == wide {
		k = wide
	}
	then := e.to(k, "add."+signed(k), e.register(k, e.as(k, i)), fmt.Sprint(l.iterations*l.loop.Imm))
	there := e.to(truth, "setp.lt."+signed(k), then, e.as(k, hi))
	p := in.Args[0]
	n := elementsOfLane(in)
	base, bytes := e.parts(p, index(in, 0), in.Imm, n)
	mine := e.to(address, "mad.wide.s32", e.lane, fmt.Sprint(line-n*p.Type.Elem.Bytes()), base)
	for at := int64(0); at < l.bytes; at += warp * line {
		if left := (l.bytes - at) / line; left < warp {
			there = e.to(truth, "and.pred", there, e.to(truth, "setp.lt.s32", e.lane, fmt.Sprint(left)))
		}
		e.op("@%s prefetch.global.L2 %s", there, field(mine, bytes+at+l.iterations*l.bytes))
	}
}
