package ptx

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// step is the entry in the making.
type step struct {
	code
	m                  *module
	ctx                string
	tid, block, blocks string
	inBlock, teams     string // the team's number in its block, and how many a block has
	worker, workers    string
	rows, seqs, outs   string
	team, shared       string // scratch
	trace              string // 0: no time stamps
}

// step emits the entry: this worker's tiles of all phases, with a grid barrier between two.
func (m *module) step() string {
	s := &step{m: m}
	s.note("where this thread is")
	s.ctx = s.to(wide, "ld.param.u64", "["+m.prefix+"_step_ctx]")
	s.tid, s.block, s.blocks = s.to(word, "mov.u32", "%tid.x"), s.to(word, "mov.u32", "%ctaid.x"), s.to(word, "mov.u32", "%nctaid.x")
	threads := s.to(word, "mov.u32", "%ntid.x")
	size := fmt.Sprint(m.members * warp)
	s.inBlock, s.teams = s.to(word, "div.u32", s.tid, size), s.to(word, "div.u32", threads, size)
	s.worker = s.to(word, "mad.lo.s32", s.block, s.teams, s.inBlock)
	s.workers = s.to(word, "mul.lo.s32", s.blocks, s.teams)
	s.rows, s.seqs, s.outs = s.get("b32", ctxRows), s.get("b32", ctxSeqs), s.get("b32", ctxOuts)
	s.checks(threads, size)
	s.places()
	s.phases()
	s.op("ret")
	head := fmt.Sprintf(".visible .entry %s_step (.param .u64 %s_step_ctx)\n.maxntid %d, 1, 1\n.minnctapersm 1", m.prefix, m.prefix, blockThreads)
	return s.function(head)
}

// get reads a field of the context.
func (s *step) get(typ string, off int64) string {
	k := word
	if typ == "b64" {
		k = wide
	}
	return s.to(k, "ld.global.nc."+typ, field(s.ctx, off))
}

// checks refuses a context or a launch that does not fit. Every thread comes to the same result; one writes it.
func (s *step) checks(threads, size string) {
	s.note("refuse what does not fit")
	result, refused, accepted := s.reg(word), s.label("refused"), s.label("accepted")
	when := func(code int, name string, operands ...string) {
		bad := s.to(truth, "setp."+name, operands...)
		s.op("@%s mov.b32 %s, %d", bad, result, code)
		s.op("@%s bra.uni %s", bad, refused)
	}
	p := s.m.p
	shared, global := s.m.scratch()
	when(errABI, "ne.s32", s.get("b32", ctxABI), fmt.Sprint(abiVersion))
	when(errLaunch, "ne.s32", s.to(word, "rem.u32", threads, size), "0")
	if shared > 0 {
		need := s.to(word, "mul.lo.s32", s.teams, fmt.Sprint(shared))
		when(errLaunch, "lt.u32", s.to(word, "mov.u32", "%dynamic_smem_size"), need)
	}
	if global > 0 {
		when(errCount, "lt.s32", s.get("b32", ctxWorkers), s.workers)
	}
	for _, b := range []struct {
		count, most string
		least, at   int64
	}{
		{s.rows, fmt.Sprint(p.MaxRows), 1, ctxRows},
		{s.seqs, s.to(word, "min.s32", s.rows, fmt.Sprint(p.MaxSeqs)), 1, ctxSeqs}, // every sequence has a row
		{s.outs, s.rows, 0, ctxOuts},
	} {
		when(errCount, "ne.s32", s.get("b32", b.at+4), "0")
		when(errCount, "lt.s32", b.count, fmt.Sprint(b.least))
		when(errCount, "gt.s32", b.count, b.most)
	}
	always, forOuts := s.m.required()
	for _, at := range always {
		when(errPointer, "eq.s64", s.get("b64", at), "0")
	}
	if len(forOuts) > 0 {
		none := s.to(truth, "setp.eq.s32", s.outs, "0")
		s.op("@%s bra.uni %s", none, accepted)
		for _, at := range forOuts {
			when(errPointer, "eq.s64", s.get("b64", at), "0")
		}
	}
	s.op("bra.uni %s", accepted)
	s.at(refused)
	s.byFirst(func() { s.op("st.global.b32 %s, %s", field(s.ctx, ctxResult), result) })
	s.op("ret")
	s.at(accepted)
}

// byFirst lets one thread of the grid do something.
func (s *step) byFirst(do func()) {
	over := s.label("over")
	other := s.to(truth, "setp.ne.s32", s.to(word, "or.b32", s.tid, s.block), "0")
	s.op("@%s bra %s", other, over)
	do()
	s.at(over)
}

// required lists the pointers that a step cannot do without: whether always, or only when logits are wanted.
func (m *module) required() (always, forOuts []int64) {
	used := map[spmd.Space]bool{}
	for _, k := range m.p.Kernels {
		for _, p := range k.Params {
			used[p.Space] = true
		}
	}
	for s, at := range spaceFields {
		switch space := spmd.Space(s); {
		case !used[space]:
		case space == spmd.OutRow || space == spmd.Logits:
			forOuts = append(forOuts, at)
		default:
			always = append(always, at)
		}
	}
	if _, global := m.scratch(); global > 0 {
		always = append(always, ctxTeam)
	}
	return always, forOuts
}

// places finds the worker's scratch and the trace.
func (s *step) places() {
	s.byFirst(func() { s.op("st.global.b32 %s, %s", field(s.ctx, ctxResult), s.register0()) })
	shared, global := s.m.scratch()
	s.shared, s.team = s.register0(), s.to(wide, "mov.b64", "0")
	if shared > 0 {
		base := s.to(offset, "mov.u32", s.m.prefix+"_shared")
		s.shared = s.to(word, "mad.lo.s32", s.inBlock, fmt.Sprint(shared), base)
	}
	if global > 0 {
		at := s.to(wide, "mul.wide.u32", s.worker, fmt.Sprint(global))
		s.team = s.to(wide, "add.s64", s.get("b64", ctxTeam), at)
	}
	s.trace = s.get("b64", ctxTrace)
}

func (s *step) register0() string { return s.to(word, "mov.b32", "0") }

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
	least := s.to(wide, "ld.global.nc.b64", field(table, 8*phaseMinRows))
	few := s.to(truth, "setp.lt.s64", s.to(wide, "cvt.s64.s32", s.rows), least)
	s.op("@%s bra.uni %s", few, next)
	s.phase(table)
	last := s.to(truth, "setp.eq.s64", s.to(wide, "add.s64", table, fmt.Sprint(8*phaseFields)), end)
	s.op("@%s bra.uni %s", last, next)
	s.barrier()
	s.at(next)
	s.op("add.s64 %s, %s, %d", table, table, 8*phaseFields)
	again := s.to(truth, "setp.lt.s64", table, end)
	s.op("@%s bra.uni %s", again, head)
	s.stamp(stamp)
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

// phase runs the worker's tiles: of all the tiles of the phase's launches, one after another, worker w has those from total*w/workers on.
func (s *step) phase(table string) {
	s.note("the phase's launches, and how many tiles they have")
	first := s.to(wide, "ld.global.nc.b64", field(table, 8*phaseFirst))
	after := s.to(wide, "ld.global.nc.b64", field(table, 8*(phaseFields+phaseFirst)))
	start := s.to(wide, "mad.lo.s64", first, fmt.Sprint(8*launchFields), s.variable("launches"))
	end := s.to(wide, "mad.lo.s64", after, fmt.Sprint(8*launchFields), s.variable("launches"))
	total := s.to(wide, "mov.b64", "0")
	s.launches(start, end, func(launch string) {
		s.op("add.s64 %s, %s, %s", total, total, s.to(wide, "cvt.u64.u32", s.tiles(launch)))
	})
	s.note("this worker's share of them")
	workers := s.to(wide, "cvt.u64.u32", s.workers)
	share := func(w string) string {
		return s.to(wide, "div.u64", s.to(wide, "mul.lo.s64", total, s.to(wide, "cvt.u64.u32", w)), workers)
	}
	lo, hi := share(s.worker), share(s.to(word, "add.s32", s.worker, "1"))
	s.launches(start, end, func(launch string) {
		tiles := s.to(wide, "cvt.u64.u32", s.tiles(launch))
		a, b := s.to(wide, "max.s64", lo, "0"), s.to(wide, "min.s64", hi, tiles)
		over := s.label("over")
		none := s.to(truth, "setp.ge.s64", a, b)
		s.op("@%s bra.uni %s", none, over)
		s.call(launch, s.to(word, "cvt.u32.u64", a), s.to(word, "cvt.u32.u64", b))
		s.at(over)
		s.op("sub.s64 %s, %s, %s", lo, lo, tiles)
		s.op("sub.s64 %s, %s, %s", hi, hi, tiles)
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

// tiles is how many tiles a launch has: panels * ceil(count / block). See spmd.Grid.
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
	return s.to(word, "mul.lo.s32", panels, s.to(word, "div.u32", up, block))
}

// call runs tiles lo..hi-1 of a launch's kernel.
func (s *step) call(launch, lo, hi string) {
	m := s.m
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
		s.op("call.uni %s, (%s, %s, %s, %s, %s, %s)", m.symbol(i), s.ctx, args, lo, hi, s.team, s.shared)
		if i+1 < len(labels) {
			s.op("bra.uni %s", called)
		}
	}
	s.at(called)
}

// barrier lets all blocks meet. Block 0 adds 2^31 - (blocks - 1) to a counter, every other block 1: the topmost bit turns when the last one has come,
// and the lower bits are 0 again. The counter need not be reset, between steps neither.
func (s *step) barrier() {
	s.note("grid barrier: what any block wrote before, all blocks see behind it")
	over, spin := s.label("over"), s.label("spin")
	s.op("bar.sync 0")
	other := s.to(truth, "setp.ne.s32", s.tid, "0")
	s.op("@%s bra %s", other, over)
	last := s.to(word, "sub.s32", s.to(word, "mov.b32", "0x80000001"), s.blocks)
	add := s.to(word, "selp.b32", last, "1", s.to(truth, "setp.eq.s32", s.block, "0"))
	before := s.to(word, "atom.add.release.gpu.global.u32", field(s.ctx, ctxArrived), add)
	s.at(spin)
	now := s.to(word, "ld.acquire.gpu.global.u32", field(s.ctx, ctxArrived))
	same := s.to(truth, "setp.ge.s32", s.to(word, "xor.b32", before, now), "0")
	s.op("@%s bra %s", same, spin)
	s.at(over)
	s.op("bar.sync 0")
}
