package ptx

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// A product of 16 rows by 8 columns over 32 bytes of K is one mma.sync. Of four neighbouring lanes, which stand for a row of a and a column of b, lane t
// holds groups t and t+4 of four bytes; of the result it holds columns 2t and 2t+1, in the row and in the one eight below.
const (
	mmaName   = "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32"
	mmaGroups = 8 // of four bytes, a step
	mmaCols   = 8
)

// product is an mma8 in the making.
type product struct {
	*kernel
	in        *spmd.Instr
	tiles     int64    // of 8 columns
	a, b      string   // where this lane's part of the next step is
	above     string   // true in lanes whose row is one of rows,
	below     string   // and where the row eight below is
	column    string   // number of the lane among its four
	sums      []string // four a tile
	aligned   [2]bool  // a and b can be read a word at a time,
	aligned16 [2]bool  // or four words
}

// mma8 adds a product of bytes to c: c is read, summed up over all of K in registers, and written back.
func (e *kernel) mma8(in *spmd.Instr) string {
	m := &product{kernel: e, in: in, tiles: 2 * in.Imm}
	rows := e.val32(in.Args[4])
	row := e.to(word, "shr.u32", e.lane, "2")
	m.column = e.to(word, "and.b32", e.lane, "3")
	m.above = e.to(truth, "setp.lt.s32", row, rows)
	m.below = e.to(truth, "setp.lt.s32", e.to(word, "add.s32", row, "8"), rows)
	for i := range m.aligned {
		form := e.forms.of(in.Args[1+i])
		m.aligned[i], m.aligned16[i] = e.forms.divides(4, form), e.forms.divides(16, form)
	}
	m.aligned16[0] = m.aligned16[0] && in.Strides.A%16 == 0
	c := m.place(0, row, 4*in.Strides.C, e.to(word, "shl.b32", m.column, "3"))
	perLane := fmt.Sprint(log2(4 * max(1, in.Strides.Run)))
	m.a = m.place(1, row, in.Strides.A, e.to(word, "shl.b32", m.column, perLane))
	m.b = m.place(2, m.column, in.Strides.B, e.to(word, "shl.b32", row, perLane))
	m.each(func(mask string, at int64) {
		sum := e.to(word, "mov.b32", "0")
		e.op("@%s %s %s, %s", mask, m.name("ld", 0, "b32"), sum, field(c, at))
		m.sums = append(m.sums, sum)
	})
	if inRuns(in) {
		m.runSteps()
	} else {
		m.steps()
	}
	i := 0
	m.each(func(mask string, at int64) {
		e.op("@%s %s %s, %s", mask, m.name("st", 0, "b32"), field(c, at), m.sums[i])
		i++
	})
	return ""
}

// place is operand i's address, moved by a number of strides and of bytes.
func (m *product) place(i int, n string, stride int64, bytes string) string {
	p := m.in.Args[i]
	if m.home(p).shared {
		return m.to(offset, "add.s32", m.to(offset, "mad.lo.s32", n, fmt.Sprint(stride), m.val(p)), bytes)
	}
	return m.to(address, "add.s64", m.to(address, "mad.wide.s32", n, fmt.Sprint(stride), m.val(p)), m.to(wide, "cvt.s64.s32", bytes))
}

// name is a load or store of operand i.
func (m *product) name(what string, i int, typ string) string {
	h := m.home(m.in.Args[i])
	switch {
	case h.shared:
		return what + ".shared." + typ
	case what == "ld" && h == (home{space: spmd.Weights}): // streamed, as in loadName
		return "ld.global.nc.L1::no_allocate." + typ
	case what == "ld" && !h.scratch && h.space.Constant():
		return "ld.global.nc." + typ
	}
	return what + ".global." + typ
}

// each goes through this lane's part of c: four numbers a tile.
func (m *product) each(do func(mask string, at int64)) {
	for t := range m.tiles {
		for half, mask := range [...]string{m.above, m.below} {
			for col := range int64(2) {
				do(mask, 4*(int64(half)*8*m.in.Strides.C+t*mmaCols+col))
			}
		}
	}
}

// steps goes through K: whole steps, several at once where their number is known, then what remains.
func (m *product) steps() {
	k, known := m.in.Args[3].Const()
	if known {
		n := k / mmaGroups
		at := int64(1)
		for at < 4 && n%(2*at) == 0 {
			at *= 2
		}
		m.loop(fmt.Sprint(n/at), n/at, int(at))
		if k%mmaGroups > 0 {
			m.rest(fmt.Sprint(k % mmaGroups))
		}
		return
	}
	groups := m.val32(m.in.Args[3])
	m.loop(m.to(word, "shr.u32", groups, "3"), 1, 1)
	m.rest(m.to(word, "and.b32", groups, "7"))
}

// loop does n times so many steps; times is n, or 1 if it is not known.
func (m *product) loop(n string, times int64, steps int) {
	if times == 0 {
		return
	}
	var parts []*fragment
	for range steps { // rows that are not there stay 0 all the time
		f := &fragment{}
		for i := range f.a {
			f.a[i] = m.to(word, "mov.b32", "0")
		}
		parts = append(parts, f)
	}
	m.repeat(n, int64(steps)*4*mmaGroups, int64(steps)*mmaGroups*m.in.Strides.B, func() {
		for i, f := range parts {
			m.load(f, int64(i), "", "")
		}
		for _, f := range parts {
			m.multiply(f)
		}
	})
}

// repeat does body n times, a register or a constant above 0, and moves a and b by so many bytes each time.
func (m *product) repeat(n string, a, b int64, body func()) {
	left, head, end := m.to(word, "mov.b32", n), m.label("mma"), m.label("end")
	if isRegister(n) {
		none := m.to(truth, "setp.eq.s32", left, "0")
		m.op("@%s bra.uni %s", none, end)
	}
	m.at(head)
	body()
	m.advance(&m.a, 1, a)
	m.advance(&m.b, 2, b)
	m.op("add.s32 %s, %s, -1", left, left)
	again := m.to(truth, "setp.gt.s32", left, "0")
	m.op("@%s bra.uni %s", again, head)
	m.at(end)
}

func (m *product) advance(p *string, i int, bytes int64) {
	typ := "s64"
	if m.home(m.in.Args[i]).shared {
		typ = "s32"
	}
	m.op("add.%s %s, %s, %d", typ, *p, *p, bytes)
}

// rest is a step of fewer groups.
func (m *product) rest(groups string) {
	f := &fragment{}
	for i := range f.a {
		f.a[i] = m.to(word, "mov.b32", "0")
	}
	first := m.to(truth, "setp.lt.s32", m.column, groups)
	second := m.to(truth, "setp.lt.s32", m.to(word, "add.s32", m.column, "4"), groups)
	m.load(f, 0, first, second)
	m.multiply(f)
}

// fragment is what a lane holds of a and b in one step: of a the row and the one eight below, of both the first groups and the second.
type fragment struct {
	a [4]string
	b [][2]string // a tile
}

// load fills a fragment for the step that lies so many steps on. first and second are masks of the groups, "" for whole steps.
func (m *product) load(f *fragment, step int64, first, second string) {
	s := m.in.Strides
	both := func(p, q string) string {
		if q == "" {
			return p
		}
		return m.to(truth, "and.pred", p, q)
	}
	for i, mask := range [...]string{both(m.above, first), both(m.below, first), both(m.above, second), both(m.below, second)} {
		m.fetch4(f.a[i], 1, field(m.a, step*4*mmaGroups+int64(i%2)*8*s.A+int64(i/2)*16), mask)
	}
	f.b = nil
	for t := range m.tiles {
		var b [2]string
		for half, mask := range [...]string{first, second} {
			b[half] = m.reg(word)
			if mask != "" {
				m.op("mov.b32 %s, 0", b[half])
			}
			m.fetch4(b[half], 2, field(m.b, (step*mmaGroups+int64(half)*4)*s.B+t*4*mmaCols), mask)
		}
		f.b = append(f.b, b)
	}
}

// fetch4 loads four bytes of operand i, one by one if they may begin anywhere.
func (m *product) fetch4(d string, i int, at, mask string) {
	guard := ""
	if mask != "" {
		guard = "@" + mask + " "
	}
	if m.aligned[i-1] {
		m.op("%s%s %s, %s", guard, m.name("ld", i, "b32"), d, at)
		return
	}
	base, more := strings.TrimSuffix(at, "]"), 0
	if plus := strings.IndexByte(base, '+'); plus >= 0 {
		fmt.Sscan(base[plus+1:], &more)
		base = base[:plus]
	}
	var bytes [4]string
	for j := range bytes {
		bytes[j] = m.to(word, "mov.b32", "0")
		m.op("%s%s %s, %s+%d]", guard, m.name("ld", i, "u8"), bytes[j], base, more+j)
	}
	low, high := m.to(word, "prmt.b32", bytes[0], bytes[1], "0x0040"), m.to(word, "prmt.b32", bytes[2], bytes[3], "0x0040")
	m.op("prmt.b32 %s, %s, %s, 0x5410", d, low, high)
}

func (m *product) multiply(f *fragment) {
	for t, b := range f.b {
		c := strings.Join(m.sums[4*t:4*t+4], ", ")
		m.op("%s {%s}, {%s}, {%s, %s}, {%s}", mmaName, c, strings.Join(f.a[:], ", "), b[0], b[1], c)
	}
}
