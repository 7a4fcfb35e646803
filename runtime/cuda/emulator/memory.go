package emulator

import (
	"unsafe"

	"github.com/ssmc/ssmc/runtime/cuda"
)

// memory is the memory of devices and host, copies, streams and events.
func (d *driver) memory(t *cuda.Driver) {
	t.MemGetInfo = func(free, total *uint64) cuda.Result {
		return d.do(func(g *gpu) cuda.Result {
			*free, *total = uint64(g.Memory-g.used), uint64(g.Memory)
			return cuda.Success
		})
	}
	t.MemAlloc = func(p *cuda.CUdeviceptr, n uint64) cuda.Result {
		return d.do(func(g *gpu) (r cuda.Result) { *p, r = g.reserve(n); return r })
	}
	t.MemFree = func(p cuda.CUdeviceptr) cuda.Result {
		return d.do(func(g *gpu) cuda.Result { return d.finish(func() cuda.Result { return g.release(p) }) })
	}
	t.MemHostAlloc = func(p *unsafe.Pointer, n uint64, _ uint32) cuda.Result {
		return d.do(func(*gpu) cuda.Result {
			if n == 0 {
				return cuda.ErrInvalidValue
			}
			b := make([]uint64, (n+hostAlign)/8+1) // of words, for their alignment
			*p = unsafe.Pointer(&b[0])
			d.pinned[*p] = unsafe.Slice((*byte)(*p), n)
			return cuda.Success
		})
	}
	t.MemFreeHost = func(p unsafe.Pointer) cuda.Result {
		return d.do(func(*gpu) cuda.Result {
			if d.pinned[p] == nil {
				return cuda.ErrInvalidValue
			}
			return d.finish(func() cuda.Result { delete(d.pinned, p); return cuda.Success })
		})
	}
	d.copies(t)
	d.queues(t)
}

// pinnedBytes are n bytes of pinned memory: what lies elsewhere is refused, since a driver would wait for its copies.
func (d *driver) pinnedBytes(p unsafe.Pointer, n uint64) []byte {
	for base, b := range d.pinned {
		if off := uintptr(p) - uintptr(base); uintptr(p) >= uintptr(base) && off <= uintptr(len(b)) && n <= uint64(len(b))-uint64(off) {
			return b[off:][:n]
		}
	}
	return nil
}

func (d *driver) copies(t *cuda.Driver) {
	// between queues a copy where both places are right.
	between := func(s cuda.CUstream, to, from []byte) cuda.Result {
		if to == nil || from == nil {
			return cuda.ErrInvalidValue
		}
		return d.enqueue(s, func() cuda.Result { copy(to, from); return cuda.Success })
	}
	t.MemcpyHtoDAsync = func(to cuda.CUdeviceptr, from unsafe.Pointer, n uint64, s cuda.CUstream) cuda.Result {
		return d.do(func(g *gpu) cuda.Result {
			return between(s, g.memory.Memory(uint64(to), int(n)), d.pinnedBytes(from, n))
		})
	}
	t.MemcpyDtoHAsync = func(to unsafe.Pointer, from cuda.CUdeviceptr, n uint64, s cuda.CUstream) cuda.Result {
		return d.do(func(g *gpu) cuda.Result {
			return between(s, d.pinnedBytes(to, n), g.memory.Memory(uint64(from), int(n)))
		})
	}
	t.MemcpyDtoDAsync = func(to, from cuda.CUdeviceptr, n uint64, s cuda.CUstream) cuda.Result {
		return d.do(func(g *gpu) cuda.Result {
			return between(s, g.memory.Memory(uint64(to), int(n)), g.memory.Memory(uint64(from), int(n)))
		})
	}
	t.MemsetD8Async = func(p cuda.CUdeviceptr, value uint8, n uint64, s cuda.CUstream) cuda.Result {
		return d.do(func(g *gpu) cuda.Result {
			b := g.memory.Memory(uint64(p), int(n))
			if b == nil {
				return cuda.ErrInvalidValue
			}
			return d.enqueue(s, func() cuda.Result {
				for i := range b {
					b[i] = value
				}
				return cuda.Success
			})
		})
	}
}
