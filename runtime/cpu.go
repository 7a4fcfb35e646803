package runtime

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmc/ssmc/artifact"
)

// cpuEngine is the engine of object code: model.so, the mapped weights, and worker threads (workers.go).
type cpuEngine struct {
	manifest *artifact.Manifest
	threads  int
	code     *code
	weights  []byte // the mapped file
	ctx      *stepContext
	areas    areas
	slots    memory
	stamped  memory // time stamps; nil: nobody has asked for any
	workers  workers
}

// areas are the mappings that ctx points to.
type areas struct {
	ctx, work, team, logits        area
	ids, seqStart, seqSlot, outRow area
	sampling, chosen               area
	lists                          // the same, as Go sees them
}

// openCPU loads the object code in dir, and says at which level it runs.
func openCPU(dir string, manifest *artifact.Manifest, threads int, o Options) (_ *cpuEngine, level string, err error) {
	c := &cpuEngine{manifest: manifest, threads: threads}
	if level, err = c.open(dir, o); err != nil {
		return nil, "", errors.Join(err, c.close())
	}
	return c, level, nil
}

func (c *cpuEngine) open(dir string, o Options) (level string, err error) {
	if c.code, err = loadCode(filepath.Join(dir, artifact.SharedFile), c.manifest.Entry.Prefix); err != nil {
		return "", err
	}
	if err := c.code.compare(c.manifest); err != nil {
		return "", fmt.Errorf("%s: %w\n  fix: compile the checkpoint again", dir, err)
	}
	levels := c.manifest.Target.Levels
	index, err := c.code.chooseLevel(o.Level, levels)
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	data, err := c.mapWeights(dir)
	if err != nil {
		return "", err
	}
	if err := c.mapAreas(o.flush); err != nil {
		return "", err
	}
	*c.ctx = stepContext{
		abi: artifact.ABIVersion, level: int32(index), weights: data,
		work: c.areas.work.address(), team: c.areas.team.address(), logits: c.areas.logits.address(),
		ids: c.areas.ids.address(), seqStart: c.areas.seqStart.address(), seqSlot: c.areas.seqSlot.address(), outRow: c.areas.outRow.address(),
		sampling: c.areas.sampling.address(), odds: c.areas.logits.address(), // who has a token chosen wants no logits
		spin: spinRounds(c.threads),
	}
	return levels[index].Name, nil
}

// mapWeights maps the weights file and gives the address of its data.
func (c *cpuEngine) mapWeights(dir string) (uintptr, error) {
	f, head, err := openWeights(dir, c.manifest)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	c.weights, err = unix.Mmap(int(f.Fd()), 0, int(head+c.manifest.Weights.Bytes), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("mapping %s into memory: %w", f.Name(), err)
	}
	// Pages that are read from now on come 2 MB at a time, where the system can; those that are in memory are mapped so if they were written so. (Not WILLNEED: it
	// reads at once, but in small pages.)
	_ = unix.Madvise(c.weights, unix.MADV_HUGEPAGE)
	return uintptr(unsafe.Pointer(unsafe.SliceData(c.weights))) + uintptr(head), nil
}

// mapAreas reserves what steps work on. Only pages that are used become memory, so that the largest step costs nothing until it is taken.
func (c *cpuEngine) mapAreas(flush bool) error {
	s := c.manifest.Sizes
	a := &c.areas
	var errs []error
	for _, area := range []struct {
		to   *area
		what string
		n    int64
	}{
		{&a.ctx, "the context", int64(unsafe.Sizeof(stepContext{}))},
		{&a.work, "activations", s.WorkBytes},
		{&a.team, "the workers' scratch", s.TeamBytes * int64(c.threads)},
		{&a.logits, "logits", s.MaxRows * s.LogitsStride * 4},
		{&a.ids, "token ids", s.MaxRows * 4},
		{&a.seqStart, "sequences", (s.MaxSeqs + 1) * 4},
		{&a.seqSlot, "sequences", s.MaxSeqs * 4},
		{&a.outRow, "output rows", s.MaxRows * 4},
		{&a.sampling, "parameters of sampling", s.MaxRows * samplingBytes},
		{&a.chosen, "chosen tokens", s.MaxRows * 4},
	} {
		var err error
		*area.to, err = mapArea(area.what, area.n, flush)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.ctx = (*stepContext)(unsafe.Pointer(unsafe.SliceData(a.ctx.memory)))
	a.lists = lists{a.ids.int32s(), a.seqStart.int32s(), a.seqSlot.int32s(), a.outRow.int32s(), a.sampling.int32s(), a.chosen.int32s()}
	return nil
}

func (c *cpuEngine) lists() *lists { return &c.areas.lists }

func (c *cpuEngine) step(rows, seqs, outs int, choose bool) error {
	c.ctx.rows, c.ctx.seqs, c.ctx.outs = int64(rows), int64(seqs), int64(outs)
	c.ctx.state, c.ctx.chosen = c.slots.address(), 0
	if choose {
		c.ctx.chosen = c.areas.chosen.address()
	}
	return c.callStep()
}

// queue takes the steps one by one: to look at what they choose costs nothing here.
func (c *cpuEngine) queue(q *queued) error {
	l, n := c.lists(), len(q.to)
	for i := range q.to {
		if err := c.copySlot(q.to[i], q.from[i]); err != nil {
			return err
		}
	}
	l.fill(q)
	for step := range q.steps {
		if step > 0 {
			copy(l.ids, q.chosen[(step-1)*n:step*n])
		}
		fillSampling(l.sampling, q.sampling[step*n:(step+1)*n])
		if err := c.step(n, n, n, true); err != nil {
			return err
		}
		copy(q.chosen[step*n:], l.chosen[:n])
	}
	return nil
}

func (c *cpuEngine) ahead() int { return 1 }

func (c *cpuEngine) logits(out int) ([]float32, error) {
	stride := int(c.manifest.Sizes.LogitsStride)
	return c.areas.logits.floats()[out*stride : (out+1)*stride], nil
}

func (c *cpuEngine) left() ([]byte, error) { return c.areas.work.memory, nil }

func (c *cpuEngine) growSlots(count int) error {
	if err := c.slots.grow("states", int64(count)*c.manifest.Sizes.SlotBytes); err != nil {
		return err
	}
	_ = unix.Madvise(c.slots, unix.MADV_HUGEPAGE) // a step of many sequences goes through more small pages than a core remembers
	return nil
}

// slot is the memory of a slot.
func (c *cpuEngine) slot(i int) []byte {
	n := int(c.manifest.Sizes.SlotBytes)
	return c.slots[i*n : (i+1)*n : (i+1)*n]
}

func (c *cpuEngine) clearSlot(slot int) error {
	clear(c.slot(slot))
	return nil
}

func (c *cpuEngine) copySlot(to, from int) error {
	copy(c.slot(to), c.slot(from))
	return nil
}

func (c *cpuEngine) readSlot(into []byte, slot int) error {
	copy(into, c.slot(slot))
	return nil
}

func (c *cpuEngine) writeSlot(slot int, from []byte) error {
	copy(c.slot(slot), from)
	return nil
}

func (c *cpuEngine) trace(on bool) error {
	c.ctx.trace = 0
	if !on {
		return nil
	}
	if c.stamped == nil {
		var err error
		if c.stamped, err = mapMemory("time stamps", int64(len(c.manifest.Phases)+1)*int64(c.threads)*8); err != nil {
			return err
		}
	}
	c.ctx.trace = c.stamped.address()
	return nil
}

func (c *cpuEngine) stamps() ([]uint64, error) {
	list := append([]uint64(nil), c.stamped.stamps()...)
	clear(c.stamped.stamps())
	return list, nil
}

func (c *cpuEngine) lanes() int { return c.threads }

func (c *cpuEngine) ticks() uint64 { return cycles() }

func (c *cpuEngine) yardsticks(ctx context.Context) (y yardsticks, err error) {
	if y.bandwidth, err = Bandwidth(ctx, c.threads); err != nil {
		return y, err
	}
	y.peakOf = "multiply-adds from registers"
	y.peak, err = Peak(ctx, c.threads, c.manifest.Target.Levels[c.ctx.level].Lanes)
	return y, err
}

func (c *cpuEngine) deviceBytes() int64 { return 0 }

// close ends the worker threads and gives everything back.
func (c *cpuEngine) close() error {
	c.stopWorkers()
	a := &c.areas
	for _, area := range []area{a.ctx, a.work, a.team, a.logits, a.ids, a.seqStart, a.seqSlot, a.outRow, a.sampling, a.chosen} {
		area.free()
	}
	c.slots.free()
	c.stamped.free()
	c.ctx = nil
	var err error
	if c.weights != nil {
		err = unix.Munmap(c.weights)
	}
	return errors.Join(err, c.code.unload())
}
