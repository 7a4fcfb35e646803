package amd64

import (
	"cmp"
	"slices"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/abi"
)

// levelFunctions emits model_level and model_level_name.
func (m *module) levelFunctions() {
	cpuid := m.cpuid()
	c := m.exported("level", types.I32)
	regs := map[[2]uint32]value.Value{}
	leaf := func(n, sub uint32) value.Value {
		key := [2]uint32{n, sub}
		if regs[key] == nil {
			regs[key] = c.at.NewCall(cpuid, i32(int64(int32(n))), i32(int64(sub)))
		}
		return regs[key]
	}
	// All leaves are there, and the operating system saves vector registers at all: else XGETBV itself would fault.
	none := i32(abi.ErrLevel)
	for _, top := range []uint32{0, 0x8000_0000} {
		most := c.at.NewExtractValue(leaf(top, 0), uint64(eax))
		need := top
		for i := range levels {
			for _, f := range levels[i].features {
				if f.leaf&0x8000_0000 == top {
					need = max(need, f.leaf)
				}
			}
		}
		c.retWhen(c.at.NewICmp(enum.IPredULT, most, i32(int64(int32(need)))), none)
	}
	c1 := c.at.NewExtractValue(leaf(1, 0), uint64(ecx))
	c.retWhen(c.at.NewICmp(enum.IPredEQ, c.at.NewAnd(c1, i32(1<<osxsave)), i32(0)), none)
	pair := types.NewStruct(types.I32, types.I32)
	saved := c.at.NewExtractValue(c.asm(pair, "xgetbv", "={eax},={edx},{ecx},~{dirflag},~{fpsr},~{flags}", i32(0)), 0)
	for _, i := range m.bestFirst() {
		r := rank(m.levels[i].Name)
		ok := value.Value(has(c, saved, xcr0(r)))
		for _, g := range groups(r) {
			ok = c.at.NewAnd(ok, has(c, c.at.NewExtractValue(leaf(g.leaf, g.sub), uint64(g.reg)), g.bits))
		}
		if levels[r].target.Tiles {
			c.when(ok, func() { c.retWhen(c.allowTiles(), i32(int64(i))) })
			continue
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
	leaf, sub uint32
	reg       register
	bits      uint32
}

func groups(rank int) []group {
	var gs []group
	for _, f := range allFeatures(rank) {
		i := slices.IndexFunc(gs, func(g group) bool { return g.leaf == f.leaf && g.sub == f.sub && g.reg == f.reg })
		if i < 0 {
			i = len(gs)
			gs = append(gs, group{leaf: f.leaf, sub: f.sub, reg: f.reg})
		}
		gs[i].bits |= 1 << f.bit
	}
	return gs
}

// Linux: arch_prctl(2) with what a process must ask for once, for all its threads, before it uses tiles: their 8 KB grow every signal's frame.
const (
	sysArchPrctl     = 158
	requestFeature   = 0x1023 // ARCH_REQ_XCOMP_PERM
	xfeatureTileData = 18
)

// allowTiles asks for AMX's tiles and says whether they may be used now.
func (c *code) allowTiles() value.Value {
	const constraints = "={rax},{rax},{rdi},{rsi},~{rcx},~{r11},~{memory},~{dirflag},~{fpsr},~{flags}"
	result := c.asm(types.I64, "syscall", constraints, i64(sysArchPrctl), i64(requestFeature), i64(xfeatureTileData))
	return c.at.NewICmp(enum.IPredEQ, result, i64(0))
}

// cpuid emits a function that gives EAX, EBX, ECX, EDX of a leaf. It is a function so that RBX is saved in one place.
func (m *module) cpuid() *ir.Func {
	four := types.NewStruct(types.I32, types.I32, types.I32, types.I32)
	c := m.function("cpuid", four, ir.NewParam("leaf", types.I32), ir.NewParam("sub", types.I32))
	c.FuncAttrs = append(c.FuncAttrs, enum.FuncAttrNoInline)
	c.at.NewRet(c.asm(four, "cpuid", "={eax},={ebx},={ecx},={edx},{eax},{ecx},~{dirflag},~{fpsr},~{flags}", c.Params[0], c.Params[1]))
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
