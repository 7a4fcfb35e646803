package ir

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests print into their golden files")

// TestMain gives datadriven's flag -rewrite the name that all packages here use.
func TestMain(m *testing.M) {
	flag.Parse()
	if *update {
		if err := flag.Set("rewrite", "true"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
