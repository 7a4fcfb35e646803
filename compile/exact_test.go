package compile

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/runtime"
)

// TestExact runs quantized artefacts on every level that this machine has, and wants the evaluator's logits to the bit: of a first step with sequences of
// several lengths, and of a token behind each. Mamba-2's sequences are too short for the chunked scan, which rounds elsewhere.
func TestExact(t *testing.T) {
	for _, tc := range []struct {
		name, model, scheme string
		rows                []int
	}{
		{"token", "mamba-tiny", "scheme: x\nextends: w8a8-token\n", []int{70, 1, 33}},
		{"token", "mamba2-groups", "scheme: x\nextends: w8a8-token\n", []int{31, 2}},
		{"token, 4 bits", "falcon-mamba-tiny", "scheme: x\nextends: w8a8-token\nweights: {\"*\": {type: i4, scale: {group: 32}}, ssm.conv: {type: f32}, ssm.dt_proj: {type: i8, scale: channel}}\n", []int{9, 40}},
		{"w8a16", "mamba2-groups", "scheme: x\nextends: w8a16\n", []int{31, 2}},
		{"w8a8", "mamba2-groups", "scheme: x\nextends: w8a8\n", []int{31, 2}},
		{"state", "mamba-tiny", "scheme: x\nextends: w8a8\nvalues: {ssm.state: {type: i8}}\n", []int{70, 1, 33}},
		{"state by element", "mamba-tiny", "scheme: x\nextends: quamba-w8a8\nvalues: {ssm.state: {type: i8, scale: channel_x_state}}\n", []int{5, 100}},
		{"state", "mamba2-groups", "scheme: x\nextends: w8a8\nvalues: {ssm.state: {type: i8}}\n", []int{31, 2}},
		{"state by cell", "mamba2-groups", "scheme: x\nextends: quamba2-w4a8\nvalues: {ssm.u: {type: i8, scale: {heads: 2, channels: 2}, scan: i8}, ssm.state: {type: i8, scale: channel_x_state}}\n", []int{31, 2}},
		{"state by channel", "falcon-mamba-tiny", "scheme: x\nextends: w8a8-token\nvalues: {ssm.state: {type: i8, scale: channel}}\n", []int{9, 40}},
		{"token and tensor", "mamba-tiny", "scheme: x\nextends: w8a8\nvalues: {norm.out: {type: i8, scale: token, observe: none}, ssm.u: {type: i8, scale: token, observe: none}}\n", []int{5, 64}},
	} {
		t.Run(tc.name+" "+tc.model, func(t *testing.T) {
			scheme := filepath.Join(t.TempDir(), "x.yaml")
			if err := os.WriteFile(scheme, []byte(tc.scheme), 0o666); err != nil {
				t.Fatal(err)
			}
			o := Options{Model: filepath.Join("../golden/testdata", tc.model), Scheme: scheme, MaxRows: 128, Out: filepath.Join(t.TempDir(), "out")}
			o.Source, o.Samples, o.Length = idsFile(t, randomIDs(1, 64, 256)), 2, 32
			m := quantizedGraph(t, o)
			r, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			first, then := twoSteps(m.Vocab, tc.rows)
			want := evaluated(t, m, first, then)
			ran := 0
			for _, level := range r.Manifest.Target.Levels {
				a, err := runtime.Open(o.Out, runtime.Options{Threads: 2, Level: level.Name})
				if err != nil {
					t.Logf("level %s cannot run here: %v", level.Name, err)
					continue
				}
				ran++
				got := ranLogits(t, a, first, then)
				a.Close()
				for i := range want {
					if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
						t.Errorf("%s: logit %d is %v, evaluated %v", level.Name, i, got[i], want[i])
						break
					}
				}
			}
			if ran == 0 {
				t.Error("nothing ran")
			}
		})
	}
}

// twoSteps are sequences, and a token behind each.
func twoSteps(vocab int, rows []int) (first, then ir.Inputs[float32]) {
	first.SeqStart, then.SeqStart = []int{0}, []int{0}
	for i, n := range rows {
		first.IDs = append(first.IDs, randomIDs(uint32(7+i), n, vocab)...)
		first.SeqStart = append(first.SeqStart, len(first.IDs))
		then.IDs = append(then.IDs, int32(i+1))
		then.SeqStart = append(then.SeqStart, len(then.IDs))
	}
	return first, then
}

// evaluated is the logits of all rows of both steps.
func evaluated(t *testing.T, m *ir.Module, first, then ir.Inputs[float32]) []float32 {
	t.Helper()
	e, err := ir.NewEvaluator[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Step(first)
	if err != nil {
		t.Fatal(err)
	}
	logits := out.Returns[0].Data
	then.States = out.States()
	if out, err = e.Step(then); err != nil {
		t.Fatal(err)
	}
	return append(logits, out.Returns[0].Data...)
}

func ranLogits(t *testing.T, m *runtime.Model, steps ...ir.Inputs[float32]) []float32 {
	t.Helper()
	var slots []*runtime.Slot
	for range steps[0].SeqStart[1:] {
		s, err := m.NewSlot()
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, s)
	}
	var logits []float32
	for _, in := range steps {
		var inputs []runtime.Input
		for i, s := range slots {
			x := runtime.Input{Slot: s, IDs: in.IDs[in.SeqStart[i]:in.SeqStart[i+1]]}
			for k := range x.IDs {
				x.Outs = append(x.Outs, k)
			}
			inputs = append(inputs, x)
		}
		rows := make([][]float32, len(in.IDs))
		err := m.Run(context.Background(), inputs, func(input, token int, l []float32) error {
			rows[in.SeqStart[input]+token] = append([]float32(nil), l...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			logits = append(logits, r...)
		}
	}
	return logits
}
