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
		c := asyncCopy{to: to.off + v*size, group: f.groups}
		if at := from.off + w*size; c.to%copyBytes != 0 || at%copyBytes != 0 {
			f.fail(in, "lane %d copies from byte %d to byte %d: multiples of %d are wanted", l, at, c.to, copyBytes)
			return
		}
		source := f.sized(in, from, size, w, copyBytes/size, false)
		if f.stop {
			return
		}
		place := f.sized(in, to, size, v, copyBytes/size, true)
		if f.stop {
			return
		}
		copy(c.data[:], source)
		poison(place)
		f.copies = append(f.copies, c)
		f.mem.arriving++
		f.mem.pending[c.to/copyBytes]++
	}
}

func copyWait(f *frame, in *inst) {
	rest := f.copies[:0]
	for _, c := range f.copies {
		if c.group >= f.groups-int(in.imm) {
			rest = append(rest, c)
			continue
		}
		copy(f.mem.bytes[teamScratch][c.to:], c.data[:])
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
	if n := (len(m.bytes[teamScratch]) + copyBytes - 1) / copyBytes; m.arriving > 0 || len(m.pending) < n {
		m.pending, m.arriving = make([]uint8, n), 0
	}
}
