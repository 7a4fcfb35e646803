package cuda

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Info is what is known of a device before it is used.
type Info struct {
	Ordinal         int // as the driver counts, after CUDA_VISIBLE_DEVICES
	Name            string
	Major, Minor    int32 // compute capability
	Multiprocessors int32
	Cooperative     bool // launches whose blocks may wait for each other
	SharedBytes     int32
	L2Bytes         int32
	ClockKHz        int32
	Memory          int64 // bytes in all

	device CUdevice
}

// fixInit is what to do about the results of cuInit that a user can do something about.
var fixInit = map[Result]string{
	ErrNoDevice:           "plug in a GPU that the driver supports, or see that CUDA_VISIBLE_DEVICES does not hide it",
	ErrStubLibrary:        "the library that was loaded is the toolkit's stub: take its folder out of LD_LIBRARY_PATH",
	ErrSystemNotReady:     "start nvidia-fabricmanager, which this system's GPUs need",
	ErrDriverMismatch:     "restart the machine: the driver's library and kernel module are of different releases",
	ErrCompatNotSupported: "use the driver that the system has, without CUDA's compatibility package",
	ErrUnknown:            "load the kernel module nvidia_uvm (as root: nvidia-modprobe -u), or restart the machine",
}

// Devices starts the driver and lists what it has.
func (d *Driver) Devices() ([]Info, error) {
	if r := d.Init(0); r != Success {
		err := fmt.Errorf("starting %s: %w", d.Name, d.check("cuInit", r))
		if fix := fixInit[r]; fix != "" {
			err = fmt.Errorf("%w\n  fix: %s", err, fix)
		}
		return nil, err
	}
	n := int32(0)
	if err := d.check("cuDeviceGetCount", d.DeviceGetCount(&n)); err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("%s finds no GPU\n  fix: %s", d.Name, fixInit[ErrNoDevice])
	}
	var list []Info
	for i := range n {
		info, err := d.info(i)
		if err != nil {
			return nil, fmt.Errorf("asking GPU %d: %w", i, err)
		}
		list = append(list, info)
	}
	return list, nil
}

func (d *Driver) info(ordinal int32) (Info, error) {
	i := Info{Ordinal: int(ordinal)}
	if err := d.check("cuDeviceGet", d.DeviceGet(&i.device, ordinal)); err != nil {
		return i, err
	}
	name := make([]byte, 256)
	total, cooperative := uint64(0), int32(0)
	errs := []error{
		d.check("cuDeviceGetName", d.DeviceGetName(&name[0], int32(len(name)-1), i.device)),
		d.check("cuDeviceTotalMem", d.DeviceTotalMem(&total, i.device)),
	}
	for _, a := range []struct {
		to *int32
		a  Attribute
	}{
		{&i.Major, AttributeMajor}, {&i.Minor, AttributeMinor}, {&i.Multiprocessors, AttributeMultiprocessors}, {&cooperative, AttributeCooperative},
		{&i.SharedBytes, AttributeSharedBytes}, {&i.L2Bytes, AttributeL2CacheSize}, {&i.ClockKHz, AttributeClockRate},
	} {
		errs = append(errs, d.check("cuDeviceGetAttribute", d.DeviceGetAttribute(a.to, a.a, i.device)))
	}
	i.Name, i.Memory, i.Cooperative = goString(&name[0]), int64(total), cooperative != 0
	return i, errors.Join(errs...)
}

func (i Info) String() string {
	return fmt.Sprintf("GPU %d, %s (compute capability %d.%d)", i.Ordinal, i.Name, i.Major, i.Minor)
}

// Runs says whether the device can run modules for a target such as sm_80: any device from its compute capability on. One with a letter behind it uses what only
// that generation has.
func (i Info) Runs(target string) error {
	number, exact := strings.CutSuffix(strings.TrimPrefix(target, "sm_"), "a")
	n, err := strconv.Atoi(number)
	if err != nil || n < 10 {
		return fmt.Errorf("%.20q is no GPU target", target)
	}
	have := 10*int(i.Major) + int(i.Minor)
	switch {
	case exact && have != n:
		return fmt.Errorf("%s cannot run code for %s, which needs exactly %d.%d", i, target, n/10, n%10)
	case have < n:
		return fmt.Errorf("%s cannot run code for %s, which needs %d.%d or more", i, target, n/10, n%10)
	case !i.Cooperative:
		return fmt.Errorf("%s has no cooperative launch, which a step needs", i)
	}
	return nil
}

// Choose gives the device that a module for a target shall run on: the one with this number or, if it is empty, of those that can the one with the most free memory.
func (d *Driver) Choose(number, target string) (Info, error) {
	all, err := d.Devices()
	if err != nil {
		return Info{}, err
	}
	if number != "" {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(all) {
			return Info{}, fmt.Errorf("there is no GPU %.20q: %s has %d\n  fix: give a number from 0 to %d", number, d.Name, len(all), len(all)-1)
		}
		if err := all[n].Runs(target); err != nil {
			return Info{}, fmt.Errorf("%w\n  fix: %s", err, fixTarget(all[n:n+1]))
		}
		return all[n], nil
	}
	var able []Info
	var errs []error
	for _, i := range all {
		if err := i.Runs(target); err != nil {
			errs = append(errs, err)
		} else {
			able = append(able, i)
		}
	}
	if len(able) == 0 {
		return Info{}, fmt.Errorf("%w\n  fix: %s", errors.Join(errs...), fixTarget(all))
	}
	if len(able) == 1 {
		return able[0], nil
	}
	return d.emptiest(able)
}

// fixTarget says what to compile for.
func fixTarget(list []Info) string {
	best := list[0]
	for _, i := range list {
		if 10*i.Major+i.Minor > 10*best.Major+best.Minor {
			best = i
		}
	}
	target := best.Target()
	if target == "" {
		return "use a GPU of compute capability 8.0 or more, or compile the checkpoint with --target x86-64"
	}
	return "compile the checkpoint with --target ptx:" + target
}

// Target is the best target of the compiler that the device runs; empty: none.
func (i Info) Target() string {
	for _, target := range []string{"sm_90a", "sm_89", "sm_86", "sm_80"} {
		if i.Runs(target) == nil {
			return target
		}
	}
	return ""
}

// emptiest gives the device with the most free memory. Only a context of it can say how much that is. A device that gives none, because somebody else has it for
// himself, is passed over.
func (d *Driver) emptiest(list []Info) (Info, error) {
	best, most := Info{}, int64(-1)
	var errs []error
	for _, i := range list {
		c, err := d.NewContext(i, 0)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		free := int64(0)
		err = c.Do(func() (err error) {
			free, err = c.Free()
			return err
		})
		if err == nil && free > most {
			best, most = i, free
		}
		errs = append(errs, err, c.Close())
	}
	if most < 0 {
		return Info{}, errors.Join(errs...)
	}
	return best, nil
}

// peak is how many operations (a multiply-add is two) a multiprocessor's tensor cores make in a cycle on dense matrices.
type peak struct {
	major, minor int32
	bf16, int8   float64
}

// peaks: NVIDIA's white papers of the architectures (A100, GA102, Ada, H100), tables of tensor core rates: of the fastest chips of each generation. GeForce cards of 8.6
// and 8.9 make half as many of bf16.
var peaks = [...]peak{{8, 0, 2048, 4096}, {8, 6, 1024, 2048}, {8, 9, 1024, 2048}, {9, 0, 4096, 8192}}

// TensorPeak is how many operations a second the device's tensor cores make at its highest clock; 0: not known.
func (i Info) TensorPeak() (bf16, int8 float64) {
	for _, p := range peaks {
		if p.major == i.Major && p.minor == i.Minor {
			cycles := float64(i.Multiprocessors) * float64(i.ClockKHz) * 1e3
			return p.bf16 * cycles, p.int8 * cycles
		}
	}
	return 0, 0
}
