package cuda

import (
	"fmt"
	"time"
)

// A wait asks without a pause for so long, which is most steps; then it sleeps between two questions for a part of the time that it has waited.
const (
	busy      = 2 * time.Millisecond
	sleepPart = 50 // so a wait is at most 2 % longer than the work
	mostSleep = 10 * time.Millisecond
)

// Wait returns when all that was queued has been done.
func (c *Context) Wait(what string) error { return c.WaitSteps(what, 1) }

// WaitSteps is Wait for so many steps, each of which may take the limit.
func (c *Context) WaitSteps(what string, steps int) error {
	if err := c.check("cuEventRecord", c.d.EventRecord(c.done, c.stream)); err != nil {
		return err
	}
	return c.waitFor(c.done, what, time.Duration(steps)*c.limit)
}

// WaitFor returns when the device has come to an event.
func (c *Context) WaitFor(e CUevent, what string) error { return c.waitFor(e, what, c.limit) }

// waitFor asks instead of calling cuEventSynchronize, which would not come back from a device that does not.
func (c *Context) waitFor(e CUevent, what string, limit time.Duration) error {
	start := time.Now()
	for {
		r := c.d.EventQuery(e)
		if r == Success {
			return nil
		}
		if r != ErrNotReady {
			return fmt.Errorf("%s: %w", what, c.check("cuEventQuery", r))
		}
		waited := time.Since(start)
		if waited > limit {
			c.lose(fmt.Errorf("%s has not ended after %v", what, limit))
			return fmt.Errorf("%w\n  fix: see in nvidia-smi and in the kernel's log (dmesg, lines with Xid) what became of the device; if it is only slow, allow more time", c.lost)
		}
		if waited > busy {
			time.Sleep(min(waited/sleepPart, mostSleep))
		}
	}
}

// Event makes an event that takes the time.
func (c *Context) Event() (e CUevent, err error) {
	return e, c.check("cuEventCreate", c.d.EventCreate(&e, 0))
}

// Record puts an event behind what is queued.
func (c *Context) Record(e CUevent) error {
	return c.check("cuEventRecord", c.d.EventRecord(e, c.stream))
}

// FreeEvent takes an event away.
func (c *Context) FreeEvent(e CUevent) error { return c.check("cuEventDestroy", c.d.EventDestroy(e)) }

// Elapsed is the time between two events that have been.
func (c *Context) Elapsed(start, end CUevent) (time.Duration, error) {
	ms := float32(0)
	err := c.check("cuEventElapsedTime", c.d.EventElapsedTime(&ms, start, end))
	return time.Duration(float64(ms) * 1e6), err
}
