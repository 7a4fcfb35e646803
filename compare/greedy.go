package compare

import (
	"context"
	"slices"

	"github.com/ssmc/ssmc/runtime"
)

// Departure says after how many tokens greedy output of two models departs.
type Departure struct {
	Prompts int   `json:"prompts"`
	Tokens  int   `json:"tokens"`       // generated for each
	Equal   []int `json:"equal_tokens"` // for each prompt, before the first that differs
	First   int   `json:"first"`        // the least of these
	Median  int   `json:"median"`
}

// Of a comparison of greedy output.
const (
	greedyPrompts = 8
	greedyPrompt  = 32 // tokens of a prompt
	greedyTokens  = 64 // generated
)

// Greedy continues the beginnings of a few windows by both models.
func Greedy(ctx context.Context, m, float *runtime.Model, windows []Window) (*Departure, error) {
	var prompts [][]int32
	for _, w := range Spread(windows, greedyPrompts) {
		prompts = append(prompts, w.IDs[:min(len(w.IDs), greedyPrompt)])
	}
	var generated [2][][]int32
	for i, m := range []*runtime.Model{m, float} {
		out, err := m.Evaluate(ctx, prompts, greedyTokens)
		if err != nil {
			return nil, err
		}
		generated[i] = out.Generated
		out.Free()
	}
	d := &Departure{Prompts: len(prompts), Tokens: greedyTokens}
	for i, a := range generated[0] {
		n := 0
		for n < len(a) && a[n] == generated[1][i][n] {
			n++
		}
		d.Equal = append(d.Equal, n)
	}
	sorted := slices.Sorted(slices.Values(d.Equal))
	d.First, d.Median = sorted[0], sorted[len(sorted)/2]
	return d, nil
}
