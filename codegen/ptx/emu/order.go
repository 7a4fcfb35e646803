package emu

// Who knows of whose accesses. Time counts barriers, releases and bar.warp.syncs of a launch; an access has the time at which it was made as its
// stamp. known[a][b] is a time: what warp b did before it comes before what warp a does now. known[a][a] is that of the last meeting of a's lanes.
type clocks struct {
	now   uint32
	known [][]uint32
	syncs map[syncKey][]uint32 // what a warp that acquires at an address comes to know
	fence []fence              // of each warp
	async []uint32             // of each thread: what it wrote before this time the async proxy sees
	bulk  []uint32             // of each warp: what cp.async.bulk wrote before this time it has seen an mbarrier for
}

// syncKey is an address in a state space. Releases of scope .cta are seen in their block only; block is -1 for what all blocks see.
type syncKey struct {
	space space
	addr  uint64
	block int
}

// fence is what a warp's fence instructions make of its relaxed accesses: a write behind a fence releases what was known at the fence, a read
// before it acquires.
type fence struct {
	released []uint32
	pending  []uint32
	wide     bool // the last fence had a scope of .gpu or .sys
}

// order says what a strong access orders, and how far.
type order struct {
	acquire, release bool
	cta              bool // scope .cta
}

func newClocks(warps int) *clocks {
	c := &clocks{now: 1, known: make([][]uint32, warps), syncs: map[syncKey][]uint32{}, fence: make([]fence, warps), bulk: make([]uint32, warps)}
	for i := range c.known {
		c.known[i] = make([]uint32, warps)
	}
	return c
}

// restart orders everything up to now before everything after: blocks that run one after the other.
func (c *clocks) restart() {
	c.now++
	for _, k := range c.known {
		for i := range k {
			k[i] = c.now
		}
	}
	clear(c.syncs)
	clear(c.fence)
	for i := range c.bulk {
		c.bulk[i] = c.now
	}
}

func join(to, from []uint32) {
	for i, t := range from {
		to[i] = max(to[i], t)
	}
}

// leave is a warp that arrives at a barrier: what it knows and has done is added to what those know who come through.
func (c *clocks) leave(w int, through []uint32) {
	c.now++
	join(through, c.known[w])
	through[w] = c.now
}

// meetLanes is bar.warp.sync.
func (c *clocks) meetLanes(w int) {
	c.now++
	c.known[w][w] = c.now
}

// snapshot is what a warp releases now.
func (c *clocks) snapshot(w int) []uint32 {
	s := make([]uint32, len(c.known))
	c.leave(w, s)
	return s
}

// fenced is a fence of a warp.
func (c *clocks) fenced(w int, cta bool) {
	f := &c.fence[w]
	f.released, f.wide = c.snapshot(w), !cta
	if f.pending != nil {
		join(c.known[w], f.pending)
		f.pending = nil
	}
}

// strong is a strong access of a lane of w to an address: the order that it makes.
func (c *clocks) strong(w *warp, s space, addr uint64, o order, read, write bool) {
	me := w.clock
	here, everywhere := syncKey{s, addr, w.b.index}, syncKey{s, addr, -1}
	if write {
		var rel []uint32
		wide := !o.cta
		switch f := &c.fence[me]; {
		case o.release:
			rel = c.snapshot(me)
		case f.released != nil:
			rel, wide = f.released, wide && f.wide
		case !read: // a relaxed store ends what was released there; an atomic goes on with it
			delete(c.syncs, here)
			delete(c.syncs, everywhere)
		}
		c.publish(here, rel)
		if wide {
			c.publish(everywhere, rel)
		}
	}
	if read {
		got := c.known[me]
		if !o.acquire {
			f := &c.fence[me]
			if f.pending == nil {
				f.pending = make([]uint32, len(got))
			}
			got = f.pending
		}
		join(got, c.syncs[here])
		if !o.cta {
			join(got, c.syncs[everywhere])
		}
	}
}

func (c *clocks) publish(k syncKey, rel []uint32) {
	if rel == nil {
		return
	}
	to := c.syncs[k]
	if to == nil {
		to = make([]uint32, len(rel))
		c.syncs[k] = to
	}
	join(to, rel)
}

// show is a proxy fence of a thread.
func (c *clocks) show(thread int32) {
	if c.async == nil {
		c.async = make([]uint32, len(c.known)*lanes)
	}
	c.now++
	c.async[thread] = c.now
}

// shown is before which time a thread's writes are seen by the async proxy.
func (c *clocks) shown(thread int32) uint32 {
	if c.async == nil {
		return 0
	}
	return c.async[thread]
}
