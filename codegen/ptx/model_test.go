package ptx

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader/family/familytest"
	"github.com/ssmc/ssmc/passes"
)

// models are checkpoints of each family with a few layers.
var models = []string{"mamba-tiny", "mamba-bf16", "mamba2-tiny", "mamba2-groups", "falcon-mamba-tiny"}

// graph reads a checkpoint and fuses it. The checkpoint stays open until the test ends.
func graph(t *testing.T, name string) *ir.Module {
	t.Helper()
	return graphIn(t, filepath.Join("..", "..", "golden", "testdata", name))
}

func graphIn(t *testing.T, dir string) *ir.Module {
	t.Helper()
	g := familytest.Build(t, dir)
	if _, err := passes.Run(g, passes.Options{}); err != nil {
		t.Fatal(err)
	}
	return g
}

// plan plans a graph for a target; program also packs its weights.
func plan(t *testing.T, g *ir.Module, target string, o kernels.Options) *kernels.Plan {
	t.Helper()
	facts, err := Target(target)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := kernels.Build(g, []spmd.Target{facts}, o)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func program(t *testing.T, g *ir.Module, target string, o kernels.Options) (*spmd.Program, []byte) {
	t.Helper()
	plan := plan(t, g, target, o)
	p := plan.Programs[0]
	weights := make([]byte, p.WeightBytes)
	for i := range plan.Pieces {
		piece := &plan.Pieces[i]
		if err := piece.Fill(weights[piece.Offset:][:piece.Bytes], 0); err != nil {
			t.Fatal(err)
		}
	}
	return p, weights
}

// TestModels runs whole models in floating point.
func TestModels(t *testing.T) {
	for _, name := range models {
		t.Run(name, func(t *testing.T) { checkModel(t, graph(t, name), "ptx:sm_80", false) })
	}
}

// checkModel takes some steps: prompts of some sequences, then one token of each, then long prompts if that is another way; or these alone. All memory must be
// as the interpreter leaves it, to the bit.
func checkModel(t *testing.T, g *ir.Module, target string, onlyMany bool) {
	t.Helper()
	p, weights := program(t, g, target, kernels.Options{MaxRows: 160, MaxSeqs: 4})
	steps := []spmd.StepInput{
		{IDs: tokens(40, g.Vocab), SeqStart: []int32{0, 5, 39, 40}, SeqSlot: []int32{2, 0, 3}, OutRow: []int32{4, 38, 39}},
		{IDs: tokens(3, g.Vocab), SeqStart: []int32{0, 1, 2, 3}, SeqSlot: []int32{3, 2, 0}, OutRow: []int32{0, 2}},
	}
	if onlyMany {
		steps = nil
	}
	if manyRows(p) { // in tiles of many rows, of which the last is not whole
		steps = append(steps, spmd.StepInput{IDs: tokens(141, g.Vocab), SeqStart: []int32{0, 100, 102, 141}, SeqSlot: []int32{1, 2, 0}, OutRow: []int32{99, 0}})
	}
	s := shape{3, blockThreads}
	d := &spmdtest.Bed{Target: p.Target, Program: p, Weights: weights, Work: make([]byte, p.WorkBytes), State: make([]byte, spmdtest.Slots*p.SlotBytes)}
	m := parsed(t, p)
	for i, in := range steps {
		d.Input = in
		want := d.Interpret(t)
		x := device(t, d, m, s)
		x.Seed = uint64(i)
		r, err := x.step(t, s)
		if err != nil {
			t.Fatal(err)
		}
		if r != abi.Fine {
			t.Fatalf("the step gives %d", r)
		}
		got := x.result()
		d.Compare(t, want, got)
		d.Work, d.State = got.Work, got.State
		t.Logf("step %d: %d warp instructions", i, x.Stats.WarpInstructions)
	}
}

// manyRows says that a program does many rows otherwise than few.
func manyRows(p *spmd.Program) bool {
	for _, ph := range p.Phases {
		for _, l := range ph.Launches {
			if l.Grid.Least > 0 {
				return true
			}
		}
	}
	return false
}

func tokens(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*7919 + 13) % vocab)
	}
	return ids
}

// TestAssembler wants ptxas to take whole models without a spill, one of them for every target.
func TestAssembler(t *testing.T) {
	a := assembler(t)
	for i, name := range models {
		g := graph(t, name)
		for _, target := range Names() {
			if i > 0 && target != Names()[i%len(Names())] {
				continue
			}
			t.Run(name+" "+target, func(t *testing.T) {
				p := plan(t, g, target, kernels.Options{}).Programs[0]
				text, err := Emit("model", testSHA, p)
				if err != nil {
					t.Fatal(err)
				}
				assemble(t, a, text, target)
			})
		}
	}
}

// assemble is ptxas's word on a module.
func assemble(t *testing.T, a *Assembler, text []byte, target string) {
	t.Helper()
	r, err := a.Check(context.Background(), text, target)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Spills() {
		t.Errorf("spill in %s", s)
	}
	for _, w := range r.Warnings {
		t.Error(w)
	}
	t.Logf("%d bytes of PTX, %d registers, ptxas took %.1f s", len(text), r.Entry().Registers, r.Seconds)
}

// TestSize emits a model of mamba-130m's shape, whose weights are holes in a file.
func TestSize(t *testing.T) {
	g := graphIn(t, hollowMamba(t, 768, 24, 48, 50280))
	for _, tc := range []struct {
		target string
		o      kernels.Options
		most   int // KiB of PTX; a fast module has two kernels for each product
	}{
		{"ptx:sm_80", kernels.Options{Weights: "as-is"}, 400},
		{"ptx:sm_80", kernels.Options{Weights: "bf16"}, 400},
		{"ptx:sm_90a", kernels.Options{Weights: "as-is", Fast: true}, 450},
		{"ptx:sm_90a", kernels.Options{Weights: "bf16", Fast: true, MaxRows: 4096}, 600}, // in tiles of 256 columns
	} {
		checkSize(t, plan(t, g, tc.target, tc.o).Programs[0], fmt.Sprint(tc), tc.most)
	}
}

// checkSize bounds a module's text.
func checkSize(t *testing.T, p *spmd.Program, name string, most int) {
	t.Helper()
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > most<<10 {
		t.Errorf("%s: %d bytes of PTX", name, len(text))
	}
	if a, err := FindAssembler(); err == nil {
		assemble(t, a, text, p.Target.Name)
	}
}

// hollowMamba writes a checkpoint of zeros that takes no room on the disk.
func hollowMamba(t *testing.T, width, layers, rank, vocab int) string {
	t.Helper()
	dir, inner, states, taps := t.TempDir(), 2*width, 16, 4
	header := map[string]any{}
	at := 0
	tensor := func(name string, shape ...int) {
		n := 4
		for _, d := range shape {
			n *= d
		}
		header["backbone."+name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": [2]int{at, at + n}}
		at += n
	}
	tensor("embeddings.weight", vocab, width)
	tensor("norm_f.weight", width)
	for i := range layers {
		layer := fmt.Sprintf("layers.%d.", i)
		tensor(layer+"norm.weight", width)
		tensor(layer+"mixer.in_proj.weight", 2*inner, width)
		tensor(layer+"mixer.conv1d.weight", inner, 1, taps)
		tensor(layer+"mixer.conv1d.bias", inner)
		tensor(layer+"mixer.x_proj.weight", rank+2*states, inner)
		tensor(layer+"mixer.dt_proj.weight", inner, rank)
		tensor(layer+"mixer.dt_proj.bias", inner)
		tensor(layer+"mixer.A_log", inner, states)
		tensor(layer+"mixer.D", inner)
		tensor(layer+"mixer.out_proj.weight", width, inner)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"model_type": "mamba", "architectures": []string{"MambaForCausalLM"}, "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
		"state_size": states, "conv_kernel": taps, "expand": 2, "time_step_rank": rank, "vocab_size": vocab, "tie_word_embeddings": true,
		"layer_norm_epsilon": 1e-5, "hidden_act": "silu", "use_bias": false, "use_conv_bias": true, "residual_in_fp32": true, "rescale_prenorm_residual": false,
		"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "torch_dtype": "float32",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(file, append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(8+len(text)+at)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// assembler is ptxas; without it a test is skipped by name.
func assembler(t *testing.T) *Assembler {
	t.Helper()
	a, err := FindAssembler()
	if err != nil {
		t.Skipf("nothing is assembled: %v", err)
	}
	return a
}
