package spmd

import (
	"github.com/ssmc/ssmc/internal/f32/f32test"

	"fmt"
	"math"
	"strings"
	"testing"
)

// The table: what each op needs so that printer, parser, verifier, interpreter and documentation have it.
func TestOpTable(t *testing.T) {
	seen := map[string]bool{}
	for o, e := range ops {
		op := Op(o)
		if e.name == "" || e.doc == "" || seen[e.name] {
			t.Errorf("op %d (%s): no name, no meaning, or a name that is taken", o, e.name)
		}
		seen[e.name] = true
		region := op == OpFor || op == OpIf
		in, out, arrow := strings.Cut(e.sig, "->")
		if arrow == region {
			t.Errorf("%s: signature %q", e.name, e.sig)
		}
		if !region && len(strings.Fields(in)) != len(strings.Fields(e.args)) {
			t.Errorf("%s: operands %q and signature %q differ", e.name, e.args, e.sig)
		}
		if usesT := oneOf(strings.NewReplacer("<", " ", ">", " ", ":", " ").Replace(e.sig), "T"); usesT != (e.of != "") {
			t.Errorf("%s: signature %q, T of %q", e.name, e.sig, e.of)
		}
		for _, f := range append(strings.Fields(in), strings.Fields(out)...) {
			f = strings.TrimRight(f, "?.")
			if _, ok := parseType(f); !ok && !oneOf("T <T> C *E R <R> bool:T i32:T f32:T bits:T", f) {
				t.Errorf("%s: unknown pattern %q", e.name, f)
			}
		}
		for _, f := range strings.Fields(e.of) {
			if typ, ok := parseType(f); !ok || !typ.valid() {
				t.Errorf("%s: T of %q", e.name, f)
			}
		}
		if (execs[op] == nil) != (region || op == OpPrefetch || op == OpPrefetchFar) {
			t.Errorf("%s: no interpreter", e.name)
		}
	}
}

// TestOpsRun: each op is run by one of the kernels in this package's tests.
func TestOpsRun(t *testing.T) {
	run := map[Op]bool{}
	note := func(in *Instr) { run[in.Op] = true }
	for _, p := range testPrograms(t, 8) {
		p.Kernels[0].Body.Walk(note)
	}
	for _, c := range laneOps {
		c.kernel(t, 8, true).Body.Walk(note)
	}
	for _, c := range uniformOps {
		c.kernel(t).Body.Walk(note)
	}
	for _, op := range []Op{OpQuadI8, OpQuadBF16, OpQuadTF32} { // TestQuad
		quadProgram(t, op).Kernels[0].Body.Walk(note)
	}
	for _, o := range []Op{OpLane, OpGather, OpReduceMax, OpSwap, OpLoadRun, OpGatherRun, OpCopyAsync, OpCopyGroup, OpCopyWait,
		OpMMAI8, OpMMABF16, OpPackBF16} { // TestGather, TestReduce, TestSwap, TestLoadRun, TestGatherRun, TestAsyncFaults; Fragments and Async of spmdtest, which the backends run
		run[o] = true
	}
	for o := range numOps {
		if !run[o] {
			t.Errorf("no test runs %v", o)
		}
	}
}

func f32(u uint32) float32 { return math.Float32frombits(u) }
func b32(x float32) uint32 { return math.Float32bits(x) }

func flag32(c bool) uint32 {
	if c {
		return 1
	}
	return 0
}

// laneOp is an op on 32-bit lanes with its meaning, written without the interpreter's functions where that can be.
type laneOp struct {
	text    string // op and immediate: "add", "cmp lt", "shl 3"
	from    Elem
	to      Elem
	args    int
	want    func(x, y, z uint32) uint32
	skipBit bool // NaNs: any is right
}

func floatOp(text string, args int, op func(x, y, z float32) float32) laneOp {
	return laneOp{text, F32, F32, args, func(x, y, z uint32) uint32 { return b32(op(f32(x), f32(y), f32(z))) }, true}
}

func intOp(text string, args int, op func(x, y, z int32) int32) laneOp {
	return laneOp{text, I32, I32, args, func(x, y, z uint32) uint32 { return uint32(op(int32(x), int32(y), int32(z))) }, false}
}

func cmpOp(pred string, f func(x, y float32) bool, i func(x, y int32) bool) []laneOp {
	return []laneOp{
		{"cmp " + pred, F32, Bool, 2, func(x, y, _ uint32) uint32 { return flag32(f(f32(x), f32(y))) }, false},
		{"cmp " + pred, I32, Bool, 2, func(x, y, _ uint32) uint32 { return flag32(i(int32(x), int32(y))) }, false},
	}
}

var laneOps = append([]laneOp{
	floatOp("add", 2, func(x, y, _ float32) float32 { return x + y }),
	floatOp("sub", 2, func(x, y, _ float32) float32 { return x - y }),
	floatOp("mul", 2, func(x, y, _ float32) float32 { return x * y }),
	floatOp("div", 2, func(x, y, _ float32) float32 { return x / y }),
	floatOp("fma", 3, f32test.FMA),
	floatOp("sqrt", 1, func(x, _, _ float32) float32 { return float32(math.Sqrt(float64(x))) }),
	{"min", F32, F32, 2, func(x, y, _ uint32) uint32 {
		if f32(x) < f32(y) {
			return x
		}
		return y
	}, false},
	{"max", F32, F32, 2, func(x, y, _ uint32) uint32 {
		if f32(x) > f32(y) {
			return x
		}
		return y
	}, false},
	{"neg", F32, F32, 1, func(x, _, _ uint32) uint32 { return x ^ 0x80000000 }, false},
	{"abs", F32, F32, 1, func(x, _, _ uint32) uint32 { return x & 0x7fffffff }, false},
	{"bitcast", F32, I32, 1, func(x, _, _ uint32) uint32 { return x }, false},
	{"bitcast", I32, F32, 1, func(x, _, _ uint32) uint32 { return x }, false},
	{"round", F32, I32, 1, func(x, _, _ uint32) uint32 {
		d := float64(f32(x))
		n := math.Floor(d + 0.5)
		if n-d == 0.5 && math.Mod(n, 2) != 0 {
			n--
		}
		if !(n >= -2147483648 && n <= 2147483647) {
			return 0x80000000
		}
		return uint32(int32(n))
	}, false},
	{"tof32", I32, F32, 1, func(x, _, _ uint32) uint32 { return b32(float32(float64(int32(x)))) }, false},
	intOp("add", 2, func(x, y, _ int32) int32 { return x + y }),
	intOp("sub", 2, func(x, y, _ int32) int32 { return x - y }),
	intOp("mul", 2, func(x, y, _ int32) int32 { return int32(uint32(uint64(uint32(x)) * uint64(uint32(y)))) }),
	intOp("min", 2, func(x, y, _ int32) int32 { return min(x, y) }),
	intOp("max", 2, func(x, y, _ int32) int32 { return max(x, y) }),
	intOp("and", 2, func(x, y, _ int32) int32 { return x & y }),
	intOp("or", 2, func(x, y, _ int32) int32 { return x | y }),
	intOp("xor", 2, func(x, y, _ int32) int32 { return x ^ y }),
	intOp("neg", 1, func(x, _, _ int32) int32 { return -x }),
	intOp("shl 0", 1, func(x, _, _ int32) int32 { return x }),
	intOp("shl 31", 1, func(x, _, _ int32) int32 { return x << 31 }),
	intOp("shr 1", 1, func(x, _, _ int32) int32 { return x >> 1 }),
	intOp("byte16 0", 1, func(x, _, _ int32) int32 { return int32(int8(x>>16))*65536 + int32(int8(x))&0xffff }),
	intOp("byte16 1", 1, func(x, _, _ int32) int32 { return x>>24*65536 + int32(int16(x))>>8&0xffff }),
	intOp("shrl 0", 1, func(x, _, _ int32) int32 { return x }),
	intOp("shrl 4", 1, func(x, _, _ int32) int32 { return int32(uint32(x) / 16) }),
	intOp("shrl 31", 1, func(x, _, _ int32) int32 { return int32(uint32(x) >> 31) }),
	intOp("shr 31", 1, func(x, _, _ int32) int32 { return x >> 31 }),
}, concat(
	cmpOp("eq", func(x, y float32) bool { return x == y }, func(x, y int32) bool { return x == y }),
	cmpOp("ne", func(x, y float32) bool { return !(x == y) }, func(x, y int32) bool { return x != y }),
	cmpOp("lt", func(x, y float32) bool { return x < y }, func(x, y int32) bool { return x < y }),
	cmpOp("le", func(x, y float32) bool { return x < y || x == y }, func(x, y int32) bool { return x <= y }),
	cmpOp("gt", func(x, y float32) bool { return y < x }, func(x, y int32) bool { return x > y }),
	cmpOp("ge", func(x, y float32) bool { return y < x || x == y }, func(x, y int32) bool { return x >= y }),
)...)

func concat[T any](lists ...[]T) (all []T) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

const operandStride = 1 << 9 // elements between the arrays of two operands

// kernel applies the op to three arrays, a vector or one element a tile. A bool comes out as 1 or 0 through a select.
func (c laneOp) kernel(t testing.TB, lanes int, varying bool) *Kernel {
	words := strings.Fields(c.text)
	typ, vtype := "%v", "<%v>"
	load, store, w := "load", "store", 1
	if varying {
		typ, load, store, w = vtype, "loadv", "storev", lanes
	}
	from, to := fmt.Sprintf(typ, c.from), fmt.Sprintf(typ, c.to)
	var b strings.Builder
	out := c.to
	if out == Bool {
		out = I32
	}
	fmt.Fprintf(&b, "kernel k lanes %d team 0 (x *%v work, out *%v work) {\n%%0 = param *%v 0\n%%1 = param *%v 1\n%%2 = tile i64\n%%3 = const i64 %d\n%%4 = mul i64 %%2 %%3\n", lanes, c.from, out, c.from, out, w)
	for i := range 3 {
		fmt.Fprintf(&b, "%%%d = %s %s %%0 %%4 + %d\n", 5+i, load, from, i*operandStride)
	}
	imm := ""
	if len(words) > 1 && words[0] != "cmp" {
		imm = words[1]
	}
	pred := ""
	if words[0] == "cmp" {
		pred = words[1]
	}
	fmt.Fprintf(&b, "%%8 = %s %s %s %s %s\n", words[0], to, pred, [...]string{"", "%5", "%5 %6", "%5 %6 %7"}[c.args], imm)
	if c.to == Bool {
		one := "%9 = const i32 1\n%10 = const i32 0\n"
		if varying {
			one = "%11 = const i32 1\n%12 = const i32 0\n%9 = splat <i32> %11\n%10 = splat <i32> %12\n"
		}
		fmt.Fprintf(&b, "%s%%13 = select %s %%8 %%9 %%10\n%s %%1 %%4 + %d = %%13\n}\n", one, fmt.Sprintf(typ, I32), store, 3*operandStride)
	} else {
		fmt.Fprintf(&b, "%s %%1 %%4 + %d = %%8\n}\n", store, 3*operandStride)
	}
	k, err := ParseKernel(b.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return k
}

var edgeInts = []uint32{0, 1, 2, 3, 0xffffffff, 0xfffffffe, 0x7fffffff, 0x80000000, 0x80000001, 1 << 24, 1<<24 + 1, 0x7fffffc0, 0x7fffffbf, 12345, 0xffff0000, 0x12345678}

// TestLaneOps runs each op over all pairs of edge values, in lanes and uniform.
func TestLaneOps(t *testing.T) {
	for _, c := range laneOps {
		edges := edgeInts
		if c.from == F32 {
			edges = nil
			for _, x := range f32test.Edges {
				edges = append(edges, b32(x))
			}
		}
		for _, lanes := range allLanes {
			c.check(t, c.kernel(t, lanes, true), lanes, edges)
		}
		c.check(t, c.kernel(t, 8, false), 1, edges)
	}
}

func (c laneOp) check(t *testing.T, k *Kernel, width int, edges []uint32) {
	p := program(k, target(k.Lanes), Grid{Panels: int64(operandStride / width)}, 0, 0)
	m := machine(t, p, nil)
	var in [3][operandStride]uint32
	for from := 0; from < len(edges)*len(edges); from += operandStride {
		for i := range operandStride {
			n := from + i
			in[0][i], in[1][i], in[2][i] = edges[n/len(edges)%len(edges)], edges[n%len(edges)], edges[(n*7+n/len(edges))%len(edges)]
		}
		for a := range in {
			for i, u := range in[a] {
				le.PutUint32(m.Memory[Work][4*(a*operandStride+i):], u)
			}
		}
		step(t, m, p, oneSequence(1))
		for i := range operandStride {
			got, want := le.Uint32(m.Memory[Work][4*(3*operandStride+i):]), c.want(in[0][i], in[1][i], in[2][i])
			if got != want && !(c.skipBit && f32test.Same(f32(got), f32(want))) {
				t.Fatalf("%s of %v, width %d: %#x %#x %#x gives %#x, want %#x", c.text, c.from, width, in[0][i], in[1][i], in[2][i], got, want)
			}
		}
	}
}
