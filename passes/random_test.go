package passes

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/ir"
)

// graphMaker makes random graphs of the ops that models have, wired as no model is: values with many readers and none, chains of views,
// scans whose parts leak.
type graphMaker struct {
	*ir.Builder
	rng  *rand.Rand
	pool []*ir.Value // of shape [T, width]
	n    int
}

const width = 12

func (g *graphMaker) name(role string) string {
	g.n++
	return fmt.Sprintf("%s%d", role, g.n)
}

func (g *graphMaker) pick() *ir.Value { return g.pool[g.rng.IntN(len(g.pool))] }

// recent picks one of the last few values, so that chains form.
func (g *graphMaker) recent() *ir.Value {
	return g.pool[len(g.pool)-1-g.rng.IntN(min(3, len(g.pool)))]
}

func (g *graphMaker) weight(shape ...int) *ir.Value {
	name := g.name("w")
	return g.Weight(name, &ir.Weight{Name: name, DType: []ir.DType{ir.F32, ir.BF16}[g.rng.IntN(2)], Shape: shape})
}

var randomUnary = []ir.OpCode{ir.OpNeg, ir.OpSiLU, ir.OpSigmoid, ir.OpTanh, ir.OpSoftplus, ir.OpGELU}
var randomBinary = []ir.OpCode{ir.OpAdd, ir.OpMul, ir.OpSub, ir.OpMax, ir.OpMin}

// step adds one op, or a few.
func (g *graphMaker) step() *ir.Value {
	x := g.recent()
	switch g.rng.IntN(12) {
	case 0, 1:
		return g.Unary(randomUnary[g.rng.IntN(len(randomUnary))], g.name("u"), x)
	case 2, 3:
		return g.Binary(randomBinary[g.rng.IntN(len(randomBinary))], g.name("b"), x, g.pick())
	case 4:
		return g.Binary(randomBinary[g.rng.IntN(len(randomBinary))], g.name("bw"), g.weight(width), x)
	case 5:
		return g.Binary(ir.OpMul, g.name("k"), x, g.Const(g.name("one"), float64(g.rng.IntN(2))))
	case 6:
		half := g.Reshape(g.name("v"), x, ir.Rows, 3, 4)
		return g.Reshape(g.name("v"), g.Unary(ir.OpTanh, g.name("u"), half), ir.Rows, width)
	case 7:
		return g.RMSNorm(g.name("n"), x, g.weight(width), 1e-5, 1+g.rng.IntN(3))
	case 8, 9:
		w := g.Slice(g.name("rows"), g.weight(2*width, width), 0, width, 2*width)
		return g.Linear(g.name("l"), x, w, nil)
	case 10:
		win := g.State(g.name("win"), ir.F32, width, 3)
		y, next := g.Conv(g.name("c"), g.name("win"), x, g.weight(width, 4), nil, win)
		g.Next(win, next)
		return y
	}
	return g.scan(x)
}

// scan adds a selective scan of heads [2, 3] of 2 channels, or of 12 channels.
func (g *graphMaker) scan(u *ir.Value) *ir.Value {
	const n = 5
	r := g.Slice(g.name("r"), g.pick(), 1, 0, 4)
	bc := g.Reshape(g.name("B"), g.Linear(g.name("bl"), u, g.weight(n, width), nil), ir.Rows, 1, n)
	h0 := g.State(g.name("h"), ir.F32, width, n)
	dt := g.Unary(ir.OpSoftplus, g.name("dt"), g.Linear(g.name("dtl"), r, g.weight(width, 4), g.weight(width)))
	a := g.Unary(ir.OpNeg, g.name("A"), g.Unary(ir.OpExp, g.name("e"), g.weight(width, n)))
	dt3 := g.Reshape(g.name("dt3"), dt, ir.Rows, width, 1)
	decay := g.Unary(ir.OpExp, g.name("a"), g.Binary(ir.OpMul, g.name("dtA"), dt3, a))
	dtu := g.Binary(ir.OpMul, g.name("dtu"), dt, u)
	in := g.Binary(ir.OpMul, g.name("b"), g.Reshape(g.name("dtu3"), dtu, ir.Rows, width, 1), bc)
	y, next := g.Scan(g.name("s"), g.name("h"), decay, in, bc, h0)
	g.Next(h0, next)
	if g.rng.IntN(3) == 0 {
		g.pool = append(g.pool, dt) // another may read it
	}
	if g.rng.IntN(2) == 0 {
		y = g.Binary(ir.OpAdd, g.name("y"), y, g.Binary(ir.OpMul, g.name("Du"), u, g.weight(width)))
	}
	return y
}

// Whatever the graph is, the passes keep its numbers (the runner checks that, and with shuffled ops) and put every op into a group.
func TestRandomGraphs(t *testing.T) {
	fused := 0
	for seed := range uint64(150) {
		g := &graphMaker{Builder: ir.NewBuilder("random", "step"), rng: rand.New(rand.NewPCG(seed, 1))}
		g.pool = []*ir.Value{g.Input("x", ir.TypeOf(ir.F32, ir.Rows, width))}
		for range 3 + g.rng.IntN(25) {
			g.pool = append(g.pool, g.step())
		}
		g.Return(g.recent(), g.pick())
		m, err := g.Finish()
		if err != nil {
			t.Fatal(err)
		}
		before := ir.Print(m)
		r, err := Run(m, Options{Seed: seed})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, before)
		}
		fused += r.find("fuse-scan").FiredCount()
		if err := CheckGroups(m); err != nil {
			t.Errorf("seed %d: %v\n%s", seed, err, before)
		}
		checkMatches(t, m.Func)
	}
	if fused < 20 {
		t.Errorf("only %d scans were fused: the graphs do not test much", fused)
	}
}

// checkMatches wants every scan group that is more than its scan to be one that MatchScan takes apart.
func checkMatches(t *testing.T, f *ir.Func) {
	t.Helper()
	for _, g := range Groups(f) {
		if g.Kind == ir.GroupScan && len(GroupOps(f, g)) > 1 {
			if _, err := MatchScan(f, g); err != nil {
				t.Error(err)
			}
		}
	}
}
