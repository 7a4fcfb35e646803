package spmd

import "math"

// execs says for each op what does it, chosen by the types of the instruction. Loops and branches are jumps, which the compiler places; a prefetch is nothing.
var execs = [numOps]func(in *Instr) exec{
	OpConst:   func(in *Instr) exec { return byElem(in.Results[0], constF, constI, constL) },
	OpParam:   one(func(f *frame, in *inst) { f.p[in.d] = pointer{f.params[in.imm].Space, f.args[in.imm]} }),
	OpScratch: one(func(f *frame, in *inst) { f.p[in.d] = pointer{teamScratch, in.imm} }),
	OpTile:    system(sysTile),
	OpRows:    system(sysRows),
	OpSeqs:    system(sysSeqs),
	OpOuts:    system(sysOuts),
	OpMember:  system(sysMember),
	OpMembers: system(sysMembers),
	OpLane:    one(lane),
	OpOffset:  one(offset),
	OpAdd:     byOperand(addF, binI(func(x, y int32) int32 { return x + y }), binL(func(x, y int64) int64 { return x + y })),
	OpSub:     byOperand(subF, binI(func(x, y int32) int32 { return x - y }), binL(func(x, y int64) int64 { return x - y })),
	OpMul:     byOperand(mulF, binI(func(x, y int32) int32 { return x * y }), binL(func(x, y int64) int64 { return x * y })),
	OpDiv:     byOperand(binF(func(x, y float32) float32 { return x / y }), divI, divL),
	OpRem:     byOperand(nil, remI, remL),
	OpMin:     byOperand(binF(min32), binI(func(x, y int32) int32 { return min(x, y) }), binL(func(x, y int64) int64 { return min(x, y) })),
	OpMax:     byOperand(binF(max32), binI(func(x, y int32) int32 { return max(x, y) }), binL(func(x, y int64) int64 { return max(x, y) })),
	OpAnd:     byOperand(nil, binI(func(x, y int32) int32 { return x & y }), binL(func(x, y int64) int64 { return x & y })),
	OpOr:      byOperand(nil, binI(func(x, y int32) int32 { return x | y }), binL(func(x, y int64) int64 { return x | y })),
	OpXor:     byOperand(nil, binI(func(x, y int32) int32 { return x ^ y }), binL(func(x, y int64) int64 { return x ^ y })),
	OpShl:     byOperand(nil, shift(func(x int32, n int64) int32 { return x << n }), func(f *frame, in *inst) { f.l[in.d] = f.l[in.a] << in.imm }),
	OpShr:     byOperand(nil, shift(func(x int32, n int64) int32 { return x >> n }), func(f *frame, in *inst) { f.l[in.d] = f.l[in.a] >> in.imm }),
	OpShrl: byOperand(nil, shift(func(x int32, n int64) int32 { return int32(uint32(x) >> n) }),
		func(f *frame, in *inst) { f.l[in.d] = int64(uint64(f.l[in.a]) >> in.imm) }),
	OpNeg:         byOperand(unF(neg32), unI(func(x int32) int32 { return -x }), func(f *frame, in *inst) { f.l[in.d] = -f.l[in.a] }),
	OpAbs:         byOperand(unF(abs32), nil, nil),
	OpSqrt:        byOperand(unF(sqrt32), nil, nil),
	OpFMA:         byOperand(fmaF, nil, nil),
	OpDot4:        one(dot4),
	OpDot4U:       one(dot4u),
	OpDot2:        one(dot2),
	OpByte16:      one(byte16),
	OpSwap:        byOperand(swapF, swapI, nil),
	OpCmp:         func(in *Instr) exec { return compareExec(Pred(in.Imm), in) },
	OpSelect:      selectExec,
	OpRound:       one(conv(arenaF, arenaI, round32)),
	OpToF32:       one(conv(arenaI, arenaF, func(x int32) float32 { return float32(x) })),
	OpBitcast:     bitcast,
	OpExtend:      one(func(f *frame, in *inst) { f.l[in.d] = int64(f.i[in.a]) }),
	OpTruncate:    one(func(f *frame, in *inst) { f.i[in.d] = int32(f.l[in.a]) }),
	OpSplat:       byOperand(splatF, splatI, nil),
	OpLoad:        load,
	OpLoadV:       load,
	OpLoadVN:      load,
	OpLoadRun:     loadRun,
	OpGather:      load,
	OpGatherRun:   loadRun,
	OpStore:       store,
	OpStoreV:      store,
	OpStoreVN:     store,
	OpMMA8:        one(mma8),
	OpMMAI8:       one(mmaI8),
	OpMMABF16:     one(mmaBF16),
	OpQuadI8:      one(quadI8),
	OpQuadBF16:    one(quadBF16),
	OpQuadTF32:    one(quadTF32),
	OpPackBF16:    one(packBF16),
	OpCopyAsync:   one(copyAsync),
	OpCopyBulk:    one(copyBulk),
	OpCopyGroup:   one(func(f *frame, in *inst) { f.groups++ }),
	OpCopyWait:    one(copyWait),
	OpPrefetch:    nil,
	OpPrefetchFar: nil,
	OpReduceAdd:   one(reduction(func(x, y float32) float32 { return x + y })),
	OpReduceMax:   one(reduction(max32)),
	OpFor:         nil,
	OpIf:          nil,
	OpBarrier:     one(func(f *frame, in *inst) { f.stop = true }),
}

func one(e exec) func(*Instr) exec { return func(*Instr) exec { return e } }

// byOperand chooses by the element of the first operand.
func byOperand(f, i, l exec) func(*Instr) exec {
	return func(in *Instr) exec { return byElem(in.Args[0], f, i, l) }
}

func byElem(v *Value, f, i, l exec) exec {
	switch v.Type.Elem {
	case F32:
		return f
	case I64:
		return l
	}
	return i
}

func constF(f *frame, in *inst) { f.f[in.d] = math.Float32frombits(uint32(in.imm)) }
func constI(f *frame, in *inst) { f.i[in.d] = int32(in.imm) }
func constL(f *frame, in *inst) { f.l[in.d] = in.imm }

func system(i int) func(*Instr) exec {
	return one(func(f *frame, in *inst) { f.l[in.d] = f.sys[i] })
}

func swapF(f *frame, in *inst) {
	x, d := f.f[in.a:][:in.n], f.f[in.d:][:in.n]
	for l := range d {
		d[l] = x[l^int(in.imm)]
	}
}

func swapI(f *frame, in *inst) {
	x, d := f.i[in.a:][:in.n], f.i[in.d:][:in.n]
	for l := range d {
		d[l] = x[l^int(in.imm)]
	}
}

func lane(f *frame, in *inst) {
	for l := range in.n {
		f.i[in.d+l] = int32(l)
	}
}

func offset(f *frame, in *inst) {
	p, i := f.p[in.a], f.l[in.b]
	if i < -farIndex || i > farIndex || p.off < -farIndex*8 || p.off > farIndex*8 {
		f.fail(in, "pointer moved by %d elements, beyond any memory", i)
		return
	}
	f.p[in.d] = pointer{p.space, p.off + i*in.size}
}

// binF and its like apply a function to each lane of one arena. The call a lane costs less than what surrounds it; only the commonest have loops of their own.
func binF(op func(x, y float32) float32) exec {
	return func(f *frame, in *inst) {
		d, a, b := f.f[in.d:][:in.n], f.f[in.a:][:in.n], f.f[in.b:][:in.n]
		for l := range d {
			d[l] = op(a[l], b[l])
		}
	}
}

func binI(op func(x, y int32) int32) exec {
	return func(f *frame, in *inst) {
		d, a, b := f.i[in.d:][:in.n], f.i[in.a:][:in.n], f.i[in.b:][:in.n]
		for l := range d {
			d[l] = op(a[l], b[l])
		}
	}
}

func binL(op func(x, y int64) int64) exec {
	return func(f *frame, in *inst) { f.l[in.d] = op(f.l[in.a], f.l[in.b]) }
}

func addF(f *frame, in *inst) {
	d, a, b := f.f[in.d:][:in.n], f.f[in.a:][:in.n], f.f[in.b:][:in.n]
	for l := range d {
		d[l] = a[l] + b[l]
	}
}

func subF(f *frame, in *inst) {
	d, a, b := f.f[in.d:][:in.n], f.f[in.a:][:in.n], f.f[in.b:][:in.n]
	for l := range d {
		d[l] = a[l] - b[l]
	}
}

func mulF(f *frame, in *inst) {
	d, a, b := f.f[in.d:][:in.n], f.f[in.a:][:in.n], f.f[in.b:][:in.n]
	for l := range d {
		d[l] = a[l] * b[l]
	}
}

func fmaF(f *frame, in *inst) {
	d, a, b, c := f.f[in.d:][:in.n], f.f[in.a:][:in.n], f.f[in.b:][:in.n], f.f[in.c:][:in.n]
	for l := range d {
		d[l] = fma32(a[l], b[l], c[l])
	}
}

func unF(op func(x float32) float32) exec { return conv(arenaF, arenaF, op) }
func unI(op func(x int32) int32) exec     { return conv(arenaI, arenaI, op) }

func arenaF(f *frame) []float32 { return f.f }
func arenaI(f *frame) []int32   { return f.i }

// conv applies a function to each lane, from one arena to another.
func conv[A, D any](from func(*frame) []A, to func(*frame) []D, op func(A) D) exec {
	return func(f *frame, in *inst) {
		d, a := to(f)[in.d:][:in.n], from(f)[in.a:][:in.n]
		for l := range d {
			d[l] = op(a[l])
		}
	}
}

func bitcast(in *Instr) exec {
	return byElem(in.Args[0], conv(arenaF, arenaI, func(x float32) int32 { return int32(math.Float32bits(x)) }),
		conv(arenaI, arenaF, func(x int32) float32 { return math.Float32frombits(uint32(x)) }), nil)
}

func shift(op func(x int32, n int64) int32) exec {
	return func(f *frame, in *inst) {
		d, a := f.i[in.d:][:in.n], f.i[in.a:][:in.n]
		for l := range d {
			d[l] = op(a[l], in.imm)
		}
	}
}

func splatF(f *frame, in *inst) {
	x, d := f.f[in.a], f.f[in.d:][:in.n]
	for l := range d {
		d[l] = x
	}
}

func splatI(f *frame, in *inst) {
	x, d := f.i[in.a], f.i[in.d:][:in.n]
	for l := range d {
		d[l] = x
	}
}

// divided refuses what div and rem do not define.
func (f *frame) divided(in *inst, x, y int64) bool {
	if x < 0 || y <= 0 {
		f.fail(in, "%d by %d: x >= 0 and y > 0 are wanted", x, y)
		return false
	}
	return true
}

func divI(f *frame, in *inst) {
	if x, y := f.i[in.a], f.i[in.b]; f.divided(in, int64(x), int64(y)) {
		f.i[in.d] = x / y
	}
}

func remI(f *frame, in *inst) {
	if x, y := f.i[in.a], f.i[in.b]; f.divided(in, int64(x), int64(y)) {
		f.i[in.d] = x % y
	}
}

func divL(f *frame, in *inst) {
	if x, y := f.l[in.a], f.l[in.b]; f.divided(in, x, y) {
		f.l[in.d] = x / y
	}
}

func remL(f *frame, in *inst) {
	if x, y := f.l[in.a], f.l[in.b]; f.divided(in, x, y) {
		f.l[in.d] = x % y
	}
}
