package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// TestSameBits runs the kernels in the interpreter and the graph in the float32 evaluator: logits and states must be equal to the bit. Mamba-2
// is in it with sequences too short for a chunk, because a chunked scan rounds elsewhere.
func TestSameBits(t *testing.T) {
	for _, z := range append(small(), []sample{
		{"wide panels", mamba, sizes{vocab: 530, d: 24, e: 520, n: 3, r: 2, taps: 4}, []int{3, 60}},
		{"mamba2", mamba2, sizes{vocab: 50, d: 16, n: 16, taps: 4, heads: 4, p: 16, groups: 1}, []int{1, ChunkRows - 1, 3}},
		{"mamba2 groups", mamba2, sizes{vocab: 31, d: 24, n: 5, taps: 3, heads: 6, p: 7, groups: 2}, []int{5, 13}},
		{"mamba2 odd", mamba2, sizes{vocab: 17, d: 11, n: 33, taps: 2, heads: 3, p: 19, groups: 3}, []int{ChunkRows - 1}},
		{"mamba2 half a vector", mamba2, sizes{vocab: 31, d: 24, n: 5, taps: 3, heads: 4, p: 24, groups: 2}, []int{5, 13}},
		{"codes", mamba8, sizes{vocab: 9, d: 16, e: 64, n: 16, r: 4, taps: 4, hb: 1, hm: 1, hk: 6}, []int{1, 4}},
		{"codes, odd", mamba8, sizes{vocab: 11, d: 21, e: 24, n: 5, r: 3, taps: 3, hb: 1, hm: 12, hk: 1}, []int{7, 2, 1}},
		{"codes, tied", tied8, sizes{vocab: 45, d: 21, e: 24, n: 5, r: 3, taps: 3, hb: 1, hm: 12, hk: 1}, []int{3, 1}},
		{"codes, tied, wide", tied8, sizes{vocab: 517, d: 48, e: 64, n: 2, r: 4, taps: 2, hb: 1, hm: 1, hk: 6}, []int{2, 5}},
		{"codes, many rows", mamba8, sizes{vocab: 9, d: 48, e: 200, n: 16, r: 4, taps: 4, hb: 25, hm: 1, hk: 3}, []int{1, 63, 9, 67}},
		{"codes, many rows, short sequences", mamba8, sizes{vocab: 9, d: 80, e: 64, n: 3, r: 4, taps: 4, hb: 1, hm: 1, hk: 6}, []int{1, 2, 3, 60, 2, 1}},
		{"codes, many rows, tied", tied8, sizes{vocab: 517, d: 48, e: 64, n: 2, r: 4, taps: 2, hb: 1, hm: 1, hk: 6}, []int{20, 55}},
		{"four bits, many rows", embed4, sizes{vocab: 70, d: 96, groups: 3, p: 32}, []int{68}},
		{"four bits, tied", embed4, sizes{vocab: 37, d: 64, groups: 2, p: 32}, []int{3, 1}},
		{"four bits, wide", embed4, sizes{vocab: 530, d: 384, groups: 3, p: 128}, []int{5}},
		{"four bits, groups of 128", product4, sizes{vocab: 9, d: 128, e: 37, groups: 1, p: 128}, []int{1, 8, 70}},
		{"four bits, groups of 128, odd", product4, sizes{vocab: 11, d: 301, e: 101, groups: 3, p: 128}, []int{64, 67}},
		{"four bits, groups of 128, less than one", product4, sizes{vocab: 11, d: 19, e: 70, groups: 1, p: 128}, []int{9, 64}},
		{"four bits, groups of 64", product4, sizes{vocab: 9, d: 192, e: 33, groups: 3, p: 64}, []int{130}},
		{"four bits, groups of 64, odd", product4, sizes{vocab: 11, d: 77, e: 520, groups: 2, p: 64}, []int{3, 60}},
		{"four bits, one group, short runs", product4, sizes{vocab: 11, d: 48, e: 40, groups: 1, p: 48}, []int{3, 66}},
		{"four bits, one group", product4, sizes{vocab: 11, d: 96, e: 40, groups: 1, p: 96}, []int{3, 66}},
		{"four bits, groups of 192", product4, sizes{vocab: 11, d: 200, e: 40, groups: 2, p: 192}, []int{3, 66}},
		{"codes, blocks", mamba8, sizes{vocab: 11, d: 35, e: 200, n: 3, r: 5, taps: 2, hb: 25, hm: 1, hk: 3}, []int{3, 13}},
		{"row scales", rows8, sizes{vocab: 40, e: 64, groups: 2, hb: 1, hm: 1, hk: 6}, []int{3, 1, 9}},
		{"row scales, odd", rows8, sizes{vocab: 21, e: 24, groups: 3, hb: 3, hm: 1, hk: 3}, []int{9, 2}},
		{"row scales, groups", rows8, sizes{vocab: 21, e: 96, groups: 2, hb: 1, hm: 12, hk: 3}, []int{4}},
		{"codes, twenty", mamba8, sizes{vocab: 5, d: 17, e: 160, n: 2, r: 9, taps: 4, hb: 1, hm: 20, hk: 3}, []int{2}},
		{"codes, forty", mamba8, sizes{vocab: 5, d: 33, e: 640, n: 2, r: 40, taps: 4, hb: 1, hm: 40, hk: 4}, []int{2, 9}},
	}...) {
		t.Run(z.name, func(t *testing.T) {
			sameBits(t, module(t, z.replace(z.text)), targets, z.rows)
			sameBits(t, module(t, z.replace(z.text)), wide, z.rows)
			if counted := countAll(z.text); counted != z.text {
				sameBits(t, module(t, z.replace(counted)), targets, z.rows)
				sameBits(t, module(t, z.replace(counted)), wide, z.rows)
			}
			sameBits(t, module(t, z.replace(z.text)), gpu, z.rows)
			if strings.Contains(z.name, "many rows") { // which alone are done otherwise
				sameBits(t, module(t, z.replace(z.text)), quads, z.rows)
			}
		})
	}
}

// countAll makes every quantize of a model count, with scales so small that much is clamped.
func countAll(text string) string {
	return regexp.MustCompile(`(quantize [^:]*inv=)([0-9])`).ReplaceAllString(regexp.MustCompile(`(quantize [^:]*) :`).ReplaceAllString(text, "$1 count=true :"), "${1}3$2")
}

// codedState makes the scan's state of a model codes between steps, with one scale, one for each channel, or one for each channel and state index.
func codedState(text, kind string) string {
	shape := regexp.MustCompile(`state %s.ssm: f32\[S, (.*), <N>\]`).FindStringSubmatch(text)[1]
	last, weights, scale, inv := "1", "", "%hs", "%hinv"
	switch kind {
	case "tensor":
		scale, inv = "%hc", "inv=40.5"
	case "element":
		last = "<N>"
	}
	if kind != "tensor" {
		weights = fmt.Sprintf("  weight %%hs: f32[%s, %s]\n  weight %%hinv: f32[%[1]s, %s]\n", shape, last, last)
	}
	type2 := shape + ", <N>]"
	text = strings.Replace(text, "  state %s.ssm: f32[S", weights+"  state %s.ssm: i8[S", 1)
	line := regexp.MustCompile(`(?m)^(      %y, %ssm = scan .*) %s.ssm( : .*)$`)
	text = line.ReplaceAllString(text, "      %hc = const value=0.0125 : f32[]\n      %hf = cast %s.ssm to=f32 : f32[S, "+type2+"\n      %h0s = mul %hf "+scale+" : f32[S, "+type2+
		"\n$1 %h0s$2\n      %ssm.q = quantize %ssm "+inv+" : i8[S, "+type2)
	if kind != "tensor" {
		text = strings.Replace(text, "      %hc = const value=0.0125 : f32[]\n", "", 1)
	}
	return strings.Replace(text, "next %s.ssm = %ssm", "next %s.ssm = %ssm.q", 1)
}

// TestCodedStates wants the evaluator's bits of states that are codes between steps.
func TestCodedStates(t *testing.T) {
	for _, z := range []struct {
		name, text string
		sizes
		rows []int
	}{
		{"mamba", mamba, sizes{vocab: 37, d: 19, e: 37, n: 5, r: 3, taps: 3, bias: true}, []int{7, 1, 4, 70, 64, 1}},
		{"mamba, many states", mamba, sizes{vocab: 17, d: 13, e: 29, n: 17, r: 7, taps: 2}, []int{13, 5}},
		{"mamba, codes", mamba8, sizes{vocab: 9, d: 16, e: 64, n: 16, r: 4, taps: 4, hb: 1, hm: 1, hk: 6}, []int{1, 4}},
		{"mamba2", mamba2, sizes{vocab: 31, d: 24, n: 5, taps: 3, heads: 6, p: 7, groups: 2}, []int{5, 13}},
		{"mamba2 half a vector", mamba2, sizes{vocab: 31, d: 24, n: 5, taps: 3, heads: 4, p: 24, groups: 2}, []int{5, 1}},
		{"mamba2 odd", mamba2, sizes{vocab: 17, d: 11, n: 33, taps: 2, heads: 3, p: 19, groups: 3}, []int{ChunkRows - 1}},
	} {
		for _, kind := range []string{"tensor", "channel", "element"} {
			t.Run(z.name+", "+kind, func(t *testing.T) {
				text := codedState(z.text, kind)
				sameBits(t, module(t, z.replace(text)), targets, z.rows)
				sameBits(t, module(t, z.replace(countAll(text))), wide, z.rows)
				sameBits(t, module(t, z.replace(countAll(text))), targets, z.rows)
			})
		}
	}
}

// clampedValues is how many values each quantize of a step clamped, as the plan's counters in work memory say.
func clampedValues(plan *Plan, work []byte, rows, seqs, outs int) map[string]int {
	counts := map[string]int{}
	for _, c := range plan.Counters {
		sum := 0
		for i := range c.Lanes * c.Grid.Panels * c.Grid.Blocks(int64(rows), int64(seqs), int64(outs)) {
			sum += int(int32(binary.LittleEndian.Uint32(work[c.Offset+4*i:])))
		}
		counts[c.Name] += sum // a step is one of two launches' that make it
	}
	return counts
}

// contractProducts writes the fma that the kernels make of an add and a product in one group.
func contractProducts(m *ir.Module) *ir.Module {
	m = m.Clone()
	for _, op := range m.Func.Ops {
		if op.Code != ir.OpAdd {
			continue
		}
		for i, a := range op.Args {
			if a.Def != nil && a.Def.Code == ir.OpMul && a.Def.Group == op.Group {
				op.Code, op.Args = ir.OpFMA, []*ir.Value{a.Def.Args[0], a.Def.Args[1], op.Args[1-i]}
				break
			}
		}
	}
	return m
}

func sameBits(t *testing.T, m *ir.Module, targets []spmd.Target, rows []int) {
	plan, err := Build(m, targets, Options{MaxRows: 192})
	if err != nil {
		t.Fatal(err)
	}
	in := ir.RandomInputs[float32](m, 1, rows...)
	total := in.SeqStart[len(rows)]
	in.Outs = []int32{int32(total - 1), 0, int32(total / 2)}[:min(3, total)]
	if total >= fewRows { // logits of many rows too
		in.Outs = nil
		for i := range total {
			in.Outs = append(in.Outs, int32(total-1-i))
		}
	}
	evaluator, err := ir.NewEvaluator[float32](contractProducts(m))
	if err != nil {
		t.Fatal(err)
	}
	clamped, all := map[string]int{}, 0
	evaluator.Clamped = func(name string, seen, n int) {
		clamped[name] = n
		all += n
	}
	want, err := evaluator.Step(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Counters) > 0 && all == 0 {
		t.Fatal("nothing is clamped: the counts say nothing")
	}
	step := spmd.StepInput{IDs: in.IDs, OutRow: in.Outs}
	var states [][]float64
	for i, at := range in.SeqStart {
		step.SeqStart = append(step.SeqStart, int32(at))
		if i > 0 {
			step.SeqSlot = append(step.SeqSlot, int32(i-1))
		}
	}
	for _, s := range in.States {
		var wide []float64
		for _, v := range s {
			wide = append(wide, float64(v))
		}
		states = append(states, wide)
	}
	weights := packed(t, plan)
	for _, p := range plan.Programs {
		machine, err := spmd.NewMachine(p, weights, len(rows))
		if err != nil {
			t.Fatal(err)
		}
		machine.PoisonWork, machine.Races, machine.Seed = true, true, 3
		machine.Memory[spmd.State] = slotData(plan, m.Func, states, len(rows), p.SlotBytes)
		if err := machine.Step(p, step); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(clamped, clampedValues(plan, machine.Memory[spmd.Work], total, len(rows), len(in.Outs))); d != "" {
			t.Errorf("%s: clamped values (-evaluated +counted):\n%s", p.Target.Name, d)
		}
		for o := range in.Outs {
			for c, x := range machine.Logits(p, o) {
				if want := want.Returns[0].Data[o*int(p.Vocab)+c]; math.Float32bits(x) != math.Float32bits(want) {
					t.Fatalf("%s: logits[%d, %d] = %x, evaluated %x", p.Target.Name, o, c, x, want)
				}
			}
		}
		forStates(plan, m.Func, len(rows), p.SlotBytes, func(state, at int, byteAt int64) {
			name, next := m.Func.States[state].Name, want.NextStates[state]
			if m.Func.States[state].State.DType == ir.I8 {
				if got := int8(machine.Memory[spmd.State][byteAt]); int64(got) != next.Ints[at] {
					t.Fatalf("%s: %s[%d] = %d, evaluated %d", p.Target.Name, name, at, got, next.Ints[at])
				}
				return
			}
			got := binary.LittleEndian.Uint32(machine.Memory[spmd.State][byteAt:])
			if want := next.Data[at]; got != math.Float32bits(want) {
				t.Fatalf("%s: %s[%d] = %x, evaluated %x", p.Target.Name, name, at, math.Float32frombits(got), want)
			}
		})
	}
}
