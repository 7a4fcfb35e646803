package spmd

// The interpreter lets a copy into scratch arrive at the last moment, when it is waited for, and refuses who touches the place before.

// copyBytes is what a lane copies.
const copyBytes = 16

// asyncCopy is what a lane copies, on its way.
type asyncCopy struct {
	to    int64 // byte of scratch
	data  [copyBytes]byte
	group int
}

func copyAsync(f *frame, in *inst) {
	to, from := f.p[in.list[0]], f.p[in.list[2]]
	size := in.src.Args[0].Type.Elem.Bytes()
	for l := range f.lanes {
		v, w := int64(f.i[in.list[1]+l]), int64(f.i[in.list[3]+l])
		if at := from.off + w*size; (to.off+v*size)%copyBytes != 0 || at%copyBytes != 0 {
			f.fail(in, "lane %d copies from byte %d to byte %d: multiples of %d are wanted", l, at, to.off+v*size, copyBytes)
			return
		}
		source := f.sized(in, from, size, w, copyBytes/size, false)
		if f.stop {
			return
		}
		f.begin(in, to, v*size, source)
		if f.stop {
			return
		}
	}
}

// copyBulk copies pieces, sixteen bytes after the other.
func copyBulk(f *frame, in *inst) {
	to, from, s := f.p[in.list[0]], f.p[in.list[1]], in.src.Strides
	if to.off%copyBytes != 0 || from.off%copyBytes != 0 {
		f.fail(in, "copies from byte %d to byte %d: multiples of %d are wanted", from.off, to.off, copyBytes)
		return
	}
	for i := range in.imm {
		for at := int64(0); at < s.B; at += copyBytes {
			source := f.sized(in, from, 1, i*s.A+at, copyBytes, false)
			if f.stop {
				return
			}
			f.begin(in, to, i*s.C+at, source)
			if f.stop {
				return
			}
		}
	}
}

// begin sets sixteen bytes on their way to a byte behind to.
func (f *frame) begin(in *inst, to pointer, at int64, source []byte) {
	place := f.sized(in, to, 1, at, copyBytes, true)
	if f.stop {
		return
	}
	c := asyncCopy{to: to.off + at, group: f.groups}
	copy(c.data[:], source)
	poison(place)
	f.copies = append(f.copies, c)
	f.mem.arriving++
	f.mem.pending[c.to/copyBytes]++
}

func copyWait(f *frame, in *inst) {
	rest := f.copies[:0]
	for _, c := range f.copies {
		if c.group >= f.groups-int(in.imm) {
			rest = append(rest, c)
			continue
		}
		copy(f.mem.bytes[teamScratch][c.to:], c.data[:])
		f.mem.note(c.to, c.to+copyBytes)
		f.mem.arriving--
		f.mem.pending[c.to/copyBytes]--
	}
	f.copies = rest
}

// underway says whether a copy is on its way to some of the bytes.
func (m *memory) underway(from, to int64) bool {
	for i := max(0, from) / copyBytes; i*copyBytes < to && i < int64(len(m.pending)); i++ {
		if m.pending[i] > 0 {
			return true
		}
	}
	return false
}

// noCopies is the state at the start of a tile.
func (m *memory) noCopies() {
	m.round++
	if n := (len(m.bytes[teamScratch]) + copyBytes - 1) / copyBytes; m.arriving > 0 || len(m.pending) < n {
		m.pending, m.written, m.arriving = make([]uint8, n), make([]uint32, n), 0
	}
}

// note says that some bytes of scratch are written.
func (m *memory) note(from, to int64) {
	for i := from / copyBytes; i*copyBytes < to; i++ {
		m.written[i] = m.round
	}
}

// fresh says whether some of the bytes were written since the last barrier.
func (m *memory) fresh(from, to int64) bool {
	for i := from / copyBytes; i*copyBytes < to; i++ {
		if m.written[i] == m.round {
			return true
		}
	}
	return false
}
