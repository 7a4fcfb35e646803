package kernel

import (
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// TestFedAnError feeds -1, what the sampler chooses where logits are not finite: it must read the first row of the table, and nothing in front of it.
func TestFedAnError(t *testing.T) {
	for name, text := range map[string]string{
		"floats": sizes{vocab: 37, d: 19, e: 37, n: 5, r: 3, taps: 3}.replace(mamba),
		"codes":  sizes{vocab: 45, d: 21, e: 24, n: 5, r: 3, taps: 3, hb: 1, hm: 12, hk: 1}.replace(tied8),
		"four":   sizes{vocab: 37, d: 64, groups: 2, p: 32}.replace(embed4),
	} {
		plan, err := Build(module(t, text), targets, Options{})
		if err != nil {
			t.Fatal(err)
		}
		weights := packed(t, plan)
		for _, p := range plan.Programs {
			var logits [2][]float32
			for i, id := range []int32{0, -1} {
				m, err := spmd.NewMachine(p, weights, 1)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Step(p, spmd.StepInput{IDs: []int32{id}, SeqStart: []int32{0, 1}, SeqSlot: []int32{0}, OutRow: []int32{0}}); err != nil {
					t.Fatalf("%s for %s, token %d: %v", name, p.Target.Name, id, err)
				}
				logits[i] = m.Logits(p, 0)
			}
			for c, x := range logits[0] {
				if x != logits[1][c] {
					t.Fatalf("%s for %s: logit %d is %v, of token 0 %v", name, p.Target.Name, c, logits[1][c], x)
				}
			}
		}
	}
}
