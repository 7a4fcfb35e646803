package passes

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader/family/familytest"
)

// build makes the graph of one of the golden checkpoints.
func build(t *testing.T, name string) *ir.Module {
	t.Helper()
	return familytest.Build(t, filepath.Join("..", "golden", "testdata", name))
}

// TestModels runs the pipeline on whole models. The runner's check evaluates between passes; here the ends are compared, in both
// precisions, and the groups are counted.
//
//	model name=mamba-tiny [quiet]
//
// gives the groups of the embedding, of layer 0 and of the head; quiet, only how many there are.
func TestModels(t *testing.T) {
	datadriven.RunTest(t, "testdata/models", func(t *testing.T, d *datadriven.TestData) string {
		var name string
		d.ScanArgs(t, "name", &name)
		m := build(t, name)
		want := evalModel[float64](t, m)
		want32 := evalModel[float32](t, m)
		if _, err := Run(m, Options{Seed: 3}); err != nil {
			return err.Error() + "\n"
		}
		if err := CheckGroups(m); err != nil {
			t.Error(err)
		}
		got, got32 := evalModel[float64](t, m), evalModel[float32](t, m)
		for i := range want.Returns {
			if err := differ(got.Returns[i], want.Returns[i], 1e-5); err != nil {
				t.Errorf("float64, result %d: %v", i, err)
			}
		}
		for i, x := range got32.Returns[0].Data {
			if y := want32.Returns[0].Data[i]; x-y > 1e-3 || y-x > 1e-3 {
				t.Fatalf("float32, logit %d: %v, was %v", i, x, y)
			}
		}
		checkHelpers(t, m.Func)
		text := groupsText(m.Func, "layers.0")
		if d.HasArg("quiet") {
			text = text[strings.LastIndexByte(text[:len(text)-1], '\n')+1:]
		}
		return text
	})
}

// evalModel runs one step of three sequences.
func evalModel[F ir.Float](t *testing.T, m *ir.Module) *ir.Outputs[F] {
	t.Helper()
	out, err := ir.Eval(m, ir.RandomInputs[F](m, 11, 2, 7, 1))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// groupsText prints the groups outside of layers and those of one layer.
func groupsText(f *ir.Func, layer string) string {
	var b strings.Builder
	kinds := map[ir.GroupKind]int{}
	for _, g := range Groups(f) {
		kinds[g.Kind]++
		ops := GroupOps(f, g)
		if l, _ := splitLayer(ops[len(ops)-1].Result().Name); l != "" && l != layer {
			continue
		}
		fmt.Fprintf(&b, "%s g%d: %s\n", g.Kind, g.ID, g.Note)
		for _, op := range ops {
			fmt.Fprintf(&b, "  %s\n", op)
		}
		if p, err := MatchScan(f, g); err == nil {
			b.WriteString(partsText(&p))
		}
	}
	fmt.Fprintf(&b, "%d map, %d contract, %d scan\n", kinds[ir.GroupMap], kinds[ir.GroupContract], kinds[ir.GroupScan])
	return b.String()
}

// partsText prints a scan taken apart.
func partsText(p *ScanParts) string {
	s := fmt.Sprintf("  = E=%d N=%d H=%d P=%d G=%d K=%d softplus=%v bounds=[%g, %g]", p.E, p.N, p.H, p.P, p.G, p.K(), p.Softplus, p.Lo, p.Hi)
	for _, v := range []struct {
		name  string
		value *ir.Value
	}{{"DT", p.DT}, {"DTProj", p.DTProj}, {"DTBias", p.DTBias}, {"A", p.A}, {"U", p.U}, {"B", p.B}, {"C", p.C}, {"D", p.D}, {"Gate", p.Gate}, {"H0", p.H0}, {"H1", p.H1}, {"Y", p.Y}} {
		if v.value != nil {
			s += fmt.Sprintf(" %s=%%%s", v.name, v.value.Name)
		}
	}
	return s + fmt.Sprintf(" AState=%v DHead=%v\n", p.AState, p.DHead)
}

// checkHelpers checks what the kernel scheduler asks of groups.
func checkHelpers(t *testing.T, f *ir.Func) {
	t.Helper()
	made := map[*ir.Value]bool{}
	for _, list := range [][]*ir.Value{f.Inputs, f.Weights, f.States} {
		for _, v := range list {
			made[v] = true
		}
	}
	for _, g := range Groups(f) {
		for _, v := range Inputs(f, g) {
			if !made[v] {
				t.Errorf("group g%d reads %%%s before it is made", g.ID, v.Name)
			}
		}
		for _, v := range Outputs(f, g) {
			made[v] = true
		}
		if _, err := MatchScan(f, g); (err == nil) != (g.Kind == ir.GroupScan) {
			t.Errorf("group g%d: MatchScan: %v", g.ID, err)
		}
		if a := Anchor(f, g); a == nil || a.Group != g {
			t.Errorf("group g%d (%s) has no anchor", g.ID, g.Note)
		}
	}
}
