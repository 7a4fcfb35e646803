package runtime

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stepContext is struct model_ctx of docs/abi.md. It lies in mapped memory: the code keeps its address, and Go must not move it.
type stepContext struct {
	abi        uint32
	level      int32
	weights    uintptr
	work       uintptr
	team       uintptr
	state      uintptr
	ids        uintptr
	seqStart   uintptr
	seqSlot    uintptr
	outRow     uintptr
	logits     uintptr
	rows       int64
	seqs       int64
	outs       int64
	trace      uintptr
	spin       uint32
	stop       uint32
	sampling   uintptr
	chosen     uintptr // 0: no token is chosen
	odds       uintptr
	_          [48]byte
	arrived    uint32
	_          [60]byte
	generation uint32
	_          [60]byte
	sleepers   uint32
	_          [60]byte
}

// The layout is the ABI's: these do not compile if it is not.
var (
	_ [384 - unsafe.Sizeof(stepContext{})]byte
	_ [unsafe.Sizeof(stepContext{}) - 384]byte
	_ [192 - unsafe.Offsetof(stepContext{}.arrived)]byte
	_ [unsafe.Offsetof(stepContext{}.arrived) - 192]byte
	_ [120 - unsafe.Offsetof(stepContext{}.sampling)]byte
	_ [unsafe.Offsetof(stepContext{}.sampling) - 120]byte
)

// memory is an anonymous mapping: zeroed, 64-byte aligned, outside of Go's heap, and without a page of real memory until it is touched.
type memory []byte

// mapMemory maps n bytes; none for n = 0.
func mapMemory(what string, n int64) (memory, error) {
	if n == 0 {
		return nil, nil
	}
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserving %d bytes for %s: %w", n, what, err)
	}
	return m, nil
}

const pageBytes = 4096

// area is memory between two pages that nothing may touch: code that runs over the end of one area faults there and does not write into another.
type area struct {
	memory
	whole memory // with the two pages
}

// mapArea maps n bytes. With flush they end, to 64 bytes, where the forbidden page begins, so that tests find the first byte too many; without it they
// begin where a page does.
func mapArea(what string, n int64, flush bool) (area, error) {
	rounded := (n + pageBytes - 1) / pageBytes * pageBytes
	whole, err := mapMemory(what, rounded+2*pageBytes)
	if err != nil {
		return area{}, err
	}
	a := area{whole: whole}
	err = errors.Join(unix.Mprotect(whole[:pageBytes], unix.PROT_NONE), unix.Mprotect(whole[pageBytes+rounded:], unix.PROT_NONE))
	if err != nil {
		a.free()
		return area{}, fmt.Errorf("guarding the memory for %s: %w", what, err)
	}
	begin := int64(pageBytes)
	if flush {
		begin += (rounded - n) / 64 * 64
	}
	a.memory = whole[begin : begin+n : begin+n]
	return a, nil
}

func (a area) free() { a.whole.free() }

// grow makes the mapping larger; it may move.
func (m *memory) grow(what string, n int64) error {
	if *m == nil {
		var err error
		*m, err = mapMemory(what, n)
		return err
	}
	larger, err := unix.Mremap(*m, int(n), unix.MREMAP_MAYMOVE)
	if err != nil {
		return fmt.Errorf("growing %s to %d bytes: %w", what, n, err)
	}
	*m = larger
	return nil
}

func (m memory) free() {
	if m != nil {
		unix.Munmap(m)
	}
}

// address is where the mapping begins; 0 if it is empty.
func (m memory) address() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(m))) }

// int32s and floats see the mapping as numbers.
func (m memory) int32s() []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(m))), len(m)/4)
}
func (m memory) floats() []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(m))), len(m)/4)
}
func (m memory) stamps() []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(m))), len(m)/8)
}
