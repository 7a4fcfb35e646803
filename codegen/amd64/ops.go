package amd64

import (
	"fmt"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// emitters has the code of every instruction but for and if, which have regions (kernel.go).
var emitters = [...]func(e *kernel, in *spmd.Instr) value.Value{
	spmd.OpConst: func(e *kernel, in *spmd.Instr) value.Value {
		if at, ok := e.varies[in]; ok {
			bits := e.entry.at.NewLoad(types.I64, e.entry.at.NewGetElementPtr(types.I64, e.Params[1], i64(int64(at))))
			return e.entry.at.NewBitCast(e.entry.at.NewTrunc(bits, types.I32), types.Float)
		}
		return scalar(in.Results[0].Type.Elem, in.Imm)
	},
	spmd.OpParam:   func(e *kernel, in *spmd.Instr) value.Value { return e.params[in.Imm] },
	spmd.OpScratch: (*kernel).scratch,
	spmd.OpTile:    func(e *kernel, in *spmd.Instr) value.Value { return e.tile },
	spmd.OpRows:    func(e *kernel, in *spmd.Instr) value.Value { return e.count(in.Op) },
	spmd.OpSeqs:    func(e *kernel, in *spmd.Instr) value.Value { return e.count(in.Op) },
	spmd.OpOuts:    func(e *kernel, in *spmd.Instr) value.Value { return e.count(in.Op) },
	spmd.OpMember:  func(e *kernel, in *spmd.Instr) value.Value { return i64(0) },
	spmd.OpMembers: func(e *kernel, in *spmd.Instr) value.Value { return i64(1) },
	spmd.OpLane:    func(e *kernel, in *spmd.Instr) value.Value { return e.ids },
	spmd.OpOffset: func(e *kernel, in *spmd.Instr) value.Value {
		return e.at.NewGetElementPtr(memoryType(in.Args[0].Type.Elem), e.arg(in, 0), e.arg(in, 1))
	},

	spmd.OpAdd: (*kernel).binary,
	spmd.OpSub: (*kernel).binary,
	spmd.OpMul: (*kernel).binary,
	spmd.OpDiv: (*kernel).binary,
	spmd.OpRem: (*kernel).binary,
	spmd.OpAnd: (*kernel).binary,
	spmd.OpOr:  (*kernel).binary,
	spmd.OpXor: (*kernel).binary,
	spmd.OpMin: func(e *kernel, in *spmd.Instr) value.Value { return e.lesser(spmd.LT, e.arg(in, 0), e.arg(in, 1)) },
	spmd.OpMax: func(e *kernel, in *spmd.Instr) value.Value { return e.lesser(spmd.GT, e.arg(in, 0), e.arg(in, 1)) },
	spmd.OpShl: func(e *kernel, in *spmd.Instr) value.Value {
		x := e.arg(in, 0)
		return e.at.NewShl(x, e.constantLike(x, fmt.Sprint(in.Imm)))
	},
	spmd.OpShr: func(e *kernel, in *spmd.Instr) value.Value {
		x := e.arg(in, 0)
		return e.at.NewAShr(x, e.constantLike(x, fmt.Sprint(in.Imm)))
	},
	spmd.OpShrl: func(e *kernel, in *spmd.Instr) value.Value {
		x := e.arg(in, 0)
		return e.at.NewLShr(x, e.constantLike(x, fmt.Sprint(in.Imm)))
	},
	spmd.OpNeg:  (*kernel).neg,
	spmd.OpAbs:  func(e *kernel, in *spmd.Instr) value.Value { return e.call("llvm.fabs", e.arg(in, 0)) },
	spmd.OpSqrt: func(e *kernel, in *spmd.Instr) value.Value { return e.call("llvm.sqrt", e.arg(in, 0)) },
	spmd.OpFMA: func(e *kernel, in *spmd.Instr) value.Value {
		return e.call("llvm.fma", e.arg(in, 0), e.arg(in, 1), e.arg(in, 2))
	},
	spmd.OpDot4:   (*kernel).dot4,
	spmd.OpDot4U:  (*kernel).dot4u,
	spmd.OpDot2:   (*kernel).dot2,
	spmd.OpByte16: (*kernel).byte16,
	spmd.OpSwap:   (*kernel).swap,
	spmd.OpMMA8:   (*kernel).mma8,

	spmd.OpMMAI8:     (*kernel).noFragments,
	spmd.OpMMABF16:   (*kernel).noFragments,
	spmd.OpQuadI8:    (*kernel).noQuads,
	spmd.OpQuadBF16:  (*kernel).noQuads,
	spmd.OpQuadTF32:  (*kernel).noQuads,
	spmd.OpCopyBulk:  (*kernel).noQuads,
	spmd.OpPackBF16:  (*kernel).packBF16,
	spmd.OpCopyAsync: (*kernel).copyAsync,
	spmd.OpCopyGroup: func(e *kernel, in *spmd.Instr) value.Value { return nil }, // a copy has arrived when it is done
	spmd.OpCopyWait:  func(e *kernel, in *spmd.Instr) value.Value { return nil },

	spmd.OpCmp: func(e *kernel, in *spmd.Instr) value.Value {
		return e.compare(spmd.Pred(in.Imm), e.arg(in, 0), e.arg(in, 1))
	},
	spmd.OpSelect: func(e *kernel, in *spmd.Instr) value.Value {
		return e.at.NewSelect(e.arg(in, 0), e.arg(in, 1), e.arg(in, 2))
	},

	spmd.OpRound: (*kernel).round,
	spmd.OpToF32: func(e *kernel, in *spmd.Instr) value.Value {
		return e.at.NewSIToFP(e.arg(in, 0), e.typ(in.Results[0].Type))
	},
	spmd.OpBitcast: func(e *kernel, in *spmd.Instr) value.Value {
		return e.at.NewBitCast(e.arg(in, 0), e.typ(in.Results[0].Type))
	},
	spmd.OpExtend: func(e *kernel, in *spmd.Instr) value.Value {
		return e.at.NewSExt(e.arg(in, 0), e.typ(in.Results[0].Type))
	},
	spmd.OpTruncate: func(e *kernel, in *spmd.Instr) value.Value {
		return e.at.NewTrunc(e.arg(in, 0), e.typ(in.Results[0].Type))
	},
	spmd.OpSplat: func(e *kernel, in *spmd.Instr) value.Value {
		return e.splat(e.arg(in, 0), e.vector[registerType(in.Args[0].Type.Elem)])
	},

	spmd.OpLoad:        (*kernel).load,
	spmd.OpLoadV:       (*kernel).load,
	spmd.OpLoadVN:      (*kernel).loadMasked,
	spmd.OpLoadRun:     (*kernel).loadRun,
	spmd.OpGather:      func(e *kernel, in *spmd.Instr) value.Value { return e.gather(in, in.Imm) },
	spmd.OpGatherRun:   (*kernel).gatherRun,
	spmd.OpStore:       (*kernel).store,
	spmd.OpStoreV:      (*kernel).store,
	spmd.OpStoreVN:     (*kernel).storeMasked,
	spmd.OpPrefetch:    (*kernel).prefetch,
	spmd.OpPrefetchFar: (*kernel).prefetch,

	spmd.OpReduceAdd: func(e *kernel, in *spmd.Instr) value.Value {
		return e.reduce(in, func(x, y value.Value) value.Value { return e.at.NewFAdd(x, y) })
	},
	spmd.OpReduceMax: func(e *kernel, in *spmd.Instr) value.Value {
		return e.reduce(in, func(x, y value.Value) value.Value { return e.lesser(spmd.GT, x, y) })
	},
	spmd.OpBarrier: func(e *kernel, in *spmd.Instr) value.Value { return nil }, // a team is one thread
}

// binaries are the instructions that LLVM has one for, by kind of operand. Operands of an integer division are not negative.
var binaries = [...]struct {
	integer, float func(b *ir.Block, x, y value.Value) value.Value
}{
	spmd.OpAdd: {
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewAdd(x, y) },
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewFAdd(x, y) }},
	spmd.OpSub: {
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewSub(x, y) },
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewFSub(x, y) }},
	spmd.OpMul: {
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewMul(x, y) },
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewFMul(x, y) }},
	spmd.OpDiv: {
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewUDiv(x, y) },
		func(b *ir.Block, x, y value.Value) value.Value { return b.NewFDiv(x, y) }},
	spmd.OpRem: {integer: func(b *ir.Block, x, y value.Value) value.Value { return b.NewURem(x, y) }},
	spmd.OpAnd: {integer: func(b *ir.Block, x, y value.Value) value.Value { return b.NewAnd(x, y) }},
	spmd.OpOr:  {integer: func(b *ir.Block, x, y value.Value) value.Value { return b.NewOr(x, y) }},
	spmd.OpXor: {integer: func(b *ir.Block, x, y value.Value) value.Value { return b.NewXor(x, y) }},
}

func (e *kernel) binary(in *spmd.Instr) value.Value {
	f := binaries[in.Op].integer
	if in.Args[0].Type.Elem == spmd.F32 {
		f = binaries[in.Op].float
	}
	if f == nil {
		panic(fmt.Sprintf("%v of %v", in.Op, in.Args[0].Type))
	}
	return f(e.at, e.arg(in, 0), e.arg(in, 1))
}

// predicates are LLVM's for each of ours. Comparisons with NaN are false, but for NE.
var predicates = [...]struct {
	integer enum.IPred
	float   enum.FPred
}{
	spmd.EQ: {enum.IPredEQ, enum.FPredOEQ},
	spmd.NE: {enum.IPredNE, enum.FPredUNE},
	spmd.LT: {enum.IPredSLT, enum.FPredOLT},
	spmd.LE: {enum.IPredSLE, enum.FPredOLE},
	spmd.GT: {enum.IPredSGT, enum.FPredOGT},
	spmd.GE: {enum.IPredSGE, enum.FPredOGE},
}

func (e *kernel) compare(p spmd.Pred, x, y value.Value) value.Value {
	if isFloat(x) {
		return e.at.NewFCmp(predicates[p].float, x, y)
	}
	return e.at.NewICmp(predicates[p].integer, x, y)
}

func isFloat(x value.Value) bool {
	t := x.Type()
	if v, ok := t.(*types.VectorType); ok {
		t = v.ElemType
	}
	return t.Equal(types.Float)
}

// lesser is (x p y) ? x : y, which llc makes one vminps or vmaxps of.
func (e *kernel) lesser(p spmd.Pred, x, y value.Value) value.Value {
	return e.at.NewSelect(e.compare(p, x, y), x, y)
}

func (e *kernel) neg(in *spmd.Instr) value.Value {
	x := e.arg(in, 0)
	if isFloat(x) {
		return e.at.NewFNeg(x)
	}
	return e.at.NewSub(e.constantLike(x, "0"), x)
}

// call calls an intrinsic that is overloaded by the one type of its operands and result.
func (e *kernel) call(name string, args ...value.Value) value.Value {
	t := args[0].Type()
	params := make([]types.Type, len(args))
	for i := range params {
		params[i] = t
	}
	return e.at.NewCall(e.m.intrinsic(name+"."+suffix(t), t, params...), args...)
}

// round uses the conversion instructions, which round by the mode that is set: to nearest, half to even.
func (e *kernel) round(in *spmd.Instr) value.Value {
	x := e.arg(in, 0)
	t := e.typ(in.Results[0].Type)
	switch {
	case in.Args[0].Type.Kind == spmd.Uniform:
		four := types.NewVector(4, types.Float)
		v := e.at.NewInsertElement(newLiteral(four, "zeroinitializer"), x, i32(0))
		return e.at.NewCall(e.m.intrinsic("llvm.x86.sse.cvtss2si", types.I32, four), v)
	case e.lanes == 8:
		return e.at.NewCall(e.m.intrinsic("llvm.x86.avx.cvt.ps2dq.256", t, x.Type()), x)
	case e.lanes == 16:
		f := e.m.intrinsic("llvm.x86.avx512.mask.cvtps2dq.512", t, x.Type(), t, types.I16, types.I32)
		const currentMode = 4
		return e.at.NewCall(f, x, newLiteral(t, "zeroinitializer"), newLiteral(types.I16, "-1"), i32(currentMode))
	}
	panic(fmt.Sprintf("no conversion of %d lanes", e.lanes))
}

// reduce combines sixteen lanes: l with l+8, then l+4, l+2, l+1.
func (e *kernel) reduce(in *spmd.Instr, combine func(x, y value.Value) value.Value) value.Value {
	x := e.arg(in, 0)
	if len(in.Args) == 2 { // 8 lanes
		x = combine(x, e.arg(in, 1))
	}
	for n := e.lanes / 2; n > 0; n /= 2 {
		x = combine(e.part(x, 0, n), e.part(x, n, n))
	}
	return x
}

// swap exchanges each lane with its partner.
func (e *kernel) swap(in *spmd.Instr) value.Value {
	x := e.arg(in, 0)
	pick := types.NewVector(e.lanes, types.I32)
	text := vectorText(types.I32, int(e.lanes), func(i int) string { return fmt.Sprint(i ^ int(in.Imm)) })
	return e.at.NewShuffleVector(x, newLiteral(x.Type(), "undef"), newLiteral(pick, text))
}

// part takes n lanes of x out, from a first one on; a single one as a scalar.
func (e *kernel) part(x value.Value, first, n uint64) value.Value {
	if n == 1 {
		return e.at.NewExtractElement(x, i32(int64(first)))
	}
	pick := types.NewVector(n, types.I32)
	text := vectorText(types.I32, int(n), func(i int) string { return fmt.Sprint(int(first) + i) })
	return e.at.NewShuffleVector(x, newLiteral(x.Type(), "undef"), newLiteral(pick, text))
}
