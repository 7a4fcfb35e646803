package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

var targets = []spmd.Target{
	{Name: "x86-64-v3", Lanes: 8, Registers: 16, L1: 32 << 10, L2: 512 << 10, Members: 1},
	{Name: "x86-64-v4", Lanes: 16, Registers: 32, L1: 32 << 10, L2: 1 << 20, Members: 1},
	{Name: "x86-64-v3+avxvnni", Lanes: 8, Registers: 16, L1: 32 << 10, L2: 512 << 10, Members: 1, Dot: spmd.DotUnsigned},
	{Name: "x86-64-v4+vnni", Lanes: 16, Registers: 32, L1: 32 << 10, L2: 1 << 20, Members: 1, Dot: spmd.DotUnsigned},
	{Name: "x86-64-v4+vnni+amx", Lanes: 16, Registers: 32, L1: 32 << 10, L2: 1 << 20, Members: 1, Dot: spmd.DotUnsigned, Tiles: true},
}

// wide is a target with 32 lanes, as a GPU has them: its panels are wider, so it has a plan of its own.
var wide = []spmd.Target{{Name: "32 lanes", Lanes: 32, Registers: 64, L1: 32 << 10, L2: 1 << 20, Members: 1}}

// gpu has what kernels ask of a GPU.
var gpu = []spmd.Target{{Name: "gpu", Lanes: 32, Registers: 255, L1: 16 << 10, L2: 64 << 10, Members: 8, Dot: spmd.DotUnsigned, Tiles: true, LaneBytes: 16}}

// quads has what they ask of one with quads.
var quads = []spmd.Target{{Name: "gpu with quads", Lanes: 32, Registers: 255, L1: 16 << 10, L2: 64 << 10, Members: 8, Dot: spmd.DotUnsigned, Tiles: true, Quads: true, Scratch: 227 << 10, LaneBytes: 16}}

// module parses the text of a model and gives its weights data from their names.
func module(t *testing.T, text string) *ir.Module {
	t.Helper()
	m, err := ir.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Func.Weights {
		w := v.Weight
		x, err := ir.LoadWeight[float32](w)
		if err != nil {
			t.Fatal(err)
		}
		if v.Name == "A" { // decays
			for i := range x.Data {
				x.Data[i] = -1 - x.Data[i]*x.Data[i]
			}
		}
		if v.Name == "hinv" { // of a state's codes: some are clamped
			for i := range x.Data {
				x.Data[i] *= 1000
			}
		}
		raw, err := ir.Encode(w.DType, x.Data)
		if x.Ints != nil {
			raw, err = ir.EncodeInts(w.DType, x.Ints)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Bytes = func() ([]byte, error) { return raw, nil }
	}
	return m
}

func TestBuildVerifies(t *testing.T) {
	for _, z := range []struct {
		text string
		sizes
	}{
		{mamba, sizes{vocab: 37, d: 16, e: 32, n: 16, r: 1, taps: 4}},
		{mamba, sizes{vocab: 64, d: 19, e: 37, n: 5, r: 3, taps: 3, bias: true}},
		{mamba, sizes{vocab: 600, d: 96, e: 528, n: 17, r: 6, taps: 2}},
		{mamba2, sizes{vocab: 50, d: 17, n: 16, taps: 4, heads: 6, p: 8, groups: 2}},
		{mamba2, sizes{vocab: 31, d: 24, n: 33, taps: 3, heads: 3, p: 19, groups: 1}},
	} {
		m := module(t, z.replace(z.text))
		plan, err := Build(m, targets, Options{MaxRows: 128})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plan.Programs {
			if err := p.Verify(); err != nil {
				t.Error(err)
			}
		}
	}
}

// slotData packs the states of random inputs into slots, by the plan's layout.
func slotData(p *Plan, f *ir.Func, states [][]float64, seqs int, slotBytes int64) []byte {
	out := make([]byte, int64(seqs)*slotBytes)
	forStates(p, f, seqs, slotBytes, func(state, at int, byteAt int64) {
		if x := states[state][at]; f.States[state].State.DType == ir.I8 {
			out[byteAt] = byte(int8(x))
		} else {
			binary.LittleEndian.PutUint32(out[byteAt:], math.Float32bits(float32(x)))
		}
	})
	return out
}

// forStates calls visit for every element of every sequence's states: its place in the graph's order and in the slots.
func forStates(p *Plan, f *ir.Func, seqs int, slotBytes int64, visit func(state, at int, byteAt int64)) {
	for i, v := range f.States {
		for _, l := range p.States {
			if l.Name != v.State.Name {
				continue
			}
			k := int64(l.Shape[len(l.Shape)-1])
			n := v.State.Len()
			for s := range seqs {
				for e := range n {
					c := int64(e) / k
					place := c/l.Block*k*l.Pad + int64(e)%k*l.Pad + c%l.Block
					visit(i, s*n+e, int64(s)*slotBytes+l.Offset+int64(v.State.DType.Size())*place)
				}
			}
		}
	}
}

// packed is a plan's weights file.
func packed(t *testing.T, p *Plan) []byte {
	t.Helper()
	var out []byte
	for i := range p.Pieces {
		piece := &p.Pieces[i]
		if piece.Offset != int64(len(out)) {
			t.Fatalf("piece %s begins at %d, the last one ends at %d", piece.Name, piece.Offset, len(out))
		}
		b := make([]byte, piece.Bytes)
		if err := piece.Fill(b, 0); err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

// sample is a model of some sizes, and how many rows the sequences of a step have.
type sample struct {
	name, text string
	sizes
	rows []int
}

// small has models of few channels, most of odd sizes.
func small() []sample {
	return []sample{
		{"one row", mamba, sizes{vocab: 1, d: 16, e: 32, n: 16, r: 1, taps: 4}, []int{1}},
		{"odd", mamba, sizes{vocab: 37, d: 19, e: 37, n: 5, r: 3, taps: 3, bias: true}, []int{7, 1, 4}},
		{"primes", mamba, sizes{vocab: 101, d: 13, e: 29, n: 17, r: 7, taps: 2}, []int{13, 5}},
		{"fifteen", mamba, sizes{vocab: 15, d: 15, e: 15, n: 15, r: 15, taps: 4, bias: true}, []int{15, 16, 17}},
		{"one channel", mamba, sizes{vocab: 3, d: 1, e: 1, n: 1, r: 1, taps: 2}, []int{2, 3}},
	}
}

// TestAgainstEvaluator runs every template in the interpreter, at 8 and 16 lanes, against the graph in float64.
func TestAgainstEvaluator(t *testing.T) {
	for _, z := range append(small(), []sample{
		{"wide panels", mamba, sizes{vocab: 530, d: 24, e: 520, n: 3, r: 2, taps: 4}, []int{3, 110}},
		{"many rows", mamba, sizes{vocab: 33, d: 17, e: 31, n: 4, r: 2, taps: 4}, []int{100, 1, 27}},
		{"mamba2", mamba2, sizes{vocab: 50, d: 16, n: 16, taps: 4, heads: 4, p: 16, groups: 1}, []int{1, 40, 3}},
		{"mamba2 groups", mamba2, sizes{vocab: 31, d: 24, n: 5, taps: 3, heads: 6, p: 7, groups: 2}, []int{5, 33, 64}},
		{"mamba2 half a vector", mamba2, sizes{vocab: 31, d: 24, n: 5, taps: 3, heads: 4, p: 24, groups: 2}, []int{5, 65}},
		{"mamba2 odd", mamba2, sizes{vocab: 17, d: 11, n: 33, taps: 2, heads: 3, p: 19, groups: 3}, []int{31, 32, 65}},
		{"mamba2 wide head", mamba2, sizes{vocab: 17, d: 11, n: 17, taps: 2, heads: 2, p: 64, groups: 1}, []int{37}},
	}...) {
		t.Run(z.name, func(t *testing.T) {
			againstEvaluator(t, module(t, z.replace(z.text)), targets, z.rows)
			againstEvaluator(t, module(t, z.replace(z.text)), wide, z.rows)
			againstEvaluator(t, module(t, z.replace(z.text)), gpu, z.rows)
		})
	}
}

func againstEvaluator(t *testing.T, m *ir.Module, targets []spmd.Target, rows []int) {
	plan, err := Build(m, targets, Options{MaxRows: 192})
	if err != nil {
		t.Fatal(err)
	}
	in := ir.RandomInputs[float64](m, 1, rows...)
	total := in.SeqStart[len(rows)]
	in.Outs = []int32{int32(total - 1), 0, int32(total / 2)}[:min(3, total)]
	want, err := ir.Eval(m, in)
	if err != nil {
		t.Fatal(err)
	}
	step := spmd.StepInput{IDs: in.IDs, OutRow: in.Outs}
	for i, at := range in.SeqStart {
		step.SeqStart = append(step.SeqStart, int32(at))
		if i > 0 {
			step.SeqSlot = append(step.SeqSlot, int32(i-1))
		}
	}
	weights := packed(t, plan)
	var first []byte
	for i, p := range plan.Programs {
		machine, err := spmd.NewMachine(p, weights, len(rows))
		if err != nil {
			t.Fatal(err)
		}
		machine.PoisonWork, machine.Races, machine.Seed = true, true, uint64(i)
		machine.Memory[spmd.State] = slotData(plan, m.Func, in.States, len(rows), p.SlotBytes)
		if err := machine.Step(p, step); err != nil {
			t.Fatal(err)
		}
		var all []byte
		for o := range in.Outs {
			for c, x := range machine.Logits(p, o) {
				compare(t, p, fmt.Sprintf("logits[%d, %d]", o, c), float64(x), want.Returns[0].Data[o*int(p.Vocab)+c])
				all = binary.LittleEndian.AppendUint32(all, math.Float32bits(x))
			}
		}
		forStates(plan, m.Func, len(rows), p.SlotBytes, func(state, at int, byteAt int64) {
			b := machine.Memory[spmd.State][byteAt:][:4]
			got := math.Float32frombits(binary.LittleEndian.Uint32(b))
			compare(t, p, fmt.Sprintf("%s[%d]", m.Func.States[state].Name, at), float64(got), want.NextStates[state].Data[at])
			all = append(all, b...)
		})
		if i == 0 {
			first = all
		} else if !bytes.Equal(first, all) {
			t.Errorf("%s and %s give different bits", plan.Programs[0].Target.Name, p.Target.Name)
		}
	}
}

// compare allows what sums of a few hundred float32 products lose.
func compare(t *testing.T, p *spmd.Program, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 3e-5*(1+math.Abs(want)) || math.IsNaN(got) {
		t.Fatalf("%s: %s = %v, want %v", p.Target.Name, what, got, want)
	}
}
