package runtime

import (
	"context"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"
)

// race times work that several threads do at once, many times over.
type race struct {
	threads    int
	arrived    atomic.Int32
	generation atomic.Int32
	start, end []time.Duration // of each thread, in the run at hand
}

func newRace(threads int) *race {
	return &race{threads: threads, start: make([]time.Duration, threads), end: make([]time.Duration, threads)}
}

// run does the work n times in all threads and gives the shortest time from the first thread's beginning to the last one's end.
func (r *race) run(ctx context.Context, n int, work func(worker, run int)) time.Duration {
	best := time.Duration(1 << 62)
	origin := time.Now()
	var stopped atomic.Bool
	var done sync.WaitGroup
	for w := range r.threads {
		done.Go(func() {
			goruntime.LockOSThread()
			defer goruntime.UnlockOSThread()
			for i := range n {
				if w == 0 && ctx.Err() != nil {
					stopped.Store(true)
				}
				r.meet()
				if stopped.Load() {
					return
				}
				r.start[w] = time.Since(origin)
				work(w, i)
				r.end[w] = time.Since(origin)
				r.meet()
				if w == 0 {
					best = min(best, r.span())
				}
			}
		})
	}
	done.Wait()
	return best
}

// span is the time of the run that has just ended. The others wait for thread 0 at the next meeting, so nothing changes meanwhile.
func (r *race) span() time.Duration {
	first, last := r.start[0], r.end[0]
	for w := range r.threads {
		first, last = min(first, r.start[w]), max(last, r.end[w])
	}
	return last - first
}

// meet returns when all threads have called it. It spins, since waking a thread takes as long as some of the runs, and gives way when it takes long.
func (r *race) meet() {
	generation := r.generation.Load()
	if int(r.arrived.Add(1)) == r.threads {
		r.arrived.Store(0)
		r.generation.Add(1)
		return
	}
	for spins := 0; r.generation.Load() == generation; spins++ {
		if spins > 1000 {
			goruntime.Gosched()
		}
	}
}
