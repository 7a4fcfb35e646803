package emulator

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// driver is the state behind the table of functions. Handles are numbers, each given once.
type driver struct {
	mu        sync.Mutex
	gpus      []*gpu
	current   map[int]cuda.CUcontext // by thread
	modules   map[cuda.CUmodule]*module
	functions map[cuda.CUfunction]*function
	streams   map[cuda.CUstream]*stream
	events    map[cuda.CUevent]*event
	pinned    map[unsafe.Pointer][]byte
	last      uintptr
	fault     string
	failed    cuda.Result // of what was queued: every later call gives it
}

type module struct {
	g      *gpu
	m      *emu.Module
	placed *emu.Placed
}

type function struct {
	*module
	name   string
	shared int32 // dynamic, at most
	params int
}

// New gives a driver that has these devices; without any, it has one.
func New(devices ...Device) *cuda.Driver {
	if len(devices) == 0 {
		devices = []Device{{}}
	}
	d := &driver{current: make(map[int]cuda.CUcontext), modules: make(map[cuda.CUmodule]*module), functions: make(map[cuda.CUfunction]*function),
		streams: make(map[cuda.CUstream]*stream), events: make(map[cuda.CUevent]*event), pinned: make(map[unsafe.Pointer][]byte)}
	for _, x := range devices {
		d.gpus = append(d.gpus, newGPU(x))
	}
	t := &cuda.Driver{Name: "the emulator", Fault: func() string { return d.fault }}
	d.general(t)
	d.memory(t)
	d.code(t)
	return t
}

// handle makes a number that was not there before.
func (d *driver) handle() uintptr {
	d.last++
	return d.last
}

// here gives the device whose context is current on this thread, with the driver locked; nil if there is none.
func (d *driver) here() *gpu {
	i := int(d.current[unix.Gettid()]) - 1
	if i < 0 || d.gpus[i].contexts == 0 {
		return nil
	}
	return d.gpus[i]
}

// do runs a call that needs a context.
func (d *driver) do(call func(g *gpu) cuda.Result) cuda.Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.here()
	switch {
	case g == nil:
		return cuda.ErrInvalidContext
	case d.failed != cuda.Success:
		return d.failed
	}
	return call(g)
}

// of runs a call about a device.
func (d *driver) of(device cuda.CUdevice, call func(g *gpu) cuda.Result) cuda.Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	if device < 0 || int(device) >= len(d.gpus) {
		return cuda.ErrInvalidDevice
	}
	return call(d.gpus[device])
}

// texts are the errors that the emulator gives.
var texts = map[cuda.Result][2]string{
	cuda.ErrInvalidValue:           {"CUDA_ERROR_INVALID_VALUE", "invalid argument"},
	cuda.ErrOutOfMemory:            {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
	cuda.ErrInvalidDevice:          {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
	cuda.ErrInvalidContext:         {"CUDA_ERROR_INVALID_CONTEXT", "the context is not current on this thread"},
	cuda.ErrInvalidPTX:             {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
	cuda.ErrNoBinaryForGPU:         {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
	cuda.ErrInvalidHandle:          {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
	cuda.ErrNotFound:               {"CUDA_ERROR_NOT_FOUND", "named symbol not found"},
	cuda.ErrNotReady:               {"CUDA_ERROR_NOT_READY", "device not ready"},
	cuda.ErrLaunchFailed:           {"CUDA_ERROR_LAUNCH_FAILED", "the launch failed"},
	cuda.ErrCooperativeLaunchLarge: {"CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
	cuda.ErrLaunchOutOfResources:   {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
}

func text(r cuda.Result, which int, to **byte) cuda.Result {
	names, ok := texts[r]
	if !ok {
		return cuda.ErrInvalidValue
	}
	b := append([]byte(names[which]), 0)
	*to = &b[0]
	return cuda.Success
}

// general is the driver, its devices and contexts.
func (d *driver) general(t *cuda.Driver) {
	t.Init = func(uint32) cuda.Result { return cuda.Success }
	t.DriverGetVersion = func(v *int32) cuda.Result { *v = version; return cuda.Success }
	t.GetErrorName = func(r cuda.Result, to **byte) cuda.Result { return text(r, 0, to) }
	t.GetErrorString = func(r cuda.Result, to **byte) cuda.Result { return text(r, 1, to) }
	t.DeviceGetCount = func(n *int32) cuda.Result { *n = int32(len(d.gpus)); return cuda.Success }
	t.DeviceGet = func(to *cuda.CUdevice, ordinal int32) cuda.Result {
		return d.of(cuda.CUdevice(ordinal), func(*gpu) cuda.Result { *to = cuda.CUdevice(ordinal); return cuda.Success })
	}
	t.DeviceGetName = func(name *byte, size int32, device cuda.CUdevice) cuda.Result {
		return d.of(device, func(g *gpu) cuda.Result {
			b := unsafe.Slice(name, size)
			b[copy(b[:size-1], g.Name)] = 0
			return cuda.Success
		})
	}
	t.DeviceGetAttribute = func(to *int32, a cuda.Attribute, device cuda.CUdevice) cuda.Result {
		return d.of(device, func(g *gpu) (r cuda.Result) {
			v, ok := g.attribute(a)
			if !ok {
				return cuda.ErrInvalidValue
			}
			*to = v
			return cuda.Success
		})
	}
	t.DeviceTotalMem = func(n *uint64, device cuda.CUdevice) cuda.Result {
		return d.of(device, func(g *gpu) cuda.Result { *n = uint64(g.Memory); return cuda.Success })
	}
	t.DevicePrimaryCtxRetain = func(c *cuda.CUcontext, device cuda.CUdevice) cuda.Result {
		return d.of(device, func(g *gpu) cuda.Result {
			g.contexts++
			*c = cuda.CUcontext(device) + 1
			return cuda.Success
		})
	}
	t.DevicePrimaryCtxRelease = func(device cuda.CUdevice) cuda.Result {
		return d.of(device, func(g *gpu) cuda.Result {
			if g.contexts == 0 {
				return cuda.ErrInvalidContext
			}
			g.contexts--
			return cuda.Success
		})
	}
	t.CtxSetCurrent = func(c cuda.CUcontext) cuda.Result {
		d.mu.Lock()
		defer d.mu.Unlock()
		if int(c) > len(d.gpus) || c > 0 && d.gpus[c-1].contexts == 0 {
			return cuda.ErrInvalidContext
		}
		d.current[unix.Gettid()] = c
		return cuda.Success
	}
}
