package amd64

import (
	"cmp"
	"slices"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"
)

// levelFunctions emits model_level and model_level_name.
func (m *module) levelFunctions() {
	cpuid := m.cpuid()
	c := m.exported("level", types.I32)
	regs := map[uint32]value.Value{}
	leaf := func(n uint32) value.Value {
		if regs[n] == nil {
			regs[n] = c.at.NewCall(cpuid, i32(int64(int32(n))))
		}
		return regs[n]
	}
	// All leaves are there, and the operating system saves vector registers at all: else XGETBV itself would fault.
	none := i32(errLevel)
	for _, top := range []uint32{0, 0x8000_0000} {
		most := c.at.NewExtractValue(leaf(top), uint64(eax))
		need := top
		for _, f := range allFeatures(len(levels) - 1) {
			if f.leaf&0x8000_0000 == top {
				need = max(need, f.leaf)
			}
		}
		c.retWhen(c.at.NewICmp(enum.IPredULT, most, i32(int64(int32(need)))), none)
	}
	c1 := c.at.NewExtractValue(leaf(1), uint64(ecx))
	c.retWhen(c.at.NewICmp(enum.IPredEQ, c.at.NewAnd(c1, i32(1<<osxsave)), i32(0)), none)
	pair := types.NewStruct(types.I32, types.I32)
	xcr0 := c.at.NewExtractValue(c.asm(pair, "xgetbv", "={eax},={edx},{ecx},~{dirflag},~{fpsr},~{flags}", i32(0)), 0)
	for _, i := range m.bestFirst() {
		r := rank(m.levels[i].Name)
		ok := value.Value(has(c, xcr0, levels[r].xcr0))
		for _, g := range groups(r) {
			ok = c.at.NewAnd(ok, has(c, c.at.NewExtractValue(leaf(g.leaf), uint64(g.reg)), g.bits))
		}
		c.retWhen(ok, i32(int64(i)))
	}
	c.at.NewRet(none)
	m.levelName()
}

func has(c *code, x value.Value, bits uint32) value.Value {
	at := c.at
	want := i32(int64(int32(bits)))
	return at.NewICmp(enum.IPredEQ, at.NewAnd(x, want), want)
}

// bestFirst orders the levels of the object from the highest to the lowest.
func (m *module) bestFirst() []int {
	var order []int
	for i := range m.levels {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(rank(m.levels[b].Name), rank(m.levels[a].Name)) })
	return order
}

// group is the features of a level that one register of CPUID tells.
type group struct {
	leaf uint32
	reg  register
	bits uint32
}

func groups(rank int) []group {
	var gs []group
	for _, f := range allFeatures(rank) {
		i := slices.IndexFunc(gs, func(g group) bool { return g.leaf == f.leaf && g.reg == f.reg })
		if i < 0 {
			i = len(gs)
			gs = append(gs, group{leaf: f.leaf, reg: f.reg})
		}
		gs[i].bits |= 1 << f.bit
	}
	return gs
}

// cpuid emits a function that gives EAX, EBX, ECX, EDX of a leaf with ECX = 0. It is a function so that RBX is saved in one place.
func (m *module) cpuid() *ir.Func {
	four := types.NewStruct(types.I32, types.I32, types.I32, types.I32)
	c := m.function("cpuid", four, ir.NewParam("leaf", types.I32))
	c.FuncAttrs = append(c.FuncAttrs, enum.FuncAttrNoInline)
	c.at.NewRet(c.asm(four, "cpuid", "={eax},={ebx},={ecx},={edx},{eax},{ecx},~{dirflag},~{fpsr},~{flags}", c.Params[0], i32(0)))
	return c.Func
}

// levelName emits a table of names behind a check of the index.
func (m *module) levelName() {
	c := m.exported("level_name", bytePtr, ir.NewParam("i", types.I32))
	n := uint64(len(m.levels))
	table := m.hidden("level_names", array(bytePtr, m.levels, func(l Level) constant.Constant {
		text := m.hidden("name."+l.Name, stringConstant(l.Name))
		return constant.NewGetElementPtr(text.ContentType, text, i64(0), i64(0))
	}))
	outside := c.at.NewICmp(enum.IPredUGE, c.Params[0], i32(int64(n)))
	c.retWhen(outside, constant.NewNull(bytePtr))
	at := c.element(table, c.at.NewSExt(c.Params[0], types.I64))
	c.at.NewRet(c.at.NewLoad(bytePtr, at))
}
