package emulator

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// Device says what an emulated GPU is like. The zero values are those of a small one that has what a step needs.
type Device struct {
	Name            string
	Target          string // what its capability is that of: "sm_80", the default, or "sm_90a"
	Multiprocessors int32  // 0: 2
	Memory          int64  // bytes; 0: 4 GiB. It is taken from the process only as it is reserved
	Used            int64  // of these, what others have
	NotCooperative  bool   // it has no cooperative launch
}

const (
	defaultTarget          = "sm_80"
	defaultMultiprocessors = 2
	defaultMemory          = 4 << 30
	l2Bytes                = 64 << 10 // little, so that what is made some times as large stays small
	clockKHz               = 1000
	version                = 13000 // the driver's, of CUDA
	hostAlign              = 256
)

// sharedBytes is how much shared memory a block can have, by compute capability.
var sharedBytes = map[int]int32{80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10}

// gpu is a device with its memory.
type gpu struct {
	Device
	capability int // 80
	memory     *emu.Device
	reserved   map[cuda.CUdeviceptr]int64
	used       int64
	contexts   int // how often its primary context is retained
}

func newGPU(d Device) *gpu {
	if d.Target == "" {
		d.Target = defaultTarget
	}
	if d.Multiprocessors == 0 {
		d.Multiprocessors = defaultMultiprocessors
	}
	if d.Memory == 0 {
		d.Memory = defaultMemory
	}
	if d.Name == "" {
		d.Name = "emulator of " + d.Target
	}
	g := &gpu{Device: d, memory: emu.NewDevice(), reserved: make(map[cuda.CUdeviceptr]int64), used: d.Used}
	g.capability, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(d.Target, "sm_"), "a")) // 0 of a target that does not exist: it runs nothing
	g.memory.SMs = int(d.Multiprocessors)
	g.memory.Unwritten = true // scratch holds nothing at first, but lanes that do not count may read it
	return g
}

// attribute answers a question about the device.
func (g *gpu) attribute(a cuda.Attribute) (int32, bool) {
	switch a {
	case cuda.AttributeMajor:
		return int32(g.capability / 10), true
	case cuda.AttributeMinor:
		return int32(g.capability % 10), true
	case cuda.AttributeMultiprocessors:
		return g.Multiprocessors, true
	case cuda.AttributeCooperative:
		if g.NotCooperative {
			return 0, true
		}
		return 1, true
	case cuda.AttributeSharedBytes:
		return sharedBytes[g.capability], true
	case cuda.AttributeL2CacheSize:
		return l2Bytes, true
	case cuda.AttributeClockRate:
		return clockKHz, true
	}
	return 0, false
}

// reserve is cuMemAlloc. What lies in fresh memory is no number that anybody could take for one.
func (g *gpu) reserve(n uint64) (cuda.CUdeviceptr, cuda.Result) {
	switch {
	case n == 0:
		return 0, cuda.ErrInvalidValue
	case n > uint64(g.Memory-g.used):
		return 0, cuda.ErrOutOfMemory
	}
	p := g.memory.Alloc(fmt.Sprintf("memory of %d bytes", n), int(n))
	b := g.memory.Bytes(p)
	for i := range b {
		b[i] = 0xa5
	}
	g.reserved[cuda.CUdeviceptr(p)] = int64(n)
	g.used += int64(n)
	return cuda.CUdeviceptr(p), cuda.Success
}

// release is cuMemFree.
func (g *gpu) release(p cuda.CUdeviceptr) cuda.Result {
	n, ok := g.reserved[p]
	if !ok {
		return cuda.ErrInvalidValue
	}
	g.memory.Free(uint64(p))
	delete(g.reserved, p)
	g.used -= n
	return cuda.Success
}
