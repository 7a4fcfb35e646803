package runtime

import (
	"fmt"
	"unsafe"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// gpuAhead is how many launches are queued if nobody says otherwise. It divides the host's part of a round trip, and bounds what is thrown away behind a stop token and how many tokens
// come at once. No device has been asked yet whether another number is better.
const gpuAhead = 8

// queueFrame is what queued launches are given and what they leave, one piece of device memory and pinned memory of the same layout: everything goes there in one copy
// and comes back in one. Each launch has its context, its parameters of sampling and its chosen tokens; the other lists are the same for all, but the ids, which from the second
// launch on are what the one before chose. Their logits lie in the frame of single steps, since only one launch runs at a time.
type queueFrame struct {
	host   []byte
	device cuda.CUdeviceptr
}

// queueLayout says where everything lies for so many launches of so many sequences. ids are at 0.
type queueLayout struct{ seqStartAt, seqSlotAt, outRowAt, samplingAt, ctxAt, chosenAt, bytes int64 }

func layoutQueue(steps, seqs int64) (l queueLayout) {
	at := roundUp(4*seqs, deviceAlign)
	next := func(n int64) int64 {
		from := at
		at += roundUp(n, deviceAlign)
		return from
	}
	l.seqStartAt, l.seqSlotAt, l.outRowAt = next(4*(seqs+1)), next(4*seqs), next(4*seqs)
	l.samplingAt = next(samplingBytes * seqs * steps)
	l.ctxAt = next(int64(unsafe.Sizeof(gpuContext{})) * steps)
	l.chosenAt = next(4 * seqs * steps)
	l.bytes = at
	return l
}

// mostQueueBytes is the room for the longest queue.
func mostQueueBytes(s artifact.Sizes) int64 {
	return layoutQueue(MostAhead, min(s.MaxSeqs, s.MaxRows)).bytes
}

func (g *gpuEngine) reserveQueue() (err error) {
	n := mostQueueBytes(g.manifest.Sizes)
	if g.queues.device, err = g.alloc("queued launches", n); err != nil {
		return err
	}
	g.queues.host, err = g.c.AllocHost("queued launches", n)
	return err
}

func (g *gpuEngine) ahead() int { return gpuAhead }

// queue queues the copies of the states and all launches, and waits once.
func (g *gpuEngine) queue(q *queued) error {
	n, steps := int64(len(q.to)), int64(q.steps)
	l := layoutQueue(steps, n)
	host := g.queues.host[:l.bytes]
	contexts := unsafe.Slice((*gpuContext)(unsafe.Pointer(&host[l.ctxAt])), steps)
	chosen := memory(host[l.chosenAt:]).int32s()[:n*steps]
	g.fillQueue(q, l, contexts, chosen)
	what := fmt.Sprintf("%d queued steps of %d sequences", steps, n)
	err := g.c.Do(func() error {
		for i := range q.to {
			if size := g.manifest.Sizes.SlotBytes; size > 0 && q.to[i] != q.from[i] {
				if err := g.c.Copy(g.slot(q.to[i]), g.slot(q.from[i]), size); err != nil {
					return err
				}
			}
		}
		if err := g.c.ToDevice(g.queues.device, host); err != nil {
			return err
		}
		for step := range steps {
			if err := g.kernel.Launch(uint64(g.queues.device) + uint64(l.ctxAt+step*int64(unsafe.Sizeof(gpuContext{})))); err != nil {
				return err
			}
		}
		if err := g.c.ToHost(host[l.ctxAt:], g.queues.device+cuda.CUdeviceptr(l.ctxAt)); err != nil {
			return err
		}
		return g.c.WaitSteps(what, q.steps)
	})
	if err != nil {
		return err
	}
	for i := range contexts {
		if r := contexts[i].result; r != 0 {
			return fmt.Errorf("%s: number %d failed: %s", what, i, gpuStepError(r))
		}
	}
	copy(q.chosen, chosen)
	return nil
}

// fillQueue writes what the launches are given. Chosen tokens are there zeros: what a launch that is refused leaves is an id, too.
func (g *gpuEngine) fillQueue(q *queued, l queueLayout, contexts []gpuContext, chosen []int32) {
	host, n := g.queues.host, int64(len(q.to))
	at := func(off int64) uint64 { return uint64(g.queues.device) + uint64(off) }
	same := lists{
		ids: memory(host[:l.seqStartAt]).int32s(), seqStart: memory(host[l.seqStartAt:l.seqSlotAt]).int32s(),
		seqSlot: memory(host[l.seqSlotAt:l.outRowAt]).int32s(), outRow: memory(host[l.outRowAt:l.samplingAt]).int32s(),
	}
	same.fill(q)
	fillSampling(memory(host[l.samplingAt:l.ctxAt]).int32s(), q.sampling)
	clear(chosen)
	for i := range contexts {
		step := int64(i)
		c := g.context(int(n), int(n), int(n))
		c.ids, c.seqStart, c.seqSlot, c.outRow = at(0), at(l.seqStartAt), at(l.seqSlotAt), at(l.outRowAt)
		if i > 0 {
			c.ids = contexts[i-1].chosen
		}
		c.logits = uint64(g.frame.device) + uint64(g.frame.logitsAt)
		c.sampling, c.chosen, c.odds = at(l.samplingAt+samplingBytes*n*step), at(l.chosenAt+4*n*step), c.logits
		contexts[i] = c
	}
}
