package spmd

import (
	"encoding/binary"
	"math"
)

var le = binary.LittleEndian

// load chooses by the element type in memory: one lane, all lanes, those below n, or each lane where it says.
func load(in *Instr) exec {
	var e exec
	switch in.Args[0].Type.Elem {
	case I8:
		e = loading(arenaI, func(b []byte) int32 { return int32(int8(b[0])) })
	case U8:
		e = loading(arenaI, func(b []byte) int32 { return int32(b[0]) })
	case I32:
		e = loading(arenaI, func(b []byte) int32 { return int32(le.Uint32(b)) })
	case I64:
		e = loading(arenaL, func(b []byte) int64 { return int64(le.Uint64(b)) })
	case F16:
		e = loading(arenaF, func(b []byte) float32 { return fromF16(le.Uint16(b)) })
	case BF16:
		e = loading(arenaF, func(b []byte) float32 { return fromBF16(le.Uint16(b)) })
	case F32:
		if in.Op == OpLoadV {
			return loadF32
		}
		e = loading(arenaF, func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) })
	}
	return e
}

// loadF32 is the commonest load.
func loadF32(f *frame, in *inst) {
	b := f.address(in, int64(in.n), false)
	if f.stop {
		return
	}
	d := f.f[in.d:][:in.n]
	for l := range d {
		d[l] = math.Float32frombits(le.Uint32(b[4*l:]))
	}
}

func loading[T any](arena func(*frame) []T, get func([]byte) T) exec {
	return func(f *frame, in *inst) {
		d := arena(f)[in.d:][:in.n]
		if in.src.Op == OpGather {
			for l, i := range f.i[in.b:][:in.n] {
				b := f.elements(in, f.p[in.a], in.imm+int64(i), 1, false)
				if f.stop {
					return
				}
				d[l] = get(b)
			}
			return
		}
		n := f.masked(in)
		if n > 0 {
			b := f.address(in, int64(n), false)
			if f.stop {
				return
			}
			for l := range n {
				d[l] = get(b[l*int(in.size):])
			}
		}
		clear(d[n:])
	}
}

// loadRun gives each lane neighbours, one to each result.
func loadRun(in *Instr) exec {
	switch in.Args[0].Type.Elem {
	case I8:
		return loadingRun(arenaI, func(b []byte) int32 { return int32(int8(b[0])) })
	case U8:
		return loadingRun(arenaI, func(b []byte) int32 { return int32(b[0]) })
	case I32:
		return loadingRun(arenaI, func(b []byte) int32 { return int32(le.Uint32(b)) })
	case F16:
		return loadingRun(arenaF, func(b []byte) float32 { return fromF16(le.Uint16(b)) })
	case BF16:
		return loadingRun(arenaF, func(b []byte) float32 { return fromBF16(le.Uint16(b)) })
	}
	return loadingRun(arenaF, func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) })
}

func loadingRun[T any](arena func(*frame) []T, get func([]byte) T) exec {
	return func(f *frame, in *inst) {
		n := len(in.results)
		whole := func(i int64) bool { // whether neighbours begin at a multiple of their size
			at, bytes := f.p[in.a].off+i*in.size, int64(n)*in.size
			if at%bytes != 0 {
				f.fail(in, "begins at byte %d, not at a multiple of a lane's %d bytes", at, bytes)
			}
			return at%bytes == 0
		}
		if in.src.Op == OpGatherRun {
			for l, i := range f.i[in.b:][:in.n] {
				b := f.elements(in, f.p[in.a], in.imm+int64(i), int64(n), false)
				if f.stop || !whole(in.imm+int64(i)) {
					return
				}
				for r, slot := range in.results {
					arena(f)[slot+l] = get(b[r*int(in.size):])
				}
			}
			return
		}
		b := f.address(in, int64(in.n*n), false)
		if f.stop || !whole(f.index(in)) {
			return
		}
		for r, slot := range in.results {
			d := arena(f)[slot:][:in.n]
			for l := range d {
				d[l] = get(b[(l*n+r)*int(in.size):])
			}
		}
	}
}

// masked is how many lanes are loaded or stored.
func (f *frame) masked(in *inst) int {
	if in.c < 0 {
		return in.n
	}
	return int(max(0, min(f.l[in.c], int64(in.n))))
}

func store(in *Instr) exec {
	switch in.Args[0].Type.Elem {
	case I8, U8:
		return storing(arenaI, func(b []byte, x int32) { b[0] = byte(x) })
	case I32:
		return storing(arenaI, func(b []byte, x int32) { le.PutUint32(b, uint32(x)) })
	case I64:
		return storing(arenaL, func(b []byte, x int64) { le.PutUint64(b, uint64(x)) })
	case F16:
		return storing(arenaF, func(b []byte, x float32) { le.PutUint16(b, toF16(x)) })
	case BF16:
		return storing(arenaF, func(b []byte, x float32) { le.PutUint16(b, toBF16(x)) })
	}
	return storing(arenaF, func(b []byte, x float32) { le.PutUint32(b, math.Float32bits(x)) })
}

func storing[T any](arena func(*frame) []T, put func([]byte, T)) exec {
	return func(f *frame, in *inst) {
		n := f.masked(in)
		if n == 0 {
			return
		}
		b := f.address(in, int64(n), true)
		if f.stop {
			return
		}
		for l, x := range arena(f)[in.d:][:n] {
			put(b[l*int(in.size):], x)
		}
	}
}
