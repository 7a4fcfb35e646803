package emu

import (
	"cmp"
	"fmt"
	"slices"
)

// Where memory lies in the generic address space. Global memory has more than 32 bits, so that a truncated address shows; the other spaces are
// windows: their own addresses begin at 0.
const (
	globalBase  = 0x7_0000_0000
	maxGlobal   = 1 << 36
	gap         = 1 << 12 // between two allocations, at least
	windowBytes = 1 << 24
	sharedBase  = 0x7f00_0000_0000
	localBase   = 0x7f00_0100_0000
	constBase   = 0x7f00_0200_0000
)

// allocation is a piece of global memory.
type allocation struct {
	name     string
	base     uint64
	data     []byte
	readOnly bool
	shadow   *shadow
	dirty    []uint64 // a bit for each four bytes that this launch has written, for ld.global.nc
}

// Device is a GPU: global memory, the modules it has loaded, and how strict it is. It is not safe for concurrent use.
type Device struct {
	Seed            uint64 // not 0: warps take turns in an order, and for times, that are drawn from it
	Races           bool   // watch global memory for races too; at most 64 warps in a cooperative launch
	MaxInstructions int64  // of one launch, for a warp each; 0: no limit
	SMs             int    // what %nsmid says; 0: 1
	Unwritten       bool   // shared memory that has not been written may be read: it holds NaNs

	Stats Stats

	allocs  []*allocation // by address
	next    uint64
	modules []*loaded
}

// Stats counts what a device has executed since it was made.
type Stats struct {
	Launches         int64
	WarpInstructions int64
	LaneInstructions int64
}

// loaded is a module on a device.
type loaded struct {
	m       *Module
	globals map[*variable]uint64
	consts  []byte
}

// NewDevice gives a device with empty memory.
func NewDevice() *Device { return &Device{next: globalBase} }

// Alloc gives the address of n bytes of global memory, zeroed and aligned to 256 bytes. Errors of the kernels call it by its name.
func (d *Device) Alloc(name string, n int) uint64 { return d.alloc(name, int64(n), 256).base }

// AllocReadOnly gives memory that kernels cannot write.
func (d *Device) AllocReadOnly(name string, n int) uint64 {
	a := d.alloc(name, int64(n), 256)
	a.readOnly = true
	return a.base
}

func (d *Device) alloc(name string, n, align int64) *allocation {
	base := (d.next + uint64(align) - 1) &^ (uint64(align) - 1)
	a := &allocation{name: name, base: base, data: make([]byte, n)}
	d.next = base + uint64(n) + gap
	d.allocs = append(d.allocs, a)
	return a
}

// Bytes is the memory of the allocation that begins at an address, nil if there is none. It may be read and written between launches.
func (d *Device) Bytes(addr uint64) []byte {
	if a := d.find(addr); a != nil && a.base == addr {
		return a.data
	}
	return nil
}

// Free takes an allocation away; kernels that touch it fail.
func (d *Device) Free(addr uint64) {
	d.allocs = slices.DeleteFunc(d.allocs, func(a *allocation) bool { return a.base == addr })
}

// find gives the last allocation that begins at or before an address.
func (d *Device) find(addr uint64) *allocation {
	i, exact := slices.BinarySearchFunc(d.allocs, addr, func(a *allocation, addr uint64) int { return cmp.Compare(a.base, addr) })
	if exact {
		return d.allocs[i]
	}
	if i == 0 {
		return nil
	}
	return d.allocs[i-1]
}

// describe says what lies at a global address, for errors.
func (d *Device) describe(addr uint64) string {
	a := d.find(addr)
	switch {
	case a == nil:
		return fmt.Sprintf("global address %#x, where nothing is", addr)
	case addr-a.base < uint64(len(a.data)):
		return fmt.Sprintf("global address %#x (%s + %d of %d bytes)", addr, a.name, addr-a.base, len(a.data))
	}
	return fmt.Sprintf("global address %#x, %d bytes behind the end of %s", addr, addr-a.base-uint64(len(a.data)), a.name)
}

// Load places the variables of a module in memory: global ones as allocations of their own, under their names.
func (d *Device) Load(m *Module) error {
	for _, l := range d.modules {
		for _, k := range m.Kernels() {
			if f := l.m.functions[k]; f != nil && f.entry {
				return fmt.Errorf("%s: kernel %q is in %s too, which the device has loaded", m.Name, k, l.m.Name)
			}
		}
	}
	d.modules = append(d.modules, d.place(m))
	return nil
}

// place gives the variables of a module memory.
func (d *Device) place(m *Module) *loaded {
	l := &loaded{m: m, globals: map[*variable]uint64{}, consts: make([]byte, m.constBytes)}
	for _, v := range m.order {
		if v.space == global {
			l.globals[v] = d.alloc(v.name, v.bytes, max(int64(v.align), 16)).base
		}
	}
	address := func(v *variable) uint64 {
		switch v.space {
		case global:
			return l.globals[v]
		case constant:
			return constBase + uint64(v.at)
		}
		return sharedBase + uint64(v.at)
	}
	for v, at := range l.globals {
		v.fill(d.Bytes(at), address)
	}
	for _, v := range m.order {
		if v.space == constant {
			v.fill(l.consts[v.at:], address)
		}
	}
	return l
}

// Symbol gives the address of a .global variable of a loaded module.
func (d *Device) Symbol(name string) (addr uint64, ok bool) {
	for _, l := range d.modules {
		if v := l.m.variables[name]; v != nil && v.space == global {
			return l.globals[v], true
		}
	}
	return 0, false
}
