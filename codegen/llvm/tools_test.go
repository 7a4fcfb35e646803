package llvm_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/cpu"

	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/llvm/llvmtest"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func assemble(t *testing.T, tools *llvm.Tools, name string, o llvm.Options) []byte {
	t.Helper()
	obj, err := tools.Assemble(context.Background(), read(t, name), o)
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

// The same typed-pointer text goes through each llc, and runs.
func TestExecKernel(t *testing.T) {
	llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
		path := llvmtest.Library(t, "kernel", func() ([]byte, error) {
			return tools.LinkShared(context.Background(), [][]byte{assemble(t, tools, "kernel.ll", llvm.Options{CPU: "x86-64-v3"})}, "kernel.so")
		})
		llvmtest.BuiltOnly(t)
		if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" || !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
			t.Skip("this machine cannot run x86-64-v3 code")
		}
		lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			t.Fatal(err)
		}
		defer purego.Dlclose(lib)
		var run func(x, y *float32, n int64) int32
		purego.RegisterLibFunc(&run, lib, "run")

		x, got, want := make([]float32, 17), make([]float32, 17), make([]float32, 17)
		for i := range x {
			x[i] = float32(i) + 0.25
		}
		for i := range 3 {
			want[i] = 2*x[i] + 1
		}
		for i := range 8 {
			want[8+i] = x[2*i]
		}
		if n := run(&x[0], &got[0], 17); n != 2 {
			t.Errorf("run counted %d phases, want 2", n)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

// The same for 512 bits: the least test of an emulator that stands in for a CPU.
func TestExecWide(t *testing.T) {
	llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
		path := llvmtest.Library(t, "wide", func() ([]byte, error) {
			return tools.LinkShared(context.Background(), [][]byte{assemble(t, tools, "wide.ll", llvm.Options{CPU: "x86-64-v4", Features: "+avx512vnni"})}, "wide.so")
		})
		llvmtest.BuiltOnly(t)
		if runtime.GOOS != "linux" || !cpu.X86.HasAVX512BW || !cpu.X86.HasAVX512DQ || !cpu.X86.HasAVX512VL {
			t.Skip("this machine cannot run x86-64-v4 code: make test-avx512 emulates one that can")
		}
		lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			t.Fatal(err)
		}
		defer purego.Dlclose(lib)
		var axpy func(x, y *float32, tail uint16)
		purego.RegisterLibFunc(&axpy, lib, "axpy")
		buf := make([]float32, 64)
		y := buf[(64-uintptr(unsafe.Pointer(&buf[0]))%64)%64/4:][:16] // it loads y at 64 bytes' alignment
		x := make([]float32, 16)
		want := make([]float32, 16)
		for i := range x {
			x[i], y[i] = float32(i)-7.5, float32(i)
			want[i] = y[i]
			if i < 5 {
				want[i] += x[i] * x[i]
			}
		}
		axpy(&x[0], &y[0], 1<<5-1)
		if diff := cmp.Diff(want, y); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

func TestAsmSelectsWideRegisters(t *testing.T) {
	llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
		asm, err := tools.Asm(context.Background(), read(t, "wide.ll"), llvm.Options{CPU: "x86-64-v4", Features: "+avx512vnni"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`vfmadd\w+ps\s.*%zmm`, `vpdpbusd\s.*%zmm`, `\{%k\d\}`} {
			if !regexp.MustCompile(want).Match(asm) {
				t.Errorf("no %s in:\n%s", want, asm)
			}
		}
	})
}

// Objects and libraries depend on their input only: not on the working folder,
// the temporary folder or the time.
func TestDeterministic(t *testing.T) {
	llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
		var objs, libs [][]byte
		for range 2 {
			t.Setenv("TMPDIR", t.TempDir())
			t.Chdir(filepath.Join(projectFolder(t), "codegen", "llvm"))
			k := assemble(t, tools, "kernel.ll", llvm.Options{CPU: "x86-64-v3"})
			w := assemble(t, tools, "wide.ll", llvm.Options{CPU: "x86-64-v4", Features: "+avx512vnni"})
			t.Chdir(t.TempDir())
			so, err := tools.LinkShared(context.Background(), [][]byte{k, w}, "model.so")
			if err != nil {
				t.Fatal(err)
			}
			objs, libs = append(objs, k), append(libs, so)
		}
		if !bytes.Equal(objs[0], objs[1]) {
			t.Error("two objects from one text differ")
		}
		if !bytes.Equal(libs[0], libs[1]) {
			t.Error("two libraries from the same objects differ")
		}
		if bytes.Contains(libs[0], []byte("ssmc-link-")) {
			t.Error("the library names a temporary folder")
		}
	})
}

func projectFolder(t *testing.T) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("no caller")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

func TestSharedLibraryStandsAlone(t *testing.T) {
	linkers := []string{""}
	for _, name := range []string{"ld.bfd", "ld.lld-19", "ld.lld", "gcc"} {
		if path, err := exec.LookPath(name); err == nil {
			linkers = append(linkers, path)
		}
	}
	for _, linker := range linkers {
		t.Run("with "+filepath.Base(linker), func(t *testing.T) {
			t.Setenv("SSMC_LD", linker)
			tools := llvmtest.Any(t)
			so, err := tools.LinkShared(context.Background(), [][]byte{assemble(t, tools, "kernel.ll", llvm.Options{CPU: "x86-64-v3"})}, "model.so")
			if err != nil {
				t.Fatal(err)
			}
			f, err := elf.NewFile(bytes.NewReader(so))
			if err != nil {
				t.Fatal(err)
			}
			soname, err := f.DynString(elf.DT_SONAME)
			if err != nil || len(soname) != 1 || soname[0] != "model.so" {
				t.Errorf("soname %q, %v", soname, err)
			}
			for _, p := range f.Progs {
				if p.Type == elf.PT_GNU_STACK && p.Flags&elf.PF_X != 0 {
					t.Error("the stack would be executable")
				}
			}
			syms, err := f.DynamicSymbols()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range syms {
				if s.Section == elf.SHN_UNDEF {
					t.Errorf("undefined symbol %s", s.Name)
				}
			}
		})
	}
}

func TestErrors(t *testing.T) {
	tools := llvmtest.Any(t)
	ctx := context.Background()
	undefined, err := tools.Assemble(ctx, []byte("target triple = \"x86_64-pc-linux-gnu\"\ndeclare float @expf(float)\ndefine float @f(float %x) {\n  %y = call float @expf(float %x)\n  ret float %y\n}\n"), llvm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	keep := t.TempDir()
	for _, c := range []struct {
		name string
		do   func() error
		want []string // each a regular expression
	}{
		{"bad IR", func() error {
			_, err := tools.Assemble(ctx, []byte("define void @f( {\n}\n"), llvm.Options{CPU: "x86-64-v3", KeepInput: keep})
			return err
		}, []string{`^llc \d+\.\S+ failed: exit status 1`, `error:`, `(?m)^  command: \S*llc\S* -O2 .*-mcpu=x86-64-v3 .* < \S+llc-failed-[0-9a-f]{12}\.ll$`}},
		{"undefined symbol", func() error {
			_, err := tools.LinkShared(ctx, [][]byte{undefined}, "m.so")
			return err
		}, []string{`failed: exit status`, `expf`, `(?m)^  command: .*-soname m\.so`}},
		{"no objects", func() error { _, err := tools.LinkShared(ctx, nil, "m.so"); return err }, []string{`^link m\.so: no objects$`}},
		{"not an object", func() error {
			_, err := tools.LinkShared(ctx, [][]byte{[]byte("hello, I am no object file")}, "m.so")
			return err
		}, []string{`^link m\.so: object 0: bad magic`}},
		{"canceled", func() error {
			_, err := tools.Assemble(canceled, []byte("define void @f() {\n  ret void\n}\n"), llvm.Options{KeepInput: keep})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is not the context's: %v", err)
			}
			return err
		}, []string{`canceled`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !regexp.MustCompile(want).MatchString(err.Error()) {
					t.Errorf("no match for %s in:\n%v", want, err)
				}
			}
		})
	}
	kept, err := filepath.Glob(filepath.Join(keep, "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v; want the one input that llc refused", kept, err)
	}
}

func TestFindFailures(t *testing.T) {
	fake := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(fake, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o777); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old := script("old", `echo "LLVM version 9.0.1"; echo "x86-64 - 64-bit X86"`)
	arm := script("arm", `echo "LLVM version 17.0.6"; echo "arm - ARM"`)
	broken := script("broken", `exit 7`)
	for _, c := range []struct {
		name    string
		llc, ld string
		want    int
		err     string
	}{
		{"too old", old, "", 0, `SSMC_LLC=\S+: version 9\.0\.1; ssmc can use 14 to 21`},
		{"no x86", arm, "", 0, `version 17\.0\.6 was built without the x86-64 target`},
		{"does not run", broken, "", 0, `llc --version: exit status 7`},
		{"absent", filepath.Join(fake, "none"), "", 0, `SSMC_LLC=\S+none: .*no such file`},
		{"version that we cannot use", "", "", 13, `llc 13: ssmc can use versions 14 to 21`},
		{"linker absent", "", filepath.Join(fake, "none"), 0, `SSMC_LD=\S+none: `},
		{"both", old, filepath.Join(fake, "none"), 0, `(?s)SSMC_LLC=.*SSMC_LD=`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("SSMC_LLC", c.llc)
			t.Setenv("SSMC_LD", c.ld)
			_, err := llvm.Find(c.want)
			if err == nil || !regexp.MustCompile(c.err).MatchString(err.Error()) {
				t.Errorf("error %v, want %s", err, c.err)
			}
		})
	}
	t.Run("nothing in PATH", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := llvm.Find(0)
		if err == nil { // llc in its package's own folder, but no linker, would be an error
			t.Fatal("found tools in an empty PATH")
		}
		if !strings.Contains(err.Error(), "\n  fix: ") {
			t.Errorf("the error does not say how to get them: %v", err)
		}
	})
}
