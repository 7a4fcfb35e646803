package llvm

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LinkShared links objects into a shared library that needs no other library:
// a symbol that the objects do not define is an error, which names it. The same
// objects give the same bytes.
func (t *Tools) LinkShared(ctx context.Context, objs [][]byte, soname string) ([]byte, error) {
	if len(objs) == 0 {
		return nil, fmt.Errorf("link %s: no objects", soname)
	}
	machine, err := elfMachine(objs)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", soname, err)
	}
	dir, err := os.MkdirTemp("", "ssmc-link-")
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", soname, err)
	}
	defer os.RemoveAll(dir)

	args := t.linkArgs(soname, machine)
	for i, obj := range objs {
		name := fmt.Sprintf("%d.o", i) // relative, so that the folder's name cannot reach the output
		if err := os.WriteFile(filepath.Join(dir, name), obj, 0o666); err != nil {
			return nil, fmt.Errorf("link %s: %w", soname, err)
		}
		args = append(args, name)
	}
	if _, log, err := run(ctx, dir, nil, t.Linker, args...); err != nil {
		return nil, &ToolError{Tool: t.LinkerTitle, Command: commandLine(t.Linker, args), Log: log, Err: err}
	}
	so, err := os.ReadFile(filepath.Join(dir, outputName))
	if err != nil {
		return nil, fmt.Errorf("link %s: %s left no output: %w", soname, t.Linker, err)
	}
	if err := checkShared(so); err != nil {
		return nil, fmt.Errorf("link %s with %s: %w", soname, t.LinkerTitle, err)
	}
	return so, nil
}

const outputName = "out.so"

// linkArgs are the options that both GNU ld and lld know. Code that is not
// executed from the stack and tables that are read-only after relocation cost
// nothing; a build id would only repeat the manifest's checksum.
func (t *Tools) linkArgs(soname string, machine elf.Machine) []string {
	opts := []string{"--no-undefined", "--build-id=none", "--hash-style=gnu", "-z", "noexecstack", "-z", "relro", "-z", "now", "-soname", soname}
	if !t.linkerIsCC {
		args := []string{"-shared"}
		if machine == elf.EM_X86_64 {
			args = append(args, "-m", "elf_x86_64")
		}
		return append(append(args, opts...), "-o", outputName)
	}
	args := []string{"-shared", "-nostdlib", "-nostartfiles"}
	for _, o := range opts {
		args = append(args, "-Xlinker", o)
	}
	return append(args, "-o", outputName)
}

// elfMachine is the machine that all the objects are for.
func elfMachine(objs [][]byte) (elf.Machine, error) {
	machine := elf.EM_NONE
	for i, obj := range objs {
		f, err := elf.NewFile(bytes.NewReader(obj))
		if err != nil {
			return 0, fmt.Errorf("object %d: %w", i, err)
		}
		if f.Type != elf.ET_REL {
			return 0, fmt.Errorf("object %d: is %v, not a relocatable object", i, f.Type)
		}
		if i > 0 && f.Machine != machine {
			return 0, fmt.Errorf("object %d is for %v, object 0 for %v", i, f.Machine, machine)
		}
		machine = f.Machine
	}
	return machine, nil
}

// checkShared holds the promise that the library stands alone; a C compiler
// used as the linker may have ideas of its own.
func checkShared(so []byte) error {
	f, err := elf.NewFile(bytes.NewReader(so))
	if err != nil {
		return err
	}
	if f.Type != elf.ET_DYN {
		return fmt.Errorf("the output is %v, not a shared library", f.Type)
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	if len(needed) > 0 {
		return fmt.Errorf("the library would need %s", strings.Join(needed, ", "))
	}
	return nil
}
