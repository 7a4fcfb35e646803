package runtime

import (
	"fmt"

	"github.com/ssmc/ssmc/runtime/cuda"
)

// firstSlots is how many sequences there is memory for at once.
const firstSlots = 4

// alloc reserves device memory.
func (g *gpuEngine) alloc(what string, n int64) (cuda.CUdeviceptr, error) {
	p, err := g.c.Alloc(what, n)
	if err == nil && n > 0 {
		g.memory[p] = n
	}
	return p, err
}

// free gives device memory back.
func (g *gpuEngine) free(p cuda.CUdeviceptr) error {
	delete(g.memory, p)
	return g.c.FreeMemory(p)
}

func (g *gpuEngine) deviceBytes() int64 {
	n := int64(0)
	for _, bytes := range g.memory {
		n += bytes
	}
	return n
}

// reserveFrame gives a frame that has been laid out its memory.
func (g *gpuEngine) reserveFrame(f *frame) (err error) {
	if f.device, err = g.alloc("inputs and logits", f.bytes); err != nil {
		return err
	}
	host, err := g.c.AllocHost("inputs and logits", f.hostBytes)
	if err == nil {
		f.place(host)
	}
	return err
}

// checkMemory refuses what cannot fit before anything is loaded.
func (g *gpuEngine) checkMemory() error {
	free, err := g.c.Free()
	if err == nil && g.need() > free {
		err = g.memoryError(nil)
	}
	return err
}

// need is what a model takes with its first slots.
func (g *gpuEngine) need() int64 {
	s := g.manifest.Sizes
	return g.manifest.Weights.Bytes + firstSlots*s.SlotBytes + s.WorkBytes + s.TeamBytes*g.teamsAll + g.inputBytes()
}

// inputBytes is what launches are given, and logits.
func (g *gpuEngine) inputBytes() int64 { return g.frame.bytes + mostQueueBytes(g.manifest.Sizes) }

// memoryError says what is needed, and what there is.
func (g *gpuEngine) memoryError(cause error) error {
	s := g.manifest.Sizes
	free, err := g.c.Free()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s has %d bytes of memory free, and the model needs %d: weights %d, states of %d sequences %d, work %d, inputs and logits %d",
		g.c.Info, free+g.deviceBytes(), g.need(), g.manifest.Weights.Bytes, firstSlots, firstSlots*s.SlotBytes, s.WorkBytes+s.TeamBytes*g.teamsAll, g.inputBytes())
	const fix = "\n  fix: end what else uses the GPU (nvidia-smi lists it), use another (--device), or compile with a smaller --scheme or --max-rows"
	if cause != nil {
		return fmt.Errorf("%s (%w)%s", text, cause, fix)
	}
	return fmt.Errorf("%s%s", text, fix)
}

// growSlots moves the slots to larger memory.
func (g *gpuEngine) growSlots(count int) error {
	size := g.manifest.Sizes.SlotBytes
	if size == 0 {
		g.slots = count
		return nil
	}
	return g.c.Do(func() error {
		states, err := g.alloc("states", int64(count)*size)
		if cuda.Is(err, cuda.ErrOutOfMemory) {
			free, _ := g.c.Free()
			return fmt.Errorf("states of %d sequences need %d bytes beside those of %d, and %s has %d free: %w\n  fix: run fewer sequences at a time", count, int64(count)*size, g.slots,
				g.c.Info, free, err)
		}
		if err != nil {
			return err
		}
		held := int64(g.slots) * size
		if held > 0 {
			err = g.c.Copy(states, g.states, held)
		}
		if err == nil {
			err = g.c.Zero(states+cuda.CUdeviceptr(held), int64(count)*size-held)
		}
		if err == nil {
			err = g.c.Wait("moving states")
		}
		if err == nil {
			err = g.free(g.states)
		}
		if err != nil {
			return err
		}
		g.states, g.slots = states, count
		return nil
	})
}

// slot is where a slot lies.
func (g *gpuEngine) slot(i int) cuda.CUdeviceptr {
	return g.states + cuda.CUdeviceptr(int64(i)*g.manifest.Sizes.SlotBytes)
}

func (g *gpuEngine) clearSlot(slot int) error {
	return g.c.Do(func() error {
		if err := g.c.Zero(g.slot(slot), g.manifest.Sizes.SlotBytes); err != nil {
			return err
		}
		return g.c.Wait("clearing a state")
	})
}

func (g *gpuEngine) copySlot(to, from int) error {
	if to == from || g.manifest.Sizes.SlotBytes == 0 {
		return nil
	}
	return g.c.Do(func() error {
		if err := g.c.Copy(g.slot(to), g.slot(from), g.manifest.Sizes.SlotBytes); err != nil {
			return err
		}
		return g.c.Wait("copying a state")
	})
}

func (g *gpuEngine) readSlot(into []byte, slot int) error {
	return g.c.Do(func() error { return g.copyOut(into, g.slot(slot)) })
}

func (g *gpuEngine) writeSlot(slot int, from []byte) error {
	return g.c.Do(func() error {
		return g.copyIn(g.slot(slot), int64(len(from)), func(b []byte, at int64) error {
			copy(b, from[at:])
			return nil
		})
	})
}

// half is one of two pieces of pinned memory through which everything large goes: while the device reads one, the other is filled.
type half struct {
	memory []byte
	done   cuda.CUevent // the device has read it
	used   bool
}

// halfBytes is enough that the bus is the limit.
const halfBytes = 8 << 20

func (g *gpuEngine) reserveHalves() error {
	n := min(halfBytes, roundUp(max(g.manifest.Weights.Bytes, g.manifest.Sizes.SlotBytes, g.manifest.Sizes.WorkBytes, 4096), deviceAlign))
	for i := range g.halves {
		h := &g.halves[i]
		var err error
		if h.memory, err = g.c.AllocHost("copies", n); err != nil {
			return err
		}
		if h.done, err = g.c.Event(); err != nil {
			return err
		}
	}
	return nil
}

func (h *half) free(c *cuda.Context) error {
	if h.memory == nil {
		return nil
	}
	if h.done != 0 {
		if err := c.FreeEvent(h.done); err != nil {
			return err
		}
	}
	return c.FreeHost(h.memory)
}

// copyIn fills device memory: fill gives what stands from byte at on.
func (g *gpuEngine) copyIn(to cuda.CUdeviceptr, n int64, fill func(b []byte, at int64) error) error {
	for i, at := 0, int64(0); at < n; i++ {
		h := &g.halves[i%2]
		if h.used {
			if err := g.c.WaitFor(h.done, "copying to the GPU"); err != nil {
				return err
			}
		}
		b := h.memory[:min(n-at, int64(len(h.memory)))]
		if err := fill(b, at); err != nil {
			return err
		}
		if err := g.c.ToDevice(to+cuda.CUdeviceptr(at), b); err != nil {
			return err
		}
		if err := g.c.Record(h.done); err != nil {
			return err
		}
		h.used = true
		at += int64(len(b))
	}
	return g.c.Wait("copying to the GPU")
}

// copyOut reads device memory.
func (g *gpuEngine) copyOut(into []byte, from cuda.CUdeviceptr) error {
	h := &g.halves[0]
	for at := 0; at < len(into); {
		b := h.memory[:min(len(into)-at, len(h.memory))]
		if err := g.c.ToHost(b, from+cuda.CUdeviceptr(at)); err != nil {
			return err
		}
		if err := g.c.Wait("copying from the GPU"); err != nil {
			return err
		}
		at += copy(into[at:], b)
	}
	return nil
}
