package spmdtest

import (
	"fmt"
	"math"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Edges are the values that instructions are tried on, by type, as bits.
func Edges(e spmd.Elem) []uint64 {
	var out []uint64
	switch e {
	case spmd.F32:
		for _, f := range []float64{
			0, 1, 0.5, 1.5, 2.5, 3, 1.0 / 3, math.Pi, 127.5, 65504, 1 << 23, 1<<23 + 1, 1<<24 - 1, 1 << 30,
			math.SmallestNonzeroFloat32, 0x1p-126 - 0x1p-149, 0x1p-126, 0x1p-64, 1 + 0x1p-23, 1 - 0x1p-24, math.MaxFloat32, math.Inf(1), math.NaN(),
		} {
			b := uint64(math.Float32bits(float32(f)))
			out = append(out, b, b|1<<31)
		}
	case spmd.I32:
		for _, n := range []int32{0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 65535, 1 << 24, 1<<24 + 1, 1<<25 + 3, 0x55555555, math.MaxInt32, math.MinInt32} {
			out = append(out, uint64(uint32(n)), uint64(uint32(-n)))
		}
	case spmd.I64:
		for _, n := range []int64{0, 1, 2, 3, 7, 255, 1 << 31, 1<<31 + 1, 1 << 32, 1<<33 + 5, 0x5555555555555555, math.MaxInt64, math.MinInt64} {
			out = append(out, uint64(n), uint64(-n))
		}
	}
	return out
}

// opCase is an instruction at certain operand types. Bools come in as i32 (odd is true) and go out as 0 or 1.
type opCase struct {
	name    string
	in      []spmd.Elem
	out     spmd.Elem
	uniform bool                  // only
	keep    func(x []uint64) bool // which operands are defined; nil: all
	build   func(b *builder, x []*val) *val
}

func binaryCases() (cases []opCase) {
	ops := []struct {
		name  string
		elems []spmd.Elem
		build func(b *builder, x, y *val) *val
	}{
		{"add", []spmd.Elem{spmd.F32, spmd.I32, spmd.I64}, (*builder).Add},
		{"sub", []spmd.Elem{spmd.F32, spmd.I32, spmd.I64}, (*builder).Sub},
		{"mul", []spmd.Elem{spmd.F32, spmd.I32, spmd.I64}, (*builder).Mul},
		{"div", []spmd.Elem{spmd.F32, spmd.I32, spmd.I64}, (*builder).Div},
		{"rem", []spmd.Elem{spmd.I32, spmd.I64}, (*builder).Rem},
		{"min", []spmd.Elem{spmd.F32, spmd.I32, spmd.I64}, (*builder).Min},
		{"max", []spmd.Elem{spmd.F32, spmd.I32, spmd.I64}, (*builder).Max},
		{"and", []spmd.Elem{spmd.Bool, spmd.I32, spmd.I64}, (*builder).And},
		{"or", []spmd.Elem{spmd.Bool, spmd.I32, spmd.I64}, (*builder).Or},
		{"xor", []spmd.Elem{spmd.Bool, spmd.I32, spmd.I64}, (*builder).Xor},
	}
	for p := spmd.EQ; p <= spmd.GE; p++ {
		ops = append(ops, struct {
			name  string
			elems []spmd.Elem
			build func(b *builder, x, y *val) *val
		}{"cmp_" + p.String(), []spmd.Elem{spmd.F32, spmd.I32, spmd.I64}, func(b *builder, x, y *val) *val { return b.Cmp(p, x, y) }})
	}
	for _, op := range ops {
		for _, e := range op.elems {
			c := opCase{name: op.name, in: []spmd.Elem{e, e}, out: e}
			if len(op.name) > 3 {
				c.out = spmd.Bool
			}
			c.build = func(b *builder, x []*val) *val { return op.build(b, x[0], x[1]) }
			if (op.name == "div" || op.name == "rem") && e != spmd.F32 {
				c.uniform = true
				c.keep = func(x []uint64) bool { return signed(e, x[0]) >= 0 && signed(e, x[1]) > 0 }
			}
			cases = append(cases, c)
		}
	}
	return cases
}

func signed(e spmd.Elem, bits uint64) int64 {
	if e == spmd.I32 {
		return int64(int32(bits))
	}
	return int64(bits)
}

func otherCases() (cases []opCase) {
	unary := func(name string, in, out spmd.Elem, build func(b *builder, x *val) *val) {
		cases = append(cases, opCase{name: name, in: []spmd.Elem{in}, out: out, build: func(b *builder, x []*val) *val { return build(b, x[0]) }})
	}
	for _, e := range []spmd.Elem{spmd.F32, spmd.I32, spmd.I64} {
		unary("neg", e, e, (*builder).Neg)
	}
	for _, e := range []spmd.Elem{spmd.I32, spmd.I64} {
		for _, n := range []int64{0, 1, 16, 31} {
			unary(fmt.Sprintf("shl%d", n), e, e, func(b *builder, x *val) *val { return b.Shl(x, n) })
			unary(fmt.Sprintf("shr%d", n), e, e, func(b *builder, x *val) *val { return b.Shr(x, n) })
			unary(fmt.Sprintf("shrl%d", n), e, e, func(b *builder, x *val) *val { return b.Shrl(x, n) })
		}
	}
	unary("abs", spmd.F32, spmd.F32, (*builder).Abs)
	unary("sqrt", spmd.F32, spmd.F32, (*builder).Sqrt)
	unary("tof32", spmd.I32, spmd.F32, (*builder).ToF32)
	unary("bitcast", spmd.I32, spmd.F32, (*builder).Bitcast)
	unary("bitcast", spmd.F32, spmd.I32, (*builder).Bitcast)
	unary("round", spmd.F32, spmd.I32, (*builder).Round)
	cases[len(cases)-1].keep = func(x []uint64) bool { return math.Abs(float64(math.Float32frombits(uint32(x[0])))) < 1<<31 }
	unary("extend", spmd.I32, spmd.I64, (*builder).Extend)
	cases[len(cases)-1].uniform = true
	unary("truncate", spmd.I64, spmd.I32, (*builder).Truncate)
	cases[len(cases)-1].uniform = true
	cases = append(cases, opCase{name: "fma", in: []spmd.Elem{spmd.F32, spmd.F32, spmd.F32}, out: spmd.F32,
		build: func(b *builder, x []*val) *val { return b.FMA(x[0], x[1], x[2]) }})
	for _, e := range []spmd.Elem{spmd.F32, spmd.I32, spmd.I64, spmd.Bool} {
		cases = append(cases, opCase{name: "select", in: []spmd.Elem{spmd.Bool, e, e}, out: e,
			build: func(b *builder, x []*val) *val { return b.Select(x[0], x[1], x[2]) }})
	}
	return cases
}

// operands are all combinations of edges that a case is defined for, one list an operand, in whole vectors.
func (c *opCase) operands() (lists [][]uint64) {
	lists = make([][]uint64, len(c.in))
	from := make([][]uint64, len(c.in))
	for i, e := range c.in {
		from[i] = []uint64{0, 1}
		if e != spmd.Bool {
			from[i] = Edges(e)
		}
		if len(c.in) == 3 && e == spmd.F32 {
			from[i] = from[i][:len(from[i])*(3-i)/3+2*i] // all * two thirds * one third: enough
		}
	}
	x := make([]uint64, len(c.in))
	var walk func(i int)
	walk = func(i int) {
		if i == len(x) {
			if c.keep == nil || c.keep(x) {
				for j := range x {
					lists[j] = append(lists[j], x[j])
				}
			}
			return
		}
		for _, x[i] = range from[i] {
			walk(i + 1)
		}
	}
	walk(0)
	for j, l := range lists {
		for len(l)%Lanes != 0 {
			l = append(l, l[0])
		}
		lists[j] = l
	}
	return lists
}

// add makes one kernel of a case, uniform or varying.
func (c *opCase) add(d *Bed, varying bool) {
	name := fmt.Sprintf("%s_%v", c.name, c.in[len(c.in)-1])
	step := int64(1)
	if varying {
		name += "_varying"
		step = int64(d.Target.Lanes)
	}
	held := func(e spmd.Elem) spmd.Elem {
		if e == spmd.Bool {
			return spmd.I32
		}
		return e
	}
	d.Kernel(name, One, func(k *Body) {
		lists := c.operands()
		n := int64(len(lists[0]))
		var from []*val
		for i, l := range lists {
			from = append(from, k.Input(held(c.in[i]), l))
		}
		to := k.Output(held(c.out), n)
		k.For(k.I(0), k.I(n), step, nil, func(i *val, _ []*val) []*val {
			x := make([]*val, len(from))
			for j, p := range from {
				x[j] = k.Load(p, i, 0)
				if varying {
					x[j] = k.LoadV(p, i, 0)
				}
				if c.in[j] == spmd.Bool {
					x[j] = k.Cmp(spmd.NE, x[j], k.I32(0))
				}
			}
			y := c.build(k.Builder, x)
			if c.out == spmd.Bool {
				y = k.Select(y, k.I32(1), k.I32(0))
			}
			if varying {
				k.StoreV(to, i, 0, y)
			} else {
				k.Store(to, i, 0, y)
			}
			return nil
		})
	})
}

// Ops runs every arithmetic instruction, uniform and varying, over edge values.
func Ops(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	for _, c := range append(binaryCases(), otherCases()...) {
		c.add(d, false)
		wide := false
		for _, e := range c.in {
			wide = wide || e == spmd.I64
		}
		if !wide && !c.uniform {
			c.add(d, true)
		}
	}
	return d.Done()
}

// EveryOp walks the kernel language: a backend has code for each op but loops and branches, which are not in its table.
func EveryOp(t *testing.T, has func(op spmd.Op) bool) {
	t.Helper()
	for op := spmd.OpConst; op.String() != "?"; op++ {
		if !has(op) && op != spmd.OpFor && op != spmd.OpIf {
			t.Errorf("%v has no entry in emitters", op)
		}
	}
}
