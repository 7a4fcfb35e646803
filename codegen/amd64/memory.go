package amd64

import (
	"fmt"
	"math"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// address is p[i + Imm]. The constant is the outer offset, so that it becomes the displacement. operands is how many follow the address.
func (e *kernel) address(in *spmd.Instr, operands int) value.Value {
	p := e.arg(in, 0)
	t := memoryType(in.Args[0].Type.Elem)
	if len(in.Args)-operands > 1 {
		p = e.at.NewGetElementPtr(t, p, e.arg(in, 1))
	}
	if in.Imm != 0 {
		p = e.at.NewGetElementPtr(t, p, i64(in.Imm))
	}
	return p
}

// scratch is a pointer into the team's memory.
func (e *kernel) scratch(in *spmd.Instr) value.Value {
	return e.cast(e.bytes(e.team, i64(in.Imm)), memoryType(in.Results[0].Type.Elem))
}

// readOnly says that nothing writes where p points during a step, as far as p's definition tells. Loads from there may then be
// moved over stores, into the instruction that uses them.
func (e *kernel) readOnly(p *spmd.Value) bool {
	for p.Def != nil && p.Def.Op == spmd.OpOffset {
		p = p.Def.Args[0]
	}
	if p.Def == nil || p.Def.Op != spmd.OpParam {
		return false
	}
	return e.k.Params[p.Def.Imm].Space.Constant()
}

// load emits a load of one element or one a lane.
func (e *kernel) load(in *spmd.Instr) value.Value {
	el := in.Args[0].Type.Elem
	t := memoryType(el)
	p := e.address(in, 0)
	if in.Op == spmd.OpLoadV {
		t = e.vector[t]
		p = e.cast(p, t)
	}
	ld := e.at.NewLoad(t, p)
	ld.Align = ir.Align(el.Bytes())
	if e.readOnly(in.Args[0]) {
		ld.Metadata = append(ld.Metadata, e.m.invariant)
	}
	return e.widen(el, ld)
}

// loadRun loads what all lanes want as one vector, and takes it apart: result r is every n-th element from r on.
func (e *kernel) loadRun(in *spmd.Instr) value.Value {
	el, n := in.Args[0].Type.Elem, len(in.Results)
	mem := maskedType(el)
	t := types.NewVector(uint64(n)*e.lanes, mem)
	ld := e.at.NewLoad(t, e.cast(e.address(in, 0), t))
	ld.Align = ir.Align(int64(n) * el.Bytes())
	if e.readOnly(in.Args[0]) {
		ld.Metadata = append(ld.Metadata, e.m.invariant)
	}
	pick := types.NewVector(e.lanes, types.I32)
	for r, res := range in.Results {
		text := vectorText(types.I32, int(e.lanes), func(l int) string { return fmt.Sprint(l*n + r) })
		x := value.Value(e.at.NewShuffleVector(ld, newLiteral(t, "undef"), newLiteral(pick, text)))
		if to := e.vector[memoryType(el)]; !to.Equal(x.Type()) {
			x = e.at.NewBitCast(x, to)
		}
		x = e.widen(el, x)
		if n == 1 { // the one result of an instruction is defined by who emits it
			return x
		}
		e.define(res, x)
	}
	return nil
}

// store is the way back.
func (e *kernel) store(in *spmd.Instr) value.Value {
	el := in.Args[0].Type.Elem
	x := e.narrow(el, e.arg(in, len(in.Args)-1))
	p := e.cast(e.address(in, 1), x.Type())
	st := e.at.NewStore(x, p)
	st.Align = ir.Align(el.Bytes())
	return nil
}

// mask has the lanes below n.
func (e *kernel) mask(n *spmd.Value) value.Value {
	t := e.vector[types.I1]
	if c, ok := n.Const(); ok {
		return newLiteral(t, vectorText(types.I1, int(e.lanes), func(l int) string { return fmt.Sprint(int64(l) < c) }))
	}
	return e.at.NewICmp(enum.IPredSGT, e.limit(n), e.ids)
}

// limit is n in every lane, as i32. It is made where n is, which may be outside of the loops that use it: llc would leave it inside. The
// comparison is not moved out: on AVX2 a vector of bools that is passed from block to block is packed and unpacked.
func (e *kernel) limit(n *spmd.Value) value.Value {
	v := e.limits[n]
	if v == nil {
		here := e.at
		e.at = e.homes[n]
		clamped := e.min(e.max(e.val(n), i64(0)), i64(int64(e.lanes)))
		v = e.splat(e.at.NewTrunc(clamped, types.I32), e.vector[types.I32])
		e.limits[n] = v
		e.at = here
	}
	return v
}

func (e *kernel) loadMasked(in *spmd.Instr) value.Value {
	el := in.Args[0].Type.Elem
	t := e.vector[maskedType(el)]
	p := e.cast(e.address(in, 1), t)
	f := e.m.intrinsic("llvm.masked.load."+suffix(t)+"."+suffix(p.Type()), t, p.Type(), types.I32, e.vector[types.I1], t)
	mask := e.mask(in.Args[len(in.Args)-1])
	x := value.Value(e.at.NewCall(f, p, i32(el.Bytes()), mask, newLiteral(t, "zeroinitializer")))
	if to := e.vector[memoryType(el)]; !t.Equal(to) {
		x = e.at.NewBitCast(x, to)
	}
	return e.widen(el, x)
}

func (e *kernel) storeMasked(in *spmd.Instr) value.Value {
	el := in.Args[0].Type.Elem
	x := e.narrow(el, e.arg(in, len(in.Args)-1))
	t := e.vector[maskedType(el)]
	if !x.Type().Equal(t) {
		x = e.at.NewBitCast(x, t)
	}
	p := e.cast(e.address(in, 2), t)
	f := e.m.intrinsic("llvm.masked.store."+suffix(t)+"."+suffix(p.Type()), types.Void, t, p.Type(), types.I32, e.vector[types.I1])
	e.at.NewCall(f, x, p, i32(el.Bytes()), e.mask(in.Args[len(in.Args)-2]))
	return nil
}

// maskedType is how masked loads and stores see an element: vectors of half are not legal everywhere.
func maskedType(el spmd.Elem) types.Type {
	if el == spmd.F16 {
		return types.I16
	}
	return memoryType(el)
}

// gatherRun is a gather for each result.
func (e *kernel) gatherRun(in *spmd.Instr) value.Value {
	for r, res := range in.Results {
		x := e.gather(in, in.Imm+int64(r))
		if len(in.Results) == 1 {
			return x
		}
		e.define(res, x)
	}
	return nil
}

// gather loads one element a lane from p[v[lane] + off]. Where the CPU level has no fast gather llc makes loads and inserts of it.
func (e *kernel) gather(in *spmd.Instr, off int64) value.Value {
	el := in.Args[0].Type.Elem
	mem := maskedType(el)
	p := e.cast(e.arg(in, 0), mem)
	if off != 0 {
		p = e.at.NewGetElementPtr(mem, p, i64(off))
	}
	ps := e.at.NewGetElementPtr(mem, p, e.arg(in, 1))
	t := e.vector[mem]
	f := e.m.intrinsic("llvm.masked.gather."+suffix(t)+"."+suffix(ps.Type()), t, ps.Type(), types.I32, e.vector[types.I1], t)
	x := value.Value(e.at.NewCall(f, ps, i32(el.Bytes()), splatLiteral(e.vector[types.I1], "true"), newLiteral(t, "undef")))
	if to := e.vector[memoryType(el)]; !t.Equal(to) {
		x = e.at.NewBitCast(x, to)
	}
	return e.widen(el, x)
}

// prefetch asks for a line, in the first-level cache or in the second.
func (e *kernel) prefetch(in *spmd.Instr) value.Value {
	e.askFor(e.cast(e.address(in, 0), types.I8), in.Op)
	return nil
}

// askFor is a prefetch or a prefetchfar.
func (e *kernel) askFor(p value.Value, op spmd.Op) {
	const read, first, second, data = 0, 3, 2, 1
	keep := int64(first)
	if op == spmd.OpPrefetchFar {
		keep = second
	}
	f := e.m.intrinsic("llvm.prefetch.p0i8", types.Void, bytePtr, types.I32, types.I32, types.I32)
	e.at.NewCall(f, p, i32(read), i32(keep), i32(data))
}

// widen makes the register value of one from memory.
func (e *kernel) widen(el spmd.Elem, x value.Value) value.Value {
	switch el {
	case spmd.I8:
		return e.at.NewSExt(x, e.like(x, types.I32))
	case spmd.U8:
		return e.at.NewZExt(x, e.like(x, types.I32))
	case spmd.F16:
		return e.at.NewFPExt(x, e.like(x, types.Float))
	case spmd.BF16:
		bits := e.at.NewZExt(x, e.like(x, types.I32))
		up := e.at.NewShl(bits, e.constantLike(bits, "16"))
		return e.at.NewBitCast(up, e.like(x, types.Float))
	}
	return x
}

// narrow is the way back; floats round half to even.
func (e *kernel) narrow(el spmd.Elem, x value.Value) value.Value {
	switch el {
	case spmd.I8, spmd.U8:
		return e.at.NewTrunc(x, e.like(x, types.I8))
	case spmd.F16:
		return e.at.NewFPTrunc(x, e.like(x, types.Half))
	case spmd.BF16:
		return e.narrowBF16(x)
	}
	return x
}

// narrowBF16 adds half of the last kept place, less one bit if that place is even, and cuts. A NaN would become an infinity in that way or zero:
// it is cut, and made quiet.
func (e *kernel) narrowBF16(x value.Value) value.Value {
	bits := e.at.NewBitCast(x, e.like(x, types.I32))
	of := func(n int) value.Value { return e.constantLike(bits, fmt.Sprint(n)) }
	top := e.at.NewLShr(bits, of(16))
	odd := e.at.NewAnd(top, of(1))
	sum := e.at.NewAdd(e.at.NewAdd(bits, of(math.MaxInt16)), odd)
	cut := e.at.NewLShr(sum, of(16))
	quiet := e.at.NewOr(top, of(0x40))
	nan := e.at.NewFCmp(enum.FPredUNO, x, x)
	return e.at.NewTrunc(e.at.NewSelect(nan, quiet, cut), e.like(x, types.I16))
}
