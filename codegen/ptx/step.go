package ptx

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/abi"
)

// mostWorkers is how many warps a launch can have: then most products with a number of tiles fit in 32 bits.
const mostWorkers = 1<<16 - 1

// step is the entry in the making.
type step struct {
	code
	m                  *module
	ctx                string
	tid, block, blocks string
	inBlock, teams     string // the team's number in its block, and how many a block has
	worker, workers    string // teams
	inTeam             string // the warp's number in its team
	warp, warps        string // the warp's number in the grid, and how many there are
	rows, seqs, outs   string
	chosen             string // outs, or 0 where no token is to be chosen
	team, shared       string // scratch
	trace              string // 0: no time stamps
	count              class  // of numbers of tiles
}

// step emits the entry: this worker's tiles of all phases, with a grid barrier between two.
func (m *module) step() string {
	s := &step{m: m, count: word}
	if m.mostTiles() > mostWorkers {
		s.count = wide
	}
	s.note("where this thread is")
	s.ctx = s.to(wide, "ld.param.u64", "["+m.prefix+"_step_ctx]")
	s.tid, s.block, s.blocks = s.to(word, "mov.u32", "%tid.x"), s.to(word, "mov.u32", "%ctaid.x"), s.to(word, "mov.u32", "%nctaid.x")
	threads := s.to(word, "mov.u32", "%ntid.x")
	size := fmt.Sprint(m.members * warp)
	s.inBlock, s.teams = s.to(word, "div.u32", s.tid, size), s.to(word, "div.u32", threads, size)
	s.worker = s.to(word, "mad.lo.s32", s.block, s.teams, s.inBlock)
	s.workers = s.to(word, "mul.lo.s32", s.blocks, s.teams)
	s.inTeam, s.warp, s.warps = s.register0(), s.worker, s.workers
	if n := fmt.Sprint(m.members); m.members > 1 {
		s.inTeam = s.to(word, "rem.u32", s.to(word, "shr.u32", s.tid, "5"), n)
		s.warp = s.to(word, "mad.lo.s32", s.worker, n, s.inTeam)
		s.warps = s.to(word, "mul.lo.s32", s.workers, n)
	}
	s.rows, s.seqs, s.outs = s.get("b32", abi.Rows), s.get("b32", abi.Seqs), s.get("b32", abi.Outs)
	s.chosen = s.to(word, "selp.b32", "0", s.outs, s.to(truth, "setp.eq.s64", s.get("b64", abi.Chosen), "0"))
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
	when(abi.ErrABI, "ne.s32", s.get("b32", abi.ABI), fmt.Sprint(abi.Version))
	when(abi.ErrLaunch, "gt.s32", s.warps, fmt.Sprint(mostWorkers))
	when(abi.ErrLaunch, "ne.s32", s.to(word, "rem.u32", threads, size), "0")
	if shared > 0 {
		need := s.to(word, "mul.lo.s32", s.teams, fmt.Sprint(shared))
		when(abi.ErrLaunch, "lt.u32", s.to(word, "mov.u32", "%dynamic_smem_size"), need)
	}
	if global > 0 {
		when(abi.ErrCount, "lt.s32", s.get("b32", abi.Workers), s.workers)
	}
	for _, b := range []struct {
		count, most string
		least, at   int64
	}{
		{s.rows, fmt.Sprint(p.MaxRows), 1, abi.Rows},
		{s.seqs, s.to(word, "min.s32", s.rows, fmt.Sprint(p.MaxSeqs)), 1, abi.Seqs}, // every sequence has a row
		{s.outs, s.rows, 0, abi.Outs},
	} {
		when(abi.ErrCount, "ne.s32", s.get("b32", b.at+4), "0")
		when(abi.ErrCount, "lt.s32", b.count, fmt.Sprint(b.least))
		when(abi.ErrCount, "gt.s32", b.count, b.most)
	}
	need := s.m.required()
	pointers := func(offsets []int64) {
		for _, at := range offsets {
			when(abi.ErrPointer, "eq.s64", s.get("b64", at), "0")
		}
	}
	pointers(need.Always)
	s.op("@%s bra.uni %s", s.to(truth, "setp.eq.s32", s.outs, "0"), accepted)
	pointers(need.Outs)
	s.op("@%s bra.uni %s", s.to(truth, "setp.eq.s32", s.chosen, "0"), accepted)
	pointers(need.Sampled)
	s.op("bra.uni %s", accepted)
	s.at(refused)
	s.byFirst(func() { s.op("st.global.b32 %s, %s", field(s.ctx, abi.Result), result) })
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

// required lists the pointers that a step cannot do without.
func (m *module) required() abi.Required {
	r := abi.Requires(m.p.Program)
	if _, global := m.scratch(); global > 0 {
		r.Always = append(r.Always, abi.Team)
	}
	return r
}

// places finds the worker's scratch and the trace.
func (s *step) places() {
	s.byFirst(func() { s.op("st.global.b32 %s, %s", field(s.ctx, abi.Result), s.register0()) })
	shared, global := s.m.scratch()
	s.shared, s.team = s.register0(), s.to(wide, "mov.b64", "0")
	if shared > 0 {
		base := s.to(offset, "mov.u32", s.m.prefix+"_shared")
		s.shared = s.to(word, "mad.lo.s32", s.inBlock, fmt.Sprint(shared), base)
	}
	if global > 0 {
		at := s.to(wide, "mul.wide.u32", s.worker, fmt.Sprint(global))
		s.team = s.to(wide, "add.s64", s.get("b64", abi.Team), at)
	}
	s.trace = s.get("b64", abi.Trace)
}

// scratchOf is where a kernel's scratch is in global and in shared memory: the team's, or this warp's part of it.
func (s *step) scratchOf(shared string) (team, inShared string) {
	team, inShared = s.team, s.shared
	if shared == "" {
		return team, inShared
	}
	inSM, global := s.m.scratch()
	part := func(bytes int64) string {
		mine := s.to(word, "mul.lo.s32", s.inTeam, fmt.Sprint(bytes/int64(s.m.members)))
		return s.to(word, "selp.b32", "0", mine, shared)
	}
	if global > 0 {
		team = s.to(wide, "add.s64", team, s.to(wide, "cvt.u64.u32", part(global)))
	}
	if inSM > 0 {
		inShared = s.to(word, "add.s32", inShared, part(inSM))
	}
	return team, inShared
}

func (s *step) register0() string { return s.to(word, "mov.b32", "0") }
