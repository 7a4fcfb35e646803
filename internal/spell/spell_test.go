package spell

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	families := []string{"mamba", "mamba2", "falcon_mamba", "jamba", "llama"}
	for name, want := range map[string]string{
		"mamba":                   "mamba",
		"mamba3":                  "mamba",
		"mamba-2":                 "mamba2",
		"falconmamba":             "falcon_mamba",
		"falcon_h1":               "",
		"bamba":                   "mamba",
		"gpt2":                    "",
		"":                        "",
		strings.Repeat("x", 1000): "",
	} {
		if got := Nearest(name, families); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"abc", "acb", 2}, {"flaw", "lawn", 2}} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("distance of %q and %q is %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
