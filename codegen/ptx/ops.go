package ptx

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// emitters has the code of every instruction but for and if, which have regions (kernel.go). An emitter gives the register, or the constant, of
// the result.
var emitters = [...]func(e *kernel, in *spmd.Instr) string{
	spmd.OpConst:   (*kernel).constant,
	spmd.OpParam:   func(e *kernel, in *spmd.Instr) string { return e.params[in.Imm] },
	spmd.OpScratch: (*kernel).scratch,
	spmd.OpTile:    func(e *kernel, in *spmd.Instr) string { return e.tile },
	spmd.OpRows:    func(e *kernel, in *spmd.Instr) string { return e.counts[in.Op] },
	spmd.OpSeqs:    func(e *kernel, in *spmd.Instr) string { return e.counts[in.Op] },
	spmd.OpOuts:    func(e *kernel, in *spmd.Instr) string { return e.counts[in.Op] },
	spmd.OpMember:  (*kernel).member,
	spmd.OpMembers: func(e *kernel, in *spmd.Instr) string { return fmt.Sprint(e.k.Members) },
	spmd.OpLane:    func(e *kernel, in *spmd.Instr) string { return e.lane },
	spmd.OpOffset:  (*kernel).offsetPointer,

	spmd.OpAdd: (*kernel).binary,
	spmd.OpSub: (*kernel).binary,
	spmd.OpMul: (*kernel).binary,
	spmd.OpDiv: (*kernel).binary,
	spmd.OpRem: (*kernel).binary,
	spmd.OpMin: (*kernel).binary,
	spmd.OpMax: (*kernel).binary,
	spmd.OpAnd: (*kernel).binary,
	spmd.OpOr:  (*kernel).binary,
	spmd.OpXor: (*kernel).binary,

	spmd.OpShl:  (*kernel).shift,
	spmd.OpShr:  (*kernel).shift,
	spmd.OpShrl: (*kernel).shift,
	spmd.OpNeg:  (*kernel).neg,
	spmd.OpAbs:  func(e *kernel, in *spmd.Instr) string { return e.to(float, "abs.f32", e.floatArg(in, 0)) },
	spmd.OpSqrt: func(e *kernel, in *spmd.Instr) string { return e.to(float, "sqrt.rn.f32", e.floatArg(in, 0)) },
	spmd.OpFMA: func(e *kernel, in *spmd.Instr) string {
		x, y := e.commuted(in)
		return e.to(float, "fma.rn.f32", e.register(float, x), y, e.arg(in, 2))
	},
	spmd.OpDot4: func(e *kernel, in *spmd.Instr) string {
		return e.to(word, "dp4a.s32.s32", e.wordArg(in, 1), e.wordArg(in, 2), e.wordArg(in, 0))
	},
	spmd.OpDot4U: func(e *kernel, in *spmd.Instr) string {
		return e.to(word, "dp4a.u32.s32", e.wordArg(in, 1), e.wordArg(in, 2), e.wordArg(in, 0))
	},
	spmd.OpDot2:   (*kernel).dot2,
	spmd.OpByte16: (*kernel).byte16,
	spmd.OpSwap:   (*kernel).swap,
	spmd.OpMMA8:   (*kernel).mma8,

	spmd.OpMMAI8:    func(e *kernel, in *spmd.Instr) string { return e.fragments(in, word, mmaName) },
	spmd.OpQuadI8:   (*kernel).quad,
	spmd.OpQuadBF16: (*kernel).quad,
	spmd.OpQuadTF32: (*kernel).quad,
	spmd.OpMMABF16:  func(e *kernel, in *spmd.Instr) string { return e.fragments(in, float, mmaBF16Name) },
	spmd.OpPackBF16: func(e *kernel, in *spmd.Instr) string {
		return e.to(word, "cvt.rn.bf16x2.f32", e.floatArg(in, 1), e.floatArg(in, 0))
	},
	spmd.OpCopyAsync: (*kernel).copyAsync,
	spmd.OpCopyBulk:  (*kernel).copyBulk,
	spmd.OpCopyGroup: (*kernel).copyGroup,
	spmd.OpCopyWait:  (*kernel).copyWait,

	spmd.OpCmp:    (*kernel).compare,
	spmd.OpSelect: (*kernel).choice,

	spmd.OpRound: func(e *kernel, in *spmd.Instr) string { return e.to(word, "cvt.rni.s32.f32", e.floatArg(in, 0)) },
	spmd.OpToF32: func(e *kernel, in *spmd.Instr) string { return e.to(float, "cvt.rn.f32.s32", e.wordArg(in, 0)) },
	spmd.OpBitcast: func(e *kernel, in *spmd.Instr) string {
		x := e.register(e.class(in.Args[0]), e.arg(in, 0))
		if e.class(in.Results[0]) == float { // which may be in a register of bits
			return x
		}
		return e.to(word, "mov.b32", x)
	},
	spmd.OpExtend:   func(e *kernel, in *spmd.Instr) string { return e.arg(in, 0) }, // what fits is held in 32 bits
	spmd.OpTruncate: func(e *kernel, in *spmd.Instr) string { return e.val32(in.Args[0]) },
	spmd.OpSplat:    func(e *kernel, in *spmd.Instr) string { return e.arg(in, 0) },

	spmd.OpLoad:        (*kernel).load,
	spmd.OpLoadV:       (*kernel).load,
	spmd.OpLoadVN:      (*kernel).loadMasked,
	spmd.OpLoadRun:     (*kernel).loadRun,
	spmd.OpGather:      (*kernel).gather,
	spmd.OpGatherRun:   (*kernel).gatherRun,
	spmd.OpStore:       (*kernel).store,
	spmd.OpStoreV:      (*kernel).store,
	spmd.OpStoreVN:     (*kernel).store,
	spmd.OpPrefetch:    (*kernel).prefetch,
	spmd.OpPrefetchFar: (*kernel).prefetch, // both into the second-level cache

	spmd.OpReduceAdd: func(e *kernel, in *spmd.Instr) string {
		return e.reduce(in, func(x, y string) string { return e.to(float, "add.rn.f32", x, y) })
	},
	spmd.OpReduceMax: func(e *kernel, in *spmd.Instr) string {
		return e.reduce(in, func(x, y string) string { return e.lesser(spmd.GT, float, x, y) })
	},
	spmd.OpBarrier: func(e *kernel, in *spmd.Instr) string {
		e.meet()
		return ""
	},
}

func (e *kernel) floatArg(in *spmd.Instr, i int) string { return e.register(float, e.arg(in, i)) }
func (e *kernel) wordArg(in *spmd.Instr, i int) string  { return e.register(word, e.arg(in, i)) }

func (e *kernel) constant(in *spmd.Instr) string {
	switch in.Results[0].Type.Elem {
	case spmd.F32:
		if x := e.varied[in]; x != "" {
			return x
		}
		return hex(uint32(in.Imm))
	case spmd.I32:
		return fmt.Sprint(int32(in.Imm))
	}
	return fmt.Sprint(in.Imm)
}

func (e *kernel) member(*spmd.Instr) string {
	if e.k.Members == 1 {
		return "0"
	}
	return e.inTeam
}

// binaries are the instructions that PTX has one for, by kind of operand; "#" stands for the number of bits.
var binaries = [...]struct{ integer, float, truth string }{
	spmd.OpAdd: {integer: "add.s#", float: "add.rn.f32"},
	spmd.OpSub: {integer: "sub.s#", float: "sub.rn.f32"},
	spmd.OpMul: {integer: "mul.lo.s#", float: "mul.rn.f32"},
	spmd.OpDiv: {integer: "div.u#", float: "div.rn.f32"}, // operands of an integer division are not negative
	spmd.OpRem: {integer: "rem.u#"},
	spmd.OpMin: {integer: "min.s#"},
	spmd.OpMax: {integer: "max.s#"},
	spmd.OpAnd: {integer: "and.b#", truth: "and.pred"},
	spmd.OpOr:  {integer: "or.b#", truth: "or.pred"},
	spmd.OpXor: {integer: "xor.b#", truth: "xor.pred"},
}

// commutes says that the operands of an operation may change places.
func commutes(op spmd.Op) bool { return op != spmd.OpSub && op != spmd.OpDiv && op != spmd.OpRem }

// commuted gives the first two operands, a register before a constant.
func (e *kernel) commuted(in *spmd.Instr) (x, y string) {
	x, y = e.arg(in, 0), e.arg(in, 1)
	if commutes(in.Op) && !isRegister(x) {
		return y, x
	}
	return x, y
}

func (e *kernel) binary(in *spmd.Instr) string {
	name := binaries[in.Op]
	switch in.Args[0].Type.Elem {
	case spmd.Bool:
		return e.to(truth, name.truth, e.arg(in, 0), e.arg(in, 1))
	case spmd.F32:
		if in.Op == spmd.OpMin || in.Op == spmd.OpMax {
			return e.extreme(in)
		}
		x, y := e.commuted(in)
		return e.to(float, name.float, e.register(float, x), y)
	case spmd.I32:
		x, y := e.commuted(in)
		return e.divided(in.Op, word, e.register(word, x), y)
	}
	k := e.width(in)
	x, y := e.as(k, in.Args[0]), e.as(k, in.Args[1])
	if commutes(in.Op) && !isRegister(x) {
		x, y = y, x
	}
	return e.narrowed(in, k, e.divided(in.Op, k, e.register(k, x), y))
}

// width is how an instruction on i64 is done: with 32 bits if operands and result fit.
func (e *kernel) width(in *spmd.Instr) class {
	for _, v := range append(in.Args[:len(in.Args):len(in.Args)], in.Results...) {
		if v.Type.Elem == spmd.I64 && e.class(v) == wide {
			return wide
		}
	}
	return word
}

// narrowed brings the result of an instruction that was done with 64 bits to where it is held.
func (e *kernel) narrowed(in *spmd.Instr, k class, x string) string {
	if k == wide && e.class(in.Results[0]) == word {
		return e.to(word, "cvt.u32.u64", x)
	}
	return x
}

// divided is an integer operation; divisions by powers of two are shifts and masks.
func (e *kernel) divided(op spmd.Op, k class, x, y string) string {
	bits := "32"
	if k == wide {
		bits = "64"
	}
	if op == spmd.OpAdd && y == "0" || op == spmd.OpMul && y == "1" {
		return x
	}
	var n int64
	if _, err := fmt.Sscan(y, &n); err == nil && log2(n) >= 0 {
		switch op {
		case spmd.OpDiv:
			return e.to(k, "shr.u"+bits, x, fmt.Sprint(log2(n)))
		case spmd.OpRem:
			return e.to(k, "and.b"+bits, x, fmt.Sprint(n-1))
		}
	}
	name := binaries[op].integer
	return e.to(k, name[:len(name)-1]+bits, x, y)
}

// extreme is min and max of floats: (x p y) ? x : y. The instructions min and max differ from that where one operand is NaN or both are zeros; against
// a constant in second place that is neither they do not.
func (e *kernel) extreme(in *spmd.Instr) string {
	c := in.Args[1].Def
	if c != nil && c.Op == spmd.OpSplat {
		c = c.Args[0].Def
	}
	second := float32(0)
	if c != nil && c.Op == spmd.OpConst && e.varied[c] == "" {
		second = math.Float32frombits(uint32(c.Imm))
	}
	if second != 0 && second == second {
		return e.to(float, in.Op.String()+".f32", e.floatArg(in, 0), e.arg(in, 1))
	}
	p := spmd.LT
	if in.Op == spmd.OpMax {
		p = spmd.GT
	}
	return e.lesser(p, float, e.floatArg(in, 0), e.arg(in, 1))
}

// lesser is (x p y) ? x : y.
func (e *kernel) lesser(p spmd.Pred, k class, x, y string) string {
	return e.to(k, "selp."+k.bits(), x, y, e.to(truth, "setp."+p.String()+"."+k.bits(), x, y))
}

func (e *kernel) shift(in *spmd.Instr) string {
	k := e.width(in)
	bits := "32"
	if k == wide {
		bits = "64"
	}
	name := map[spmd.Op]string{spmd.OpShl: "shl.b", spmd.OpShr: "shr.s", spmd.OpShrl: "shr.u"}[in.Op] + bits
	return e.narrowed(in, k, e.to(k, name, e.register(k, e.as(k, in.Args[0])), fmt.Sprint(in.Imm)))
}

func (e *kernel) neg(in *spmd.Instr) string {
	if in.Args[0].Type.Elem == spmd.F32 {
		return e.to(float, "neg.f32", e.floatArg(in, 0))
	}
	k := e.width(in)
	return e.narrowed(in, k, e.to(k, "neg."+signed(k), e.register(k, e.as(k, in.Args[0]))))
}

func (e *kernel) compare(in *spmd.Instr) string {
	p := spmd.Pred(in.Imm)
	if in.Args[0].Type.Elem == spmd.F32 {
		name := p.String()
		if p == spmd.NE {
			name = "neu" // true with NaN
		}
		return e.to(truth, "setp."+name+".f32", e.floatArg(in, 0), e.arg(in, 1))
	}
	k := e.width(in)
	return e.to(truth, "setp."+p.String()+"."+signed(k), e.register(k, e.as(k, in.Args[0])), e.as(k, in.Args[1]))
}

// choice is c ? x : y. There is no selp of predicates.
func (e *kernel) choice(in *spmd.Instr) string {
	c := e.arg(in, 0)
	k := e.class(in.Results[0])
	if k == truth {
		x := e.to(truth, "and.pred", c, e.arg(in, 1))
		y := e.to(truth, "and.pred", e.to(truth, "not.pred", c), e.arg(in, 2))
		return e.to(truth, "or.pred", x, y)
	}
	return e.to(k, "selp."+k.bits(), e.as(k, in.Args[1]), e.as(k, in.Args[2]), c)
}

// dot2 takes the halves apart: there is no product of two pairs of 16 bits.
func (e *kernel) dot2(in *spmd.Instr) string {
	halves := func(x string) (lo, hi string) {
		lo, hi = e.reg(half), e.reg(half)
		e.op("mov.b32 {%s, %s}, %s", lo, hi, x)
		return lo, hi
	}
	a0, a1 := halves(e.wordArg(in, 1))
	b0, b1 := halves(e.wordArg(in, 2))
	return e.to(word, "mad.wide.s16", a1, b1, e.to(word, "mad.wide.s16", a0, b0, e.wordArg(in, 0)))
}

// byte16 picks bytes 0 and 2, or 1 and 3, each followed by its sign.
func (e *kernel) byte16(in *spmd.Instr) string {
	return e.to(word, "prmt.b32", e.wordArg(in, 0), "0", [2]string{"0xA280", "0xB391"}[in.Imm])
}

// shuffle moves a 32-bit register between lanes.
func (e *kernel) shuffle(how string, k class, x, lane string) string {
	return e.to(k, "shfl.sync."+how+".b32", x, lane, "31", "0xffffffff")
}

func (e *kernel) swap(in *spmd.Instr) string {
	k := e.class(in.Args[0])
	return e.shuffle("bfly", k, e.register(k, e.arg(in, 0)), fmt.Sprint(in.Imm))
}

// reduce combines sixteen lanes: l with l+8, then l+4, l+2, l+1. Lane 0 has the result, and gives it to all.
func (e *kernel) reduce(in *spmd.Instr, combine func(x, y string) string) string {
	x := e.floatArg(in, 0)
	for _, n := range [...]string{"8", "4", "2", "1"} {
		x = combine(x, e.shuffle("bfly", float, x, n))
	}
	return e.shuffle("idx", float, x, "0")
}
