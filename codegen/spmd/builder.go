package spmd

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
)

// Builder makes a kernel, one instruction a call. Mistakes are collected with the caller's line and come out together from Finish, so that
// kernel code reads like the mathematics. Operands are splatted where a uniform one meets a varying one.
type Builder struct {
	Target Target
	k      *Kernel
	cur    *Region
	ids    int
	errs   []error
	consts map[*Region]map[constKey]*Value
}

type constKey struct {
	e   Elem
	imm int64
}

// NewBuilder begins a kernel for a target.
func NewBuilder(name string, t Target) *Builder {
	r := &Region{}
	return &Builder{Target: t, k: &Kernel{Name: name, Lanes: t.Lanes, Members: 1, Body: r}, cur: r, consts: map[*Region]map[constKey]*Value{}}
}

// Finish gives the kernel, or everything that was wrong in building it.
func (b *Builder) Finish() (*Kernel, error) {
	if len(b.errs) > 0 {
		return nil, fmt.Errorf("kernel %s: %w", b.k.Name, errors.Join(b.errs...))
	}
	return b.k, nil
}

// fail notes a mistake with the line of kernel code that made it: the innermost one outside of the builder's own files.
func (b *Builder) fail(format string, args ...any) {
	file, line := "?", 0
	for skip := 1; ; skip++ {
		_, path, n, ok := runtime.Caller(skip)
		if !ok {
			break
		}
		file, line = filepath.Base(path), n
		if file != "builder.go" && file != "builder_memory.go" {
			break
		}
	}
	b.errs = append(b.errs, fmt.Errorf("%s:%d: %s", file, line, fmt.Sprintf(format, args...)))
}

func (b *Builder) value(t Type, def *Instr) *Value {
	v := &Value{ID: b.ids, Type: t, Def: def}
	b.ids++
	return v
}

func (b *Builder) emit(op Op, imm int64, t Type, args ...*Value) *Value {
	in := &Instr{Op: op, Args: args, Imm: imm}
	v := b.value(t, in)
	in.Results = []*Value{v}
	b.cur.Body = append(b.cur.Body, in)
	return v
}

func (b *Builder) effect(op Op, imm int64, args ...*Value) {
	b.cur.Body = append(b.cur.Body, &Instr{Op: op, Args: args, Imm: imm})
}

func (b *Builder) constant(e Elem, imm int64) *Value {
	m := b.consts[b.cur]
	if m == nil {
		m = map[constKey]*Value{}
		b.consts[b.cur] = m
	}
	key := constKey{e, imm}
	v := m[key]
	if v == nil {
		v = b.emit(OpConst, imm, Type{Elem: e})
		m[key] = v
	}
	return v
}

// I is a uniform i64 constant, I32 an i32 one, F an f32 one.
func (b *Builder) I(n int64) *Value     { return b.constant(I64, n) }
func (b *Builder) I32(n int32) *Value   { return b.constant(I32, int64(n)) }
func (b *Builder) F(x float32) *Value   { return b.constant(F32, int64(math.Float32bits(x))) }
func (b *Builder) Bits(u uint32) *Value { return b.constant(F32, int64(u)) }

// Const reports the value of an integer constant.
func (v *Value) Const() (int64, bool) {
	if v != nil && v.Def != nil && v.Def.Op == OpConst && v.Type.Elem != F32 {
		return v.Def.Imm, true
	}
	return 0, false
}

// Param declares the next parameter and gives its pointer.
func (b *Builder) Param(name string, e Elem, s Space) *Value {
	b.k.Params = append(b.k.Params, Param{name, e, s})
	return b.emit(OpParam, int64(len(b.k.Params)-1), Type{e, Pointer})
}

// Share makes all of the target's members do a tile together; a kernel that does not ask for it has teams of one.
func (b *Builder) Share() { b.k.Members = max(1, b.Target.Members) }

// Scratch reserves n elements of team scratch, 64-byte aligned.
func (b *Builder) Scratch(e Elem, n int64) *Value {
	at := b.k.Team
	b.k.Team += (n*e.Bytes() + 63) &^ 63
	return b.emit(OpScratch, at, Type{e, Pointer})
}

func (b *Builder) Tile() *Value    { return b.emit(OpTile, 0, Type{Elem: I64}) }
func (b *Builder) Rows() *Value    { return b.emit(OpRows, 0, Type{Elem: I64}) }
func (b *Builder) Seqs() *Value    { return b.emit(OpSeqs, 0, Type{Elem: I64}) }
func (b *Builder) Outs() *Value    { return b.emit(OpOuts, 0, Type{Elem: I64}) }
func (b *Builder) Member() *Value  { return b.emit(OpMember, 0, Type{Elem: I64}) }
func (b *Builder) Members() *Value { return b.emit(OpMembers, 0, Type{Elem: I64}) }
func (b *Builder) Lane() *Value    { return b.emit(OpLane, 0, Type{I32, Varying}) }
func (b *Builder) Barrier()        { b.effect(OpBarrier, 0) }

// Offset moves a pointer by i elements.
func (b *Builder) Offset(p, i *Value) *Value {
	if p.Type.Kind != Pointer || i.Type != (Type{Elem: I64}) {
		b.fail("offset of %v by %v", p.Type, i.Type)
	}
	if n, ok := i.Const(); ok && n == 0 {
		return p
	}
	return b.emit(OpOffset, 0, p.Type, p, i)
}

// Splat makes a varying value of a uniform one; a varying one stays as it is.
func (b *Builder) Splat(x *Value) *Value {
	if x.Type.Kind != Uniform {
		return x
	}
	return b.emit(OpSplat, 0, Type{x.Type.Elem, Varying}, x)
}

func (b *Builder) alike(xs ...*Value) Type {
	t := xs[0].Type
	for _, x := range xs {
		if x.Type.Elem != t.Elem || x.Type.Kind == Pointer {
			b.fail("operands of types %v and %v", t, x.Type)
		}
		if x.Type.Kind == Varying {
			t.Kind = Varying
		}
	}
	if t.Kind == Varying {
		for i := range xs {
			xs[i] = b.Splat(xs[i])
		}
	}
	return t
}

func (b *Builder) binary(op Op, x, y *Value) *Value {
	if x.Type.Kind == Uniform && y.Type.Kind == Uniform && x.Type.Elem == I64 {
		if v := b.fold(op, x, y); v != nil {
			return v
		}
	}
	a := []*Value{x, y}
	t := b.alike(a...)
	return b.emit(op, 0, t, a...)
}

// fold keeps index arithmetic short: constants meet constants, x+0, x*1.
func (b *Builder) fold(op Op, x, y *Value) *Value {
	m, mc := x.Const()
	n, nc := y.Const()
	switch {
	case op == OpAdd && nc && n == 0, op == OpMul && nc && n == 1, op == OpSub && nc && n == 0, op == OpDiv && nc && n == 1:
		return x
	case op == OpAdd && mc && m == 0, op == OpMul && mc && m == 1:
		return y
	case !mc || !nc:
		return nil
	case op == OpAdd:
		return b.I(m + n)
	case op == OpSub:
		return b.I(m - n)
	case op == OpMul:
		return b.I(m * n)
	case op == OpDiv && n > 0 && m >= 0:
		return b.I(m / n)
	case op == OpRem && n > 0 && m >= 0:
		return b.I(m % n)
	case op == OpMin:
		return b.I(min(m, n))
	case op == OpMax:
		return b.I(max(m, n))
	}
	return nil
}

func (b *Builder) Add(x, y *Value) *Value { return b.binary(OpAdd, x, y) }
func (b *Builder) Sub(x, y *Value) *Value { return b.binary(OpSub, x, y) }
func (b *Builder) Mul(x, y *Value) *Value { return b.binary(OpMul, x, y) }
func (b *Builder) Div(x, y *Value) *Value { return b.binary(OpDiv, x, y) }
func (b *Builder) Rem(x, y *Value) *Value { return b.binary(OpRem, x, y) }
func (b *Builder) Min(x, y *Value) *Value { return b.binary(OpMin, x, y) }
func (b *Builder) Max(x, y *Value) *Value { return b.binary(OpMax, x, y) }
func (b *Builder) And(x, y *Value) *Value { return b.binary(OpAnd, x, y) }
func (b *Builder) Or(x, y *Value) *Value  { return b.binary(OpOr, x, y) }
func (b *Builder) Xor(x, y *Value) *Value { return b.binary(OpXor, x, y) }

func (b *Builder) Shl(x *Value, n int64) *Value  { return b.emit(OpShl, n, x.Type, x) }
func (b *Builder) Shr(x *Value, n int64) *Value  { return b.emit(OpShr, n, x.Type, x) }
func (b *Builder) Shrl(x *Value, n int64) *Value { return b.emit(OpShrl, n, x.Type, x) }
func (b *Builder) Neg(x *Value) *Value           { return b.emit(OpNeg, 0, x.Type, x) }
func (b *Builder) Abs(x *Value) *Value           { return b.emit(OpAbs, 0, x.Type, x) }
func (b *Builder) Sqrt(x *Value) *Value          { return b.emit(OpSqrt, 0, x.Type, x) }

// FMA is x*y + z with one rounding.
func (b *Builder) FMA(x, y, z *Value) *Value {
	a := []*Value{x, y, z}
	t := b.alike(a...)
	if t.Elem != F32 {
		b.fail("fma of %v", t)
	}
	return b.emit(OpFMA, 0, t, a...)
}

// Dot4 is acc + the four products of the signed bytes of a and b, per lane. No byte is -128.
func (b *Builder) Dot4(acc, x, y *Value) *Value { return b.dot(OpDot4, 0, acc, x, y) }

// Dot4U is Dot4 with the bytes of x unsigned, none above most, or at least the two of each 16-bit half not above twice that together; those of y are signed.
func (b *Builder) Dot4U(acc, x, y *Value, most int64) *Value { return b.dot(OpDot4U, most, acc, x, y) }

// Dot2 is acc + the two products of the signed 16-bit halves of x and y, per lane.
func (b *Builder) Dot2(acc, x, y *Value) *Value { return b.dot(OpDot2, 0, acc, x, y) }

// Swap gives lane l the value of lane l xor distance, a power of two below the number of lanes: the partners of a butterfly.
func (b *Builder) Swap(x *Value, distance int64) *Value { return b.emit(OpSwap, distance, x.Type, x) }

// Byte16 makes of each 16-bit half of x its low byte (0) or high byte (1): a dot4 is the dot2 of the low bytes and the dot2 of the high ones.
func (b *Builder) Byte16(x *Value, which int64) *Value { return b.emit(OpByte16, which, x.Type, x) }

func (b *Builder) dot(op Op, imm int64, xs ...*Value) *Value {
	for i, x := range xs {
		if x.Type.Elem != I32 || x.Type.Kind == Pointer {
			b.fail("%v of %v", op, x.Type)
			return b.Splat(b.I32(0))
		}
		xs[i] = b.Splat(x)
	}
	return b.emit(op, imm, Type{I32, Varying}, xs...)
}

// Cmp compares; the result is bool, varying if an operand is.
func (b *Builder) Cmp(p Pred, x, y *Value) *Value {
	a := []*Value{x, y}
	t := b.alike(a...)
	return b.emit(OpCmp, int64(p), Type{Bool, t.Kind}, a...)
}

// Select is c ? x : y.
func (b *Builder) Select(c, x, y *Value) *Value {
	if c.Type.Elem != Bool {
		b.fail("select by %v", c.Type)
	}
	a := []*Value{x, y}
	t := b.alike(a...)
	if c.Type.Kind == Varying && t.Kind == Uniform {
		a[0], a[1] = b.Splat(a[0]), b.Splat(a[1])
		t.Kind = Varying
	}
	return b.emit(OpSelect, 0, t, c, a[0], a[1])
}

func (b *Builder) Round(x *Value) *Value { return b.emit(OpRound, 0, Type{I32, x.Type.Kind}, x) }
func (b *Builder) ToF32(x *Value) *Value { return b.emit(OpToF32, 0, Type{F32, x.Type.Kind}, x) }

// Bitcast gives the same bits as f32 or i32.
func (b *Builder) Bitcast(x *Value) *Value {
	to := F32
	if x.Type.Elem == F32 {
		to = I32
	}
	return b.emit(OpBitcast, 0, Type{to, x.Type.Kind}, x)
}

func (b *Builder) Extend(x *Value) *Value   { return b.emit(OpExtend, 0, Type{Elem: I64}, x) }
func (b *Builder) Truncate(x *Value) *Value { return b.emit(OpTruncate, 0, Type{Elem: I32}, x) }

// ReduceAdd sums sixteen lanes in the fixed tree; ReduceMax takes the largest. xs are 16/W values, or one if W is 16 or more.
func (b *Builder) ReduceAdd(xs ...*Value) *Value { return b.reduce(OpReduceAdd, xs) }
func (b *Builder) ReduceMax(xs ...*Value) *Value { return b.reduce(OpReduceMax, xs) }

func (b *Builder) reduce(op Op, xs []*Value) *Value {
	if want := max(1, 16/b.k.Lanes); len(xs) != want {
		b.fail("%v of %d values: 16 lanes are wanted, so %d", op, len(xs), want)
	}
	for _, x := range xs {
		if x.Type != (Type{F32, Varying}) {
			b.fail("%v of %v", op, x.Type)
		}
	}
	return b.emit(op, 0, Type{Elem: F32}, xs...)
}
