package ptx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

type val = spmd.Value

// gpuMemory is a device with copies of the bed's memory, and the context of a step.
type gpuMemory struct {
	*emu.Device
	ctx uint64
	at  map[int64]uint64 // by field of the context
}

// shape is a launch.
type shape struct{ blocks, threads int }

// device loads a module and makes the memory of a step.
func device(t testing.TB, d *spmdtest.Bed, m *emu.Module, s shape) *gpuMemory {
	t.Helper()
	dev := emu.NewDevice()
	dev.Races = s.blocks*s.threads <= 64*warp
	dev.MaxInstructions = 1 << 28
	dev.Unwritten = true // scratch holds nothing at first, but lanes that do not count may read it
	if err := dev.Load(m); err != nil {
		t.Fatal(err)
	}
	x := &gpuMemory{Device: dev, at: map[int64]uint64{}, ctx: dev.Alloc("ctx", abi.GPUBytes)}
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
	put(abi.Weights, "weights", d.Weights, true)
	put(abi.Work, "work", d.Work, false)
	put(abi.State, "state", d.State, false)
	put(abi.Team, "team", make([]byte, facts[factTeamBytes]*int64(workers)), false)
	put(abi.Logits, "logits", bytes.Repeat([]byte{0xff}, int(4*d.Program.LogitsStride)*len(d.Input.OutRow)), false)
	for off, xs := range map[int64][]int32{abi.IDs: d.Input.IDs, abi.SeqStart: d.Input.SeqStart, abi.SeqSlot: d.Input.SeqSlot, abi.OutRow: d.Input.OutRow, abi.Sampling: d.Input.Sampling} {
		var b []byte
		for _, n := range xs {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
		put(off, fmt.Sprint("input ", off), b, true)
	}
	if n := len(d.Input.Sampling); n > 0 {
		outs := len(d.Input.OutRow)
		put(abi.Odds, "odds", bytes.Repeat([]byte{0xff}, int(4*d.Program.LogitsStride)*outs), false)
		put(abi.Chosen, "chosen", bytes.Repeat([]byte{0xff}, 4*outs), false)
	}
	x.u32(abi.ABI, abi.Version)
	x.u32(abi.Result, 0xdead)
	x.u32(abi.Workers, uint32(workers))
	x.u64(abi.Rows, uint64(len(d.Input.IDs)))
	x.u64(abi.Seqs, uint64(len(d.Input.SeqSlot)))
	x.u64(abi.Outs, uint64(len(d.Input.OutRow)))
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
	return int32(binary.LittleEndian.Uint32(x.Bytes(x.ctx)[abi.Result:])), err
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
func checkBed(t *testing.T, make func(t testing.TB, target spmd.Target) *spmdtest.Bed, shapes ...shape) {
	t.Helper()
	target, err := Target("ptx:sm_80")
	if err != nil {
		t.Fatal(err)
	}
	checkBedOn(t, target, make, shapes...)
}

func checkBedOn(t *testing.T, target spmd.Target, make func(t testing.TB, target spmd.Target) *spmdtest.Bed, shapes ...shape) {
	t.Helper()
	d := make(t, target)
	emulate(t, d, shapes...)
	if a, err := FindAssembler(); err == nil {
		text, err := Emit("model", testSHA, d.Program)
		if err != nil {
			t.Fatal(err)
		}
		assemble(t, a, text, target.Name)
	}
}

// emulate compares what the emitted text does with what the interpreter does.
func emulate(t *testing.T, d *spmdtest.Bed, shapes ...shape) {
	t.Helper()
	run(t, d, parsed(t, d.Program), shapes...)
}

// run compares what a module does with what the interpreter does.
func run(t *testing.T, d *spmdtest.Bed, m *emu.Module, shapes ...shape) {
	t.Helper()
	want := d.Interpret(t)
	for i, s := range shapes {
		x := device(t, d, m, s)
		x.Seed = uint64(i)
		r, err := x.step(t, s)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		if r != abi.Fine {
			t.Fatalf("%v: the step gives %d", s, r)
		}
		d.Compare(t, want, x.result())
	}
}

// result is what a step leaves.
func (x *gpuMemory) result() spmdtest.Result {
	get := func(field int64) []byte {
		if x.at[field] == 0 {
			return nil
		}
		return x.Bytes(x.at[field])
	}
	return spmdtest.Result{Work: get(abi.Work), State: get(abi.State), Logits: get(abi.Logits), Odds: get(abi.Odds), Chosen: get(abi.Chosen)}
}
