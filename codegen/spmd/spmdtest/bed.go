package spmdtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

type (
	builder = spmd.Builder
	val     = spmd.Value
)

// Lanes is room for one vector of any target, so that a program has the same memory for all of them.
const Lanes = 32

// Slots are how many slots the state has.
const Slots = 4

// One is a grid of one tile.
var One = spmd.Grid{Panels: 1}

// Bed is a program with the memory that it starts from: kernels are added to it one by one, each with inputs and outputs in the work space.
// A backend's code and the interpreter run it, and all memory must come out the same.
type Bed struct {
	Target  spmd.Target
	Program *spmd.Program
	Work    []byte
	Weights []byte
	State   []byte
	Input   spmd.StepInput
	t       testing.TB
	outputs []output
}

// output is where a kernel wrote, for messages, and where NaNs are all alike.
type output struct {
	name string
	at   int64
	n    int64
	elem spmd.Elem
}

// New makes a bed without kernels, whose step has two sequences of two and three rows.
func New(t testing.TB, target spmd.Target) *Bed {
	return &Bed{
		t: t, Target: target,
		Program: &spmd.Program{Name: "bed", Target: target, MaxRows: 16, MaxSeqs: Slots, SlotBytes: 64, LogitsStride: 32, Vocab: 30, TeamBytes: 4096},
		Input: spmd.StepInput{
			IDs: []int32{3, 1, 4, 1, 5}, SeqStart: []int32{0, 2, 5}, SeqSlot: []int32{2, 0}, OutRow: []int32{1, 4, 3},
		},
	}
}

// room makes space in the work memory, a cache line away from what is there.
func (d *Bed) room(bytes int64) int64 {
	at := int64(len(d.Work)+63)&^63 + 64
	d.Work = append(d.Work, make([]byte, at+bytes-int64(len(d.Work)))...)
	for len(d.Work)%64 != 0 {
		d.Work = append(d.Work, 0)
	}
	return at
}

func encode(dst []byte, e spmd.Elem, bits uint64) {
	switch e.Bytes() {
	case 1:
		dst[0] = byte(bits)
	case 2:
		binary.LittleEndian.PutUint16(dst, uint16(bits))
	case 4:
		binary.LittleEndian.PutUint32(dst, uint32(bits))
	case 8:
		binary.LittleEndian.PutUint64(dst, bits)
	}
}

// Data puts elements, given by their bits, into work memory.
func (d *Bed) Data(e spmd.Elem, bits []uint64) int64 {
	at := d.room(int64(len(bits)) * e.Bytes())
	for i, u := range bits {
		encode(d.Work[at+int64(i)*e.Bytes():], e, u)
	}
	return at
}

// Body is a kernel in the making with the arguments of its launch.
type Body struct {
	*spmd.Builder
	Bed  *Bed
	name string
	args []int64
}

// Arg adds a parameter of the kernel, and what a launch gives it.
func (k *Body) Arg(e spmd.Elem, s spmd.Space, at int64) *val {
	k.args = append(k.args, at)
	return k.Param(fmt.Sprintf("p%d", len(k.args)-1), e, s)
}

// Input is a parameter that points to data.
func (k *Body) Input(e spmd.Elem, bits []uint64) *val {
	return k.Arg(e, spmd.Work, k.Bed.Data(e, bits))
}

// Output is a parameter that points to room for n elements.
func (k *Body) Output(e spmd.Elem, n int64) *val {
	at := k.Bed.room(n * e.Bytes())
	k.Bed.outputs = append(k.Bed.outputs, output{fmt.Sprintf("%s (p%d)", k.name, len(k.args)), at, n, e})
	return k.Arg(e, spmd.Work, at)
}

// Kernel adds a kernel, and a phase that launches it.
func (d *Bed) Kernel(name string, g spmd.Grid, f func(k *Body)) {
	d.t.Helper()
	k := &Body{Builder: spmd.NewBuilder(name, d.Target), Bed: d, name: name}
	f(k)
	built, err := k.Finish()
	if err != nil {
		d.t.Fatal(err)
	}
	d.Program.Kernels = append(d.Program.Kernels, built)
	d.Program.Phases = append(d.Program.Phases, spmd.Phase{Name: name, Launches: []spmd.Launch{{Kernel: len(d.Program.Kernels) - 1, Args: k.args, Grid: g}}})
}

// Done ends the program: sizes of memory are whole cache lines.
func (d *Bed) Done() *Bed {
	for len(d.Weights)%64 != 0 {
		d.Weights = append(d.Weights, 0)
	}
	d.Program.WorkBytes, d.Program.WeightBytes = int64(len(d.Work)), int64(len(d.Weights))
	if d.State == nil {
		d.State = make([]byte, Slots*d.Program.SlotBytes)
	}
	return d
}

// Result is what a step leaves.
type Result struct{ Work, State, Logits, Odds, Chosen []byte }

// Interpret gives what the interpreter of the kernel language leaves.
func (d *Bed) Interpret(t testing.TB) Result {
	t.Helper()
	m, err := spmd.NewMachine(d.Program, d.Weights, Slots)
	if err != nil {
		t.Fatal(err)
	}
	copy(m.Memory[spmd.Work], d.Work)
	copy(m.Memory[spmd.State], d.State)
	m.Seed = 1
	if err := m.Step(d.Program, d.Input); err != nil {
		t.Fatal(err)
	}
	return Result{m.Memory[spmd.Work], m.Memory[spmd.State], m.Memory[spmd.Logits], m.Memory[spmd.Odds], m.Memory[spmd.Chosen]}
}

// Compare reports the first difference of each output, and any outside of them.
func (d *Bed) Compare(t testing.TB, want, got Result) {
	t.Helper()
	for _, o := range d.outputs {
		size := o.elem.Bytes()
		for i := range o.n {
			at := o.at + i*size
			w, g := want.Work[at:at+size], got.Work[at:at+size]
			if string(w) != string(g) && !(isNaN(o.elem, w) && isNaN(o.elem, g)) {
				t.Errorf("%s[%d] is %x, the interpreter gives %x", o.name, i, g, w)
				break
			}
		}
		// the outputs are compared: make them alike
		copy(got.Work[o.at:o.at+o.n*size], want.Work[o.at:])
	}
	differ := func(what string, w, g []byte, elem spmd.Elem) {
		for i := 0; i+4 <= len(w); i += 4 {
			if a, b := w[i:i+4], g[i:i+4]; string(a) != string(b) && !(elem == spmd.F32 && isNaN(elem, a) && isNaN(elem, b)) {
				t.Errorf("%s differs at byte %d: %x, the interpreter gives %x", what, i, b, a)
				return
			}
		}
	}
	differ("work memory outside of the outputs", want.Work, got.Work, spmd.I32)
	differ("state", want.State, got.State, spmd.F32)
	differ("logits", want.Logits, got.Logits, spmd.F32)
	differ("odds", want.Odds, got.Odds, spmd.F32)
	differ("chosen tokens", want.Chosen, got.Chosen, spmd.I32)
}

func isNaN(e spmd.Elem, b []byte) bool {
	switch e {
	case spmd.F32:
		f := math.Float32frombits(binary.LittleEndian.Uint32(b))
		return f != f
	case spmd.F16:
		return binary.LittleEndian.Uint16(b)&0x7fff > 0x7c00
	case spmd.BF16:
		return binary.LittleEndian.Uint16(b)&0x7fff > 0x7f80
	}
	return false
}
