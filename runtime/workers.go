package runtime

import (
	"fmt"
	goruntime "runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// spinning is how many rounds a worker spins at a barrier before it sleeps: 25 to 50 microseconds, about what waking a thread costs, so that it never loses
// more than twice the best. Decoding hardly waits longer when the cores are free; when other programs use them, the longer a waiting thread spins, the longer
// it keeps the core from the one it waits for (measured with two busy loops beside two threads: 29 tokens/s at 500 rounds, 18 at 2,000, 11 at 20,000).
const spinning = 1000

// spinRounds is 0 when there are more threads than may run at once: then a spinning one only keeps the core from the one it waits for.
func spinRounds(threads int) uint32 {
	if threads > goruntime.GOMAXPROCS(0) || threads > goruntime.NumCPU() {
		return 0
	}
	return spinning
}

// workers are the threads 1 to n-1. They live in the object code's serve until the model is closed.
type workers struct {
	running bool
	done    sync.WaitGroup
}

// startWorkers starts them once, at the first step: a model that is only inspected costs no thread.
func (c *cpuEngine) startWorkers() {
	if c.workers.running || c.threads == 1 {
		return
	}
	c.workers.running = true
	for w := 1; w < c.threads; w++ {
		c.workers.done.Add(1)
		go func() {
			defer c.workers.done.Done()
			goruntime.LockOSThread()
			defer goruntime.UnlockOSThread()
			purego.SyscallN(c.code.serveFunc, uintptr(unsafe.Pointer(c.ctx)), uintptr(w), uintptr(c.threads))
		}()
	}
}

// stopWorkers lets them return and waits for it.
func (c *cpuEngine) stopWorkers() {
	if !c.workers.running {
		return
	}
	c.ctx.stop = 1
	purego.SyscallN(c.code.stepFunc, uintptr(unsafe.Pointer(c.ctx)), 0, uintptr(c.threads))
	c.workers.done.Wait()
	c.workers.running = false
}

// callStep runs the step that the context describes.
func (c *cpuEngine) callStep() error {
	c.startWorkers()
	result, _, _ := purego.SyscallN(c.code.stepFunc, uintptr(unsafe.Pointer(c.ctx)), 0, uintptr(c.threads))
	if code := int32(result); code != 0 {
		return fmt.Errorf("a step of %d rows, %d sequences and %d outputs failed: %s", c.ctx.rows, c.ctx.seqs, c.ctx.outs, stepError(code))
	}
	return nil
}

// stepError is the meaning of a step's result; docs/abi.md.
func stepError(code int32) string {
	switch code {
	case -1:
		return "the code has another ABI version"
	case -2:
		return "the CPU has none of the code's levels"
	case -3:
		return "a count is out of bounds"
	case -4:
		return "a pointer is null"
	}
	return fmt.Sprintf("code %d", code)
}
