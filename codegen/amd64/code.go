package amd64

import (
	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"
)

// bytePtr is the type of every pointer that is not yet resolved.
var bytePtr = types.NewPointer(types.I8)

// code is a function in the making: instructions are appended to the block "at".
type code struct {
	*ir.Func
	at *ir.Block
}

// block begins a new block; blocks come out in the order in which they were begun.
func (c *code) block() *ir.Block { return c.NewBlock("") }

// jump ends the current block and goes on in another.
func (c *code) jump(to *ir.Block) {
	c.at.NewBr(to)
	c.at = to
}

// branch ends the current block by a condition.
func (c *code) branch(cond value.Value, then, els *ir.Block) { c.at.NewCondBr(cond, then, els) }

// phi gives a value that the block at hand has from an earlier one; later ways into the block are added by enter.
func (c *code) phi(x value.Value, from *ir.Block) *ir.InstPhi {
	return c.at.NewPhi(ir.NewIncoming(x, from))
}

func enter(phi *ir.InstPhi, x value.Value, from *ir.Block) {
	phi.Incs = append(phi.Incs, ir.NewIncoming(x, from))
}

// countUp runs body for i = 0, 1, ... n-1, where n is at least 1.
func (c *code) countUp(n value.Value, body func(i value.Value)) {
	from := c.at
	c.jump(c.block())
	head := c.at
	i := c.phi(i64(0), from)
	body(i)
	next := c.at.NewAdd(i, i64(1))
	again := c.at.NewICmp(enum.IPredSLT, next, n)
	done := c.block()
	enter(i, next, c.at)
	c.branch(again, head, done)
	c.at = done
}

// when runs body if cond holds.
func (c *code) when(cond value.Value, body func()) {
	then, done := c.block(), c.block()
	c.branch(cond, then, done)
	c.at = then
	body()
	c.jump(done)
}

// retWhen returns x if cond holds.
func (c *code) retWhen(cond, x value.Value) {
	out, on := c.block(), c.block()
	c.branch(cond, out, on)
	out.NewRet(x)
	c.at = on
}

// bytes is p + off, off constant or not.
func (c *code) bytes(p, off value.Value) value.Value { return c.at.NewGetElementPtr(types.I8, p, off) }

// cast turns a byte pointer into one to elements of type t.
func (c *code) cast(p value.Value, t types.Type) value.Value {
	to := types.NewPointer(t)
	if p.Type().Equal(to) {
		return p
	}
	return c.at.NewBitCast(p, to)
}

// field is the address of the field of the context at this offset.
func (c *code) field(ctx value.Value, off int64, t types.Type) value.Value {
	return c.cast(c.bytes(ctx, i64(off)), t)
}

// get reads that field.
func (c *code) get(ctx value.Value, off int64, t types.Type) value.Value {
	return c.at.NewLoad(t, c.field(ctx, off, t))
}

// element is the address of entry i of a table.
func (c *code) element(table *ir.Global, indices ...value.Value) value.Value {
	return c.at.NewGetElementPtr(table.ContentType, table, append([]value.Value{i64(0)}, indices...)...)
}

func (c *code) min(x, y value.Value) value.Value {
	return c.at.NewSelect(c.at.NewICmp(enum.IPredSLT, x, y), x, y)
}

func (c *code) max(x, y value.Value) value.Value {
	return c.at.NewSelect(c.at.NewICmp(enum.IPredSGT, x, y), x, y)
}

// splat makes a vector of one value.
func (c *code) splat(x value.Value, t *types.VectorType) value.Value {
	if l, ok := x.(constant.Constant); ok {
		return splatLiteral(t, l.Ident())
	}
	one := c.at.NewInsertElement(newLiteral(t, "undef"), x, i32(0))
	return c.at.NewShuffleVector(one, newLiteral(t, "undef"), newLiteral(types.NewVector(t.Len, types.I32), "zeroinitializer"))
}

// attribute is a function attribute with a value.
func attribute(key, val string) ir.FuncAttribute { return ir.AttrPair{Key: key, Value: val} }

// asm is an inline assembly call with side effects.
func (c *code) asm(ret types.Type, text, constraints string, args ...value.Value) value.Value {
	params := make([]types.Type, len(args))
	for i, a := range args {
		params[i] = a.Type()
	}
	callee := ir.NewInlineAsm(types.NewPointer(types.NewFunc(ret, params...)), text, constraints)
	callee.SideEffect = true
	return c.at.NewCall(callee, args...)
}

// stringConstant is text with a zero byte after it.
func stringConstant(text string) constant.Constant {
	return constant.NewCharArrayFromString(text + "\x00")
}
