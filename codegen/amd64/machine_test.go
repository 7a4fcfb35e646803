package amd64

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/llvm/llvmtest"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// testSHA stands for the checksum of the weights.
var testSHA = strings.Repeat("0123456789abcdef", 4)

// library is a compiled program, opened.
type library struct {
	levels                        []string
	level, levelName, step, serve uintptr
	sha                           uintptr
	facts                         *[16]int64
}

// eachLibrary runs f with the program as each llc compiles it, for all levels in one object. Building and running may be done by two processes, as
// llvmtest says.
func eachLibrary(t *testing.T, name string, program func(t testing.TB, target spmd.Target) *spmd.Program, f func(t *testing.T, lib *library)) {
	t.Helper()
	eachLibraryOf(t, Names(), name, program, f)
}

// eachLibraryOf is eachLibrary for some levels.
func eachLibraryOf(t *testing.T, levels []string, name string, program func(t testing.TB, target spmd.Target) *spmd.Program, f func(t *testing.T, lib *library)) {
	t.Helper()
	llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
		path := llvmtest.Library(t, name, func() ([]byte, error) {
			obj, err := tools.Assemble(t.Context(), emit(t, levels, program), llvm.Options{})
			if err != nil {
				return nil, err
			}
			return tools.LinkShared(t.Context(), [][]byte{obj}, name+".so")
		})
		llvmtest.BuiltOnly(t)
		f(t, open(t, path, levels))
	})
}

// eachLLC runs f once for each llc, where this process has them to use.
func eachLLC(t *testing.T, f func(t *testing.T, tools *llvm.Tools)) {
	t.Helper()
	llvmtest.Each(t, func(t *testing.T, tools *llvm.Tools) {
		if tools.LLC == "" {
			t.Skip("this process only executes what another has built")
		}
		f(t, tools)
	})
}

// emit gives the module of a program for some levels.
func emit(t *testing.T, levels []string, program func(t testing.TB, target spmd.Target) *spmd.Program) []byte {
	t.Helper()
	var ls []Level
	for _, name := range levels {
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

func open(t testing.TB, path string, levels []string) *library {
	t.Helper()
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
	return &library{
		levels: levels, level: sym("level"), levelName: sym("level_name"), step: sym("step"), serve: sym("serve"),
		facts: at[[16]int64](sym("facts")), sha: sym("weights_sha256"),
	}
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
	c := &modelContext{bytes: aligned(abi.Bytes)}
	c.u32(abi.ABI, abi.Version)
	c.u32(abi.Spin, 100)
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
