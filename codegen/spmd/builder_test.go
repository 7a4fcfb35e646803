package spmd

import "testing"

// TestBuilderAll calls each method of the builder: what it builds must verify, print and parse, for all lanes.
func TestBuilderAll(t *testing.T) {
	for _, lanes := range allLanes {
		b := NewBuilder("all", target(lanes))
		x, y, q := b.Param("x", F32, Work), b.Param("y", I32, State), b.Param("q", I8, Weights)
		s := b.Scratch(BF16, 100)
		n := b.Add(b.Add(b.Add(b.Tile(), b.Rows()), b.Add(b.Seqs(), b.Outs())), b.Add(b.Member(), b.Members()))
		n = b.Min(b.Max(b.Rem(b.Div(n, b.I(3)), b.I(2)), b.I(0)), b.I(9))
		n = b.Extend(b.Truncate(b.Shr(b.Shl(b.And(n, b.I(7)), 2), 1)))
		word := b.Dot4U(b.Dot4(b.I32(1), b.Load(y, nil, 0), b.LoadV(y, nil, 1)), b.And(b.Shrl(b.LoadV(y, nil, 2), 4), b.I32(0x0f0f0f0f)), b.Load(y, n, 0), 15)
		word = b.Dot2(word, b.Byte16(b.Load(y, nil, 1), 1), b.Byte16(b.LoadV(y, nil, 2), 0))
		b.MMA8(b.Scratch(I32, 16*32), b.Offset(q, n), q, n, b.I(3), Strides{C: 32, A: 768, B: 128}, 2)
		v := b.Mul(b.Neg(b.LoadV(x, n, 4)), b.F(0.5))
		v = b.Max(b.Sqrt(b.Abs(b.Sub(v, b.Bits(0x7f800000)))), b.FMA(v, b.F(2), b.LoadVN(b.Offset(x, b.I(8)), nil, 0, n)))
		i := b.Or(b.Xor(b.Xor(b.Round(v), word), b.Lane()), b.Gather(q, b.And(b.Lane(), b.I32(7)), 1))
		i = b.Add(i, b.GatherRun(q, b.Shl(b.Lane(), 2), 4, 4)[3])
		v = b.Select(b.Cmp(LT, i, b.I32(4)), b.ToF32(i), b.Bitcast(i))
		v = b.Add(v, b.Select(b.Cmp(GE, b.Load(y, nil, 0), b.I32(0)), v, b.F(1)))
		v = b.Add(v, b.Select(b.Cmp(NE, i, b.I32(0)), b.F(1), b.F(2)))
		b.Prefetch(x, n, 100)
		b.PrefetchFar(x, n, 100)
		b.StoreV(s, n, 0, v)
		b.StoreVN(y, n, 0, n, i)
		b.Barrier()
		r := b.If(b.Cmp(EQ, n, b.I(1)), func() []*Value { return []*Value{v} }, func() []*Value { return []*Value{b.Splat(b.F(0))} })
		sums := r
		for len(sums) < max(1, 16/lanes) {
			sums = append(sums, v)
		}
		b.Store(x, nil, 3, b.Add(b.ReduceAdd(sums...), b.ReduceMax(sums...)))
		b.StoreV(b.Offset(x, b.I(0)), b.I(0), 8, b.F(3))
		k := finish(t, b)
		if err := k.Verify(); err != nil {
			t.Fatalf("%v\n%s", err, k)
		}
		again, err := ParseKernel(k.String())
		if err != nil || again.String() != k.String() {
			t.Fatalf("%v\n%s", err, k)
		}
	}
}

// TestFold: arithmetic on constants leaves constants, and neutral operands leave the other.
func TestFold(t *testing.T) {
	b := NewBuilder("fold", target(8))
	n := b.Rows()
	for i, c := range []struct {
		got  *Value
		want int64
	}{{b.Add(b.I(3), b.I(4)), 7}, {b.Sub(b.I(3), b.I(4)), -1}, {b.Mul(b.I(3), b.I(4)), 12}, {b.Div(b.I(9), b.I(4)), 2}, {b.Rem(b.I(9), b.I(4)), 1}, {b.Min(b.I(9), b.I(4)), 4}, {b.Max(b.I(9), b.I(4)), 9}} {
		if v, ok := c.got.Const(); !ok || v != c.want {
			t.Errorf("case %d: %s, want %d", i, c.got.Def, c.want)
		}
	}
	for i, v := range []*Value{b.Add(n, b.I(0)), b.Add(b.I(0), n), b.Mul(n, b.I(1)), b.Mul(b.I(1), n), b.Sub(n, b.I(0)), b.Div(n, b.I(1))} {
		if v != n {
			t.Errorf("case %d: %s, want the operand itself", i, v.Def)
		}
	}
	for i, v := range []*Value{b.Div(b.I(1), b.I(0)), b.Rem(b.I(-1), b.I(2)), b.Sub(b.I(0), n)} {
		if _, ok := v.Const(); ok || v == n {
			t.Errorf("case %d was folded", i)
		}
	}
	if one, ok := b.F(1).Const(); ok {
		t.Errorf("a float is the integer constant %d", one)
	}
}
