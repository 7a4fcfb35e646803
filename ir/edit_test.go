package ir

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// find returns the value of that name.
func find(t testing.TB, f *Func, name string) *Value {
	t.Helper()
	for v := range f.Values() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no value %%%s", name)
	return nil
}

func TestUses(t *testing.T) {
	f := mustParse(t, sample).Func
	for name, want := range map[string]string{
		"half":     "[%y = scan %y = scan]",
		"w.embed":  "[%e = gather %logits = linear]",
		"logits":   "[return]",
		"win.next": "[next]",
		"outs":     "[%last = gather]",
	} {
		if got := fmt.Sprint(f.Uses(find(t, f, name))); got != want {
			t.Errorf("uses of %%%s: %s, want %s", name, got, want)
		}
	}
	scan := find(t, f, "y").Def
	if got := scan.Arg("h0"); got != find(t, f, "h") {
		t.Errorf("h0 of the scan is %v", got)
	}
	if conv := find(t, f, "x").Def; conv.Arg("b") != nil || conv.Arg("nothing") != nil {
		t.Error("the conv has no bias")
	}
}

// TestEdit puts x + x in the place of silu(x), and looks at what becomes dead.
func TestEdit(t *testing.T) {
	m := mustParse(t, sample)
	f := m.Func
	x, u := find(t, f, "x"), find(t, f, "u")
	op, err := NewOp(OpAdd, []string{f.Names().Unique("u")}, Attrs{}, x, x)
	if err != nil {
		t.Fatal(err)
	}
	op.Group = u.Def.Group
	f.InsertBefore(u.Def, op)
	f.ReplaceUses(u, op.Result())
	if ops, weights := f.RemoveDead(); ops != 1 || weights != 0 {
		t.Errorf("removed %d ops and %d weights", ops, weights)
	}
	if err := Verify(m); err != nil {
		t.Error(err)
	}
	f.ReplaceUses(find(t, f, "scale[0:2]"), find(t, f, "half"))
	if ops, weights := f.RemoveDead(); ops != 1 || weights != 1 {
		t.Errorf("removed %d ops and %d weights", ops, weights)
	}
	f.Remove(find(t, f, "n").Def)
	if err := Verify(m); err == nil {
		t.Error("Verify does not see that %n is gone")
	}
}

func TestNewOpRefuses(t *testing.T) {
	f := mustParse(t, sample).Func
	if _, err := NewOp(OpMul, []string{"z"}, Attrs{}, find(t, f, "e"), find(t, f, "scale")); err == nil {
		t.Error("a product with integers")
	}
	if _, err := NewOp(OpNeg, []string{"z"}, Attrs{Axis: 1}, find(t, f, "e")); err == nil {
		t.Error("an axis on a neg")
	}
	if _, err := NewOp(numOps, nil, Attrs{}); err == nil {
		t.Error("an unknown op")
	}
}

// TestCloneIsSeparate changes a clone and looks at the original.
func TestCloneIsSeparate(t *testing.T) {
	m := mustParse(t, sample)
	c := m.Clone()
	for v := range c.Func.Values() {
		v.Name += "x"
		v.Type.DType = F64
	}
	for _, op := range c.Func.Ops {
		if op.Group != nil {
			op.Group.Note = "changed"
		}
		if len(op.Attrs.Shape) > 0 {
			op.Attrs.Shape[0] = 7
		}
	}
	c.Meta.EOS[0] = 9
	if got := Print(m); got != sample {
		t.Errorf("the original is now:\n%s", got)
	}
}

// TestShuffle reorders ops by many seeds: each order must verify, keep groups together and compute the same bits; Sort must mend any order.
func TestShuffle(t *testing.T) {
	m := mustParse(t, sample)
	in := RandomInputs[float32](m, 7, 3, 0, 1)
	want, err := Eval(m, in)
	if err != nil {
		t.Fatal(err)
	}
	orders := map[string]bool{}
	for seed := range uint64(20) {
		c := m.Clone()
		c.Func.Shuffle(seed)
		got, err := Eval(c, in)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := cmp.Diff(want.Returns, got.Returns) + cmp.Diff(want.NextStates, got.NextStates); d != "" {
			t.Errorf("seed %d: %s", seed, d)
		}
		orders[Print(c)] = true

		slices.Reverse(c.Func.Ops)
		if Verify(c) == nil {
			t.Errorf("seed %d: a reversed function verifies", seed)
		}
		if !c.Func.Sort() {
			t.Errorf("seed %d: Sort finds a circle", seed)
		}
		if err := Verify(c); err != nil {
			t.Errorf("seed %d: sorted: %v", seed, err)
		}
	}
	if len(orders) < 5 {
		t.Errorf("20 seeds gave %d orders", len(orders))
	}
	if m.Func.Sort(); Print(m) != sample {
		t.Errorf("Sort changes an order that is right:\n%s", Print(m))
	}
	neg, silu := find(t, m.Func, "u"), find(t, m.Func, "x")
	silu.Def.Args[0] = neg
	if m.Func.Sort() {
		t.Error("Sort accepts a circle")
	}
}

// TestVerifyLinks breaks what text cannot express.
func TestVerifyLinks(t *testing.T) {
	for name, breakIt := range map[string]func(m *Module){
		"nil op":            func(m *Module) { m.Func.Ops[2] = nil },
		"nil operand":       func(m *Module) { m.Func.Ops[0].Args[0] = nil },
		"foreign operand":   func(m *Module) { m.Func.Ops[0].Args[0] = &Value{Name: "foreign", Type: TypeOf(F32, 5, 4)} },
		"wrong def":         func(m *Module) { m.Func.Ops[2].Results[0].Def = m.Func.Ops[0] },
		"wrong index":       func(m *Module) { m.Func.Ops[2].Results[0].Index = 1 },
		"name":              func(m *Module) { m.Func.Ops[2].Results[0].Name = "a b" },
		"role":              func(m *Module) { m.Func.Ops[2].Results[0].Role = "ssm u" },
		"name taken":        func(m *Module) { m.Func.Ops[2].Results[0].Name = "e" },
		"no results":        func(m *Module) { m.Func.Ops[2].Results = nil },
		"nil result":        func(m *Module) { m.Func.Ops[2].Results[0] = nil },
		"op code":           func(m *Module) { m.Func.Ops[2].Code = numOps },
		"no op code":        func(m *Module) { m.Func.Ops[2].Code = OpNone },
		"weight's shape":    func(m *Module) { m.Func.Weights[0].Weight = &Weight{DType: F32, Shape: []int{5, 4}} },
		"no weight":         func(m *Module) { m.Func.Weights[0].Weight = nil },
		"no state":          func(m *Module) { m.Func.States[0].State = nil },
		"next missing":      func(m *Module) { m.Func.NextStates[1] = nil },
		"fewer nexts":       func(m *Module) { m.Func.NextStates = m.Func.NextStates[:1] },
		"return nil":        func(m *Module) { m.Func.Returns[0] = nil },
		"vocab":             func(m *Module) { m.Vocab = 6 },
		"group kind":        func(m *Module) { m.Func.Ops[1].Group.Kind = NoGroup },
		"group number":      func(m *Module) { m.Func.Ops[1].Group.ID = 7 },
		"negative extent":   func(m *Module) { m.Func.Inputs[0].Type.Shape = []Dim{-4} },
		"no element type":   func(m *Module) { m.Func.Inputs[0].Type.DType = NoType },
		"attribute too far": func(m *Module) { m.Func.Ops[0].Attrs.Groups = 1 },
		"function name":     func(m *Module) { m.Func.Name = "" },
		"no function":       func(m *Module) { m.Func = nil },
	} {
		m := mustParse(t, sample)
		breakIt(m)
		if err := Verify(m); err == nil {
			t.Errorf("%s: Verify sees nothing", name)
		}
	}
	if Verify(nil) == nil {
		t.Error("nil module verifies")
	}
}
