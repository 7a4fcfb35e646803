// Package llvmtest runs a test once with each version of LLVM that ssmc is
// tested with, and lets tests that execute machine code run on an emulated CPU
// where the host's lacks AVX-512.
//
// A version that the machine lacks is skipped by name, since no distribution
// packages all of them; SSMC_NEED_LLC="14 19" (scripts/setup-tools.sh prints
// what it found) makes its absence a failure. That none is found at all is
// always one.
//
// The emulator is far too slow for llc and the linker, so such tests run in two
// processes. Both run the same test, which gets its libraries from Library:
//
//	func TestScan(t *testing.T) {
//		llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
//			path := llvmtest.Library(t, "scan", func() ([]byte, error) { ... tools.LinkShared(...) })
//			llvmtest.BuiltOnly(t)
//			// dlopen path, call, compare
//		})
//	}
//
// With SSMC_TEST_OBJECTS=DIR and SSMC_TEST_BUILD_ONLY=1 Library writes the
// library into DIR and BuiltOnly ends the test; with SSMC_TEST_OBJECTS=DIR alone
// Library takes it from DIR, needing neither llc nor linker. With neither it
// builds it for the test. `make test-avx512` does the first on the host, the second under
// emulation.
package llvmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/codegen/llvm"
)

const (
	envNeed      = "SSMC_NEED_LLC"
	envObjects   = "SSMC_TEST_OBJECTS"
	envBuildOnly = "SSMC_TEST_BUILD_ONLY"
)

// prepared says whether libraries are taken from a folder and not built here.
func prepared() bool {
	return os.Getenv(envObjects) != "" && os.Getenv(envBuildOnly) == ""
}

// Each runs f as one subtest for each tested version, named "llc14", "llc19".
// Where libraries are taken from a folder, tools knows its version only.
func Each(t *testing.T, f func(t *testing.T, tools *llvm.Tools)) {
	t.Helper()
	found := false
	for _, v := range llvm.Tested {
		tools, err := find(v)
		found = found || err == nil
		t.Run(fmt.Sprintf("llc%d", v), func(t *testing.T) {
			switch {
			case err == nil:
				f(t, tools)
			case slices.Contains(strings.Fields(os.Getenv(envNeed)), fmt.Sprint(v)):
				t.Fatal(err)
			default:
				t.Skip(err)
			}
		})
	}
	if !found && !prepared() {
		t.Run("llc", func(t *testing.T) { f(t, Any(t)) })
	}
}

// find is llvm.Find, with a note of what was found for the process that only
// executes.
func find(version int) (*llvm.Tools, error) {
	dir := os.Getenv(envObjects)
	note := filepath.Join(dir, fmt.Sprintf("llc%d.found", version))
	if prepared() {
		if _, err := os.Stat(note); err != nil {
			return nil, fmt.Errorf("llc %d was not there when the libraries were built: %w", version, err)
		}
		return &llvm.Tools{LLCVersion: version}, nil
	}
	tools, err := llvm.Find(version)
	if err == nil && dir != "" {
		err = os.WriteFile(note, []byte(tools.LLCRelease+"\n"), 0o666)
	}
	return tools, err
}

// Any finds the tools that a compile would use; the test fails without them.
func Any(t *testing.T) *llvm.Tools {
	t.Helper()
	tools, err := llvm.Find(0)
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// Library gives the path of the shared library that build makes, as the package
// comment says. The name need only be unique within the test: the file's has
// those of the test binary (amd64.test) and of the test before it.
func Library(t *testing.T, name string, build func() ([]byte, error)) string {
	t.Helper()
	dir := os.Getenv(envObjects)
	if dir == "" {
		dir = t.TempDir()
	}
	full := strings.TrimSuffix(filepath.Base(os.Args[0]), ".test") + "-" + t.Name() + "-" + name
	path := filepath.Join(dir, strings.NewReplacer("/", "-", " ", "_").Replace(full)+".so")
	if prepared() {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s=%s has no library for this test (build it with %s=1 first): %v", envObjects, dir, envBuildOnly, err)
		}
		return path
	}
	so, err := build()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, so, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

// BuiltOnly ends the test where libraries are only built. A test calls it after
// its last Library and before it opens the first.
func BuiltOnly(t *testing.T) {
	t.Helper()
	if os.Getenv(envObjects) != "" && os.Getenv(envBuildOnly) != "" {
		t.Skipf("%s: the libraries are built, another process executes them", envBuildOnly)
	}
}
