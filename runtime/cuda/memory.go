package cuda

import (
	"fmt"
	"unsafe"
)

// Free is how many bytes of the device's memory nobody has.
func (c *Context) Free() (int64, error) {
	var free, total uint64
	err := c.check("cuMemGetInfo", c.d.MemGetInfo(&free, &total))
	return int64(free), err
}

// Alloc gives n bytes of device memory, aligned to 256 bytes; none for n = 0. What lies there is undefined.
func (c *Context) Alloc(what string, n int64) (p CUdeviceptr, err error) {
	if n == 0 {
		return 0, nil
	}
	if err := c.check("cuMemAlloc", c.d.MemAlloc(&p, uint64(n))); err != nil {
		return 0, fmt.Errorf("reserving %d bytes of %s for %s: %w", n, c.Name, what, err)
	}
	return p, nil
}

// FreeMemory gives memory back. It waits for the device, so it is for one that is not lost.
func (c *Context) FreeMemory(p CUdeviceptr) error {
	if p == 0 {
		return nil
	}
	return c.check("cuMemFree", c.d.MemFree(p))
}

// AllocHost gives n bytes, zeroed, of this machine's memory that the device reads and writes by itself: copies to and from it are queued, those of other memory
// would be waited for inside of the driver.
func (c *Context) AllocHost(what string, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	var p unsafe.Pointer
	if err := c.check("cuMemHostAlloc", c.d.MemHostAlloc(&p, uint64(n), 0)); err != nil {
		return nil, fmt.Errorf("reserving %d bytes of pinned memory for %s: %w\n  fix: allow the process to lock more memory (ulimit -l), or free some", n, what, err)
	}
	b := unsafe.Slice((*byte)(p), n)
	clear(b)
	return b, nil
}

// FreeHost gives what AllocHost gave back.
func (c *Context) FreeHost(b []byte) error {
	if b == nil {
		return nil
	}
	return c.check("cuMemFreeHost", c.d.MemFreeHost(unsafe.Pointer(unsafe.SliceData(b))))
}

// ToDevice queues a copy from pinned memory.
func (c *Context) ToDevice(to CUdeviceptr, from []byte) error {
	return c.check("cuMemcpyHtoDAsync", c.d.MemcpyHtoDAsync(to, unsafe.Pointer(unsafe.SliceData(from)), uint64(len(from)), c.stream))
}

// ToHost queues a copy to pinned memory.
func (c *Context) ToHost(to []byte, from CUdeviceptr) error {
	return c.check("cuMemcpyDtoHAsync", c.d.MemcpyDtoHAsync(unsafe.Pointer(unsafe.SliceData(to)), from, uint64(len(to)), c.stream))
}

// Copy queues a copy within the device.
func (c *Context) Copy(to, from CUdeviceptr, n int64) error {
	return c.check("cuMemcpyDtoDAsync", c.d.MemcpyDtoDAsync(to, from, uint64(n), c.stream))
}

// Zero queues the zeroing of device memory.
func (c *Context) Zero(p CUdeviceptr, n int64) error { return c.Fill(p, 0, n) }

// Fill queues the filling of device memory with one byte.
func (c *Context) Fill(p CUdeviceptr, value byte, n int64) error {
	if n == 0 {
		return nil
	}
	return c.check("cuMemsetD8Async", c.d.MemsetD8Async(p, value, uint64(n), c.stream))
}
