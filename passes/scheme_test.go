package passes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// tinyModels are the golden checkpoints that schemes are tried on.
var tinyModels = []string{"mamba-tiny", "mamba2-groups", "falcon-mamba-tiny"}

// leastSQNR is what the codes of random weights must reach, in dB. Random weights suffer more than trained ones do.
var leastSQNR = map[string]float64{"naive-w8a8": 7, "quamba-w8a8": 14, "quamba2-w4a16": 1.5, "quamba2-w4a8": 1.5, "smooth-w8a8": 8, "w8a16": 24, "w8a8": 16, "w8a8-token": 22}

// Every scheme takes every family: the float graph made ready for it computes the same, and its codes come near. What the scan groups are is
// what the kernels take.
func TestSchemes(t *testing.T) {
	for _, model := range tinyModels {
		m := build(t, model)
		cal, test := randomWindows(m.Vocab, 4, 20, 1), randomWindows(m.Vocab, 1, 20, 2)
		want := logits[float64](t, m, test)
		for _, name := range quant.BuiltinSchemes() {
			s := loadScheme(t, name)
			if t.Setenv("SSMC_CHECK", "0"); name == "w8a8" {
				t.Setenv("SSMC_CHECK", "1")
			}
			float := prepared(t, model, s)
			if db := sqnr(want, logits[float64](t, float, test)); db < 110 { // f32 weights of the fold of A
				t.Errorf("%s %s: the float graph is at %.1f dB", model, name, db)
			}
			scales := calibrate(t, float, s, cal)
			q := build(t, model)
			r, err := Run(q, Options{Scheme: s, Scales: scales})
			if err != nil {
				t.Errorf("%s %s: %v", model, name, err)
				continue
			}
			if err := CheckGroups(q); err != nil {
				t.Errorf("%s %s: %v", model, name, err)
			}
			checkMatches(t, q.Func)
			for _, e := range r.find("fuse-scan").Events {
				if !e.Fired && !strings.Contains(e.What, "projection of dt") && !strings.Contains(e.What, "no gate") {
					t.Errorf("%s %s: %s", model, name, e)
				}
			}
			db := sqnr(want, logits[float32](t, q, test))
			t.Logf("%-18s %-13s %5.1f dB", model, name, db)
			if least, known := leastSQNR[name]; !known || db < least {
				t.Errorf("%s %s: the logits are at %.1f dB, want %v at least", model, name, db, least)
			}
		}
	}
}

// Channels in another order give the same logits: everything that belongs to a channel went along. The scan then reads codes with a scale for
// each group of heads and channels.
func TestSortedChannels(t *testing.T) {
	const model = "mamba2-groups"
	s := schemeOf(t, "extends: w8a8\nvalues:\n  ssm.u: {type: i8, scale: {heads: 2, channels: 2}, scan: i8}\n"+
		"  ssm.B: {type: i8, scale: ssd_group}\n  ssm.C: {type: i8, scale: ssd_group}")
	m := build(t, model)
	cal, test := randomWindows(m.Vocab, 6, 24, 1), randomWindows(m.Vocab, 1, 24, 2)
	want := logits[float64](t, m, test)
	scales := calibrate(t, prepared(t, model, s), s, cal)
	if len(scales.Orders) != 3 {
		t.Fatalf("%d layers are in a new order, want 3", len(scales.Orders))
	}
	moved := false
	for layer, o := range scales.Orders {
		moved = moved || !slices.IsSorted(o.Heads)
		if slices.IsSorted(o.Channels) {
			t.Errorf("layer %d: channels are in the order of before: the test shows nothing", layer)
		}
	}
	if !moved {
		t.Error("heads are in the order of before everywhere: the test shows nothing")
	}
	sorted := build(t, model)
	if _, err := Run(sorted, Options{Scheme: s, Scales: scales, StopAfter: "sort-channels"}); err != nil {
		t.Fatal(err)
	}
	if db := sqnr(want, logits[float64](t, sorted, test)); db < 110 {
		t.Errorf("channels in another order change the logits: %.1f dB", db)
	}
	q := build(t, model)
	if _, err := Run(q, Options{Scheme: s, Scales: scales}); err != nil {
		t.Fatal(err)
	}
	groups := map[int]bool{} // how many different scales u has
	for _, g := range Groups(q.Func) {
		if g.Kind != ir.GroupScan {
			continue
		}
		p, err := MatchScan(q.Func, g)
		if err != nil {
			t.Fatal(err)
		}
		for role, v := range map[string]*ir.Value{"u": p.UScale, "B": p.BScale, "C": p.CScale} {
			if v == nil || v.Weight == nil {
				t.Errorf("layer %d: %s has no scales by channel", layerOf(p.Scan.Result()), role)
			}
		}
		x, err := ir.LoadWeight[float64](p.UScale.Weight)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(x.Data)
		groups[len(slices.Compact(x.Data))] = true
	}
	if !groups[8] {
		t.Errorf("no layer has 2 x 2 scales in each of two groups: %v", groups)
	}
	db := sqnr(want, logits[float32](t, q, test))
	t.Logf("%.1f dB", db)
	if db < 20 {
		t.Errorf("codes with scales by groups are at %.1f dB", db)
	}
}

// What the families mark is what schemes speak of.
func TestRolesAreKnown(t *testing.T) {
	for _, model := range []string{"mamba-tiny", "mamba2-groups", "mamba2-original", "falcon-mamba-tiny"} {
		m := build(t, model)
		marked := map[quant.Role]int{}
		for v := range m.Func.Values() {
			role := roleOf(v)
			marked[role]++
			switch {
			case role == "":
			case v.Weight != nil && !quant.IsWeightRole(role), v.Weight == nil && !quant.IsValueRole(role):
				t.Errorf("%s: %%%s is marked %q, of which no scheme knows", model, v.Name, v.Role)
			}
		}
		for _, role := range []quant.Role{quant.Stream, quant.NormOut, quant.SSMX, quant.SSMZ, quant.SSMU, quant.SSMB, quant.SSMC, quant.SSMDt, quant.SSMY,
			quant.SSMState, quant.ConvWindow, quant.HeadIn, quant.Embed, quant.InProj, quant.Conv, quant.OutProj, quant.Params} {
			if marked[role] == 0 {
				t.Errorf("%s: nothing is marked %s", model, role)
			}
		}
	}
}

// Rotations of every kind of width leave the mathematics alone: the runner's check compares in float64, to 1e-9.
func TestRotatedWidths(t *testing.T) {
	const graph = `module "test" {
  weight %%w.embed: f32[5, %[1]d] @embed
  weight %%g: f32[%[1]d]
  weight %%in: f32[%[1]d, %[1]d] @ssm.in_proj
  weight %%out: f32[%[1]d, %[1]d] @ssm.out_proj
  func step(%%ids: i32[T]) -> (f32[T, 5]) {
    %%embed = gather %%w.embed %%ids : f32[T, %[1]d] @stream
    %%layers.0.n = rmsnorm %%embed %%g eps=1e-05 : f32[T, %[1]d] @norm.out
    %%layers.0.z = linear %%layers.0.n %%in : f32[T, %[1]d] @ssm.z
    %%layers.0.y = silu %%layers.0.z : f32[T, %[1]d] @ssm.y
    %%layers.0.out = linear %%layers.0.y %%out : f32[T, %[1]d]
    %%layers.0.h = add %%embed %%layers.0.out : f32[T, %[1]d] @stream
    %%final_norm = rmsnorm %%layers.0.h %%g eps=1e-05 : f32[T, %[1]d] @head.in
    %%logits = linear %%final_norm %%w.embed : f32[T, 5]
    return %%logits
  }
}
`
	for _, d := range []int{1, 2, 8, 12, 20, 24, 28, 36, 40, 44, 60, 72, 80, 88, 136, 160} {
		for _, head := range []string{"tied", "untied"} {
			for _, rotate := range []string{"hadamard", "{kind: hadamard, signs: 9}"} {
				s := schemeOf(t, fmt.Sprintf("extends: w8a8\nhead: %s\nrotate: {stream: %s, ssm.y: %s}", head, rotate, rotate))
				r, err := Run(parse(t, fmt.Sprintf(graph, d)), Options{Scheme: s, Check: true, Seed: 5})
				if err != nil {
					t.Fatalf("width %d, %s, %s: %v", d, head, rotate, err)
				}
				for _, pass := range []string{"rotate-stream", "rotate-hadamard"} {
					if r.find(pass).FiredCount() == 0 {
						t.Errorf("width %d, %s, %s: %s did not fire", d, head, rotate, pass)
					}
				}
			}
		}
	}
}
