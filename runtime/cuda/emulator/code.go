package emulator

import (
	"unsafe"

	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// code is modules and launches.
func (d *driver) code(t *cuda.Driver) {
	t.ModuleLoadDataEx = func(m *cuda.CUmodule, image *byte, n uint32, options *cuda.JITOption, values *uintptr) cuda.Result {
		return d.do(func(g *gpu) cuda.Result {
			return d.load(g, m, cText(image), unsafe.Slice(options, n), unsafe.Slice(values, n))
		})
	}
	t.ModuleUnload = func(m cuda.CUmodule) cuda.Result {
		return d.with(m, func(x *module) cuda.Result {
			return d.finish(func() cuda.Result {
				x.placed.Remove()
				delete(d.modules, m)
				for f, of := range d.functions {
					if of.module == x {
						delete(d.functions, f)
					}
				}
				return cuda.Success
			})
		})
	}
	t.ModuleGetFunction = func(f *cuda.CUfunction, m cuda.CUmodule, name *byte) cuda.Result {
		return d.with(m, func(x *module) cuda.Result {
			params, ok := x.m.Params(cText(name))
			if !ok {
				return cuda.ErrNotFound
			}
			for _, bytes := range params {
				if bytes != 8 { // others are not needed
					return cuda.ErrInvalidValue
				}
			}
			*f = cuda.CUfunction(d.handle())
			d.functions[*f] = &function{module: x, name: cText(name), shared: 48 << 10, params: len(params)}
			return cuda.Success
		})
	}
	t.ModuleGetGlobal = func(p *cuda.CUdeviceptr, bytes *uint64, m cuda.CUmodule, name *byte) cuda.Result {
		return d.with(m, func(x *module) cuda.Result {
			at, n, ok := x.placed.Symbol(cText(name))
			if !ok {
				return cuda.ErrNotFound
			}
			*p, *bytes = cuda.CUdeviceptr(at), uint64(n)
			return cuda.Success
		})
	}
	d.launches(t)
}

// with runs a call about a module that there is.
func (d *driver) with(m cuda.CUmodule, call func(x *module) cuda.Result) cuda.Result {
	return d.do(func(*gpu) cuda.Result {
		x := d.modules[m]
		if x == nil {
			return cuda.ErrInvalidHandle
		}
		return call(x)
	})
}

// load is cuModuleLoadDataEx: what the parser has to say goes into the log of errors.
func (d *driver) load(g *gpu, to *cuda.CUmodule, text string, options []cuda.JITOption, values []uintptr) cuda.Result {
	m, err := emu.Parse("module", text)
	if err != nil {
		var log []byte
		for i, o := range options {
			if o == cuda.JITErrorLog && i+1 < len(options) && options[i+1] == cuda.JITErrorLogBytes {
				log = unsafe.Slice((*byte)(pointer(values[i])), values[i+1])
			}
		}
		if len(log) > 0 {
			log[copy(log[:len(log)-1], err.Error())] = 0
		}
		return cuda.ErrInvalidPTX
	}
	if (cuda.Info{Major: int32(g.capability / 10), Minor: int32(g.capability % 10), Cooperative: true}).Runs(m.Target) != nil {
		return cuda.ErrNoBinaryForGPU
	}
	*to = cuda.CUmodule(d.handle())
	d.modules[*to] = &module{g: g, m: m, placed: g.memory.Place(m)}
	return cuda.Success
}

func (d *driver) launches(t *cuda.Driver) {
	of := func(f cuda.CUfunction, call func(g *gpu, x *function) cuda.Result) cuda.Result {
		return d.do(func(g *gpu) cuda.Result {
			x := d.functions[f]
			if x == nil || x.g != g {
				return cuda.ErrInvalidHandle
			}
			return call(g, x)
		})
	}
	t.FuncSetAttribute = func(f cuda.CUfunction, a cuda.FuncAttribute, value int32) cuda.Result {
		return of(f, func(g *gpu, x *function) cuda.Result {
			if a != cuda.FuncAttributeSharedBytes || value < 0 || value > sharedBytes[g.capability] {
				return cuda.ErrInvalidValue
			}
			x.shared = value
			return cuda.Success
		})
	}
	t.FuncGetAttribute = func(value *int32, a cuda.FuncAttribute, f cuda.CUfunction) cuda.Result {
		return of(f, func(g *gpu, x *function) cuda.Result {
			switch a {
			case cuda.FuncAttributeSharedBytes:
				*value = x.shared
			case cuda.FuncAttributeRegisters: // it does not allocate them
				*value = 255
			default:
				return cuda.ErrInvalidValue
			}
			return cuda.Success
		})
	}
	t.OccupancyMaxActiveBlocksPerMultiprocessor = func(n *int32, f cuda.CUfunction, threads int32, shared uint64) cuda.Result {
		return of(f, func(g *gpu, x *function) cuda.Result {
			*n = 0
			if threads > 0 && int(threads) <= x.m.MostThreads(x.name) && shared <= uint64(x.shared) {
				*n = 1
			}
			return cuda.Success
		})
	}
	t.LaunchCooperativeKernel = func(f cuda.CUfunction, gridX, gridY, gridZ, blockX, blockY, blockZ, shared uint32, s cuda.CUstream, params *unsafe.Pointer) cuda.Result {
		return of(f, func(g *gpu, x *function) cuda.Result {
			grid, block := [3]int{int(gridX), int(gridY), int(gridZ)}, [3]int{int(blockX), int(blockY), int(blockZ)}
			switch {
			case g.NotCooperative || uint64(gridX)*uint64(gridY)*uint64(gridZ) > uint64(g.Multiprocessors):
				return cuda.ErrCooperativeLaunchLarge
			case int64(shared) > int64(x.shared):
				return cuda.ErrInvalidValue
			}
			var args []emu.Arg
			for _, p := range unsafe.Slice(params, x.params) {
				args = append(args, emu.U64(*(*uint64)(p)))
			}
			return d.enqueue(s, func() cuda.Result {
				if err := x.placed.LaunchCooperative(x.name, grid, block, int(shared), args...); err != nil {
					d.fault = err.Error()
					return cuda.ErrLaunchFailed
				}
				return cuda.Success
			})
		})
	}
}

// cText is a copy of a C string.
func cText(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// pointer turns an address that came as a number into a pointer; the detour is for vet.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }
