package runtime

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"unsafe"

	"github.com/ssmc/ssmc/artifact"
)

// Left is what a step left in work memory: the rows of the activations that the code keeps until the step's end. Calibration reads them. They are the
// model's and are overwritten by the next step.
type Left struct {
	m     *Model
	work  []byte
	slots []*Slot // of the parts
	mu    sync.Mutex
	read  [][]byte // what the slots hold, where somebody has asked
	Parts []LeftPart
}

// LeftPart is the rows of one sequence in a step.
type LeftPart struct {
	Input    int // of the Run
	From, To int // tokens of that input
	Row      int // row of the first of them in the step
	Out      int // row of the first of them whose logits are wanted, among those
	Outs     int // how many are
}

// Rows gives n rows of columns numbers each, from row on, of the activation at offset bytes with stride numbers from row to row: what the plan of the
// kernels calls a kept value. The rows are joined into one slice, to which they are copied if they do not lie so.
func (l *Left) Rows(into []float32, offset, stride, columns int64, row, n int) []float32 {
	end := offset + 4*(int64(row+n-1)*stride+columns)
	if n == 0 || columns == 0 || offset < 0 || stride < columns || end > int64(len(l.work)) {
		return into[:0]
	}
	all := unsafe.Slice((*float32)(unsafe.Pointer(&l.work[offset])), (end-offset)/4)[int64(row)*stride:]
	if stride == columns {
		return all
	}
	into = into[:0]
	for i := range int64(n) {
		into = append(into, all[i*stride:i*stride+columns]...)
	}
	return into
}

// State gives the elements of a state behind the step, channel by channel, in the place of into. The name is that of the manifest, or of the graph:
// layers.3.ssm is state.3.recurrent.
func (l *Left) State(into []float32, p LeftPart, name string) ([]float32, error) {
	i := slices.IndexFunc(l.Parts, func(q LeftPart) bool { return q == p })
	var layer int
	if n, _ := fmt.Sscanf(name, "layers.%d.ssm", &layer); n == 1 {
		name = fmt.Sprintf("state.%d.recurrent", layer)
	}
	at := slices.IndexFunc(l.m.Manifest.States, func(s artifact.State) bool { return s.Name == name })
	if i < 0 || at < 0 || l.m.Manifest.States[at].DType != "F32" {
		return nil, fmt.Errorf("there is no state %s of floats behind the step", name)
	}
	slot, err := l.slot(i)
	if err != nil {
		return nil, err
	}
	s := &l.m.Manifest.States[at]
	k, n := int64(s.Shape[len(s.Shape)-1]), int64(1)
	for _, d := range s.Shape {
		n *= int64(d)
	}
	into = into[:0]
	for i := range n {
		into = append(into, math.Float32frombits(binary.LittleEndian.Uint32(slot[s.Offset+4*s.Place(i/k, i%k):])))
	}
	return into, nil
}

// slot reads the slot of a part, once for all that look at it.
func (l *Left) slot(part int) (b []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read[part] == nil {
		if b, err = l.slots[part].read(); err != nil {
			return nil, err
		}
		l.read[part] = b
	}
	return l.read[part], nil
}

// RunWatched is Run, and calls watch behind each step.
func (m *Model) RunWatched(ctx context.Context, inputs []Input, out func(input, token int, logits []float32) error, watch func(*Left) error) error {
	return m.run(ctx, inputs, out, watch)
}

// left describes a step to who watches it.
func (m *Model) left(inputs []Input, parts []part) (*Left, error) {
	work, err := m.engine.left()
	if err != nil {
		return nil, err
	}
	l := &Left{m: m, work: work, read: make([][]byte, len(parts))}
	for _, p := range parts {
		l.slots = append(l.slots, inputs[p.input].Slot)
	}
	row, out := 0, 0
	for _, p := range parts {
		outs := 0
		for _, token := range inputs[p.input].Outs {
			if p.from <= token && token < p.to {
				outs++
			}
		}
		l.Parts = append(l.Parts, LeftPart{p.input, p.from, p.to, row, out, outs})
		row += p.to - p.from
		out += outs
	}
	return l, nil
}
