package emu

import "slices"

// Memory is n bytes of one allocation, from an address anywhere in it on; nil if they are not all in one.
func (d *Device) Memory(addr uint64, n int) []byte {
	a := d.find(addr)
	if a == nil || n < 0 || addr-a.base > uint64(len(a.data)) || uint64(n) > uint64(len(a.data))-(addr-a.base) {
		return nil
	}
	return a.data[addr-a.base:][:n:n]
}

// Placed is a module on a device apart from those that Load has put there: several may have kernels and variables of the same names.
type Placed struct {
	d  *Device
	on *loaded
}

// Place puts a module on the device.
func (d *Device) Place(m *Module) *Placed { return &Placed{d, d.place(m)} }

// Symbol gives the address and the bytes of a .global variable of the module.
func (p *Placed) Symbol(name string) (addr uint64, bytes int64, ok bool) {
	v := p.on.m.variables[name]
	if v == nil || v.space != global {
		return 0, 0, false
	}
	return p.on.globals[v], v.bytes, true
}

// LaunchCooperative is Device.LaunchCooperative of a kernel of this module.
func (p *Placed) LaunchCooperative(kernel string, grid, threads [3]int, sharedBytes int, params ...Arg) error {
	return p.d.launchCooperative([]*loaded{p.on}, kernel, grid, threads, sharedBytes, params)
}

// Remove takes the module and its variables away.
func (p *Placed) Remove() {
	p.d.allocs = slices.DeleteFunc(p.d.allocs, func(a *allocation) bool {
		for _, at := range p.on.globals {
			if at == a.base {
				return true
			}
		}
		return false
	})
}

// Params gives the bytes of each of a kernel's parameters; ok is false if the module has no such kernel.
func (m *Module) Params(kernel string) (bytes []int64, ok bool) {
	f := m.functions[kernel]
	if f == nil || !f.entry || !f.defined {
		return nil, false
	}
	for _, p := range f.params {
		bytes = append(bytes, p.variable.bytes)
	}
	return bytes, true
}

// MostThreads is how many threads a block of a kernel may have at most.
func (m *Module) MostThreads(kernel string) int {
	f := m.functions[kernel]
	if f == nil || f.maxBlock[0] == 0 {
		return 1024
	}
	return f.maxBlock[0] * f.maxBlock[1] * f.maxBlock[2]
}
