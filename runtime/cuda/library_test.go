package cuda

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/google/go-cmp/cmp"
)

// stub is testdata/stub.c, loaded as a driver.
type stub struct {
	*Driver
	fail      func(name string, code int32)
	pending   func(n int32)
	last      func() string
	arguments func() *[16]uint64
}

// buildStub compiles the stub once.
var buildStub = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp("", "ssmc-stub-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "libcuda.so.1")
	log, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-stringop-truncation", "-o", path, "testdata/stub.c").CombinedOutput()
	if err != nil {
		os.Stderr.Write(log)
	}
	return path, err
})

func loadStub(t testing.TB) *stub {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("NOT TESTED: the calls into the driver's library need a C compiler (cc); apt-get install gcc libc6-dev")
	}
	path, err := buildStub()
	if err != nil {
		t.Fatal(err)
	}
	d, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW)
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{Driver: d}
	purego.RegisterLibFunc(&s.fail, handle, "stub_fail")
	purego.RegisterLibFunc(&s.pending, handle, "stub_pending")
	purego.RegisterLibFunc(&s.last, handle, "stub_last")
	purego.RegisterLibFunc(&s.arguments, handle, "stub_arguments")
	t.Cleanup(func() {
		s.fail("", 0)
		s.pending(0)
	})
	return s
}

func TestMain(m *testing.M) {
	code := m.Run()
	if _, err := exec.LookPath("cc"); err != nil {
		os.Exit(code)
	}
	if path, err := buildStub(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// Values that a wrong size or position would change: all bits of the type are used, and no two are alike.
const (
	bigDevice   = CUdevice(-0x12345678)
	bigContext  = CUcontext(0xc0ffee11c0ffee12)
	bigModule   = CUmodule(0xc0ffee21c0ffee22)
	bigFunction = CUfunction(0xc0ffee31c0ffee32)
	bigStream   = CUstream(0xc0ffee41c0ffee42)
	bigEvent    = CUevent(0xc0ffee51c0ffee52)
)

func word[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

func signed(x int32) uint64 { return uint64(int64(x)) }

// checkCall holds that a call reaches the function of this name with these arguments, 0 standing for what the call makes, and that its result comes back.
func (s *stub) checkCall(t *testing.T, name string, want []uint64, call func() Result) {
	t.Helper()
	if r := call(); r != Success {
		t.Errorf("%s: result %d", name, r)
	}
	got := append([]uint64(nil), s.arguments()[:len(want)]...)
	for k, w := range want {
		if w == 0 {
			got[k] = 0
		}
	}
	if s.last() != name || !cmp.Equal(want, got) {
		t.Errorf("%s: %s got %#x, want %#x", name, s.last(), got, want)
	}
	s.fail(name, 4242)
	if name != "cuMemFreeHost" && name != "cuMemFree_v2" {
		if r := call(); r != 4242 {
			t.Errorf("%s: result %d, want the one that was asked for", name, r)
		}
	}
	s.fail("", 0)
}

// Every function gets its arguments as they are, in every position: cuLaunchCooperativeKernel's last four lie on the stack. What it answers comes back.
func TestArguments(t *testing.T) {
	s := loadStub(t)
	var (
		i, j       int32
		u, v       uint64
		device     CUdevice
		context    CUcontext
		module     CUmodule
		function   CUfunction
		stream     CUstream
		event      CUevent
		p, q       CUdeviceptr
		host       unsafe.Pointer
		ms         float32
		name, text [64]byte
		options    [2]JITOption
		values     [2]uintptr
	)
	copy(text[:], "text")
	fine := func(r Result) {
		t.Helper()
		if r != Success {
			t.Fatalf("result %d", r)
		}
	}
	fine(s.MemAlloc(&p, 256))
	fine(s.MemAlloc(&q, 256))
	fine(s.MemHostAlloc(&host, 256, 0))
	numbers := [3]uint64{uint64(p), 2, 100}
	params := []unsafe.Pointer{unsafe.Pointer(&numbers[0]), unsafe.Pointer(&numbers[1]), unsafe.Pointer(&numbers[2])}
	big := uint32(0x80000000)
	address := uint64(uintptr(host))
	tests := []struct {
		name string
		call func() Result
		want []uint64
	}{
		{"cuInit", func() Result { return s.Init(big) }, []uint64{uint64(big)}},
		{"cuDriverGetVersion", func() Result { return s.DriverGetVersion(&i) }, []uint64{word(&i)}},
		{"cuDeviceGetCount", func() Result { return s.DeviceGetCount(&i) }, []uint64{word(&i)}},
		{"cuDeviceGet", func() Result { return s.DeviceGet(&device, -5) }, []uint64{word(&device), signed(-5)}},
		{"cuDeviceGetName", func() Result { return s.DeviceGetName(&name[0], 63, bigDevice) }, []uint64{word(&name[0]), 63, signed(int32(bigDevice))}},
		{"cuDeviceGetAttribute", func() Result { return s.DeviceGetAttribute(&j, -3, bigDevice) }, []uint64{word(&j), signed(-3), signed(int32(bigDevice))}},
		{"cuDeviceTotalMem_v2", func() Result { return s.DeviceTotalMem(&u, bigDevice) }, []uint64{word(&u), signed(int32(bigDevice))}},
		{"cuDevicePrimaryCtxRetain", func() Result { return s.DevicePrimaryCtxRetain(&context, bigDevice) }, []uint64{word(&context), signed(int32(bigDevice))}},
		{"cuDevicePrimaryCtxRelease_v2", func() Result { return s.DevicePrimaryCtxRelease(bigDevice) }, []uint64{signed(int32(bigDevice))}},
		{"cuCtxSetCurrent", func() Result { return s.CtxSetCurrent(bigContext) }, []uint64{uint64(bigContext)}},
		{"cuModuleLoadDataEx", func() Result { return s.ModuleLoadDataEx(&module, &text[0], 2, &options[0], &values[0]) },
			[]uint64{word(&module), word(&text[0]), 2, word(&options[0]), word(&values[0])}},
		{"cuModuleUnload", func() Result { return s.ModuleUnload(bigModule) }, []uint64{uint64(bigModule)}},
		{"cuModuleGetFunction", func() Result { return s.ModuleGetFunction(&function, bigModule, &text[0]) }, []uint64{word(&function), uint64(bigModule), word(&text[0])}},
		{"cuModuleGetGlobal_v2", func() Result { return s.ModuleGetGlobal(new(CUdeviceptr), &v, bigModule, &text[0]) }, []uint64{0, word(&v), uint64(bigModule), word(&text[0])}},
		{"cuFuncSetAttribute", func() Result { return s.FuncSetAttribute(bigFunction, 8, -9) }, []uint64{uint64(bigFunction), 8, signed(-9)}},
		{"cuFuncGetAttribute", func() Result { return s.FuncGetAttribute(&i, 4, bigFunction) }, []uint64{word(&i), 4, uint64(bigFunction)}},
		{"cuMemGetInfo_v2", func() Result { return s.MemGetInfo(&u, &v) }, []uint64{word(&u), word(&v)}},
		{"cuMemAlloc_v2", func() Result { return s.MemAlloc(new(CUdeviceptr), 1<<41) }, []uint64{0, 1 << 41}},
		{"cuMemFree_v2", func() Result { return s.MemFree(0xabcd000000000000) }, []uint64{0xabcd000000000000}},
		{"cuMemHostAlloc", func() Result { return s.MemHostAlloc(&host, 64, big) }, []uint64{word(&host), 64, uint64(big)}},
		{"cuMemcpyHtoDAsync_v2", func() Result { return s.MemcpyHtoDAsync(p, unsafe.Pointer(&numbers), 24, bigStream) },
			[]uint64{uint64(p), word(&numbers), 24, uint64(bigStream)}},
		{"cuMemcpyDtoDAsync_v2", func() Result { return s.MemcpyDtoDAsync(q, p, 24, bigStream) }, []uint64{uint64(q), uint64(p), 24, uint64(bigStream)}},
		{"cuMemcpyDtoHAsync_v2", func() Result { return s.MemcpyDtoHAsync(unsafe.Pointer(&name), q, 24, bigStream) },
			[]uint64{word(&name), uint64(q), 24, uint64(bigStream)}},
		{"cuMemsetD8Async", func() Result { return s.MemsetD8Async(p, 0xfe, 16, bigStream) }, []uint64{uint64(p), 0xfe, 16, uint64(bigStream)}},
		{"cuStreamCreate", func() Result { return s.StreamCreate(&stream, big) }, []uint64{word(&stream), uint64(big)}},
		{"cuStreamDestroy_v2", func() Result { return s.StreamDestroy(bigStream) }, []uint64{uint64(bigStream)}},
		{"cuEventCreate", func() Result { return s.EventCreate(&event, big) }, []uint64{word(&event), uint64(big)}},
		{"cuEventRecord", func() Result { return s.EventRecord(bigEvent, bigStream) }, []uint64{uint64(bigEvent), uint64(bigStream)}},
		{"cuEventQuery", func() Result { return s.EventQuery(bigEvent) }, []uint64{uint64(bigEvent)}},
		{"cuEventElapsedTime", func() Result { return s.EventElapsedTime(&ms, bigEvent, bigEvent+1) }, []uint64{word(&ms), uint64(bigEvent), uint64(bigEvent + 1)}},
		{"cuEventDestroy_v2", func() Result { return s.EventDestroy(bigEvent) }, []uint64{uint64(bigEvent)}},
		{"cuOccupancyMaxActiveBlocksPerMultiprocessor", func() Result { return s.OccupancyMaxActiveBlocksPerMultiprocessor(&i, bigFunction, -256, 1<<40) },
			[]uint64{word(&i), uint64(bigFunction), signed(-256), 1 << 40}},
		{"cuLaunchCooperativeKernel", func() Result {
			return s.LaunchCooperativeKernel(bigFunction, big+1, big+2, big+3, big+4, big+5, big+6, big+7, bigStream, &params[0])
		}, []uint64{uint64(bigFunction), uint64(big) + 1, uint64(big) + 2, uint64(big) + 3, uint64(big) + 4, uint64(big) + 5, uint64(big) + 6, uint64(big) + 7,
			uint64(bigStream), word(&params[0])}},
		{"cuMemFreeHost", func() Result { return s.MemFreeHost(*(*unsafe.Pointer)(unsafe.Pointer(&address))) }, []uint64{address}},
	}
	for _, test := range tests {
		s.checkCall(t, test.name, test.want, test.call)
	}
	if i != 2 || j != -3000+int32(bigDevice) || device != 2 || context != 0xfedcba9876543201 || module != 0xfedcba9876543202 || function != 0xfedcba9876543203 ||
		stream != 0xfedcba9876543204 || event != 0xfedcba9876543205 || u != 5<<32 || v != 6<<32 || ms != 1.5 {
		t.Error(i, j, device, context, module, function, stream, event, u, v, ms)
	}
}

// A device is used from the first question to the last byte that is given back.
func TestContext(t *testing.T) {
	s := loadStub(t)
	all, err := s.Devices()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[1].Name != "Stub B" || all[1].device != 8 || all[1].Memory != 80<<30 || all[1].SharedBytes != 232448 || !all[1].Cooperative {
		t.Fatalf("devices %+v", all)
	}
	chosen, err := s.Choose("1", "sm_90a")
	if err != nil || chosen.Ordinal != 1 {
		t.Fatalf("chosen %v, %v", chosen, err)
	}
	c, err := s.NewContext(chosen, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Do(func() error {
		const n = 100
		host, err := c.AllocHost("numbers", 8*n)
		if err != nil {
			return err
		}
		at, err := c.Alloc("numbers", 8*n)
		if err != nil {
			return err
		}
		m, err := c.LoadModule("test.ptx", "// a comment\n.version 8.0\n.target sm_90a\n")
		if err != nil {
			return err
		}
		if m.Log != "\n  compiled\n  in no time" {
			t.Errorf("log %q", m.Log)
		}
		k, err := m.Kernel("step", 256, 100<<10)
		if err != nil {
			return err
		}
		numbers := unsafe.Slice((*uint64)(unsafe.Pointer(&host[0])), n)
		for i := range numbers {
			numbers[i] = uint64(i)
		}
		s.pending(200) // it takes a while
		for _, step := range []func() error{
			func() error { return c.ToDevice(at, host) },
			func() error { return k.Launch(uint64(at), n, 1000) },
			func() error { clear(numbers); return c.ToHost(host, at) },
			func() error { return c.Wait("testing") },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		for i, x := range numbers {
			if x != uint64(1000+i) {
				t.Fatalf("number %d is %d", i, x)
			}
		}
		p, bytes, err := m.Global("facts")
		if err != nil || bytes != 16 {
			t.Errorf("a variable of %d bytes, %v", bytes, err)
		}
		if err := c.ToHost(host[:16], p); err != nil || numbers[0] != 11 || numbers[1] != 22 {
			t.Errorf("it holds %d, %d; %v", numbers[0], numbers[1], err)
		}
		if _, err := m.Kernel("none", 256, 0); err == nil || !strings.Contains(err.Error(), "the module's entry none: cuModuleGetFunction: CUDA_ERROR_STUB (500)") {
			t.Errorf("an entry that is not there: %v", err)
		}
		return errors.Join(c.FreeHost(host), c.FreeMemory(at), m.Unload())
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// What the compiler in the driver says is in the error.
func TestJITLog(t *testing.T) {
	s := loadStub(t)
	all, err := s.Devices()
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.NewContext(all[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	load := func(text string) error {
		return c.Do(func() error { _, err := c.LoadModule("test.ptx", text); return err })
	}
	const head = ".version 8.0\n.target sm_90a\n"
	for _, test := range []struct{ text, fail, want string }{
		{head + "wrong", "", "compiling test.ptx for the GPU: cuModuleLoadDataEx: CUDA_ERROR_STUB (218): as asked for\n  ptxas application ptx input, line 5; error"},
		{".version 8.5\n.target sm_90a\n", "", "the CUDA driver is too old: it is for CUDA 12.2, and PTX 8.5 needs one for CUDA 12.5\n  fix: install NVIDIA's driver 555 or newer"},
		{".target sm_90a\n.func", "", "test.ptx is no PTX module"},
	} {
		if err := load(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one with %q", test.text, err, test.want)
		}
	}
	for code, want := range map[int32]string{222: "fix: install a newer driver", 221: "libnvidia-ptxjitcompiler", 223: "CUDA_DISABLE_PTX_JIT", 209: "compile the checkpoint for this GPU"} {
		s.fail("cuModuleLoadDataEx", code)
		if err := load(head); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("result %d: error %v, want one with %q", code, err, want)
		}
	}
}

// A library that lacks something is no driver, and one that is not there is named.
func TestLoadRefuses(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "libcuda.so.1")); err == nil || !strings.Contains(err.Error(), "loading NVIDIA's driver: ") || !strings.Contains(err.Error(), "fix: install") {
		t.Errorf("no library: %v", err)
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("NOT TESTED: a library without functions needs a C compiler (cc)")
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, "empty.c"), filepath.Join(dir, "empty.so")
	if err := os.WriteFile(source, []byte("int cuInit(unsigned f) { return (int)f; }\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if log, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	_, err := Load(library)
	if err == nil || !strings.Contains(err.Error(), "lacks cuDriverGetVersion, ") || !strings.Contains(err.Error(), "from before CUDA 11") {
		t.Errorf("an empty library: %v", err)
	}
}

// The table has every version that the code generator emits, in order.
func TestReleases(t *testing.T) {
	for i, r := range releases {
		if i > 0 && (r.cuda <= releases[i-1].cuda || r.branch <= releases[i-1].branch) {
			t.Errorf("%s does not come after %s", r.isa, releases[i-1].isa)
		}
		if CheckVersion(r.cuda, r.isa) != nil || CheckVersion(r.cuda-10, r.isa) == nil {
			t.Errorf("%s: the first driver that reads it", r.isa)
		}
	}
}

// BenchmarkCalls is what a step costs on this side of the driver: the calls that it makes.
func BenchmarkCalls(b *testing.B) {
	s := loadStub(b)
	all, err := s.Devices()
	if err != nil {
		b.Fatal(err)
	}
	c, err := s.NewContext(all[0], 0)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	err = c.Do(func() error {
		m, err := c.LoadModule("test.ptx", ".version 8.0\n.target sm_90a\n")
		if err != nil {
			return err
		}
		k, err := m.Kernel("step", 256, 0)
		if err != nil {
			return err
		}
		host, err := c.AllocHost("test", 64)
		if err != nil {
			return err
		}
		at, err := c.Alloc("test", 64)
		if err != nil {
			return err
		}
		for _, launches := range []int{1, 8} {
			b.Run(fmt.Sprintf("launches=%d", launches), func(b *testing.B) {
				for b.Loop() {
					err := c.ToDevice(at, host)
					for range launches {
						err = errors.Join(err, k.Launch(uint64(at), 1, 1))
					}
					if err := errors.Join(err, c.ToHost(host, at), c.Wait("testing")); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*launches), "ns/launch")
			})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
