package ptx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/codegen/spmd"
)

type (
	builder = spmd.Builder
	val     = spmd.Value
)

// bed is a program with the memory that it starts from: kernels are added to it one by one, each with inputs and outputs in the work space.
// It is run by the emulator and by the interpreter, and all memory must come out the same.
type bed struct {
	t       testing.TB
	target  spmd.Target
	p       *spmd.Program
	work    []byte
	weights []byte
	state   []byte
	outputs []output
	in      spmd.StepInput
}

// output is where a kernel wrote, for messages, and where NaNs are all alike.
type output struct {
	name string
	at   int64
	n    int64
	elem spmd.Elem
}

const bedSlots = 4

func newBed(t testing.TB, target spmd.Target) *bed {
	return &bed{
		t: t, target: target,
		p: &spmd.Program{Name: "bed", Target: target, MaxRows: 16, MaxSeqs: 4, SlotBytes: 64, LogitsStride: 32, Vocab: 30, TeamBytes: 4096},
		in: spmd.StepInput{
			IDs: []int32{3, 1, 4, 1, 5}, SeqStart: []int32{0, 2, 5}, SeqSlot: []int32{2, 0}, OutRow: []int32{1, 4, 3},
		},
	}
}

// room makes space in the work memory, a cache line away from what is there.
func (d *bed) room(bytes int64) int64 {
	at := int64(len(d.work)+63)&^63 + 64
	d.work = append(d.work, make([]byte, at+bytes-int64(len(d.work)))...)
	for len(d.work)%64 != 0 {
		d.work = append(d.work, 0)
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

// data puts elements, given by their bits, into work memory.
func (d *bed) data(e spmd.Elem, bits []uint64) int64 {
	at := d.room(int64(len(bits)) * e.Bytes())
	for i, u := range bits {
		encode(d.work[at+int64(i)*e.Bytes():], e, u)
	}
	return at
}

// body is a kernel in the making with the arguments of its launch.
type body struct {
	*builder
	d    *bed
	name string
	args []int64
}

func (k *body) param(e spmd.Elem, s spmd.Space, at int64) *val {
	k.args = append(k.args, at)
	return k.Param(fmt.Sprintf("p%d", len(k.args)-1), e, s)
}

// input is a parameter that points to data.
func (k *body) input(e spmd.Elem, bits []uint64) *val {
	return k.param(e, spmd.Work, k.d.data(e, bits))
}

// output is a parameter that points to room for n elements.
func (k *body) output(e spmd.Elem, n int64) *val {
	at := k.d.room(n * e.Bytes())
	k.d.outputs = append(k.d.outputs, output{fmt.Sprintf("%s (p%d)", k.name, len(k.args)), at, n, e})
	return k.param(e, spmd.Work, at)
}

// kernel adds a kernel, and a phase that launches it.
func (d *bed) kernel(name string, g spmd.Grid, f func(k *body)) {
	d.t.Helper()
	k := &body{builder: spmd.NewBuilder(name, d.target), d: d, name: name}
	f(k)
	built, err := k.Finish()
	if err != nil {
		d.t.Fatal(err)
	}
	d.p.Kernels = append(d.p.Kernels, built)
	d.p.Phases = append(d.p.Phases, spmd.Phase{Name: name, Launches: []spmd.Launch{{Kernel: len(d.p.Kernels) - 1, Args: k.args, Grid: g}}})
}

func (d *bed) done() *bed {
	for len(d.weights)%64 != 0 {
		d.weights = append(d.weights, 0)
	}
	d.p.WorkBytes, d.p.WeightBytes = int64(len(d.work)), int64(len(d.weights))
	if d.state == nil {
		d.state = make([]byte, bedSlots*d.p.SlotBytes)
	}
	return d
}

// result is what a step leaves.
type result struct{ work, state, logits []byte }

func (d *bed) interpret(t *testing.T) result {
	t.Helper()
	m, err := spmd.NewMachine(d.p, d.weights, bedSlots)
	if err != nil {
		t.Fatal(err)
	}
	copy(m.Memory[spmd.Work], d.work)
	copy(m.Memory[spmd.State], d.state)
	m.Seed = 1
	if err := m.Step(d.p, d.in); err != nil {
		t.Fatal(err)
	}
	return result{m.Memory[spmd.Work], m.Memory[spmd.State], m.Memory[spmd.Logits]}
}

// memory is a device with copies of the bed's memory, and the context of a step.
type gpuMemory struct {
	*emu.Device
	ctx    uint64
	at     map[int64]uint64 // by field of the context
	blocks int
	seed   uint64
}

// shape is a launch.
type shape struct{ blocks, threads int }

// device loads a module and makes the memory of a step.
func (d *bed) device(t testing.TB, m *emu.Module, s shape) *gpuMemory {
	t.Helper()
	dev := emu.NewDevice()
	dev.Races = s.blocks*s.threads <= 64*warp
	dev.MaxInstructions = 1 << 28
	dev.Unwritten = true // scratch holds nothing at first, but lanes that do not count may read it
	if err := dev.Load(m); err != nil {
		t.Fatal(err)
	}
	x := &gpuMemory{Device: dev, at: map[int64]uint64{}, ctx: dev.Alloc("ctx", 256)}
	put := func(field int64, name string, data []byte, readOnly bool) {
		alloc := dev.Alloc
		if readOnly {
			alloc = dev.AllocReadOnly
		}
		at := alloc(name, len(data))
		copy(dev.Bytes(at), data)
		x.at[field] = at
		x.u64(field, at)
	}
	facts := x.facts(t)
	workers := s.blocks * s.threads / int(facts[factTeamThreads])
	put(ctxWeights, "weights", d.weights, true)
	put(ctxWork, "work", d.work, false)
	put(ctxState, "state", d.state, false)
	put(ctxTeam, "team", make([]byte, facts[factTeamBytes]*int64(workers)), false)
	put(ctxLogits, "logits", bytes.Repeat([]byte{0xff}, int(4*d.p.LogitsStride)*len(d.in.OutRow)), false)
	for off, xs := range map[int64][]int32{ctxIDs: d.in.IDs, ctxSeqStart: d.in.SeqStart, ctxSeqSlot: d.in.SeqSlot, ctxOutRow: d.in.OutRow} {
		var b []byte
		for _, n := range xs {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
		put(off, fmt.Sprint("input ", off), b, true)
	}
	x.u32(ctxABI, abiVersion)
	x.u32(ctxResult, 0xdead)
	x.u32(ctxWorkers, uint32(workers))
	x.u64(ctxRows, uint64(len(d.in.IDs)))
	x.u64(ctxSeqs, uint64(len(d.in.SeqSlot)))
	x.u64(ctxOuts, uint64(len(d.in.OutRow)))
	return x
}

func (x *gpuMemory) u32(at int64, v uint32) { binary.LittleEndian.PutUint32(x.Bytes(x.ctx)[at:], v) }
func (x *gpuMemory) u64(at int64, v uint64) { binary.LittleEndian.PutUint64(x.Bytes(x.ctx)[at:], v) }

func (x *gpuMemory) facts(t testing.TB) (facts [32]int64) {
	t.Helper()
	at, ok := x.Symbol("model_facts")
	if !ok {
		t.Fatal("no model_facts")
	}
	for i := range facts {
		facts[i] = int64(binary.LittleEndian.Uint64(x.Bytes(at)[8*i:]))
	}
	return facts
}

// step launches the entry and gives its result.
func (x *gpuMemory) step(t testing.TB, s shape) (int32, error) {
	t.Helper()
	facts := x.facts(t)
	return x.launch(s, s.threads/int(facts[factTeamThreads])*int(facts[factShared]))
}

func (x *gpuMemory) launch(s shape, shared int) (int32, error) {
	err := x.LaunchCooperative("model_step", [3]int{s.blocks, 1, 1}, [3]int{s.threads, 1, 1}, shared, emu.U64(x.ctx))
	return int32(binary.LittleEndian.Uint32(x.Bytes(x.ctx)[ctxResult:])), err
}

const testSHA = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// parsed emits a program and reads the text back.
func parsed(t testing.TB, p *spmd.Program) *emu.Module {
	t.Helper()
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := emu.Parse(p.Name+".ptx", string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Inexact) > 0 {
		t.Errorf("instructions whose result is not defined to the bit: %v", m.Inexact)
	}
	return m
}

// checkBed compares the emitted text with the interpreter, for launches of some shapes, and has it assembled where ptxas is found.
func checkBed(t *testing.T, make func(t *testing.T, target spmd.Target) *bed, shapes ...shape) {
	t.Helper()
	target, err := Target("ptx:sm_80")
	if err != nil {
		t.Fatal(err)
	}
	checkBedOn(t, target, make, shapes...)
}

func checkBedOn(t *testing.T, target spmd.Target, make func(t *testing.T, target spmd.Target) *bed, shapes ...shape) {
	t.Helper()
	d := make(t, target)
	d.emulate(t, shapes...)
	if a, err := FindAssembler(); err == nil {
		text, err := Emit("model", testSHA, d.p)
		if err != nil {
			t.Fatal(err)
		}
		assemble(t, a, text, target.Name)
	}
}

// emulate compares what the emitted text does with what the interpreter does.
func (d *bed) emulate(t *testing.T, shapes ...shape) {
	t.Helper()
	want := d.interpret(t)
	m := parsed(t, d.p)
	for i, s := range shapes {
		x := d.device(t, m, s)
		x.Seed = uint64(i)
		r, err := x.step(t, s)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		if r != fine {
			t.Fatalf("%v: the step gives %d", s, r)
		}
		d.compare(t, want, result{x.Bytes(x.at[ctxWork]), x.Bytes(x.at[ctxState]), x.Bytes(x.at[ctxLogits])})
	}
}

// compare reports the first difference of each output, and any outside of them.
func (d *bed) compare(t *testing.T, want, got result) {
	t.Helper()
	for _, o := range d.outputs {
		size := o.elem.Bytes()
		for i := range o.n {
			at := o.at + i*size
			w, g := want.work[at:at+size], got.work[at:at+size]
			if string(w) != string(g) && !(isNaN(o.elem, w) && isNaN(o.elem, g)) {
				t.Errorf("%s[%d] is %x, the interpreter gives %x", o.name, i, g, w)
				break
			}
		}
		// the outputs are compared: make them alike
		copy(got.work[o.at:o.at+o.n*size], want.work[o.at:])
	}
	differ := func(what string, w, g []byte, elem spmd.Elem) {
		for i := 0; i+4 <= len(w); i += 4 {
			if a, b := w[i:i+4], g[i:i+4]; string(a) != string(b) && !(elem == spmd.F32 && isNaN(elem, a) && isNaN(elem, b)) {
				t.Errorf("%s differs at byte %d: %x, the interpreter gives %x", what, i, b, a)
				return
			}
		}
	}
	differ("work memory outside of the outputs", want.work, got.work, spmd.I32)
	differ("state", want.state, got.state, spmd.F32)
	differ("logits", want.logits, got.logits, spmd.F32)
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
