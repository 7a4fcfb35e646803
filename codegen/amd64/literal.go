package amd64

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/types"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// literal is a constant whose text is made once. llir's own float constants go through big.Float each time they are printed, and its vector constants
// print every lane so: a splatted constant is the most frequent operand that there is.
type literal struct {
	typ        types.Type
	text, full string
}

func newLiteral(t types.Type, text string) *literal {
	return &literal{typ: t, text: text, full: t.String() + " " + text}
}

func (l *literal) String() string   { return l.full }
func (l *literal) Type() types.Type { return l.typ }
func (l *literal) Ident() string    { return l.text }
func (l *literal) IsConstant()      {}

var _ constant.Constant = (*literal)(nil)

// scalar is a uniform constant of the kernel language. llir wants its own kind of integers in addresses.
func scalar(e spmd.Elem, imm int64) constant.Constant {
	switch e {
	case spmd.Bool:
		return constant.NewBool(imm != 0)
	case spmd.F32:
		return newLiteral(types.Float, floatText(uint32(imm)))
	case spmd.I32:
		return i32(int64(int32(imm)))
	}
	return i64(imm)
}

// floatText writes exactly these bits. LLVM's hexadecimal form is that of the double with the same value, which cannot be trusted with NaNs.
func floatText(bits uint32) string {
	f := math.Float32frombits(bits)
	if f != f {
		return "bitcast (i32 " + strconv.FormatUint(uint64(bits), 10) + " to float)"
	}
	return fmt.Sprintf("0x%016X", math.Float64bits(float64(f)))
}

// vectorText repeats, or enumerates, elements of one type.
func vectorText(elem types.Type, lanes int, text func(lane int) string) string {
	var b strings.Builder
	t := elem.String()
	b.WriteByte('<')
	for i := range lanes {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t)
		b.WriteByte(' ')
		b.WriteString(text(i))
	}
	b.WriteByte('>')
	return b.String()
}

func splatLiteral(t *types.VectorType, text string) *literal {
	if text == "0" || text == "false" || text == "0x0000000000000000" {
		return newLiteral(t, "zeroinitializer")
	}
	return newLiteral(t, vectorText(t.ElemType, int(t.Len), func(int) string { return text }))
}

func i32(n int64) *constant.Int { return constant.NewInt(types.I32, n) }
func i64(n int64) *constant.Int { return constant.NewInt(types.I64, n) }
