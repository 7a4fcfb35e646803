package runtime

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/ssmc/ssmc/runtime/cuda"
)

//go:embed read.ptx
var readModuleText string

const (
	readThreads  = 1024 // a block: 64 KiB of loads on their way in each multiprocessor
	readCaches   = 24   // the buffer is so many times the second-level cache, which then holds nothing of use
	gpuPasses    = 4    // through the buffer in a launch, beside which its start is nothing
	gpuReadRuns  = 12
	readFill     = 0x5a
	readVector   = 16 // bytes that a thread loads at once
	readUnrolled = 4  // loads of a thread on their way; read.ptx
)

// readBandwidth is how many bytes a second the device reads: the best of some launches of read.ptx.
func (g *gpuEngine) readBandwidth(ctx context.Context) (rate float64, err error) {
	err = g.c.Do(func() error {
		module, err := g.c.LoadModule("read.ptx", readModuleText)
		if err != nil {
			return err
		}
		r := &reader{c: g.c}
		err = r.open(g, module)
		for i := 0; err == nil && i < gpuReadRuns; i++ {
			if err = ctx.Err(); err == nil {
				err = r.run()
			}
		}
		if err == nil {
			err = r.check(g)
		}
		if g.c.Lost() == nil {
			err = errors.Join(err, r.close(g), module.Unload())
		}
		rate = r.best
		return err
	})
	return rate, err
}

// reader is a measurement of the read bandwidth.
type reader struct {
	c              *cuda.Context
	kernel         *cuda.Kernel
	buffer, counts cuda.CUdeviceptr
	bytes          int64
	threads        int64 // of the grid
	start, end     cuda.CUevent
	best           float64
}

func (r *reader) open(g *gpuEngine, module *cuda.Module) (err error) {
	if r.kernel, err = module.Kernel("ssmc_read", readThreads, 0); err != nil {
		return err
	}
	free, err := r.c.Free()
	if err != nil {
		return err
	}
	r.threads = int64(r.kernel.Blocks) * readThreads
	round := r.threads * readUnrolled * readVector
	r.bytes = min(readCaches*int64(r.c.L2Bytes), free/2) / round * round
	if r.bytes == 0 {
		return fmt.Errorf("measuring the bandwidth of %s: it has only %d bytes of memory free\n  fix: end what else uses the GPU", r.c.Info, free)
	}
	if r.buffer, err = g.alloc("measuring the bandwidth", r.bytes); err != nil {
		return err
	}
	if r.counts, err = g.alloc("measuring the bandwidth", 4*r.threads); err != nil {
		return err
	}
	if r.start, err = r.c.Event(); err != nil {
		return err
	}
	if r.end, err = r.c.Event(); err != nil {
		return err
	}
	return r.c.Fill(r.buffer, readFill, r.bytes)
}

func (r *reader) run() error {
	for _, step := range []func() error{
		func() error { return r.c.Record(r.start) },
		func() error {
			return r.kernel.Launch(uint64(r.buffer), uint64(r.bytes/readVector), gpuPasses, uint64(r.counts))
		},
		func() error { return r.c.Record(r.end) },
		func() error { return r.c.WaitFor(r.end, "measuring the bandwidth") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	d, err := r.c.Elapsed(r.start, r.end)
	if err == nil {
		r.best = max(r.best, float64(gpuPasses*r.bytes)/max(d, time.Nanosecond).Seconds())
	}
	return err
}

// check holds that all of the buffer was read.
func (r *reader) check(g *gpuEngine) error {
	counts := make([]byte, 4*r.threads)
	if err := g.copyOut(counts, r.counts); err != nil {
		return err
	}
	total := int64(0)
	for ; len(counts) > 0; counts = counts[4:] {
		total += int64(order.Uint32(counts))
	}
	if want := gpuPasses * r.bytes / readVector; total != want {
		return fmt.Errorf("measuring the bandwidth of %s: %d vectors were read, not %d", r.c.Info, total, want)
	}
	return nil
}

func (r *reader) close(g *gpuEngine) error {
	errs := []error{g.free(r.buffer), g.free(r.counts)}
	for _, e := range []cuda.CUevent{r.start, r.end} {
		if e != 0 {
			errs = append(errs, r.c.FreeEvent(e))
		}
	}
	return errors.Join(errs...)
}

// yardsticks are the device's read bandwidth, and the peak of its tensor cores for what the model's products are made of.
func (g *gpuEngine) yardsticks(ctx context.Context) (y yardsticks, err error) {
	if y.bandwidth, err = g.readBandwidth(ctx); err != nil {
		return y, err
	}
	bf16, int8 := g.c.TensorPeak()
	y.peak, y.peakOf = bf16, "bf16 on tensor cores"
	if g.manifest.CodeProducts() {
		y.peak, y.peakOf = int8, "int8 on tensor cores"
	}
	if y.peak == 0 {
		y.peakOf = "not known"
	}
	return y, nil
}
