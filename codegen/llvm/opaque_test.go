package llvm

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/internal/goldentest"
)

func TestMain(m *testing.M) {
	goldentest.Parse()
	os.Exit(m.Run())
}

func TestOpaquePointers(t *testing.T) {
	datadriven.RunTest(t, "testdata/opaque", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd != "rewrite" {
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
		}
		out := OpaquePointers([]byte(d.Input))
		if again := OpaquePointers(out); !bytes.Equal(again, out) && !strings.Contains(d.Input, "= *") {
			t.Errorf("%s: rewriting twice differs:\n%s", d.Pos, cmp.Diff(string(out), string(again)))
		}
		return string(out) + "\n"
	})
}

// A rewrite that went back over what it has written again and again would take
// minutes here; the real texts are of this size.
func TestOpaquePointersLinear(t *testing.T) {
	line := "  %v = load <8 x float>* ([4 x i8]*, %T*)*, <8 x float>* ([4 x i8]*, %T*)** %p, align 4\n"
	for name, text := range map[string]string{
		"lines":    strings.Repeat(line, 100_000),
		"one line": strings.ReplaceAll(strings.Repeat(line, 100_000), "\n", " "),
		"nested":   strings.Repeat("{ i8, ", 1_000_000) + "i8" + strings.Repeat(" }*", 1_000_000),
		"open":     strings.Repeat("(", 1_000_000) + strings.Repeat(")*", 1_000_000),
		"stars":    "i8" + strings.Repeat("*", 4_000_000),
	} {
		start := time.Now()
		out := OpaquePointers([]byte(text))
		t.Logf("%s: %d bytes to %d in %v", name, len(text), len(out), time.Since(start))
		if name != "open" && bytes.ContainsRune(out, '*') {
			t.Errorf("%s: a star is left", name)
		}
	}
}

func FuzzOpaquePointers(f *testing.F) {
	for _, name := range []string{"testdata/opaque", "testdata/kernel.ll", "testdata/wide.ll"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "*", "\"", "\"*", "i8*", ")*", "%\"*", "addrspace(1)*", "declare @llvm.p0", "@llvm..", "<8 x i8*>*"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, ir []byte) {
		out := OpaquePointers(ir)
		if len(out) > 3*len(ir)+3 {
			t.Fatalf("%d bytes became %d", len(ir), len(out))
		}
		if !bytes.ContainsAny(ir, "*@") && !bytes.Equal(ir, out) {
			t.Fatalf("text without pointers changed:\n%s", cmp.Diff(fmt.Sprintf("%q", ir), fmt.Sprintf("%q", out)))
		}
	})
}
