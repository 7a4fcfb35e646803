package emulator

import (
	"errors"
	goruntime "runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/ssmc/ssmc/runtime/cuda"
)

const double = `.version 7.8
.target sm_80
.address_size 64
.visible .global .align 8 .b64 facts[2] = { 3, 5 };
.visible .entry double (.param .u64 at)
.maxntid 64, 1, 1
{
	.reg .b32 %r<4>;
	.reg .b64 %d<4>;
	ld.param.u64 %d1, [at];
	mov.u32 %r1, %tid.x;
	mul.wide.u32 %d2, %r1, 4;
	add.s64 %d1, %d1, %d2;
	ld.global.b32 %r2, [%d1];
	add.s32 %r2, %r2, %r2;
	st.global.b32 [%d1], %r2;
	ret;
}
`

func context(t *testing.T, d *cuda.Driver) *cuda.Context {
	t.Helper()
	all, err := d.Devices()
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.NewContext(all[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Two modules with entries of the same name stand side by side, and one that is unloaded is gone.
func TestModules(t *testing.T) {
	d := New(Device{Multiprocessors: 1})
	c := context(t, d)
	err := c.Do(func() error {
		first, err := c.LoadModule("first", double)
		if err != nil {
			return err
		}
		second, err := c.LoadModule("second", strings.ReplaceAll(double, "%r2, %r2, %r2", "%r2, %r2, 7"))
		if err != nil {
			return err
		}
		host, err := c.AllocHost("numbers", 4*32)
		if err != nil {
			return err
		}
		at, err := c.Alloc("numbers", 4*32)
		if err != nil {
			return err
		}
		host[0] = 10
		if err := c.ToDevice(at, host); err != nil {
			return err
		}
		for _, m := range []*cuda.Module{first, second, first} {
			k, err := m.Kernel("double", 32, 0)
			if err != nil {
				return err
			}
			if err := k.Launch(uint64(at)); err != nil {
				return err
			}
		}
		if err := c.ToHost(host, at); err != nil || host[0] != 10 {
			t.Errorf("before anybody waits there is %d, %v", host[0], err)
		}
		if err := c.Wait("the numbers"); err != nil || host[0] != 2*(2*10+7) || host[4] != 14 {
			t.Errorf("%d and %d, %v", host[0], host[4], err)
		}
		if _, err := first.Kernel("double", 65, 0); err == nil || !strings.Contains(err.Error(), "cannot hold a block of 65 threads") {
			t.Errorf("too many threads: %v", err)
		}
		if err := first.Unload(); err != nil {
			return err
		}
		if _, err := first.Kernel("double", 32, 0); err == nil || !cuda.Is(err, cuda.ErrInvalidHandle) {
			t.Errorf("an unloaded module: %v", err)
		}
		if _, n, err := second.Global("facts"); err != nil || n != 16 {
			t.Errorf("facts of %d bytes, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a driver may let pass is refused: a thread without the context, memory that is not pinned, copies over an end, freeing twice.
func TestStrict(t *testing.T) {
	d := New()
	c := context(t, d)
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	d.CtxSetCurrent(0)
	if r := d.MemAlloc(new(cuda.CUdeviceptr), 8); r != cuda.ErrInvalidContext {
		t.Errorf("without a context: %d", r)
	}
	err := c.Do(func() error {
		at, err := c.Alloc("test", 100)
		if err != nil {
			return err
		}
		pinned, err := c.AllocHost("test", 100)
		if err != nil {
			return err
		}
		own := make([]byte, 100)
		if err := errors.Join(c.ToHost(pinned, at), c.Wait("a copy")); err != nil || pinned[99] != 0xa5 {
			t.Errorf("fresh memory holds %#x, %v", pinned[99], err)
		}
		for name, r := range map[string]cuda.Result{
			"not pinned":      d.MemcpyHtoDAsync(at, unsafe.Pointer(&own[0]), 100, c.Stream()),
			"over the end":    d.MemcpyHtoDAsync(at+1, unsafe.Pointer(&pinned[0]), 100, c.Stream()),
			"from nowhere":    d.MemcpyDtoHAsync(unsafe.Pointer(&pinned[0]), at-1, 1, c.Stream()),
			"more than there": d.MemcpyDtoHAsync(unsafe.Pointer(&pinned[0]), at, 101, c.Stream()),
			"another stream":  d.MemsetD8Async(at, 0, 100, c.Stream()+100),
			"the wrong end":   d.MemFree(at + 1),
			"not reserved":    d.MemFreeHost(unsafe.Pointer(&own[0])),
			"nothing":         d.MemAlloc(new(cuda.CUdeviceptr), 0),
		} {
			if r == cuda.Success {
				t.Errorf("%s: it was done", name)
			}
		}
		if err := c.FreeMemory(at); err != nil {
			return err
		}
		if err := c.FreeMemory(at); err == nil {
			t.Error("memory was freed twice")
		}
		return c.FreeHost(pinned)
	})
	if err != nil {
		t.Fatal(err)
	}
}
