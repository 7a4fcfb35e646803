package runtime

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// The yardsticks of the benchmarks. They are taken in the same process and minute as what is measured by them, since machines differ, and one
// machine from minute to minute. measure_amd64.s has the loops.

func readAVX2(p unsafe.Pointer, n int) uint64
func readAVX512(p unsafe.Pointer, n int) uint64
func fmaAVX2(rounds int)
func fmaAVX512(rounds int)
func cycles() uint64

const (
	readBuffer = 1 << 30  // far beyond every cache
	readWindow = 64 << 20 // timed at a time, so that a busy moment spoils one window and not the measurement
	readPasses = 6
	fmaRounds  = 1 << 14 // 12 multiply-adds each: a tenth of a millisecond
	fmaRuns    = 600
)

var errNoAVX2 = errors.New("measuring this machine needs a CPU with AVX2 and FMA")

// Bandwidth is how many bytes a second this machine reads from memory with so many threads: the best of 96 windows of 64 MB, in huge pages where there
// are any.
func Bandwidth(ctx context.Context, threads int) (float64, error) {
	if !cpu.X86.HasAVX2 {
		return 0, errNoAVX2
	}
	read := readAVX2
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ {
		read = readAVX512
	}
	buffer, err := mapMemory("measuring the memory's bandwidth", readBuffer)
	if err != nil {
		return 0, err
	}
	defer buffer.free()
	_ = unix.Madvise(buffer, unix.MADV_HUGEPAGE) // where there are none it is slower, and so is the model
	share := readWindow / threads / 512 * 512
	windows := readBuffer / readWindow
	r := newRace(threads)
	r.run(ctx, windows, func(w, i int) { // memory of its own for every page: an untouched one reads as the one page of zeros
		part := buffer[i*readWindow+w*share:][:share]
		for at := 0; at < len(part); at += 4096 {
			part[at] = 1
		}
	})
	best := r.run(ctx, readPasses*windows, func(w, i int) {
		read(unsafe.Pointer(&buffer[i%windows*readWindow+w*share]), share)
	})
	return float64(share*threads) / best.Seconds(), ctx.Err()
}

// Peak is how many floating-point operations a second (a multiply-add is two) so many threads make at best from registers, with the vectors of
// the given width in floats: 8 or 16.
func Peak(ctx context.Context, threads, lanes int) (float64, error) {
	multiply := fmaAVX2
	switch {
	case lanes == 8 && cpu.X86.HasAVX2 && cpu.X86.HasFMA:
	case lanes == 16 && cpu.X86.HasAVX512F:
		multiply = fmaAVX512
	default:
		return 0, fmt.Errorf("this CPU has no multiply-add of %d floats", lanes)
	}
	best := newRace(threads).run(ctx, fmaRuns, func(int, int) { multiply(fmaRounds) })
	return float64(threads) * fmaRounds * 12 * 2 * float64(lanes) / best.Seconds(), ctx.Err()
}
