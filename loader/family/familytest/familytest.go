// Package familytest opens checkpoints for tests.
package familytest

import (
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/loader/family"
)

// Build is the graph of the checkpoint in a folder, which stays open until the test ends: weights are read when they are used.
func Build(t testing.TB, dir string) *ir.Module {
	t.Helper()
	c, err := loader.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	m, err := family.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
