package runtime

import (
	"strings"
	"testing"

	"github.com/ssmc/ssmc/artifact"
)

// A CPU without the features is told which ones it lacks, by level.
func TestMissingFeatures(t *testing.T) {
	levels := []artifact.Level{{Name: "low", Features: []string{"fpu", "warp9"}}, {Name: "high", Features: []string{"warp9", "beam"}}, {Name: "none", Features: []string{"fpu"}}}
	got := missingFeatures(levels)
	want := "it lacks warp9 for low; it lacks beam, warp9 for high; none needs fpu"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if hasFeatures(levels[0]) || !hasFeatures(levels[2]) {
		t.Error("hasFeatures: the level with warp9 runs, or the one with fpu does not")
	}
}

func TestStepErrors(t *testing.T) {
	seen := make(map[string]bool)
	for code := int32(-1); code >= -5; code-- {
		text := stepError(code)
		if seen[text] || strings.TrimSpace(text) == "" {
			t.Errorf("%d: %q", code, text)
		}
		seen[text] = true
	}
}
