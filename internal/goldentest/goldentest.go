// Package goldentest is the flag -update of our tests: with it, files that hold what a test expects, or what a table says, are written anew.
package goldentest

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tests print into their golden files, and what tables say into docs")

// Parse reads the flags, for a TestMain; datadriven's own flag -rewrite follows -update.
func Parse() {
	flag.Parse()
	if !*update || flag.Lookup("rewrite") == nil {
		return
	}
	if err := flag.Set("rewrite", "true"); err != nil {
		panic(err)
	}
}

// File wants a file to hold a text, or with -update writes it.
func File(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is not what this package says (- file, + package)\n  fix: go test -run '^%s$' -update\n%s", path, t.Name(), diff)
	}
}
