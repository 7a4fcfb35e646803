package runtime

import (
	"unsafe"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// gpuContext is the context of docs/ptx.md. All pointers are the device's.
type gpuContext struct {
	abi                                                                uint32
	result                                                             int32
	weights, work, team, state, ids, seqStart, seqSlot, outRow, logits uint64
	rows, seqs, outs                                                   int64
	trace                                                              uint64
	workers                                                            uint32
	_                                                                  uint32
	sampling, chosen, odds                                             uint64 // chosen 0: no token is chosen
	_                                                                  [48]byte
	arrived                                                            uint32
	_                                                                  [60]byte
}

// notRun is what the result is until the kernel writes one.
const notRun = -1 << 30

// The layout is the ABI's: these do not compile if it is not.
var (
	_ [256 - unsafe.Sizeof(gpuContext{})]byte
	_ [unsafe.Sizeof(gpuContext{}) - 256]byte
	_ [192 - unsafe.Offsetof(gpuContext{}.arrived)]byte
	_ [unsafe.Offsetof(gpuContext{}.arrived) - 192]byte
)

// frame is what one launch is given and what it leaves: the lists, the context, the chosen tokens, the logits. It is one piece of device memory, and pinned memory of the same
// layout, which has fewer rows of logits. So everything goes there in one copy, and the result and the first logits come back in one.
type frame struct {
	lists
	ctx    *gpuContext
	host   []byte
	device cuda.CUdeviceptr

	seqStartAt, seqSlotAt, outRowAt, samplingAt, ctxAt, chosenAt, logitsAt int64 // ids are at 0
	rowBytes                                                               int64
	rows                                                                   int   // of logits in pinned memory
	bytes, hostBytes                                                       int64 // in all
}

// logitsBytes is about how much pinned memory logits get: some of the largest steps' rows are fetched in several copies.
const logitsBytes = 4 << 20

// deviceAlign is the alignment of everything that a launch is given.
const deviceAlign = 256

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// layout says where everything lies.
func (f *frame) layout(s artifact.Sizes) {
	at := int64(0)
	next := func(n int64) int64 {
		from := at
		at += roundUp(n, deviceAlign)
		return from
	}
	next(4 * s.MaxRows)
	f.seqStartAt, f.seqSlotAt, f.outRowAt = next(4*(s.MaxSeqs+1)), next(4*s.MaxSeqs), next(4*s.MaxRows)
	f.samplingAt = next(samplingBytes * s.MaxRows)
	f.ctxAt = next(int64(unsafe.Sizeof(gpuContext{})))
	f.chosenAt = next(4 * s.MaxRows)
	f.logitsAt, f.rowBytes = at, 4*s.LogitsStride
	f.rows = int(s.MaxRows)
	if f.rowBytes > 0 {
		f.rows = int(min(s.MaxRows, max(1, logitsBytes/f.rowBytes)))
	}
	f.bytes, f.hostBytes = at+f.rowBytes*s.MaxRows, at+f.rowBytes*int64(f.rows)
}

// place finds lists and context in pinned memory.
func (f *frame) place(host []byte) {
	f.host = host
	f.ctx = (*gpuContext)(unsafe.Pointer(&host[f.ctxAt]))
	f.ids, f.seqStart = memory(host[:f.seqStartAt]).int32s(), memory(host[f.seqStartAt:f.seqSlotAt]).int32s()
	f.seqSlot, f.outRow = memory(host[f.seqSlotAt:f.outRowAt]).int32s(), memory(host[f.outRowAt:f.samplingAt]).int32s()
	f.sampling, f.chosen = memory(host[f.samplingAt:f.ctxAt]).int32s(), memory(host[f.chosenAt:f.logitsAt]).int32s()
}
