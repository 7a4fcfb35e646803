package cuda

import (
	"fmt"
	goruntime "runtime"
	"strings"
	"unsafe"
)

// Module is a PTX text that the driver has compiled for the device.
type Module struct {
	c      *Context
	handle CUmodule
	Log    string // what the compiler said
}

// logBytes is how much of the compiler's log is kept. Its first lines are those that count.
const logBytes = 16 << 10

// LoadModule compiles a PTX text. name is for errors. The driver keeps what it has compiled in a cache of its own, so that this is slow only once.
func (c *Context) LoadModule(name, text string) (*Module, error) {
	header, err := ReadHeader(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	version := int32(0)
	if err := c.check("cuDriverGetVersion", c.d.DriverGetVersion(&version)); err != nil {
		return nil, err
	}
	if err := CheckVersion(version, header.Version); err != nil {
		return nil, fmt.Errorf("loading %s: %w", name, err)
	}
	m := &Module{c: c}
	info, problems := make([]byte, logBytes), make([]byte, logBytes)
	options := []JITOption{JITInfoLog, JITInfoLogBytes, JITErrorLog, JITErrorLogBytes}
	values := []uintptr{address(info), logBytes, address(problems), logBytes}
	r := c.d.ModuleLoadDataEx(&m.handle, cString(text), uint32(len(options)), &options[0], &values[0])
	goruntime.KeepAlive(info)
	goruntime.KeepAlive(problems)
	if err := c.check("cuModuleLoadDataEx", r); err != nil {
		return nil, jitError(name, err, r, logText(problems)+logText(info))
	}
	m.Log = logText(info)
	return m, nil
}

// address is where bytes lie, for the driver to write to. They are on Go's heap, which does not move.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// logText is the text in a log's buffer, indented.
func logText(b []byte) string {
	b[len(b)-1] = 0
	text := strings.TrimSpace(goString(&b[0]))
	if text == "" {
		return ""
	}
	return "\n  " + strings.ReplaceAll(text, "\n", "\n  ")
}

// jitError is a module that was refused.
func jitError(name string, err error, r Result, log string) error {
	fix := ""
	switch r {
	case ErrUnsupportedPTXVersion:
		fix = "\n  fix: install a newer driver"
	case ErrJITCompilerNotFound:
		fix = "\n  fix: install libnvidia-ptxjitcompiler of the driver's release"
	case ErrJITDisabled:
		fix = "\n  fix: unset CUDA_DISABLE_PTX_JIT"
	case ErrNoBinaryForGPU:
		fix = "\n  fix: compile the checkpoint for this GPU"
	}
	return fmt.Errorf("compiling %s for the GPU: %w%s%s", name, err, log, fix)
}

// Unload takes the module away.
func (m *Module) Unload() error {
	if m == nil {
		return nil
	}
	return m.c.check("cuModuleUnload", m.c.d.ModuleUnload(m.handle))
}

// Global finds a variable of the module.
func (m *Module) Global(name string) (p CUdeviceptr, bytes int64, err error) {
	n := uint64(0)
	if err := m.c.check("cuModuleGetGlobal", m.c.d.ModuleGetGlobal(&p, &n, m.handle, cString(name))); err != nil {
		return 0, 0, fmt.Errorf("the module's variable %s: %w", name, err)
	}
	return p, int64(n), nil
}

// Kernel is an entry of a module with a shape for its launches.
type Kernel struct {
	c               *Context
	f               CUfunction
	name            string
	Blocks, Threads uint32
	Shared          uint32 // bytes, dynamic
}

// freeShared is how much dynamic shared memory a kernel gets without being asked.
const freeShared = 48 << 10

// Kernel finds an entry and lets it have as many threads and as much shared memory. Its launches have a block a multiprocessor.
func (m *Module) Kernel(name string, threads, shared int64) (*Kernel, error) {
	c := m.c
	k := &Kernel{c: c, name: name, Blocks: uint32(c.Multiprocessors), Threads: uint32(threads), Shared: uint32(shared)}
	if err := c.check("cuModuleGetFunction", c.d.ModuleGetFunction(&k.f, m.handle, cString(name))); err != nil {
		return nil, fmt.Errorf("the module's entry %s: %w", name, err)
	}
	if shared > int64(c.SharedBytes) {
		return nil, fmt.Errorf("%s needs %d bytes of shared memory, a block of %s can have %d", name, shared, c.Info, c.SharedBytes)
	}
	if shared > freeShared {
		if err := c.check("cuFuncSetAttribute", c.d.FuncSetAttribute(k.f, FuncAttributeSharedBytes, int32(shared))); err != nil {
			return nil, fmt.Errorf("%d bytes of shared memory for %s: %w", shared, name, err)
		}
	}
	resident := int32(0)
	err := c.check("cuOccupancyMaxActiveBlocksPerMultiprocessor", c.d.OccupancyMaxActiveBlocksPerMultiprocessor(&resident, k.f, int32(threads), uint64(shared)))
	if err == nil && resident < 1 {
		err = fmt.Errorf("a multiprocessor of %s cannot hold a block of %d threads with %d bytes of shared memory", c.Info, threads, shared)
	}
	return k, err
}

// Launch queues a launch of all blocks at the same time. Each argument is an integer of 64 bits or an address.
func (k *Kernel) Launch(args ...uint64) error {
	params := make([]unsafe.Pointer, len(args)+1) // never empty
	for i := range args {
		params[i] = unsafe.Pointer(&args[i])
	}
	err := k.c.check("cuLaunchCooperativeKernel", k.c.d.LaunchCooperativeKernel(k.f, k.Blocks, 1, 1, k.Threads, 1, 1, k.Shared, k.c.stream, &params[0]))
	if err != nil {
		return fmt.Errorf("launching %s with %d blocks of %d threads and %d bytes of shared memory: %w", k.name, k.Blocks, k.Threads, k.Shared, err)
	}
	return nil
}
