package amd64

import (
	"fmt"
	"strconv"

	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// registerTypes are the LLVM types of the elements that registers hold.
var registerTypes = [...]types.Type{spmd.Bool: types.I1, spmd.I32: types.I32, spmd.I64: types.I64, spmd.F32: types.Float}

// memoryTypes are those of elements in memory. BF16 has no type that both LLVM 14 and x86-64-v3 can do something with.
var memoryTypes = [...]types.Type{
	spmd.I8: types.I8, spmd.U8: types.I8, spmd.I32: types.I32, spmd.I64: types.I64,
	spmd.F16: types.Half, spmd.BF16: types.I16, spmd.F32: types.Float,
}

func registerType(el spmd.Elem) types.Type {
	if int(el) >= len(registerTypes) || registerTypes[el] == nil {
		panic(fmt.Sprintf("no register holds %v", el))
	}
	return registerTypes[el]
}

func memoryType(el spmd.Elem) types.Type {
	if int(el) >= len(memoryTypes) || memoryTypes[el] == nil {
		panic(fmt.Sprintf("no memory holds %v", el))
	}
	return memoryTypes[el]
}

// types makes the vector types once; llir compares them by structure.
func (e *kernel) types() {
	e.vector = map[types.Type]*types.VectorType{}
	for _, t := range []types.Type{types.I1, types.I8, types.I16, types.I32, types.I64, types.Half, types.Float} {
		e.vector[t] = types.NewVector(e.lanes, t)
	}
	t := e.vector[types.I32]
	e.ids = newLiteral(t, vectorText(types.I32, int(e.lanes), strconv.Itoa))
}

// typ is the LLVM type of a value.
func (e *kernel) typ(t spmd.Type) types.Type {
	switch t.Kind {
	case spmd.Pointer:
		return types.NewPointer(memoryType(t.Elem))
	case spmd.Varying:
		return e.vector[registerType(t.Elem)]
	}
	return registerType(t.Elem)
}

// like is type t with as many lanes as x has.
func (e *kernel) like(x value.Value, t types.Type) types.Type {
	if _, ok := x.Type().(*types.VectorType); ok {
		return e.vector[t]
	}
	return t
}

// constantLike is a constant of x's type.
func (e *kernel) constantLike(x value.Value, text string) value.Value {
	if t, ok := x.Type().(*types.VectorType); ok {
		return splatLiteral(t, text)
	}
	return newLiteral(x.Type(), text)
}

// suffix is how the names of overloaded intrinsics spell a type.
func suffix(t types.Type) string {
	switch t := t.(type) {
	case *types.VectorType:
		return fmt.Sprintf("v%d%s", t.Len, suffix(t.ElemType))
	case *types.PointerType:
		return "p0" + suffix(t.ElemType)
	case *types.IntType:
		return fmt.Sprintf("i%d", t.BitSize)
	case *types.FloatType:
		if t.Kind == types.FloatKindHalf {
			return "f16"
		}
		return "f32"
	}
	panic(fmt.Sprintf("no intrinsic is overloaded with %v", t))
}
