package amd64

import (
	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// copyAsync copies at once, sixteen bytes for each lane.
func (e *kernel) copyAsync(in *spmd.Instr) value.Value {
	t := types.NewVector(16, types.I8)
	at := func(operand int, l uint64) value.Value {
		i := e.at.NewExtractElement(e.arg(in, operand+1), i32(int64(l)))
		return e.cast(e.at.NewGetElementPtr(memoryType(in.Args[operand].Type.Elem), e.arg(in, operand), i), t)
	}
	for l := range e.lanes {
		x := e.at.NewLoad(t, at(2, l))
		x.Align = ir.Align(16)
		st := e.at.NewStore(x, at(0, l))
		st.Align = ir.Align(16)
	}
	return nil
}

// packBF16 puts two narrowed floats into a word.
func (e *kernel) packBF16(in *spmd.Instr) value.Value {
	word := func(i int) value.Value {
		x := e.narrowBF16(e.arg(in, i))
		return e.at.NewZExt(x, e.like(x, types.I32))
	}
	low, high := word(0), word(1)
	return e.at.NewOr(low, e.at.NewShl(high, e.constantLike(high, "16")))
}

// noFragments: a fragment is of 32 lanes, which the verifier wants.
func (e *kernel) noFragments(in *spmd.Instr) value.Value {
	panic("fragments are for targets of 32 lanes")
}

func (e *kernel) noQuads(in *spmd.Instr) value.Value {
	panic("quads and their copies are for targets that have them")
}
