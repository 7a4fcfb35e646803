package spmd

import "slices"

// address checks a pointer and its optional index (i64, may be nil).
func (b *Builder) address(p, i *Value) []*Value {
	if p.Type.Kind != Pointer || i != nil && i.Type != (Type{Elem: I64}) {
		b.fail("address of type %v", p.Type)
	}
	if n, ok := i.Const(); i == nil || ok && n == 0 {
		return []*Value{p}
	}
	return []*Value{p, i}
}

// Load gives the uniform p[i + off], widened to its register type. i may be nil.
func (b *Builder) Load(p, i *Value, off int64) *Value {
	return b.emit(OpLoad, off, Type{Elem: p.Type.Elem.Reg()}, b.address(p, i)...)
}

// LoadV gives lane l p[i + off + l].
func (b *Builder) LoadV(p, i *Value, off int64) *Value {
	return b.emit(OpLoadV, off, Type{p.Type.Elem.Reg(), Varying}, b.address(p, i)...)
}

// LoadVN loads the lanes below n (i64, uniform) and gives 0 in the others.
func (b *Builder) LoadVN(p, i *Value, off int64, n *Value) *Value {
	return b.emit(OpLoadVN, off, Type{p.Type.Elem.Reg(), Varying}, append(b.address(p, i), n)...)
}

// LoadRun gives lane l the n neighbours from p[i + off + n*l] on. They have at most 16 bytes, and begin at a multiple of their size.
func (b *Builder) LoadRun(p, i *Value, off int64, n int) []*Value {
	return b.run(&Instr{Op: OpLoadRun, Args: b.address(p, i), Imm: off}, n)
}

func (b *Builder) run(in *Instr, n int) []*Value {
	for range n {
		in.Results = append(in.Results, b.value(Type{in.Args[0].Type.Elem.Reg(), Varying}, in))
	}
	b.cur.Body = append(b.cur.Body, in)
	return slices.Clone(in.Results)
}

// Gather gives lane l p[v[l] + off].
func (b *Builder) Gather(p, v *Value, off int64) *Value {
	if v.Type != (Type{I32, Varying}) {
		b.fail("gather by %v", v.Type)
	}
	return b.emit(OpGather, off, Type{p.Type.Elem.Reg(), Varying}, p, v)
}

// GatherRun gives lane l the n neighbours from p[v[l] + off] on, as LoadRun does.
func (b *Builder) GatherRun(p, v *Value, off int64, n int) []*Value {
	if v.Type != (Type{I32, Varying}) {
		b.fail("gatherrun by %v", v.Type)
	}
	return b.run(&Instr{Op: OpGatherRun, Args: []*Value{p, v}, Imm: off}, n)
}

func (b *Builder) stored(p, x *Value) {
	if x.Type.Elem != p.Type.Elem.Reg() {
		b.fail("store of %v to %v", x.Type, p.Type)
	}
}

// Store writes a uniform value to p[i + off].
func (b *Builder) Store(p, i *Value, off int64, x *Value) {
	b.stored(p, x)
	if x.Type.Kind != Uniform {
		b.fail("store of %v", x.Type)
	}
	b.effect(OpStore, off, append(b.address(p, i), x)...)
}

// StoreV writes lane l to p[i + off + l].
func (b *Builder) StoreV(p, i *Value, off int64, x *Value) {
	b.stored(p, x)
	b.effect(OpStoreV, off, append(b.address(p, i), b.Splat(x))...)
}

// StoreVN writes the lanes below n.
func (b *Builder) StoreVN(p, i *Value, off int64, n, x *Value) {
	b.stored(p, x)
	b.effect(OpStoreVN, off, append(b.address(p, i), n, b.Splat(x))...)
}

// MMA8 adds to c, 16*tiles columns of rows rows, the product of a and b over k groups of four bytes. Only targets with Tiles have it.
func (b *Builder) MMA8(c, x, y, k, rows *Value, s Strides, tiles int64) {
	want := [...]Type{{I32, Pointer}, {I8, Pointer}, {I8, Pointer}, {Elem: I64}, {Elem: I64}}
	for i, v := range []*Value{c, x, y, k, rows} {
		if v.Type != want[i] {
			b.fail("operand %d of mma8 is %v, not %v", i+1, v.Type, want[i])
		}
	}
	b.effect(OpMMA8, tiles, c, x, y, k, rows)
	b.cur.Body[len(b.cur.Body)-1].Strides = s
}

// View gives scratch that was reserved as elements of another type.
func (b *Builder) View(scratch *Value, e Elem) *Value {
	if scratch.Def == nil || scratch.Def.Op != OpScratch {
		b.fail("view of %v, which is not the start of some scratch", scratch.Type)
		return scratch
	}
	return b.emit(OpScratch, scratch.Def.Imm, Type{e, Pointer})
}

// CopyAsync begins to copy 16 bytes a lane, from[w] to to[v]. CopyGroup ends a group of copies, CopyWait waits until all groups but the last n have arrived.
func (b *Builder) CopyAsync(to, v, from, w *Value) { b.effect(OpCopyAsync, 0, to, v, from, w) }
func (b *Builder) CopyGroup()                      { b.effect(OpCopyGroup, 0) }
func (b *Builder) CopyWait(n int64)                { b.effect(OpCopyWait, n) }

// CopyBulk begins to copy some pieces of so many bytes, which lie apart by strides in scratch and in memory.
func (b *Builder) CopyBulk(to, from *Value, pieces, bytes, toStride, fromStride int64) {
	b.effect(OpCopyBulk, pieces, to, from)
	b.cur.Body[len(b.cur.Body)-1].Strides = Strides{C: toStride, A: fromStride, B: bytes}
}

// MMAI8 adds to the fragment c the product of the fragments x and y of signed bytes, MMABF16 that of bf16, two a word.
func (b *Builder) MMAI8(c, x, y []*Value) []*Value   { return b.fragments(OpMMAI8, I32, c, x, y) }
func (b *Builder) MMABF16(c, x, y []*Value) []*Value { return b.fragments(OpMMABF16, F32, c, x, y) }

func (b *Builder) fragments(op Op, sums Elem, c, x, y []*Value) []*Value {
	if len(c) != 4 || len(x) != 4 || len(y) != 2 {
		b.fail("%v of %d, %d and %d values", op, len(c), len(x), len(y))
	}
	in := &Instr{Op: op, Args: slices.Concat(c, x, y)}
	for range 4 {
		in.Results = append(in.Results, b.value(Type{sums, Varying}, in))
	}
	b.cur.Body = append(b.cur.Body, in)
	return slices.Clone(in.Results)
}

// QuadI8 adds to the sums c of a quad the product of a and b, which lie in scratch: a step of K, 32 bytes. QuadTF32 does the same with floats, and QuadBF16 has the
// member's part of a in registers. s says how far the second sixteen bytes of K are from the first.
func (b *Builder) QuadI8(x, y *Value, c []*Value, s Strides) []*Value {
	return b.quad(OpQuadI8, s, []*Value{x, y}, c)
}

func (b *Builder) QuadTF32(x, y *Value, c []*Value, s Strides) []*Value {
	return b.quad(OpQuadTF32, s, []*Value{x, y}, c)
}

func (b *Builder) QuadBF16(x []*Value, y *Value, c []*Value, s Strides) []*Value {
	if len(x) != 4 {
		b.fail("quadbf16 of %d values", len(x))
	}
	return b.quad(OpQuadBF16, s, append(slices.Clone(x), y), c)
}

func (b *Builder) quad(op Op, s Strides, xy, c []*Value) []*Value {
	in := &Instr{Op: op, Args: slices.Concat(xy, c), Strides: s}
	for _, sum := range c {
		in.Results = append(in.Results, b.value(sum.Type, in))
	}
	b.cur.Body = append(b.cur.Body, in)
	return slices.Clone(in.Results)
}

// PackBF16 makes a word of two bf16, x in its low half.
func (b *Builder) PackBF16(x, y *Value) *Value {
	return b.emit(OpPackBF16, 0, Type{I32, Varying}, x, y)
}

// Prefetch asks for the cache line of p[i + off].
func (b *Builder) Prefetch(p, i *Value, off int64) { b.effect(OpPrefetch, off, b.address(p, i)...) }

// PrefetchFar does too, for what is read later.
func (b *Builder) PrefetchFar(p, i *Value, off int64) {
	b.effect(OpPrefetchFar, off, b.address(p, i)...)
}

// For runs body for i = lo, lo+step, ... below hi. body gets i and the carried values and gives the next ones; For gives the last.
func (b *Builder) For(lo, hi *Value, step int64, carry []*Value, body func(i *Value, c []*Value) []*Value) []*Value {
	if lo.Type != (Type{Elem: I64}) || hi.Type != lo.Type || step <= 0 {
		b.fail("for from %v to %v by %d", lo.Type, hi.Type, step)
	}
	in := &Instr{Op: OpFor, Imm: step, Args: append([]*Value{lo, hi}, carry...)}
	r := &Region{}
	r.Params = append(r.Params, b.param(Type{Elem: I64}, r))
	for _, c := range carry {
		r.Params = append(r.Params, b.param(c.Type, r))
	}
	b.inside(r, func() []*Value { return body(r.Params[0], r.Params[1:]) })
	if len(r.Yield) != len(carry) {
		b.fail("loop carries %d values and yields %d", len(carry), len(r.Yield))
	}
	in.Regions = []*Region{r}
	for _, c := range carry {
		in.Results = append(in.Results, b.value(c.Type, in))
	}
	b.cur.Body = append(b.cur.Body, in)
	return slices.Clone(in.Results)
}

// If is a uniform branch. els may be nil when nothing is yielded.
func (b *Builder) If(cond *Value, then, els func() []*Value) []*Value {
	if cond.Type != (Type{Elem: Bool}) {
		b.fail("if of %v", cond.Type)
	}
	in := &Instr{Op: OpIf, Args: []*Value{cond}, Regions: []*Region{{}, {}}}
	b.inside(in.Regions[0], then)
	if els != nil {
		b.inside(in.Regions[1], els)
	}
	if len(in.Regions[0].Yield) != len(in.Regions[1].Yield) {
		b.fail("branches yield %d and %d values", len(in.Regions[0].Yield), len(in.Regions[1].Yield))
	}
	for _, y := range in.Regions[0].Yield {
		in.Results = append(in.Results, b.value(y.Type, in))
	}
	b.cur.Body = append(b.cur.Body, in)
	return slices.Clone(in.Results)
}

func (b *Builder) param(t Type, r *Region) *Value {
	v := b.value(t, nil)
	v.In = r
	return v
}

func (b *Builder) inside(r *Region, body func() []*Value) {
	outer := b.cur
	b.cur = r
	r.Yield = body()
	b.cur = outer
}
