package emu_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/loader/family/familytest"
	"github.com/ssmc/ssmc/passes"
)

// What a module's facts are (docs/ptx.md), and how many threads a block has.
const (
	factTeam     = 3
	factShared   = 10
	factThreads  = 11
	blockThreads = 64
)

var le = binary.LittleEndian

// both runs a program by the interpreter of the kernel language and, as PTX, by the emulator.
type both struct {
	p       *spmd.Program
	machine *spmd.Machine
	d       *emu.Device
	m       *emu.Module
	ctx     uint64
	space   map[spmd.Space]uint64
	blocks  int
	threads int
	shared  int
}

func emit(t testing.TB, p *spmd.Program) string {
	t.Helper()
	text, err := ptx.Emit("m", fmt.Sprintf("%064d", 0), p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newBoth(t testing.TB, p *spmd.Program, text string, weights []byte, slots int) *both {
	t.Helper()
	var err error
	b := &both{p: p, d: emu.NewDevice(), space: map[spmd.Space]uint64{}, blocks: 3}
	if b.m, err = emu.Parse("m.ptx", text); err != nil {
		t.Fatal(err)
	}
	if len(b.m.Inexact) > 0 {
		t.Errorf("instructions that PTX does not define to the bit: %q", b.m.Inexact)
	}
	if b.machine, err = spmd.NewMachine(p, weights, slots); err != nil {
		t.Fatal(err)
	}
	if err := b.d.Load(b.m); err != nil {
		t.Fatal(err)
	}
	b.d.Races = true
	facts := func(i int) int {
		at, ok := b.d.Symbol("m_facts")
		if !ok {
			t.Fatal("no facts")
		}
		return int(le.Uint64(b.d.Bytes(at)[8*i:]))
	}
	team := facts(factThreads)
	b.threads = max(team, blockThreads/team*team)
	b.shared = facts(factShared) * (b.threads / team)
	b.space[spmd.Weights] = b.d.AllocReadOnly("weights", len(weights))
	copy(b.d.Bytes(b.space[spmd.Weights]), weights)
	b.space[spmd.Work] = b.d.Alloc("work", int(p.WorkBytes))
	b.space[spmd.State] = b.d.Alloc("state", slots*int(p.SlotBytes))
	workers := b.blocks * b.threads / team
	b.ctx = b.d.Alloc("context", abi.GPUBytes)
	c := b.d.Bytes(b.ctx)
	le.PutUint32(c[abi.ABI:], abi.Version)
	le.PutUint64(c[abi.Workers:], uint64(workers))
	if n := facts(factTeam); n > 0 {
		le.PutUint64(c[abi.Team:], b.d.Alloc("team", n*workers))
	}
	return b
}

// step runs one step on both and compares state and logits.
func (b *both) step(t testing.TB, in spmd.StepInput) {
	t.Helper()
	if err := b.machine.Step(b.p, in); err != nil {
		t.Fatal(err)
	}
	if err := b.emulate(in); err != nil {
		t.Fatal(err)
	}
	if r := int32(le.Uint32(b.d.Bytes(b.ctx)[abi.Result:])); r != 0 {
		t.Fatalf("the step gives %d", r)
	}
	b.compare(t, "state", b.machine.Memory[spmd.State], b.d.Bytes(b.space[spmd.State]))
	got := b.d.Bytes(b.space[spmd.Logits])
	for i := range in.OutRow {
		row := int(4 * b.p.LogitsStride * int64(i))
		b.compare(t, fmt.Sprintf("logits of row %d", i), b.machine.Memory[spmd.Logits][row:][:4*b.p.Vocab], got[row:][:4*b.p.Vocab])
	}
}

// emulate runs one step of the PTX.
func (b *both) emulate(in spmd.StepInput) error {
	c := b.d.Bytes(b.ctx)
	inputs := map[spmd.Space][]int32{spmd.IDs: in.IDs, spmd.SeqStart: in.SeqStart, spmd.SeqSlot: in.SeqSlot, spmd.OutRow: in.OutRow}
	for s, xs := range inputs {
		b.d.Free(b.space[s]) // of the last step
		b.space[s] = b.d.AllocReadOnly(s.String(), 4*len(xs))
		for i, x := range xs {
			le.PutUint32(b.d.Bytes(b.space[s])[4*i:], uint32(x))
		}
	}
	logits := int(4 * b.p.LogitsStride * int64(len(in.OutRow)))
	b.d.Free(b.space[spmd.Logits])
	b.space[spmd.Logits] = b.d.Alloc("logits", logits)
	for s := spmd.Weights; s <= spmd.Logits; s++ {
		at, _ := abi.SpaceAt(s)
		le.PutUint64(c[at:], b.space[s])
	}
	for at, n := range map[int]int{abi.Rows: len(in.IDs), abi.Seqs: len(in.SeqSlot), abi.Outs: len(in.OutRow)} {
		le.PutUint64(c[at:], uint64(n))
	}
	return b.d.LaunchCooperative("m_step", [3]int{b.blocks, 1, 1}, [3]int{b.threads, 1, 1}, b.shared, emu.U64(b.ctx))
}

// compare wants the same bits, but for those of a NaN.
func (b *both) compare(t testing.TB, what string, want, got []byte) {
	t.Helper()
	if bytes.Equal(want, got) {
		return
	}
	for i := 0; i+4 <= len(want); i += 4 {
		x, y := math.Float32frombits(le.Uint32(want[i:])), math.Float32frombits(le.Uint32(got[i:]))
		if math.Float32bits(x) != math.Float32bits(y) && (x == x || y == y) {
			t.Fatalf("%s: float %d is %v (%#x), interpreted %v (%#x)", what, i/4, y, math.Float32bits(y), x, math.Float32bits(x))
		}
	}
}

func plan(t testing.TB, dir, target, weights string) (*spmd.Program, []byte) {
	t.Helper()
	g := familytest.Build(t, dir)
	if _, err := passes.Run(g, passes.Options{}); err != nil {
		t.Fatal(err)
	}
	tg, err := ptx.Target(target)
	if err != nil {
		t.Fatal(err)
	}
	p, err := kernel.Build(g, []spmd.Target{tg}, kernel.Options{Weights: weights, MaxRows: 64, MaxSeqs: 4})
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, piece := range p.Pieces {
		size = max(size, piece.Offset+piece.Bytes)
	}
	data := make([]byte, size)
	for _, piece := range p.Pieces {
		if err := piece.Fill(data[piece.Offset:][:piece.Bytes], 0); err != nil {
			t.Fatal(err)
		}
	}
	return p.Programs[0], data
}

// TestModels runs whole models: a prefill of several sequences, then steps of one row each.
func TestModels(t *testing.T) {
	for _, tc := range []struct{ dir, target, weights string }{
		{"mamba-tiny", "ptx:sm_80", "f32"},
		{"mamba2-tiny", "ptx:sm_80", "f32"},
		{"falcon-mamba-tiny", "ptx:sm_90a", "f32"},
		{"mamba-bf16", "ptx:sm_86", "as-is"},
	} {
		t.Run(tc.dir, func(t *testing.T) {
			p, weights := plan(t, "../../../golden/testdata/"+tc.dir, tc.target, tc.weights)
			b := newBoth(t, p, emit(t, p), weights, 3)
			start := time.Now()
			b.step(t, input(int32(p.Vocab), 33, 1, 5)) // more than a chunk
			b.step(t, input(int32(p.Vocab), 1, 1))
			s := b.d.Stats
			t.Logf("%d instructions of PTX; %d M lane instructions in %v: %.1f M/s", b.m.Instructions(), s.LaneInstructions/1e6, time.Since(start),
				float64(s.LaneInstructions)/1e6/time.Since(start).Seconds())
		})
	}
}

// TestBrokenModels takes out of a model's PTX what orders its memory, one thing at a time: each must be missed.
func TestBrokenModels(t *testing.T) {
	p, weights := plan(t, "../../../golden/testdata/mamba2-tiny", "ptx:sm_80", "f32")
	text := emit(t, p)
	for _, tc := range []struct{ old, new, want string }{
		{"bar.warp.sync 0xffffffff;", "", "race"},
		{"bar.sync 0;", "", "race"},
		{"ld.acquire.gpu", "ld.relaxed.gpu", "race"},
		{"atom.add.release.gpu", "atom.add.relaxed.gpu", "race"},
		{"ld.acquire.gpu", "ld.acquire.cta", "race"},
		{"ld.global.f32", "ld.global.nc.f32", "which this launch has written"},
		{"0x80000001", "0x80000000", "livelock"},
	} {
		if !strings.Contains(text, tc.old) {
			t.Errorf("the text has no %s", tc.old)
			continue
		}
		b := newBoth(t, p, strings.ReplaceAll(text, tc.old, tc.new), weights, 3)
		err := b.emulate(input(int32(p.Vocab), 40, 1, 5))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s instead of %s: %v; want an error with %q", tc.new, tc.old, err, tc.want)
		}
	}
}

// input is a step of sequences of so many rows.
func input(vocab int32, lens ...int) spmd.StepInput {
	in := spmd.StepInput{SeqStart: []int32{0}}
	for s, n := range lens {
		for i := range n {
			in.IDs = append(in.IDs, int32(7*s+13*i+1)%vocab)
		}
		in.SeqStart = append(in.SeqStart, int32(len(in.IDs)))
		in.SeqSlot = append(in.SeqSlot, int32(len(lens)-1-s))
		in.OutRow = append(in.OutRow, int32(len(in.IDs)-1))
	}
	return in
}
