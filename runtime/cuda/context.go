package cuda

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"time"
)

// Context is a device in use: its primary context, which all users of the device in this process share, and a stream of our own.
type Context struct {
	Info
	d      *Driver
	handle CUcontext
	stream CUstream
	done   CUevent // recorded behind what is waited for
	limit  time.Duration
	lost   error
}

// DefaultLimit is how long a wait may take at most if nobody says otherwise. The longest step that a model takes has some milliseconds.
const DefaultLimit = time.Minute

// NewContext begins to use a device. limit is the longest that a wait may take; 0: DefaultLimit.
func (d *Driver) NewContext(i Info, limit time.Duration) (*Context, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	c := &Context{Info: i, d: d, limit: limit}
	if err := d.check("cuDevicePrimaryCtxRetain", d.DevicePrimaryCtxRetain(&c.handle, i.device)); err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w\n  fix: see in nvidia-smi whether another process has it for itself, or has all of its memory", i, err)
	}
	err := c.Do(func() error {
		return errors.Join(c.check("cuStreamCreate", d.StreamCreate(&c.stream, StreamNonBlocking)), c.check("cuEventCreate", d.EventCreate(&c.done, EventNoTime)))
	})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Do does work on the device. All other methods but Close must be called from inside of it: see the package's comment.
func (c *Context) Do(work func() error) error {
	if c.lost != nil {
		return c.lost
	}
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	if err := c.check("cuCtxSetCurrent", c.d.CtxSetCurrent(c.handle)); err != nil {
		return err
	}
	return work()
}

// check makes an error of a result, and remembers one that nothing can follow.
func (c *Context) check(call string, r Result) error {
	err := c.d.check(call, r)
	if lost[r] {
		if c.d.Fault != nil {
			err = fmt.Errorf("%w\n%s", err, c.d.Fault())
		}
		c.lose(err)
		return c.lost
	}
	return err
}

// lose gives the device up.
func (c *Context) lose(err error) {
	c.lost = fmt.Errorf("%s is lost to this process: %w", c.Info, err)
}

// Lost is why the device was given up, or nil.
func (c *Context) Lost() error { return c.lost }

// Driver is whose device it is.
func (c *Context) Driver() *Driver { return c.d }

// Stream is where all work is queued, in order.
func (c *Context) Stream() CUstream { return c.stream }

// Close ends the use. What was allocated must have been freed. A lost device is left to the end of the process.
func (c *Context) Close() error {
	if c == nil || c.lost != nil || c.handle == 0 {
		return nil
	}
	err := c.Do(func() error {
		var errs []error
		if c.done != 0 {
			errs = append(errs, c.check("cuEventDestroy", c.d.EventDestroy(c.done)))
		}
		if c.stream != 0 {
			errs = append(errs, c.check("cuStreamDestroy", c.d.StreamDestroy(c.stream)))
		}
		return errors.Join(append(errs, c.check("cuCtxSetCurrent", c.d.CtxSetCurrent(0)))...)
	})
	err = errors.Join(err, c.d.check("cuDevicePrimaryCtxRelease", c.d.DevicePrimaryCtxRelease(c.device)))
	c.handle = 0
	return err
}
