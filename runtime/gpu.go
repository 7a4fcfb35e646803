package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// gpuEngine is the engine of a module on a GPU: docs/ptx.md. Weights, work memory and the slots of all sequences lie in the device's memory; a step costs one copy to it, one
// launch, and one copy back; several steps can be queued (gpu_queue.go).
type gpuEngine struct {
	manifest *artifact.Manifest
	dir      string
	c        *cuda.Context
	module   *cuda.Module
	kernel   *cuda.Kernel
	memory   map[cuda.CUdeviceptr]int64 // all that was reserved

	weights, work, team, states, stamped cuda.CUdeviceptr
	slots                                int // that states has room for

	frame    frame
	queues   queueFrame
	outs     int // of the last step
	fetched  int // the first of its rows that lies in the frame's pinned memory
	tracing  bool
	halves   [2]half
	opened   time.Time
	teamsAll int64 // in a launch
}

// openGPU loads the module in dir.
func openGPU(dir string, manifest *artifact.Manifest, o Options) (*gpuEngine, error) {
	text, target, err := readModule(dir, manifest)
	if err != nil {
		return nil, err
	}
	driver := o.Driver
	if driver == nil {
		if driver, err = cuda.Load(""); err != nil {
			return nil, fmt.Errorf("%s is compiled for a GPU: %w", dir, err)
		}
	}
	info, err := driver.Choose(o.Device, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	g := &gpuEngine{manifest: manifest, dir: dir, memory: make(map[cuda.CUdeviceptr]int64), opened: time.Now()}
	if g.c, err = driver.NewContext(info, o.StepLimit); err != nil {
		return nil, err
	}
	if err := g.c.Do(func() error { return g.open(text) }); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), g.close())
	}
	return g, nil
}

// readModule reads the PTX text, and says what GPU it is for.
func readModule(dir string, manifest *artifact.Manifest) (text, target string, err error) {
	path := filepath.Join(dir, artifact.PTXFile)
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	want, _ := manifest.File(artifact.PTXFile)
	data, err := io.ReadAll(io.LimitReader(f, want.Bytes+1))
	if err != nil {
		return "", "", err
	}
	if int64(len(data)) != want.Bytes {
		return "", "", fmt.Errorf("%s has not the %d bytes that the manifest says\n  fix: the file is damaged; compile the checkpoint again", path, want.Bytes)
	}
	header, err := cuda.ReadHeader(string(data))
	if err != nil {
		return "", "", fmt.Errorf("%s %w\n  fix: compile the checkpoint again", path, err)
	}
	if name := "ptx:" + header.Target; name != manifest.Target.Name {
		return "", "", fmt.Errorf("%s is for %.40s, the manifest says %s\n  fix: compile the checkpoint again", path, name, manifest.Target.Name)
	}
	return string(data), header.Target, nil
}

// open loads the module, reserves memory and brings the weights there.
func (g *gpuEngine) open(text string) error {
	m := g.manifest
	teams := m.Target.GPU.BlockThreads / m.Target.GPU.TeamThreads
	g.teamsAll = teams * int64(g.c.Multiprocessors)
	g.frame.layout(m.Sizes)
	if err := g.checkMemory(); err != nil {
		return err
	}
	var err error
	if g.module, err = g.c.LoadModule(artifact.PTXFile, text); err != nil {
		return err
	}
	if g.kernel, err = g.module.Kernel(m.Entry.Prefix+"_step", teams*m.Target.GPU.TeamThreads, teams*m.Target.GPU.SharedBytes); err != nil {
		return err
	}
	if err := g.reserve(); err != nil {
		return err
	}
	if err := g.compare(); err != nil {
		return err
	}
	return g.upload()
}

// reserve takes all memory but that of further slots.
func (g *gpuEngine) reserve() error {
	s := g.manifest.Sizes
	errs := []error{g.reserveHalves()}
	for _, x := range []struct {
		to   *cuda.CUdeviceptr
		what string
		n    int64
	}{
		{&g.weights, "weights", g.manifest.Weights.Bytes}, {&g.work, "activations", s.WorkBytes}, {&g.team, "the teams' scratch", s.TeamBytes * g.teamsAll},
	} {
		var err error
		*x.to, err = g.alloc(x.what, x.n)
		errs = append(errs, err)
	}
	errs = append(errs, g.reserveFrame(&g.frame), g.reserveQueue())
	if err := errors.Join(errs...); err != nil {
		if cuda.Is(err, cuda.ErrOutOfMemory) {
			return g.memoryError(err)
		}
		return err
	}
	return g.c.Zero(g.work, s.WorkBytes)
}

// compare holds the sizes that the module was made for against the manifest: memory is reserved by the one and used by the other.
func (g *gpuEngine) compare() error {
	m, prefix := g.manifest, g.manifest.Entry.Prefix
	facts, err := g.global(prefix+"_facts", 32*8)
	if err != nil {
		return err
	}
	want := [...]fact{
		{"ABI version", int64(m.Entry.ABI)}, {"bytes of weights", m.Weights.Bytes}, {"bytes of activations", m.Sizes.WorkBytes},
		{"bytes of scratch", m.Sizes.TeamBytes}, {"bytes of a slot", m.Sizes.SlotBytes}, {"stride of the logits", m.Sizes.LogitsStride},
		{"vocabulary", int64(m.Model.Vocab)}, {"rows of a step", m.Sizes.MaxRows}, {"sequences of a step", m.Sizes.MaxSeqs},
		{"phases", int64(len(m.Phases))}, {"bytes of shared memory", m.Target.GPU.SharedBytes}, {"threads of a team", m.Target.GPU.TeamThreads},
		{"threads of a block", m.Target.GPU.BlockThreads},
	}
	for i, w := range want {
		if n := int64(order.Uint64(facts[8*i:])); n != w.n {
			return fmt.Errorf("%s and %s do not belong together: %s %d and %d\n  fix: compile the checkpoint again", artifact.PTXFile, artifact.ManifestFile, w.what, n, w.n)
		}
	}
	sum, err := g.global(prefix+"_weights_sha256", 65)
	if err != nil {
		return err
	}
	if string(sum[:64]) != m.Weights.SHA256 {
		return fmt.Errorf("%s was made for other weights than %s\n  fix: compile the checkpoint again", artifact.PTXFile, artifact.WeightsFile)
	}
	return nil
}

// global reads a variable of the module.
func (g *gpuEngine) global(name string, want int64) ([]byte, error) {
	p, n, err := g.module.Global(name)
	if err != nil {
		return nil, fmt.Errorf("%w\n  fix: compile the checkpoint again", err)
	}
	if n != want {
		return nil, fmt.Errorf("the module's %s has %d bytes, want %d\n  fix: compile the checkpoint again", name, n, want)
	}
	b := make([]byte, n)
	return b, g.copyOut(b, p)
}

// upload brings the weights to the device, a piece at a time.
func (g *gpuEngine) upload() error {
	f, head, err := openWeights(g.dir, g.manifest)
	if err != nil {
		return err
	}
	defer f.Close()
	return g.copyIn(g.weights, g.manifest.Weights.Bytes, func(b []byte, at int64) error {
		if _, err := f.ReadAt(b, head+at); err != nil {
			return fmt.Errorf("reading %s: %w", f.Name(), err)
		}
		return nil
	})
}

func (g *gpuEngine) lists() *lists { return &g.frame.lists }

// step queues one step, and waits for it and its first logits.
func (g *gpuEngine) step(rows, seqs, outs int, choose bool) error {
	return g.c.Do(func() error {
		f := &g.frame
		g.fill(f, rows, seqs, outs, choose)
		if err := g.c.ToDevice(f.device, f.host[:f.chosenAt]); err != nil {
			return err
		}
		if err := g.kernel.Launch(uint64(f.device) + uint64(f.ctxAt)); err != nil {
			return err
		}
		g.outs, g.fetched = outs, 0
		n := f.logitsAt
		if !choose {
			n += f.rowBytes * int64(min(outs, f.rows))
		}
		if err := g.c.ToHost(f.host[f.ctxAt:n], f.device+cuda.CUdeviceptr(f.ctxAt)); err != nil {
			return err
		}
		what := fmt.Sprintf("a step of %d rows, %d sequences and %d outputs", rows, seqs, outs)
		if err := g.c.Wait(what); err != nil {
			return err
		}
		if r := f.ctx.result; r != 0 {
			return fmt.Errorf("%s failed: %s", what, gpuStepError(r))
		}
		return nil
	})
}

// fill writes a frame's context. It belongs to one launch.
func (g *gpuEngine) fill(f *frame, rows, seqs, outs int, choose bool) {
	at := func(off int64) uint64 { return uint64(f.device) + uint64(off) }
	c := g.context(rows, seqs, outs)
	c.ids, c.seqStart, c.seqSlot, c.outRow, c.logits = at(0), at(f.seqStartAt), at(f.seqSlotAt), at(f.outRowAt), at(f.logitsAt)
	c.sampling, c.odds = at(f.samplingAt), c.logits // who has a token chosen wants no logits
	if choose {
		c.chosen = at(f.chosenAt)
	}
	if g.tracing {
		c.trace = uint64(g.stamped)
	}
	*f.ctx = c
}

// context is what all launches are given alike.
func (g *gpuEngine) context(rows, seqs, outs int) gpuContext {
	return gpuContext{
		abi: artifact.ABIVersion, result: notRun, weights: uint64(g.weights), work: uint64(g.work), team: uint64(g.team), state: uint64(g.states),
		rows: int64(rows), seqs: int64(seqs), outs: int64(outs), workers: uint32(g.teamsAll),
	}
}

// logits fetches rows that did not come with the step, as many at once as there is pinned memory for.
func (g *gpuEngine) logits(out int) ([]float32, error) {
	f := &g.frame
	if out < g.fetched || out >= g.fetched+f.rows {
		n := int64(min(f.rows, g.outs-out))
		err := g.c.Do(func() error {
			from := f.device + cuda.CUdeviceptr(f.logitsAt+int64(out)*f.rowBytes)
			if err := g.c.ToHost(f.host[f.logitsAt:f.logitsAt+n*f.rowBytes], from); err != nil {
				return err
			}
			return g.c.Wait("reading logits")
		})
		if err != nil {
			return nil, err
		}
		g.fetched = out
	}
	row := f.host[f.logitsAt+int64(out-g.fetched)*f.rowBytes:][:f.rowBytes]
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(row))), f.rowBytes/4), nil
}

func (g *gpuEngine) left() ([]byte, error) {
	b := make([]byte, g.manifest.Sizes.WorkBytes)
	return b, g.c.Do(func() error { return g.copyOut(b, g.work) })
}

func (g *gpuEngine) trace(on bool) error {
	g.tracing = false
	if !on {
		return nil
	}
	err := g.c.Do(func() (err error) {
		if g.stamped == 0 {
			g.stamped, err = g.alloc("time stamps", g.stampBytes())
		}
		return err
	})
	g.tracing = err == nil
	return err
}

func (g *gpuEngine) stampBytes() int64 { return int64(len(g.manifest.Phases)+1) * int64(g.lanes()) * 8 }

func (g *gpuEngine) stamps() ([]uint64, error) {
	list := make([]uint64, g.stampBytes()/8)
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), g.stampBytes())
	return list, g.c.Do(func() error { return g.copyOut(b, g.stamped) })
}

func (g *gpuEngine) lanes() int { return int(g.c.Multiprocessors) }

func (g *gpuEngine) ticks() uint64 { return uint64(time.Since(g.opened)) }

// close gives everything back, except on a device that is lost: the driver would wait for it.
func (g *gpuEngine) close() error {
	if g.c.Lost() != nil {
		return nil
	}
	err := g.c.Do(func() error {
		if err := g.c.Wait("ending"); err != nil {
			return err
		}
		errs := []error{g.module.Unload(), g.c.FreeHost(g.frame.host), g.c.FreeHost(g.queues.host)}
		for i := range g.halves {
			errs = append(errs, g.halves[i].free(g.c))
		}
		for p := range g.memory {
			errs = append(errs, g.c.FreeMemory(p))
		}
		clear(g.memory)
		return errors.Join(errs...)
	})
	return errors.Join(err, g.c.Close())
}

// gpuStepError is the meaning of a step's result on a GPU; docs/ptx.md.
func gpuStepError(code int32) string {
	switch code {
	case -1:
		return "the module has another ABI version"
	case -2:
		return "the launch does not fit the module"
	case -3:
		return "a count is out of bounds"
	case -4:
		return "a pointer is null"
	case notRun:
		return "the kernel left no result"
	}
	return fmt.Sprintf("code %d", code)
}
