package runtime_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/runtime/cuda"
	"github.com/ssmc/ssmc/runtime/cuda/emulator"
)

// freeMemory is how much of a driver's first device nobody has.
func freeMemory(t *testing.T, d *cuda.Driver) int64 {
	t.Helper()
	all, err := d.Devices()
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.NewContext(all[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	free := int64(0)
	if err := c.Do(func() (err error) { free, err = c.Free(); return err }); err != nil {
		t.Fatal(err)
	}
	return free
}

// tinyManifest is the manifest of the model that is opened here.
func tinyManifest(t *testing.T) *artifact.Manifest {
	t.Helper()
	m, err := artifact.Read(gpuArtefact(t, "mamba-tiny", "sm_80"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What a machine may lack is said with the fix, and leaves nothing behind.
func TestGPUOpenRefuses(t *testing.T) {
	tiny := tinyManifest(t)
	one := func(d emulator.Device) *cuda.Driver { return emulator.New(d) }
	with := func(change func(d *cuda.Driver)) *cuda.Driver {
		d := emulator.New()
		change(d)
		return d
	}
	tests := []struct {
		name, target string
		driver       *cuda.Driver
		device       string
		want         []string
	}{
		{"no GPU", "sm_80", with(func(d *cuda.Driver) { d.Init = func(uint32) cuda.Result { return cuda.ErrNoDevice } }), "",
			[]string{"starting the emulator: cuInit", "fix: plug in a GPU"}},
		{"none left", "sm_80", with(func(d *cuda.Driver) { d.DeviceGetCount = func(n *int32) cuda.Result { *n = 0; return cuda.Success } }), "",
			[]string{"the emulator finds no GPU", "CUDA_VISIBLE_DEVICES"}},
		{"an old driver", "sm_80", with(func(d *cuda.Driver) {
			d.DriverGetVersion = func(v *int32) cuda.Result { *v = 11040; return cuda.Success }
		}), "",
			[]string{"the CUDA driver is too old: it is for CUDA 11.4, and PTX 7.8 needs one for CUDA 11.8", "fix: install NVIDIA's driver 520 or newer"}},
		{"an old GPU", "sm_86", one(emulator.Device{}), "",
			[]string{"GPU 0, emulator of sm_80 (compute capability 8.0) cannot run code for sm_86, which needs 8.6 or more", "fix: compile the checkpoint with --target ptx:sm_80"}},
		{"an older GPU", "sm_80", one(emulator.Device{Target: "sm_75"}), "0", []string{"needs 8.0 or more", "fix: use a GPU of compute capability 8.0 or more"}},
		{"another generation", "sm_90a", one(emulator.Device{Target: "sm_100"}), "", []string{"needs exactly 9.0", "fix: compile the checkpoint with --target ptx:sm_89"}},
		{"several GPUs", "sm_90a", emulator.New(emulator.Device{}, emulator.Device{Target: "sm_89"}), "",
			[]string{"GPU 0, emulator of sm_80", "GPU 1, emulator of sm_89", "--target ptx:sm_89"}},
		{"no cooperative launch", "sm_80", one(emulator.Device{NotCooperative: true}), "", []string{"has no cooperative launch"}},
		{"no such device", "sm_80", one(emulator.Device{}), "1", []string{`there is no GPU "1": the emulator has 1`}},
		{"no number", "sm_80", one(emulator.Device{}), "x", []string{`there is no GPU "x"`}},
		{"no memory", "sm_80", one(emulator.Device{Memory: 1 << 20, Used: 1000}), "",
			[]string{"has 1047576 bytes of memory free, and the model needs ", fmt.Sprintf("weights %d, states of 4 sequences %d, work %d", tiny.Weights.Bytes, 4*tiny.Sizes.SlotBytes, tiny.Sizes.WorkBytes),
				"fix: end what else uses the GPU"}},
		{"memory in pieces", "sm_80", with(func(d *cuda.Driver) {
			alloc := d.MemAlloc
			d.MemAlloc = func(p *cuda.CUdeviceptr, n uint64) cuda.Result {
				if n > 1<<20 {
					return cuda.ErrOutOfMemory
				}
				return alloc(p, n)
			}
		}), "", []string{"bytes of memory free, and the model needs", "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY"}},
		{"no pinned memory", "sm_80", with(func(d *cuda.Driver) {
			d.MemHostAlloc = func(*unsafe.Pointer, uint64, uint32) cuda.Result { return cuda.ErrOutOfMemory }
		}), "", []string{"bytes of pinned memory for copies", "ulimit -l"}},
		{"an exclusive GPU", "sm_80", with(func(d *cuda.Driver) {
			d.DevicePrimaryCtxRetain = func(*cuda.CUcontext, cuda.CUdevice) cuda.Result { return cuda.ErrInvalidDevice }
		}), "", []string{"cannot be used", "nvidia-smi"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := runtime.Open(gpuArtefact(t, "mamba-tiny", test.target), runtime.Options{Driver: test.driver, Device: test.device})
			if err == nil {
				m.Close()
				t.Fatal("it was opened")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want one with %q", err, want)
				}
			}
		})
	}
}

// A damaged artefact is refused, and what was reserved for it is given back.
func TestGPUOpenRefusesDamage(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(new), 1) }
	}
	tiny := tinyManifest(t)
	shared := func(n int64) func([]byte) []byte {
		return replace(fmt.Sprintf(`"shared_bytes": %d`, tiny.Target.GPU.SharedBytes), fmt.Sprintf(`"shared_bytes": %d`, n))
	}
	tests := []struct {
		name, file string
		change     func([]byte) []byte
		want       string
	}{
		{"no module", artifact.PTXFile, func([]byte) []byte { return nil }, "model.ptx"},
		{"cut", artifact.PTXFile, func(b []byte) []byte { return b[:len(b)-1] }, "has not the"},
		{"no PTX", artifact.PTXFile, func(b []byte) []byte { return make([]byte, len(b)) }, "is no PTX module"},
		{"another target", artifact.PTXFile, replace(".target sm_80", ".target sm_86"), "is for ptx:sm_86, the manifest says ptx:sm_80"},
		{"a future version", artifact.PTXFile, replace(".version 7.8", ".version 9.9"), `PTX "9.9" is not a version that this ssmc knows`},
		{"a wrong instruction", artifact.PTXFile, replace("\tadd.", "\tbad."), "compiling model.ptx for the GPU: cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX (218): a PTX JIT compilation failed\n  module:"},
		{"other sizes", artifact.ManifestFile, replace(`"max_rows": 64`, `"max_rows": 65`), "rows of a step 64 and 65"},
		{"other shared memory", artifact.ManifestFile, shared(tiny.Target.GPU.SharedBytes + 128), fmt.Sprintf("bytes of shared memory %d and %d", tiny.Target.GPU.SharedBytes, tiny.Target.GPU.SharedBytes+128)},
		{"too much shared memory", artifact.ManifestFile, shared(1 << 18), "bytes of shared memory, a block of GPU 0"},
		{"another prefix", artifact.ManifestFile, replace(`"prefix": "model"`, `"prefix": "other"`), "other_step"},
		{"other weights", artifact.PTXFile, replace("weights_sha256[65] = {\n\t5", "weights_sha256[65] = {\n\t4"), "was made for other weights"},
		{"truncated weights", artifact.WeightsFile, func(b []byte) []byte { return b[:len(b)-1] }, "the manifest says"},
		{"no weights", artifact.WeightsFile, func([]byte) []byte { return nil }, "weights.safetensors"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(gpuArtefact(t, "mamba-tiny", "sm_80"))); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, test.file, test.change)
			d := emulator.New()
			all := freeMemory(t, d)
			m, err := runtime.Open(dir, runtime.Options{Driver: d})
			if err == nil {
				m.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want one with %q", err, test.want)
			}
			if free := freeMemory(t, d); free != all {
				t.Errorf("%d bytes are still reserved", all-free)
			}
		})
	}
}

// The device with the most free memory is taken, unless another is asked for; closing gives all memory back.
func TestGPUChoice(t *testing.T) {
	d := emulator.New(emulator.Device{Name: "full", Used: 3 << 30}, emulator.Device{Name: "old", Target: "sm_75"}, emulator.Device{Name: "empty"}, emulator.Device{Name: "small", Memory: 2 << 30})
	for device, want := range map[string]string{"": "empty", "0": "full", "3": "small"} {
		m, err := runtime.Open(gpuArtefact(t, "mamba-tiny", "sm_80"), runtime.Options{Driver: d, Device: device})
		if err != nil {
			t.Fatal(err)
		}
		if m.Device != want {
			t.Errorf("device %q is %s, want %s", device, m.Device, want)
		}
		feed(t, m, newSlot(t, m), []int32{1, 2}, 2)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if free := freeMemory(t, d); free != 1<<30 {
		t.Errorf("%d bytes are free", free)
	}
}

// Without memory for more states there are no more sequences, and those that there are go on.
func TestGPUStatesNeedMemory(t *testing.T) {
	size := tinyManifest(t).Sizes.SlotBytes
	d := emulator.New()
	m := openGPU(t, "mamba-tiny", runtime.Options{Driver: d})
	alloc := d.MemAlloc
	d.MemAlloc = func(p *cuda.CUdeviceptr, n uint64) cuda.Result {
		if n >= uint64(8*size) {
			return cuda.ErrOutOfMemory
		}
		return alloc(p, n)
	}
	ids := randomIDs(60, 4, m.Manifest.Model.Vocab)
	first := newSlot(t, m)
	feed(t, m, first, ids[:2], 2)
	for range 3 {
		newSlot(t, m)
	}
	_, err := m.NewSlot()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("states of 8 sequences need %d bytes beside those of 4", 8*size)) || !strings.Contains(err.Error(), "fix: run fewer") {
		t.Errorf("the fifth sequence: %v", err)
	}
	feed(t, m, first, ids[2:], 2)
	// Nor is there a slot to look ahead in: a generation goes step by step.
	n := waits(d)
	if _, err := m.Generate(context.Background(), first, ids[:1], runtime.Generation{Tokens: 3}, func(int32) error { return nil }); err != nil || *n != 3 {
		t.Errorf("a generation: error %v, %d waits", err, *n)
	}
}

// broken opens a model on a driver that fails as soon as break is called, and gives the error of the step after that.
func broken(t *testing.T, o runtime.Options, ruin func(d *cuda.Driver)) (m *runtime.Model, slot *runtime.Slot, err error) {
	t.Helper()
	o.Driver = emulator.New()
	m, err = runtime.Open(gpuArtefact(t, "mamba-tiny", "sm_80"), o)
	if err != nil {
		t.Fatal(err)
	}
	slot = newSlot(t, m)
	feed(t, m, slot, []int32{1}, 1)
	ruin(o.Driver)
	return m, slot, m.Run(context.Background(), []runtime.Input{{Slot: slot, IDs: []int32{1}}}, nil)
}

// A device that does not come back is given up after the time limit, and nothing waits for it any more.
func TestGPUHangs(t *testing.T) {
	start := time.Now()
	m, slot, err := broken(t, runtime.Options{StepLimit: 50 * time.Millisecond}, func(d *cuda.Driver) {
		d.EventQuery = func(cuda.CUevent) cuda.Result { return cuda.ErrNotReady }
		d.MemFree = func(cuda.CUdeviceptr) cuda.Result { select {} } // as a driver would
	})
	if err == nil || !strings.Contains(err.Error(), "a step of 1 rows, 1 sequences and 0 outputs has not ended after 50ms") || !strings.Contains(err.Error(), "Xid") {
		t.Errorf("a step that hangs: %v", err)
	}
	if err := slot.Reset(); err == nil || !strings.Contains(err.Error(), "is lost to this process") {
		t.Errorf("behind it: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}

// Each of queued steps may take the limit. The slot has the state before them.
func TestGPUQueueHangs(t *testing.T) {
	d := emulator.New()
	m, err := runtime.Open(gpuArtefact(t, "mamba-tiny", "sm_80"), runtime.Options{Driver: d, StepLimit: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	slot := newSlot(t, m)
	_, err = m.Generate(context.Background(), slot, []int32{1, 2}, runtime.Generation{Tokens: 4}, func(int32) error {
		d.EventQuery = func(cuda.CUevent) cuda.Result { return cuda.ErrNotReady }
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "3 queued steps of 1 sequences has not ended after 60ms") || slot.Tokens() != 2 {
		t.Errorf("%d tokens, error %v", slot.Tokens(), err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// A launch that fails, at once or while it runs, ends in an error that stays.
func TestGPULaunchFails(t *testing.T) {
	for name, ruin := range map[string]func(d *cuda.Driver){
		"cuLaunchCooperativeKernel: CUDA_ERROR_LAUNCH_FAILED": func(d *cuda.Driver) {
			d.LaunchCooperativeKernel = func(cuda.CUfunction, uint32, uint32, uint32, uint32, uint32, uint32, uint32, cuda.CUstream, *unsafe.Pointer) cuda.Result {
				return cuda.ErrLaunchFailed
			}
		},
		"cuEventQuery: error 214": func(d *cuda.Driver) {
			d.EventQuery = func(cuda.CUevent) cuda.Result { return cuda.ErrECCUncorrectable }
		},
	} {
		m, slot, err := broken(t, runtime.Options{}, ruin)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
		if err := slot.Reset(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("behind it: %v, want %q", err, name)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The emulator says which thread did what, on which line of the module.
func TestGPUFault(t *testing.T) {
	d := emulator.New()
	bytes := tinyManifest(t).Weights.Bytes
	var weights cuda.CUdeviceptr
	alloc := d.MemAlloc
	d.MemAlloc = func(p *cuda.CUdeviceptr, n uint64) cuda.Result {
		r := alloc(p, n)
		if n == uint64(bytes) {
			weights = *p
		}
		return r
	}
	m, err := runtime.Open(gpuArtefact(t, "mamba-tiny", "sm_80"), runtime.Options{Driver: d})
	if err != nil {
		t.Fatal(err)
	}
	launch := d.LaunchCooperativeKernel
	d.LaunchCooperativeKernel = func(f cuda.CUfunction, a, b, c, x, y, z, shared uint32, s cuda.CUstream, p *unsafe.Pointer) cuda.Result {
		d.MemFree(weights)
		return launch(f, a, b, c, x, y, z, shared, s, p)
	}
	err = m.Run(context.Background(), []runtime.Input{{Slot: newSlot(t, m), IDs: []int32{1}}}, nil)
	for _, want := range []string{"CUDA_ERROR_LAUNCH_FAILED", "module:", "ld.global.nc", "thread ", "global address"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// A kernel that has not run leaves no result, and one that refuses its context says why.
func TestGPUStepRefused(t *testing.T) {
	m, slot, err := broken(t, runtime.Options{}, func(d *cuda.Driver) {
		d.LaunchCooperativeKernel = func(cuda.CUfunction, uint32, uint32, uint32, uint32, uint32, uint32, uint32, cuda.CUstream, *unsafe.Pointer) cuda.Result {
			return cuda.Success
		}
	})
	if err == nil || !strings.Contains(err.Error(), "the kernel left no result") {
		t.Errorf("error %v", err)
	}
	if _, err := m.Queue([]*runtime.Slot{slot}, []int32{1}, make([]runtime.Sampling, 1), 2); err == nil || !strings.Contains(err.Error(), "2 queued steps of 1 sequences: number 0 failed: the kernel left no result") {
		t.Errorf("queued: error %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	m, _, err = broken(t, runtime.Options{}, func(d *cuda.Driver) {
		launch := d.LaunchCooperativeKernel
		d.LaunchCooperativeKernel = func(f cuda.CUfunction, a, b, c, x, y, z, _ uint32, s cuda.CUstream, p *unsafe.Pointer) cuda.Result {
			return launch(f, a, b, c, x, y, z, 0, s, p)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "the launch does not fit the module") {
		t.Errorf("error %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
