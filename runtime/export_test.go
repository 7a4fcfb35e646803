package runtime

import "github.com/ssmc/ssmc/runtime/cuda"

// Flush makes Open place memory so that the first byte beyond an area faults.
func Flush(o Options) Options {
	o.flush = true
	return o
}

// Queue takes tokens into a slot of a model on a GPU by launches that are all queued before one is waited for, each with a frame of its own and its token in
// memory of the device. It gives the logits of each.
func Queue(m *Model, slot *Slot, ids []int32) (all [][]float32, err error) {
	g := m.engine.(*gpuEngine)
	frames := make([]frame, len(ids))
	err = g.c.Do(func() error {
		list, err := g.alloc("tokens", int64(4*len(ids)))
		if err != nil {
			return err
		}
		err = g.copyIn(list, int64(4*len(ids)), func(b []byte, _ int64) error {
			for i, id := range ids {
				order.PutUint32(b[4*i:], uint32(id))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range frames {
			f := &frames[i]
			f.layout(m.Manifest.Sizes)
			if err := g.reserveFrame(f); err != nil {
				return err
			}
			f.seqStart[1], f.seqSlot[0] = 1, int32(slot.index)
			g.fill(f, 1, 1, 1)
			f.ctx.ids = uint64(list) + uint64(4*i)
			if err := g.push(f); err != nil {
				return err
			}
		}
		return g.c.Wait("the queue")
	})
	for i := range frames {
		if err != nil {
			break
		}
		row := make([]byte, frames[i].rowBytes)
		err = g.c.Do(func() error { return g.copyOut(row, frames[i].device+cuda.CUdeviceptr(frames[i].logitsAt)) })
		all = append(all, memory(row).floats()[:m.Manifest.Model.Vocab])
	}
	for i := range frames {
		if err == nil {
			err = g.c.Do(func() error { return g.c.FreeHost(frames[i].host) })
		}
	}
	return all, err
}
