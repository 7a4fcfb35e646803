package ptx

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Copies of many bytes say at an mbarrier that they have arrived. A team has a few of these behind its kernel's scratch, and the groups of copies, which all
// members end together, take them in turn: a group's copies add their bytes to what its mbarrier waits for, and each member's end of the group is an arrival
// that is missing till then. Every member waits for all of a group, its own copies and the others': who reads bytes has seen the mbarrier that says they are
// there. Which of the groups it has waited for it keeps in a register.
const (
	slots     = 4 // a power of two; a group more than that waits for the oldest
	slotBytes = 8
)

// bulk is the state of a kernel that copies so.
type bulk struct {
	slots          string // shared address of the team's first one
	maker          string // true in the lane that makes them
	groups, waited string // how many groups have ended, and of how many it is known that they have arrived
}

// slotsOf is how many bytes of a kernel's scratch are for mbarriers.
func slotsOf(k *spmd.Kernel) int64 {
	found := false
	k.Body.Walk(func(in *spmd.Instr) { found = found || in.Op == spmd.OpCopyBulk })
	if !found {
		return 0
	}
	return slots * slotBytes
}

// beginBulk makes the mbarriers.
func (e *kernel) beginBulk() {
	if !e.shared {
		panic("the scratch is not in shared memory")
	}
	b := &bulk{slots: e.to(offset, "add.s32", "%shared", fmt.Sprint(lines(e.k.Team))), maker: e.first}
	if e.k.Members > 1 {
		b.maker = e.to(truth, "setp.eq.and.s32", e.inTeam, "0", e.first)
	}
	b.groups, b.waited = e.to(word, "mov.b32", "0"), e.to(word, "mov.b32", "0")
	for i := range int64(slots) {
		e.op("@%s mbarrier.init.shared.b64 %s, %d", b.maker, field(b.slots, i*slotBytes), e.k.Members)
	}
	e.meet()
	e.bulk = b
}

// endBulk gives their memory back.
func (e *kernel) endBulk() {
	for i := range int64(slots) {
		e.op("@%s mbarrier.inval.shared.b64 %s", e.bulk.maker, field(e.bulk.slots, i*slotBytes))
	}
	e.meet() // before others use it
}

// slot is the address of a group's mbarrier.
func (b *bulk) slot(e *kernel, group string) string {
	return e.to(offset, "mad.lo.s32", e.to(word, "and.b32", group, fmt.Sprint(slots-1)), fmt.Sprint(slotBytes), b.slots)
}

// copyBulk has each lane begin the copy of a piece.
func (e *kernel) copyBulk(in *spmd.Instr) string {
	to, from, s := in.Args[0], in.Args[1], in.Strides
	slot := field(e.bulk.slot(e, e.bulk.groups), 0)
	e.op("@%s mbarrier.expect_tx.relaxed.cta.shared::cta.b64 %s, %d", e.first, slot, in.Imm*s.B)
	there := ""
	if in.Imm < warp {
		there = "@" + e.to(truth, "setp.lt.s32", e.lane, fmt.Sprint(in.Imm)) + " "
	}
	place := e.to(offset, "mad.lo.s32", e.lane, fmt.Sprint(s.C), e.val(to))
	source := e.to(address, "mad.wide.s32", e.lane, fmt.Sprint(s.A), e.val(from))
	e.op("%scp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes %s, %s, %d, %s", there, field(place, 0), field(source, 0), s.B, slot)
	return ""
}

func (e *kernel) copyGroup(*spmd.Instr) string {
	e.op("cp.async.commit_group")
	if b := e.bulk; b != nil {
		e.op("@%s mbarrier.arrive.shared.b64 _, %s", e.first, field(b.slot(e, b.groups), 0))
		e.op("add.s32 %s, %s, 1", b.groups, b.groups)
		b.wait(e, slots-1)
	}
	return ""
}

func (e *kernel) copyWait(in *spmd.Instr) string {
	e.op("cp.async.wait_group %d", in.Imm)
	if e.bulk != nil {
		e.bulk.wait(e, in.Imm)
	}
	return ""
}

// wait waits until all groups but the last n have arrived.
func (b *bulk) wait(e *kernel, n int64) {
	head, try, end := e.label("arrive"), e.label("try"), e.label("end")
	e.at(head)
	few := e.to(truth, "setp.le.s32", e.to(word, "sub.s32", b.groups, b.waited), fmt.Sprint(n))
	e.op("@%s bra.uni %s", few, end)
	slot := b.slot(e, b.waited)
	parity := e.to(word, "and.b32", e.to(word, "shr.u32", b.waited, fmt.Sprint(log2(slots))), "1")
	e.at(try)
	done := e.to(truth, "mbarrier.try_wait.parity.shared.b64", field(slot, 0), parity)
	e.op("@!%s bra %s", done, try)
	e.op("bar.warp.sync 0xffffffff")
	e.op("add.s32 %s, %s, 1", b.waited, b.waited)
	e.op("bra.uni %s", head)
	e.at(end)
}
