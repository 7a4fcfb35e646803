package amd64

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/llvm/llvmtest"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// Tests build objects, then run them. The two may be done by two processes: llc is far too slow in an emulator.
//
//	SSMC_TEST_OBJECTS=DIR SSMC_TEST_BUILD_ONLY=1   writes the objects into DIR and runs nothing
//	SSMC_TEST_OBJECTS=DIR                          takes them from there and needs no llc
//
// With neither, a process builds what it runs, once for all its tests.
var (
	objectsDir = os.Getenv("SSMC_TEST_OBJECTS")
	buildOnly  = os.Getenv("SSMC_TEST_BUILD_ONLY") != ""
)

// testSHA stands for the checksum of the weights.
var testSHA = strings.Repeat("0123456789abcdef", 4)

// library is a compiled program, opened.
type library struct {
	level, levelName, step, serve uintptr
	sha                           uintptr
	facts                         *[16]int64
}

var libraries struct {
	sync.Mutex
	m map[string]*library
}

// eachLibrary runs f with the program as each llc compiles it, for all levels in one object. Nothing is run in a process that only builds.
func eachLibrary(t *testing.T, name string, program func(t *testing.T, target spmd.Target) *spmd.Program, f func(t *testing.T, lib *library)) {
	t.Helper()
	if objectsDir != "" && !buildOnly {
		paths, err := filepath.Glob(filepath.Join(objectsDir, name+".llc*.so"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no object of %s in %s (%v)\n  fix: run this test with SSMC_TEST_BUILD_ONLY=1 first", name, objectsDir, err)
		}
		for _, p := range paths {
			t.Run(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), name+"."), ".so"), func(t *testing.T) { f(t, open(t, p)) })
		}
		return
	}
	llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
		path := build(t, tools, name, program)
		if !buildOnly {
			f(t, open(t, path))
		}
	})
}

var scratchDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "ssmc-amd64-test-")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := scratchDir(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// build compiles a program once for each llc.
func build(t *testing.T, tools *llvm.Tools, name string, program func(t *testing.T, target spmd.Target) *spmd.Program) string {
	t.Helper()
	dir := objectsDir
	if dir == "" {
		dir = scratchDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("%s.llc%d.so", name, tools.LLCVersion))
	if _, err := os.Stat(path); err == nil && objectsDir == "" {
		return path
	}
	ctx := context.Background()
	obj, err := tools.Assemble(ctx, emit(t, program), llvm.Options{KeepInput: os.Getenv("SSMC_TEST_KEEP")})
	if err != nil {
		t.Fatal(err)
	}
	so, err := tools.LinkShared(ctx, [][]byte{obj}, name+".so")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, so, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// emit gives the module of a program for all levels.
func emit(t *testing.T, program func(t *testing.T, target spmd.Target) *spmd.Program) []byte {
	t.Helper()
	var ls []Level
	for _, name := range Names() {
		target, err := Target(name)
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, Level{Name: name, Program: program(t, target)})
	}
	text, err := Emit("model", testSHA, ls)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func open(t *testing.T, path string) *library {
	t.Helper()
	libraries.Lock()
	defer libraries.Unlock()
	if lib := libraries.m[path]; lib != nil {
		return lib
	}
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	sym := func(name string) uintptr {
		p, err := purego.Dlsym(h, "model_"+name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	lib := &library{level: sym("level"), levelName: sym("level_name"), step: sym("step"), serve: sym("serve"), sha: sym("weights_sha256")}
	lib.facts = at[[16]int64](sym("facts"))
	if libraries.m == nil {
		libraries.m = map[string]*library{}
	}
	libraries.m[path] = lib
	return lib
}

// at is memory of the library.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

func call64(fn uintptr, args ...uintptr) uint64 {
	r, _, _ := purego.SyscallN(fn, args...)
	return uint64(r)
}

func call(fn uintptr, args ...uintptr) int32 { return int32(call64(fn, args...)) }

// best is the level that the library chooses on this CPU.
func (l *library) best() int32 { return call(l.level) }

// aligned gives n bytes at a multiple of 64.
func aligned(n int64) []byte {
	b := make([]byte, n+63)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63
	return b[skip:][:n:n]
}

// modelContext is struct model_ctx with what it points to.
type modelContext struct {
	bytes []byte
	keep  [][]byte
}

func newContext() *modelContext {
	c := &modelContext{bytes: aligned(320)}
	c.u32(ctxABI, abiVersion)
	c.u32(ctxSpin, 100)
	return c
}

func field[T any](c *modelContext, off int64) *T { return (*T)(unsafe.Pointer(&c.bytes[off])) }

func (c *modelContext) u32(off int64, x uint32) { *field[uint32](c, off) = x }
func (c *modelContext) i64(off int64, x int64)  { *field[int64](c, off) = x }

func (c *modelContext) point(off int64, b []byte) {
	c.keep = append(c.keep, b)
	*field[uintptr](c, off) = uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

func (c *modelContext) ptr() uintptr { return uintptr(unsafe.Pointer(&c.bytes[0])) }

// stepAll runs one step with so many workers and gives what each returned.
func (l *library) stepAll(c *modelContext, workers int) []int32 {
	out := make([]int32, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			runtime.LockOSThread()
			out[w] = call(l.step, c.ptr(), uintptr(w), uintptr(workers))
			runtime.UnlockOSThread()
		})
	}
	wg.Wait()
	runtime.KeepAlive(c)
	return out
}
