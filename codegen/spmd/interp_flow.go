package spmd

import (
	"cmp"
	"math"
)

func arenaL(f *frame) []int64 { return f.l }

// compareExec compares lanes of the operands' arena.
func compareExec(p Pred, in *Instr) exec {
	return byElem(in.Args[0], compare(p, arenaF), compare(p, arenaI), compare(p, arenaL))
}

func compare[T cmp.Ordered](p Pred, arena func(*frame) []T) exec {
	op := [...]func(x, y T) bool{
		EQ: func(x, y T) bool { return x == y },
		NE: func(x, y T) bool { return x != y },
		LT: func(x, y T) bool { return x < y },
		LE: func(x, y T) bool { return x <= y },
		GT: func(x, y T) bool { return x > y },
		GE: func(x, y T) bool { return x >= y },
	}[p]
	return func(f *frame, in *inst) {
		xs := arena(f)
		d, a, b := f.i[in.d:][:in.n], xs[in.a:][:in.n], xs[in.b:][:in.n]
		for l := range d {
			d[l] = 0
			if op(a[l], b[l]) {
				d[l] = 1
			}
		}
	}
}

func selectExec(in *Instr) exec {
	varying := in.Args[0].Type.Kind == Varying
	return byElem(in.Args[1], choose(varying, arenaF), choose(varying, arenaI), choose(varying, arenaL))
}

func choose[T any](varying bool, arena func(*frame) []T) exec {
	if !varying {
		return func(f *frame, in *inst) {
			from := in.c
			if f.i[in.a] != 0 {
				from = in.b
			}
			copy(arena(f)[in.d:][:in.n], arena(f)[from:][:in.n])
		}
	}
	return func(f *frame, in *inst) {
		xs, c := arena(f), f.i[in.a:][:in.n]
		d, x, y := xs[in.d:][:in.n], xs[in.b:][:in.n], xs[in.c:][:in.n]
		for l := range d {
			d[l] = y[l]
			if c[l] != 0 {
				d[l] = x[l]
			}
		}
	}
}

// reduction gathers sixteen lanes of the operands and folds them.
func reduction(op func(x, y float32) float32) exec {
	return func(f *frame, in *inst) {
		var x [16]float32
		lanes := 16 / len(in.list)
		for i, s := range in.list {
			copy(x[i*lanes:], f.f[s:][:lanes])
		}
		f.f[in.d] = reduce(&x, op)
	}
}

func moveF(f *frame, in *inst) { copy(f.f[in.d:][:in.n], f.f[in.a:][:in.n]) }
func moveI(f *frame, in *inst) { copy(f.i[in.d:][:in.n], f.i[in.a:][:in.n]) }
func moveL(f *frame, in *inst) { f.l[in.d] = f.l[in.a] }
func moveP(f *frame, in *inst) { f.p[in.d] = f.p[in.a] }

func jump(f *frame, in *inst) { f.pc = in.to }

func jumpUnless(f *frame, in *inst) {
	if f.i[in.a] == 0 {
		f.pc = in.to
	}
}

// loopTest leaves the loop when its variable has reached the bound.
func loopTest(f *frame, in *inst) {
	if f.l[in.a] >= f.l[in.b] {
		f.pc = in.to
	}
}

// loopNext steps the variable, which stays at the largest integer rather than wrap: no bound is above that.
func loopNext(f *frame, in *inst) {
	if f.l[in.d] > math.MaxInt64-in.imm {
		f.l[in.d] = math.MaxInt64
	} else {
		f.l[in.d] += in.imm
	}
	f.pc = in.to
	if err := f.mem.count(); err != nil {
		f.stop, f.at, f.err = true, in, err
	}
}
