package emulator

import (
	"time"

	"github.com/ssmc/ssmc/runtime/cuda"
)

// stream is work that was queued and is not done. It is done when somebody asks for an event behind it, so that pinned memory that is used too early is seen.
type stream struct{ todo []func() cuda.Result }

// event is a point in a stream. Only the last record of it counts.
type event struct {
	on      *stream // that it is still to come on; nil: it has been
	records int
	at      time.Time
}

// enqueue puts work into a stream.
func (d *driver) enqueue(on cuda.CUstream, work func() cuda.Result) cuda.Result {
	s := d.streams[on]
	if s == nil {
		return cuda.ErrInvalidHandle
	}
	s.todo = append(s.todo, work)
	return cuda.Success
}

// advance does a stream's work until there is no more, or enough says so. What fails ends all.
func (d *driver) advance(s *stream, enough func() bool) cuda.Result {
	for d.failed == cuda.Success && len(s.todo) > 0 && !enough() {
		work := s.todo[0]
		s.todo = s.todo[1:]
		d.failed = work()
	}
	return d.failed
}

// finish does all that is queued, and then something that a driver does not queue.
func (d *driver) finish(then func() cuda.Result) cuda.Result {
	for _, s := range d.streams {
		if r := d.advance(s, func() bool { return false }); r != cuda.Success {
			return r
		}
	}
	return then()
}

// queues are streams and events.
func (d *driver) queues(t *cuda.Driver) {
	t.StreamCreate = func(s *cuda.CUstream, _ uint32) cuda.Result {
		return d.do(func(*gpu) cuda.Result {
			*s = cuda.CUstream(d.handle())
			d.streams[*s] = &stream{}
			return cuda.Success
		})
	}
	t.StreamDestroy = func(s cuda.CUstream) cuda.Result {
		return d.do(func(*gpu) cuda.Result {
			if d.streams[s] == nil {
				return cuda.ErrInvalidHandle
			}
			return d.finish(func() cuda.Result { delete(d.streams, s); return cuda.Success })
		})
	}
	t.EventCreate = func(e *cuda.CUevent, _ uint32) cuda.Result {
		return d.do(func(*gpu) cuda.Result {
			*e = cuda.CUevent(d.handle())
			d.events[*e] = &event{}
			return cuda.Success
		})
	}
	// about runs a call about an event that there is.
	about := func(e cuda.CUevent, call func(*event) cuda.Result) cuda.Result {
		return d.do(func(*gpu) cuda.Result {
			x := d.events[e]
			if x == nil {
				return cuda.ErrInvalidHandle
			}
			return call(x)
		})
	}
	t.EventDestroy = func(e cuda.CUevent) cuda.Result {
		return about(e, func(*event) cuda.Result { delete(d.events, e); return cuda.Success })
	}
	t.EventRecord = func(e cuda.CUevent, s cuda.CUstream) cuda.Result {
		return about(e, func(x *event) cuda.Result {
			x.records++
			x.on = d.streams[s]
			this := x.records
			return d.enqueue(s, func() cuda.Result {
				if x.records == this {
					x.on, x.at = nil, time.Now()
				}
				return cuda.Success
			})
		})
	}
	t.EventQuery = func(e cuda.CUevent) cuda.Result {
		return about(e, func(x *event) cuda.Result {
			if x.on == nil {
				return cuda.Success
			}
			return d.advance(x.on, func() bool { return x.on == nil })
		})
	}
	t.EventElapsedTime = func(ms *float32, start, end cuda.CUevent) cuda.Result {
		return about(start, func(from *event) cuda.Result {
			to := d.events[end]
			switch {
			case to == nil || from.at.IsZero() || to.at.IsZero():
				return cuda.ErrInvalidHandle
			case from.on != nil || to.on != nil:
				return cuda.ErrNotReady
			}
			*ms = float32(to.at.Sub(from.at).Seconds() * 1e3)
			return cuda.Success
		})
	}
}
