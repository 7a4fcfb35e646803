package amd64

import (
	"encoding/binary"
	"fmt"
	"math"
	"syscall"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

type (
	builder = spmd.Builder
	val     = spmd.Value
)

// bed is a program with the memory that it starts from: kernels are added to it one by one, each with inputs and outputs in the work space.
// It is run by the machine code and by the interpreter, and all memory must come out the same.
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

// guarded copies memory to where an access beyond its end is a fault.
func guarded(t testing.TB, b []byte) []byte {
	t.Helper()
	const page = 4096
	n := (len(b)+page-1)&^(page-1) + page
	m, err := syscall.Mmap(-1, 0, n+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	if err := syscall.Mprotect(m[n:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	a := m[n-len(b) : n : n]
	copy(a, b)
	return a
}

// context points to copies of the bed's memory. Sizes are in whole cache lines, so that the copies begin at one.
func (d *bed) context(t testing.TB, level int32, workers int) (*modelContext, result) {
	t.Helper()
	c := newContext()
	r := result{work: guarded(t, d.work), state: guarded(t, d.state), logits: guarded(t, make([]byte, 4*d.p.LogitsStride*int64(len(d.in.OutRow))))}
	for i := range r.logits {
		r.logits[i] = 0xff
	}
	c.u32(ctxLevel, uint32(level))
	c.point(ctxWeights, guarded(t, d.weights))
	c.point(ctxWork, r.work)
	c.point(ctxTeam, guarded(t, make([]byte, (d.p.TeamBytes+63)&^63*int64(workers))))
	c.point(ctxState, r.state)
	c.point(ctxLogits, r.logits)
	for off, xs := range map[int64][]int32{ctxIDs: d.in.IDs, ctxSeqStart: d.in.SeqStart, ctxSeqSlot: d.in.SeqSlot, ctxOutRow: d.in.OutRow} {
		var b []byte
		for _, x := range xs {
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		}
		c.point(off, guarded(t, b))
	}
	c.i64(ctxRows, int64(len(d.in.IDs)))
	c.i64(ctxSeqs, int64(len(d.in.SeqSlot)))
	c.i64(ctxOuts, int64(len(d.in.OutRow)))
	return c, r
}

// levelsHere runs f for each level of the library that this CPU has; the others are skipped by name. model_level must have seen the same.
func levelsHere(t *testing.T, lib *library, f func(t *testing.T, level int32, target spmd.Target)) {
	best, want := lib.best(), errLevel
	for i, name := range lib.levels {
		if len(lacking(rank(name))) == 0 {
			want = i
		}
	}
	if best != int32(want) {
		t.Fatalf("model_level gives %d of %v, of which Go sees %d as the last that this CPU has", best, lib.levels, want)
	}
	for i, name := range lib.levels {
		t.Run(name, func(t *testing.T) {
			if missing := lacking(rank(name)); len(missing) > 0 {
				t.Skipf("this CPU has not the level %s: it lacks %v; SSMC_TEST_OBJECTS says how to run it in an emulator", name, missing)
			}
			target, err := Target(name)
			if err != nil {
				t.Fatal(err)
			}
			f(t, int32(i), target)
		})
	}
}

// checkBed compares machine code with the interpreter, for every llc, level and some numbers of workers.
func checkBed(t *testing.T, name string, make func(t *testing.T, target spmd.Target) *bed, workers ...int) {
	checkBedOf(t, Names(), name, make, workers...)
}

func checkBedOf(t *testing.T, levels []string, name string, make func(t *testing.T, target spmd.Target) *bed, workers ...int) {
	program := func(t *testing.T, target spmd.Target) *spmd.Program { return make(t, target).p }
	eachLibraryOf(t, levels, name, program, func(t *testing.T, lib *library) {
		levelsHere(t, lib, func(t *testing.T, level int32, target spmd.Target) {
			d := make(t, target)
			want := d.interpret(t)
			for _, n := range workers {
				c, got := d.context(t, level, n)
				for w, r := range lib.stepAll(c, n) {
					if r != fine {
						t.Fatalf("worker %d of %d: model_step gives %d", w, n, r)
					}
				}
				d.compare(t, want, got)
			}
		})
	})
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
