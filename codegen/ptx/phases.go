package ptx

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// mostTiles is how many tiles a phase can have.
func (m *module) mostTiles() int64 {
	most := int64(0)
	for _, ph := range m.p.Phases {
		n := int64(0)
		for _, l := range ph.Launches {
			n += l.Grid.Panels * l.Grid.MostBlocks(m.p.MaxRows, m.p.MaxSeqs)
		}
		most = max(most, n)
	}
	return most
}

// phases goes through the table of phases.
func (s *step) phases() {
	m := s.m
	table := s.variable("phases")
	end := s.to(wide, "add.s64", table, fmt.Sprint(8*phaseFields*len(m.p.Phases)))
	stamp := s.reg(wide)
	s.op("mad.wide.u32 %s, %s, 8, %s", stamp, s.block, s.trace)
	head, next := s.label("phase"), s.label("next")
	s.at(head)
	s.stamp(stamp)
	s.op("@!%s bra.uni %s", s.needed(table), next)
	s.note("this worker's tiles of the phase's launches")
	s.mine(s.portion(table), s.call)
	then := s.then(table, end)
	s.op("@%s bra.uni %s", s.to(truth, "setp.ge.s64", then, end), next)
	s.barrier(func() { s.ahead(then) })
	s.at(next)
	s.op("add.s64 %s, %s, %d", table, table, 8*phaseFields)
	again := s.to(truth, "setp.lt.s64", table, end)
	s.op("@%s bra.uni %s", again, head)
	s.stamp(stamp)
}

// then is the next phase that is not skipped; the end, if there is none.
func (s *step) then(table, end string) string {
	found, find := s.label("found"), s.label("find")
	then := s.to(wide, "mov.b64", table)
	s.at(find)
	s.op("add.s64 %s, %s, %d", then, then, 8*phaseFields)
	s.op("@%s bra.uni %s", s.to(truth, "setp.ge.s64", then, end), found)
	s.op("@!%s bra.uni %s", s.needed(then), find)
	s.at(found)
	return then
}

// needed says whether the step has what the phase at table needs.
func (s *step) needed(table string) string {
	rows := s.to(truth, "setp.ge.s32", s.rows, s.to(word, "ld.global.nc.b32", field(table, 8*phaseMinRows)))
	return s.to(truth, "setp.ge.and.s32", s.chosen, s.to(word, "ld.global.nc.b32", field(table, 8*phaseMinChosen)), rows)
}

// variable is the address of one of the module's tables.
func (s *step) variable(name string) string {
	return s.to(wide, "mov.u64", s.m.prefix+"_"+name)
}

// stamp writes the time into the trace, if there is one: a row of all blocks for each phase.
func (s *step) stamp(at string) {
	over := s.label("over")
	none := s.to(truth, "setp.eq.s64", s.trace, "0")
	s.op("@%s bra.uni %s", none, over)
	other := s.to(truth, "setp.ne.s32", s.tid, "0")
	now := s.to(wide, "mov.u64", "%globaltimer")
	s.op("@!%s st.global.b64 [%s], %s", other, at, now)
	s.op("mad.wide.u32 %s, %s, 8, %s", at, s.blocks, at)
	s.at(over)
}

// portion is the launches of a phase, and which of their tiles are this warp's.
type portion struct {
	start, end string // launches
	total      string
	alone      share // of tiles that warps do by themselves
	together   share // of tiles that a team shares; the same as alone where no kernel does
}

// share is tiles lo..hi-1, counted over all launches of a phase from the present one on.
type share struct{ lo, hi string }

// portion finds the worker's share of the phase at table: of all the tiles of its launches, one after another, worker w of n has those from total*w/n on. Its
// workers are warps for some launches and teams for others: a team's share is that of its warps.
func (s *step) portion(table string) portion {
	var p portion
	first := s.to(wide, "ld.global.nc.b64", field(table, 8*phaseFirst))
	after := s.to(wide, "ld.global.nc.b64", field(table, 8*(phaseFields+phaseFirst)))
	p.start = s.to(wide, "mad.lo.s64", first, fmt.Sprint(8*launchFields), s.variable("launches"))
	p.end = s.to(wide, "mad.lo.s64", after, fmt.Sprint(8*launchFields), s.variable("launches"))
	p.total = s.to(s.count, "mov."+s.count.bits(), "0")
	s.launches(p.start, p.end, func(launch string) {
		s.op("add.%s %s, %s, %s", signed(s.count), p.total, p.total, s.counted(s.tiles(launch)))
	})
	bits := strings.TrimPrefix(signed(s.count), "s")
	from := func(w, n string) string {
		return s.to(s.count, "div.u"+bits, s.to(s.count, "mul.lo.s"+bits, p.total, s.counted(w)), s.counted(n))
	}
	of := func(w, n string) share { return share{from(w, n), from(s.to(word, "add.s32", w, "1"), n)} }
	p.alone = of(s.warp, s.warps)
	p.together = p.alone
	if s.m.members > 1 {
		p.together = of(s.worker, s.workers)
	}
	return p
}

// counted is a 32-bit number among numbers of tiles.
func (s *step) counted(x string) string {
	if s.count == wide {
		return s.to(wide, "cvt.u64.u32", x)
	}
	return x
}

// mine runs body for each launch of which this worker has tiles, those from a to b-1. shared is true if the team does them together.
func (s *step) mine(p portion, body func(launch, a, b, shared string)) {
	typ := signed(s.count)
	s.launches(p.start, p.end, func(launch string) {
		tiles := s.counted(s.tiles(launch))
		lo, hi, shared := p.alone.lo, p.alone.hi, ""
		if s.m.members > 1 {
			shared = s.to(truth, "setp.gt.s32", s.to(word, "ld.global.nc.b32", field(launch, 8*launchMembers)), "1")
			lo = s.to(s.count, "selp."+s.count.bits(), p.together.lo, lo, shared)
			hi = s.to(s.count, "selp."+s.count.bits(), p.together.hi, hi, shared)
		}
		a, b := s.to(s.count, "max."+typ, lo, "0"), s.to(s.count, "min."+typ, hi, tiles)
		over := s.label("over")
		none := s.to(truth, "setp.ge."+typ, a, b)
		s.op("@%s bra.uni %s", none, over)
		if s.count == wide {
			a, b = s.to(word, "cvt.u32.u64", a), s.to(word, "cvt.u32.u64", b)
		}
		body(launch, a, b, shared)
		s.at(over)
		for _, x := range []share{p.alone, p.together}[:min(2, s.m.members)] {
			s.op("sub.%s %s, %s, %s", typ, x.lo, x.lo, tiles)
			s.op("sub.%s %s, %s, %s", typ, x.hi, x.hi, tiles)
		}
	})
}

// launches runs body for each launch of a phase, of which there is at least one.
func (s *step) launches(start, end string, body func(launch string)) {
	launch, head := s.to(wide, "mov.b64", start), s.label("launch")
	s.at(head)
	body(launch)
	s.op("add.s64 %s, %s, %d", launch, launch, 8*launchFields)
	again := s.to(truth, "setp.lt.s64", launch, end)
	s.op("@%s bra.uni %s", again, head)
}

// tiles is how many tiles a launch has: panels * ceil(count / block), none if the launch is not for so many. See spmd.Grid.
func (s *step) tiles(launch string) string {
	get := func(f int64) string { return s.to(word, "ld.global.nc.b32", field(launch, 8*f)) }
	by, block, panels := get(launchBy), get(launchBlock), get(launchPanels)
	count := "1"
	for _, c := range []struct {
		by spmd.GridBy
		n  string
	}{{spmd.ByRowBlocks, s.rows}, {spmd.BySeqs, s.seqs}, {spmd.ByOutBlocks, s.outs}} {
		count = s.to(word, "selp.b32", c.n, count, s.to(truth, "setp.eq.s32", by, fmt.Sprint(int64(c.by))))
	}
	up := s.to(word, "add.s32", s.to(word, "sub.s32", count, "1"), block)
	n := s.to(word, "mul.lo.s32", panels, s.to(word, "div.u32", up, block))
	if !s.m.bounded() {
		return n
	}
	rows := s.to(word, "selp.b32", s.rows, count, s.to(truth, "setp.eq.s32", by, fmt.Sprint(int64(spmd.ByOne)))) // what a grid of panels alone goes by
	few := s.to(truth, "setp.lt.s32", rows, get(launchLeast))
	many := s.to(truth, "setp.gt.u32", rows, get(launchMost))
	return s.to(word, "selp.b32", "0", n, s.to(truth, "or.pred", few, many))
}

// bounded says that there are launches for some numbers of rows only.
func (m *module) bounded() bool {
	for _, ph := range m.p.Phases {
		for _, l := range ph.Launches {
			if l.Grid.Least > 0 || l.Grid.Most > 0 {
				return true
			}
		}
	}
	return false
}

// call runs tiles lo..hi-1 of a launch's kernel.
func (s *step) call(launch, lo, hi, shared string) {
	m := s.m
	team, scratch := s.scratchOf(shared)
	kernel := s.to(word, "ld.global.nc.b32", field(launch, 8*launchKernel))
	first := s.to(wide, "ld.global.nc.b64", field(launch, 8*launchArgs))
	args := s.to(wide, "mad.lo.s64", first, "8", s.variable("args"))
	list, called := s.label("kernels"), s.label("called")
	labels := make([]string, len(m.p.Kernels))
	for i := range labels {
		labels[i] = s.label("k")
	}
	s.b.WriteString(list + ": .branchtargets " + strings.Join(labels, ", ") + ";\n")
	s.op("brx.idx.uni %s, %s", kernel, list)
	for i, l := range labels {
		s.at(l)
		if m.inlined[i] != "" {
			s.b.WriteString(m.inline(i, [6]string{s.ctx, args, lo, hi, team, scratch}))
		} else {
			s.op("call.uni %s, (%s, %s, %s, %s, %s, %s)", m.symbol(i), s.ctx, args, lo, hi, team, scratch)
		}
		if i+1 < len(labels) {
			s.op("bra.uni %s", called)
		}
	}
	s.at(called)
}

// barrier lets all blocks meet. Block 0 adds 2^31 - (blocks - 1) to a counter, every other block 1: the topmost bit turns when the last one has come,
// and the lower bits are 0 again. The counter need not be reset, between steps neither. What is to be done meanwhile is done between arriving and waiting.
func (s *step) barrier(meanwhile func()) {
	s.note("grid barrier: what any block wrote before, all blocks see behind it")
	arrived, over, spin := s.label("arrived"), s.label("over"), s.label("spin")
	s.op("bar.sync 0")
	other := s.to(truth, "setp.ne.s32", s.tid, "0")
	before := s.to(word, "mov.b32", "0")
	s.op("@%s bra %s", other, arrived)
	last := s.to(word, "sub.s32", s.to(word, "mov.b32", "0x80000001"), s.blocks)
	add := s.to(word, "selp.b32", last, "1", s.to(truth, "setp.eq.s32", s.block, "0"))
	s.op("atom.add.release.gpu.global.u32 %s, %s, %s", before, field(s.ctx, abi.Arrived), add)
	s.at(arrived)
	s.op("bar.warp.sync 0xffffffff")
	meanwhile()
	s.op("@%s bra %s", other, over)
	s.at(spin)
	now := s.to(word, "ld.acquire.gpu.global.u32", field(s.ctx, abi.Arrived))
	same := s.to(truth, "setp.ge.s32", s.to(word, "xor.b32", before, now), "0")
	s.op("@%s bra %s", same, spin)
	s.at(over)
	s.op("bar.sync 0")
}
