package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/internal/sample"
)

// engine runs the steps of a model and holds what they work on. There are two: object code on this machine's cores (cpu.go), and a module on a GPU (gpu.go).
// The model makes one call at a time.
type engine interface {
	// lists is where the next step's inputs are put.
	lists() *lists
	// step runs one step on them. With choose it chooses the token behind each wanted row: the lists have it then, and there are no logits.
	step(rows, seqs, outs int, choose bool) error
	// logits is a row of the last step's outputs. It holds until the next call.
	logits(out int) ([]float32, error)
	// queue runs steps that follow each other. What step and logits left is lost.
	queue(q *queued) error
	// ahead is how many steps are queued if nobody says otherwise. 1: nothing is gained by more.
	ahead() int
	// left is the work memory as the last step has left it.
	left() ([]byte, error)

	// growSlots makes room for so many slots. New ones are zero, the others keep what they hold.
	growSlots(count int) error
	clearSlot(slot int) error
	copySlot(to, from int) error
	readSlot(into []byte, slot int) error
	writeSlot(slot int, from []byte) error

	// trace begins or ends the taking of time stamps: of each step lanes() for each phase, and as many at the end.
	trace(on bool) error
	stamps() ([]uint64, error)
	lanes() int
	ticks() uint64 // a clock that goes as fast as theirs

	// yardsticks are what the machine can do, for benchmarks.
	yardsticks(ctx context.Context) (yardsticks, error)
	// deviceBytes is how much of a GPU's memory is in use; 0 on a CPU.
	deviceBytes() int64
	close() error
}

// yardsticks are bytes that are read and operations that are made in a second at best.
type yardsticks struct {
	bandwidth, peak float64 // 0: not known
	peakOf          string  // what the operations are
}

// lists are a step's inputs, as docs/abi.md has them, with room for the largest step, and what it chose.
type lists struct{ ids, seqStart, seqSlot, outRow, sampling, chosen []int32 }

// samplingBytes is what how one token is chosen takes.
const samplingBytes = int64(unsafe.Sizeof(sample.Params{}))

// openWeights opens the weights file and gives where its data begins. The header is only as long as the two numbers say: the packed tensors are the
// code's business, not ours.
func openWeights(dir string, m *artifact.Manifest) (f *os.File, head int64, err error) {
	path := filepath.Join(dir, artifact.WeightsFile)
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	if head, err = checkWeights(f, path, m); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, head, nil
}

func checkWeights(f *os.File, path string, m *artifact.Manifest) (head int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	want, _ := m.File(artifact.WeightsFile)
	head = info.Size() - m.Weights.Bytes
	if !info.Mode().IsRegular() || info.Size() != want.Bytes || head < 8 {
		return 0, fmt.Errorf("%s has %d bytes, the manifest says %d, of which %d are weights\n  fix: the file is damaged or truncated; compile the checkpoint again",
			path, info.Size(), want.Bytes, m.Weights.Bytes)
	}
	var length [8]byte
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return 0, fmt.Errorf("reading %s: %w", path, err)
	}
	if n := order.Uint64(length[:]); n != uint64(head-8) || head%64 != 0 {
		return 0, fmt.Errorf("%s: the header has %d bytes, must have %d\n  fix: the file is damaged; compile the checkpoint again", path, n, head-8)
	}
	return head, nil
}
