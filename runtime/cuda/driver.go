package cuda

import "unsafe"

// Types of the driver API under their C names. A device pointer has 64 bits on every host, a device is an int, and the others are pointers to what
// only the driver knows.
type (
	CUdeviceptr uint64
	CUdevice    int32
	CUcontext   uintptr
	CUmodule    uintptr
	CUfunction  uintptr
	CUstream    uintptr
	CUevent     uintptr
)

// Driver is a driver: its functions without the "cu" that their names begin with. Those whose ABI changed have the suffix _v2 in the library; here
// they are what cuda.h calls by the plain name.
type Driver struct {
	Name string // where the functions come from
	// Fault, which may be nil, says more about the launch that failed last than its Result does.
	Fault func() string

	Init             func(flags uint32) Result
	DriverGetVersion func(version *int32) Result
	GetErrorName     func(r Result, text **byte) Result
	GetErrorString   func(r Result, text **byte) Result

	DeviceGetCount          func(n *int32) Result
	DeviceGet               func(d *CUdevice, ordinal int32) Result
	DeviceGetName           func(name *byte, size int32, d CUdevice) Result
	DeviceGetAttribute      func(value *int32, a Attribute, d CUdevice) Result
	DeviceTotalMem          func(bytes *uint64, d CUdevice) Result
	DevicePrimaryCtxRetain  func(c *CUcontext, d CUdevice) Result
	DevicePrimaryCtxRelease func(d CUdevice) Result
	CtxSetCurrent           func(c CUcontext) Result

	ModuleLoadDataEx  func(m *CUmodule, image *byte, n uint32, options *JITOption, values *uintptr) Result
	ModuleUnload      func(m CUmodule) Result
	ModuleGetFunction func(f *CUfunction, m CUmodule, name *byte) Result
	ModuleGetGlobal   func(p *CUdeviceptr, bytes *uint64, m CUmodule, name *byte) Result
	FuncSetAttribute  func(f CUfunction, a FuncAttribute, value int32) Result
	FuncGetAttribute  func(value *int32, a FuncAttribute, f CUfunction) Result

	MemGetInfo      func(free, total *uint64) Result
	MemAlloc        func(p *CUdeviceptr, bytes uint64) Result
	MemFree         func(p CUdeviceptr) Result
	MemHostAlloc    func(p *unsafe.Pointer, bytes uint64, flags uint32) Result
	MemFreeHost     func(p unsafe.Pointer) Result
	MemcpyHtoDAsync func(to CUdeviceptr, from unsafe.Pointer, bytes uint64, s CUstream) Result
	MemcpyDtoHAsync func(to unsafe.Pointer, from CUdeviceptr, bytes uint64, s CUstream) Result
	MemcpyDtoDAsync func(to, from CUdeviceptr, bytes uint64, s CUstream) Result
	MemsetD8Async   func(p CUdeviceptr, value uint8, bytes uint64, s CUstream) Result

	StreamCreate     func(s *CUstream, flags uint32) Result
	StreamDestroy    func(s CUstream) Result
	EventCreate      func(e *CUevent, flags uint32) Result
	EventDestroy     func(e CUevent) Result
	EventRecord      func(e CUevent, s CUstream) Result
	EventQuery       func(e CUevent) Result
	EventElapsedTime func(ms *float32, start, end CUevent) Result

	OccupancyMaxActiveBlocksPerMultiprocessor func(blocks *int32, f CUfunction, threads int32, shared uint64) Result
	LaunchCooperativeKernel                   func(f CUfunction, gridX, gridY, gridZ, blockX, blockY, blockZ, shared uint32, s CUstream, params *unsafe.Pointer) Result
}

// Attribute is a question about a device, FuncAttribute one about a function.
type (
	Attribute     int32
	FuncAttribute int32
)

// Attributes that are asked for.
const (
	AttributeClockRate       Attribute = 13 // kHz
	AttributeMultiprocessors Attribute = 16
	AttributeL2CacheSize     Attribute = 38
	AttributeMajor           Attribute = 75
	AttributeMinor           Attribute = 76
	AttributeCooperative     Attribute = 95
	AttributeSharedBytes     Attribute = 97 // of a block that asks for more than 48 KiB

	FuncAttributeRegisters   FuncAttribute = 4
	FuncAttributeSharedBytes FuncAttribute = 8 // dynamic, at most
)

// JITOption is an option of ModuleLoadDataEx.
type JITOption int32

const (
	JITInfoLog       JITOption = 3
	JITInfoLogBytes  JITOption = 4
	JITErrorLog      JITOption = 5
	JITErrorLogBytes JITOption = 6
)

// Flags of streams and events.
const (
	StreamNonBlocking uint32 = 1 // of the default stream, which others in the process may use
	EventNoTime       uint32 = 2 // cheaper: it does not take the time
)

// cString is a text that ends in a zero, as C wants it. Go's collector does not move it.
func cString(s string) *byte {
	b := make([]byte, len(s)+1)
	copy(b, s)
	return &b[0]
}

// goString is a copy of a C string.
func goString(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}
