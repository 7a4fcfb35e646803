package emu

import (
	"errors"
	"flag"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/internal/goldentest"
)

// opcodes are those that some test has parsed.
var opcodes = map[string]bool{}

func TestMain(m *testing.M) {
	goldentest.Parse()
	code := m.Run()
	if all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == ""; all && code == 0 {
		for op := range isa {
			if !opcodes[op] {
				fmt.Printf("no test has %s\n", op)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// assembler is ptxas, or why it is not there.
var assembler = sync.OnceValues(ptx.FindAssembler)

// TestAssembler says when the texts of these tests are not also given to ptxas.
func TestAssembler(t *testing.T) {
	a, err := assembler()
	if err != nil {
		t.Skip(err)
	}
	t.Logf("%s, release %s, sees every text of these tests", a.Path, a.Release)
}

// assemble gives a text to ptxas, if it is there: what the emulator takes must be PTX.
func assemble(t testing.TB, text string) {
	t.Helper()
	a, err := assembler()
	if err != nil {
		return
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "test.ptx")
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := osexec.Command(a.Path, "-arch=sm_90a", "-O0", "-o", filepath.Join(dir, "out"), in).CombinedOutput()
	if exit := new(osexec.ExitError); errors.As(err, &exit) {
		t.Errorf("ptxas: %s\n%s", out, text)
	} else if err != nil {
		t.Fatal(err)
	}
}

// note records which instructions a module has.
func note(m *Module) {
	for i := range m.code {
		opcodes[m.code[i].src.op] = true
	}
}

// TestTable: every opcode says what its forms are.
func TestTable(t *testing.T) {
	for name, op := range isa {
		if op.compile == nil || op.forms == "" && name != "exit" {
			t.Errorf("%s: no forms or nothing that compiles it", name)
		}
	}
}
