package ptx

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestStagedWaits takes waits and barriers out of a module with tiles of many rows: the emulator must see each of them missing.
func TestStagedWaits(t *testing.T) {
	for _, scheme := range []string{"w8a8", "quamba2-w4a8"} {
		t.Run(scheme, func(t *testing.T) { stagedWaits(t, scheme) })
	}
}

func stagedWaits(t *testing.T, scheme string) {
	t.Helper()
	g := quantized(t, "mamba-tiny", scheme, false)
	p, weights := program(t, g, "ptx:sm_80", kernels.Options{MaxRows: 160, MaxSeqs: 4})
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	d := &spmdtest.Bed{Target: p.Target, Program: p, Weights: weights, Work: make([]byte, p.WorkBytes), State: make([]byte, spmdtest.Slots*p.SlotBytes),
		Input: spmd.StepInput{IDs: tokens(100, g.Vocab), SeqStart: []int32{0, 100}, SeqSlot: []int32{1}, OutRow: []int32{99}}}
	staged := func(change func(body string) string) string { // changes the first kernel of many rows
		before, rest, ok := strings.Cut(string(text), "_staged (")
		body, after, ok2 := strings.Cut(rest, "\n}\n")
		if !ok || !ok2 {
			t.Fatal("there is no kernel of many rows")
		}
		return before + "_staged (" + change(body) + "\n}\n" + after
	}
	for _, tc := range []struct {
		name   string
		change func(body string) string
		want   string
	}{
		{"nothing", func(b string) string { return b }, ""},
		{"wait for a group too few", func(b string) string { return strings.Replace(b, "wait_group 2", "wait_group 3", 1) }, "cp.async writes it, and has not been waited for"},
		{"no wait at all", func(b string) string { return strings.ReplaceAll(b, "cp.async.wait_group", "// ") }, "cp.async writes it, and has not been waited for"},
		{"no barrier in the loop", func(b string) string {
			i := strings.Index(b, "wait_group 2")
			j := i + strings.Index(b[i:], "bar.sync")
			return b[:j] + "// " + b[j:]
		}, "race: "},
		{"no barrier before the sums", func(b string) string {
			i := strings.Index(b, "wait_group 0")
			j := i + strings.Index(b[i:], "bar.sync")
			return b[:j] + "// " + b[j:]
		}, "race: "},
	} {
		m, err := emu.Parse("staged.ptx", staged(tc.change))
		if err != nil {
			t.Fatal(err)
		}
		s := shape{2, blockThreads}
		x := device(t, d, m, s)
		_, err = x.step(t, s)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestSizeOfCodes emits quantized layers of mamba-130m's width. Kernels are the same for all layers: what a longer model adds is lines of its tables.
func TestSizeOfCodes(t *testing.T) {
	dir := noisyMamba(t, 768, 1, 48, 1024)
	for _, scheme := range []string{"w8a8", "quamba2-w4a8", "quamba2-w4a16"} {
		p := plan(t, quantizedIn(t, dir, scheme, false), "ptx:sm_80", kernels.Options{}).Programs[0]
		text, err := Emit("model", testSHA, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 400<<10 {
			t.Errorf("%s: %d bytes of PTX", scheme, len(text))
		}
		if _, global := (&module{gpu: gpus[1], p: spmd.Merged{Program: p}, members: membersOf(p)}).scratch(); global > 0 { // the least shared memory that there is
			t.Errorf("%s: %d bytes of a team's scratch are in global memory", scheme, global)
		}
		if a, err := FindAssembler(); err == nil {
			assemble(t, a, text, "ptx:sm_80")
		}
	}
}

// noisyMamba is hollowMamba with weights.
func noisyMamba(t *testing.T, width, layers, rank, vocab int) string {
	t.Helper()
	dir := hollowMamba(t, width, layers, rank, vocab)
	file := filepath.Join(dir, "model.safetensors")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	x := uint32(1)
	for at := 8 + int(binary.LittleEndian.Uint64(b)); at+4 <= len(b); at += 4 {
		x = x*1664525 + 1013904223
		binary.LittleEndian.PutUint32(b[at:], math.Float32bits(float32(int32(x))/(1<<31)*0.05))
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
