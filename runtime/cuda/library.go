package cuda

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ebitengine/purego"
)

// EnvLibrary names the variable that says where the driver's library is.
const EnvLibrary = "SSMC_LIBCUDA"

// libraries are where the driver's library is found: by the loader, and where Windows puts it for Linux below it.
var libraries = [...]string{"libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"}

const (
	fixNoDriver = "install NVIDIA's driver (Debian, Ubuntu: apt-get install nvidia-driver); the CUDA toolkit is not needed. In a container: start it with " +
		"--gpus all, where the host has the NVIDIA container toolkit. Without a GPU --device emulator runs small models, slowly"
	fixOldDriver = "install a driver of at least release 520 (CUDA 11.8)"
)

// Load loads the driver's library: that at path, else the one that SSMC_LIBCUDA names, else the system's. It stays loaded.
func Load(path string) (*Driver, error) {
	if path == "" {
		path = os.Getenv(EnvLibrary)
	}
	names := libraries[:]
	if path != "" {
		names = []string{path}
	}
	var errs []error
	for _, name := range names {
		handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err == nil {
			return bindAll(name, handle)
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("loading NVIDIA's driver: %w\n  fix: %s", errors.Join(errs[:1]...), fixNoDriver)
}

// library is a loaded one, and what it lacks.
type library struct {
	handle  uintptr
	missing []string
}

// bind makes a C function callable.
func bind[F any](l *library, to *F, name string) {
	symbol, err := purego.Dlsym(l.handle, name)
	if err != nil {
		l.missing = append(l.missing, name)
		return
	}
	purego.RegisterFunc(to, symbol)
}

// bindAll finds all functions. Where cuda.h defines a name as another, as cuMemAlloc is cuMemAlloc_v2, the other is meant: the plain one has
// 32-bit sizes and device pointers.
func bindAll(name string, handle uintptr) (*Driver, error) {
	d := &Driver{Name: name}
	l := &library{handle: handle}
	bind(l, &d.Init, "cuInit")
	bind(l, &d.DriverGetVersion, "cuDriverGetVersion")
	bind(l, &d.GetErrorName, "cuGetErrorName")
	bind(l, &d.GetErrorString, "cuGetErrorString")
	bind(l, &d.DeviceGetCount, "cuDeviceGetCount")
	bind(l, &d.DeviceGet, "cuDeviceGet")
	bind(l, &d.DeviceGetName, "cuDeviceGetName")
	bind(l, &d.DeviceGetAttribute, "cuDeviceGetAttribute")
	bind(l, &d.DeviceTotalMem, "cuDeviceTotalMem_v2")
	bind(l, &d.DevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain")
	bind(l, &d.DevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2")
	bind(l, &d.CtxSetCurrent, "cuCtxSetCurrent")
	bind(l, &d.ModuleLoadDataEx, "cuModuleLoadDataEx")
	bind(l, &d.ModuleUnload, "cuModuleUnload")
	bind(l, &d.ModuleGetFunction, "cuModuleGetFunction")
	bind(l, &d.ModuleGetGlobal, "cuModuleGetGlobal_v2")
	bind(l, &d.FuncSetAttribute, "cuFuncSetAttribute")
	bind(l, &d.FuncGetAttribute, "cuFuncGetAttribute")
	bind(l, &d.MemGetInfo, "cuMemGetInfo_v2")
	bind(l, &d.MemAlloc, "cuMemAlloc_v2")
	bind(l, &d.MemFree, "cuMemFree_v2")
	bind(l, &d.MemHostAlloc, "cuMemHostAlloc")
	bind(l, &d.MemFreeHost, "cuMemFreeHost")
	bind(l, &d.MemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2")
	bind(l, &d.MemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2")
	bind(l, &d.MemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2")
	bind(l, &d.MemsetD8Async, "cuMemsetD8Async")
	bind(l, &d.StreamCreate, "cuStreamCreate")
	bind(l, &d.StreamDestroy, "cuStreamDestroy_v2")
	bind(l, &d.EventCreate, "cuEventCreate")
	bind(l, &d.EventDestroy, "cuEventDestroy_v2")
	bind(l, &d.EventRecord, "cuEventRecord")
	bind(l, &d.EventQuery, "cuEventQuery")
	bind(l, &d.EventElapsedTime, "cuEventElapsedTime")
	bind(l, &d.OccupancyMaxActiveBlocksPerMultiprocessor, "cuOccupancyMaxActiveBlocksPerMultiprocessor")
	bind(l, &d.LaunchCooperativeKernel, "cuLaunchCooperativeKernel")
	if l.missing != nil {
		return nil, fmt.Errorf("%s lacks %s: it is no CUDA driver, or one from before CUDA 11\n  fix: %s", name, strings.Join(l.missing, ", "), fixOldDriver)
	}
	return d, nil
}
