package family_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ssmc/ssmc/golden"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/loader/family"
)

// FuzzConfig builds three checkpoints under any config.json: an error or a module that verifies, never a panic.
func FuzzConfig(f *testing.F) {
	var checkpoints []*loader.Checkpoint
	for _, name := range golden.Tiny {
		dir := filepath.Join(testdata, name)
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		if name != "mamba-tiny" && name != "mamba2-groups" && name != "mamba2-original" {
			continue
		}
		c, err := loader.Open(dir)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { c.Close() })
		checkpoints = append(checkpoints, c)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range checkpoints {
			config, err := loader.ParseConfig("config.json", []byte(text))
			if err != nil {
				return
			}
			other := *c
			other.Config = config
			m, err := family.Build(&other)
			if err != nil {
				continue
			}
			if err := ir.Verify(m); err != nil {
				t.Fatalf("built, but does not verify: %v", err)
			}
		}
	})
}
