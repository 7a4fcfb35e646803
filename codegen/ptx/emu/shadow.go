package emu

import "math/bits"

// cell is what is known of the last accesses to a word of memory, or to a byte of a word that is not always accessed as a whole.
type cell struct {
	writeStamp, readStamp uint32
	writer, reader        int32  // thread: warp of the clocks times 32 plus lane
	several               int32  // not 0: more than one warp has read since the write; which ones and when is in shadow.readers
	serial                uint32 // of the instruction that wrote
	flags                 cellFlags
}

// readers is what several warps have read: when each did last, and which lane.
type readers struct {
	warps uint64
	stamp [64]uint32
	lane  [64]uint8 // manyLanes: more than one
}

const manyLanes = 255

type cellFlags uint8

const (
	written     cellFlags = 1 << iota
	haveRead              // since the write
	strongWrite           // the last write was atomic, volatile or the like
	strongRead            // and so were all reads since
	manyReaders           // more than one lane of the warp of reader
	pendingCopy           // cp.async writes it and has not been waited for
	split                 // the cells of the bytes count
	asyncWrite            // the last write was the async proxy's
)

// shadow watches an area of memory.
type shadow struct {
	words []cell
	bytes [][4]cell // made when the first word is split
	blank bool      // what has not been written must not be read

	readers []readers
	free    []int32 // places in it
}

// access is what a warp instruction does; lane after lane uses the same one.
type access struct {
	c        *clocks
	warp     int
	thread   int32
	write    bool
	strong   bool
	serial   uint32
	copies   bool // written by cp.async
	atomic   bool // reads too
	many     bool // by more lanes than thread's
	quiet    bool // its faults are found again
	async    bool // of the async proxy
	mbarrier bool // of an instruction that may touch one
}

const (
	nobody      = -1
	anotherLane = -2 // of the same warp
)

// clash says what is wrong with an access: nothing if why is empty. other is the thread it meets.
type clash struct {
	why   string
	other int32
	same  bool // both are of one instruction: wrong only if the values differ
}

func (s *shadow) reset() {
	clear(s.words)
	s.bytes, s.readers, s.free = nil, s.readers[:0], s.free[:0]
}

// touch notes an access to n bytes from at, and says what is wrong with it.
func (s *shadow) touch(a *access, at, n int64) clash {
	if (at|n)&3 != 0 {
		return s.touchBytes(a, at, n)
	}
	for i := at / 4; i < (at+n)/4; i++ {
		c := &s.words[i]
		if c.flags&split != 0 {
			if bad := s.touchBytes(a, 4*i, 4); bad.why != "" {
				return bad
			}
			if a.write {
				*c = s.bytes[i][0]
			}
			continue
		}
		if bad := s.on(a, c); bad.why != "" {
			return bad
		}
	}
	return clash{}
}

// touchBytes does it byte by byte.
func (s *shadow) touchBytes(a *access, at, n int64) clash {
	if s.bytes == nil {
		s.bytes = make([][4]cell, len(s.words))
	}
	for i := at; i < at+n; i++ {
		w := &s.words[i/4]
		if w.flags&split == 0 {
			s.split(w, &s.bytes[i/4])
		}
		if bad := s.on(a, &s.bytes[i/4][i%4]); bad.why != "" {
			return bad
		}
	}
	return clash{}
}

// done ends the wait for a cp.async of a thread: its bytes are now written, at this time.
func (s *shadow) done(c *clocks, thread int32, at, n int64) {
	finish := func(x *cell) {
		if x.flags&pendingCopy != 0 && x.writer == thread {
			x.flags &^= pendingCopy
			x.writeStamp = c.now
		}
	}
	for i := at / 4; i < (at+n)/4; i++ {
		if s.words[i].flags&split == 0 {
			finish(&s.words[i])
			continue
		}
		for j := range s.bytes[i] {
			finish(&s.bytes[i][j])
		}
	}
}

// split gives the bytes of a word cells of their own.
func (s *shadow) split(w *cell, bytes *[4]cell) {
	for j := range bytes {
		bytes[j] = *w
		if w.several != 0 && j > 0 {
			bytes[j].several = s.newReaders(s.readers[w.several-1])
		}
	}
	w.flags |= split
}

// newReaders gives a place for the readers of a cell, counted from 1.
func (s *shadow) newReaders(r readers) int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.readers[i-1] = r
		return i
	}
	s.readers = append(s.readers, r)
	return int32(len(s.readers))
}

// on is an access to one cell.
func (s *shadow) on(a *access, c *cell) clash {
	if c.flags&pendingCopy != 0 {
		return clash{why: "cp.async writes it, and has not been waited for by", other: c.writer}
	}
	if a.async && c.flags&(written|asyncWrite) == written && c.writeStamp >= a.c.shown(c.writer) {
		return clash{why: "written, with no fence.proxy.async behind it, by", other: c.writer}
	}
	if c.flags&asyncWrite != 0 && c.writeStamp >= a.c.bulk[a.warp] {
		return clash{why: "cp.async.bulk wrote it, and this warp has not seen the mbarrier of that, by", other: c.writer}
	}
	if !a.write && s.blank && c.flags&written == 0 {
		return clash{why: "it has not been written", other: nobody}
	}
	known := a.c.known[a.warp]
	var bad clash
	if c.flags&written != 0 && (c.writer != a.thread || a.many) && c.writeStamp >= known[c.writer/lanes] && !(a.strong && c.flags&strongWrite != 0) {
		if !a.write || c.serial != a.serial {
			return clash{why: "written, with no barrier between, by", other: c.writer}
		}
		bad = clash{why: "written by the same instruction, with another value, by", other: c.writer, same: true}
	}
	if !a.write {
		s.read(a, c, known)
		return bad
	}
	if c.flags&haveRead != 0 && !(a.strong && c.flags&strongRead != 0) {
		if other := s.unfinished(a, c, known); other != nobody {
			return clash{why: "read, with no barrier between, by", other: other}
		}
	}
	s.write(a, c)
	return bad
}

// unfinished gives a reader of c that is not known to be done, or nobody.
func (s *shadow) unfinished(a *access, c *cell, known []uint32) int32 {
	if c.several == 0 {
		switch {
		case c.readStamp < known[c.reader/lanes] || c.reader == a.thread && c.flags&manyReaders == 0:
			return nobody
		case c.reader == a.thread:
			return anotherLane
		}
		return c.reader
	}
	r := &s.readers[c.several-1]
	for m := r.warps; m != 0; m &= m - 1 {
		w := bits.TrailingZeros64(m)
		thread := int32(w*lanes) + int32(r.lane[w])
		switch {
		case r.stamp[w] < known[w] || thread == a.thread:
			continue
		case w == a.warp && r.lane[w] == manyLanes:
			return anotherLane
		case r.lane[w] == manyLanes:
			return int32(w * lanes)
		}
		return thread
	}
	return nobody
}

// write records a write.
func (s *shadow) write(a *access, c *cell) {
	if c.several != 0 {
		s.free = append(s.free, c.several)
		c.several = 0
	}
	c.writer, c.writeStamp, c.serial = a.thread, a.c.now, a.serial
	c.flags = c.flags&split | written
	if a.strong {
		c.flags |= strongWrite
	}
	if a.copies {
		c.flags |= pendingCopy
	}
	if a.async {
		c.flags |= asyncWrite
	}
}

// read records a read. What is known to be done before it need not be remembered: it comes after that.
func (s *shadow) read(a *access, c *cell, known []uint32) {
	if c.several != 0 {
		s.readers[c.several-1].add(a.thread, a.c.now, a.many)
	} else {
		w := c.reader / lanes
		switch {
		case c.flags&haveRead == 0 || c.reader != a.thread && c.readStamp < known[w]:
			c.flags = c.flags&^manyReaders | strongRead | haveRead
			c.reader = a.thread
		case c.reader == a.thread:
		case w == int32(a.warp):
			c.flags |= manyReaders
		default:
			var r readers
			r.add(c.reader, c.readStamp, c.flags&manyReaders != 0)
			r.add(a.thread, a.c.now, a.many)
			c.several = s.newReaders(r)
		}
		c.readStamp = a.c.now
		if a.many {
			c.flags |= manyReaders
		}
	}
	if !a.strong {
		c.flags &^= strongRead
	}
}

func (r *readers) add(thread int32, now uint32, many bool) {
	w, lane := thread/lanes, uint8(thread%lanes)
	if many || r.warps>>w&1 != 0 && r.lane[w] != lane {
		lane = manyLanes
	}
	r.warps |= 1 << w
	r.stamp[w], r.lane[w] = now, lane
}
