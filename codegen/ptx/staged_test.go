package ptx

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/ptx/emu"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// sabotage takes something out of the text of a kernel.
type sabotage struct {
	name   string
	change func(body string) string
	want   string
}

// without takes the first of a thing that stands behind another out.
func without(behind, what string) func(body string) string {
	return func(b string) string {
		i := strings.Index(b, behind)
		j := i + strings.Index(b[i:], what)
		return b[:j] + "// " + b[j:]
	}
}

// TestStagedWaits takes waits and barriers out of modules with tiles of many rows: the emulator must see each of them missing.
func TestStagedWaits(t *testing.T) {
	fine := sabotage{"nothing", func(b string) string { return b }, ""}
	fragments := []sabotage{
		fine,
		{"wait for a group too few", func(b string) string { return strings.Replace(b, "wait_group 2", "wait_group 3", 1) }, "cp.async writes it, and has not been waited for"},
		{"no wait at all", func(b string) string { return strings.ReplaceAll(b, "cp.async.wait_group", "// ") }, "cp.async writes it, and has not been waited for"},
		{"no barrier in the loop", without("wait_group 2", "bar.sync"), "race: "},
		{"no barrier before the sums", without("wait_group 0", "bar.sync"), "race: "},
	}
	for _, c := range []struct{ scheme, target string }{{"w8a8", "ptx:sm_80"}, {"quamba2-w4a8", "ptx:sm_80"}, {"quamba2-w4a8", "ptx:sm_90a"}} {
		t.Run(c.scheme+" "+c.target, func(t *testing.T) { checkSabotage(t, c.scheme, c.target, "_staged (", "\n}\n", fragments) })
	}
	t.Run("quads", func(t *testing.T) {
		checkSabotage(t, "w8a8", "ptx:sm_90a", "\t{\n\t.reg .b64 %ctx", "\n}\n\t}\n", []sabotage{
			fine,
			{"wait for a group too few", func(b string) string {
				return strings.Replace(b, "cp.async.wait_group 1", "cp.async.wait_group 2", 1)
			}, "cp.async writes it, and has not been waited for"},
			{"no wait for pieces", without("cp.async.wait_group 1", "@!%"), "this warp has not seen the mbarrier of that"},
			{"no fence of mbarriers", without("mbarrier.init", "fence.proxy"), "the mbarrier was made with no fence.proxy.async behind it"},
			{"no fence in the loop", without("cp.async.wait_group 1", "fence.proxy"), "written, with no fence.proxy.async behind it"},
			{"no barrier in the loop", without("cp.async.wait_group 1", "bar.sync"), "race: "},
			{"no barrier before the sums", without("cp.async.wait_group 0", "bar.sync"), "race: "},
			{"no wait for products", without("wgmma.commit_group", "wgmma.wait_group"), "race: reads"},
			{"mbarriers are left", func(b string) string { return regexp.MustCompile(".*mbarrier.inval.*").ReplaceAllString(b, "") }, "an mbarrier is there"},
		})
	})
}

// checkSabotage runs a quantized model with changes in the first kernel of many rows, which stands between two texts.
func checkSabotage(t *testing.T, scheme, target, from, to string, list []sabotage) {
	t.Helper()
	g := quantized(t, "mamba-tiny", scheme, false)
	p, weights := program(t, g, target, kernels.Options{MaxRows: 160, MaxSeqs: 4})
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	d := &spmdtest.Bed{Target: p.Target, Program: p, Weights: weights, Work: make([]byte, p.WorkBytes), State: make([]byte, spmdtest.Slots*p.SlotBytes),
		Input: spmd.StepInput{IDs: tokens(100, g.Vocab), SeqStart: []int32{0, 100}, SeqSlot: []int32{1}, OutRow: []int32{99}}}
	before, rest, ok := strings.Cut(string(text), from)
	body, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("there is no kernel of many rows")
	}
	for _, tc := range list {
		m, err := emu.Parse("staged.ptx", before+from+tc.change(body)+to+after)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
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
	for _, tc := range []struct {
		scheme, target string
		rows           int
	}{
		{"w8a8", "ptx:sm_80", 0}, {"quamba2-w4a8", "ptx:sm_80", 0}, {"quamba2-w4a16", "ptx:sm_80", 0},
		{"w8a8", "ptx:sm_90a", 0}, {"w8a8", "ptx:sm_90a", 4096}, // in tiles of 256 columns
	} {
		p := plan(t, quantizedIn(t, dir, tc.scheme, false), tc.target, kernels.Options{MaxRows: tc.rows}).Programs[0]
		checkSize(t, p, fmt.Sprint(tc), 400)
		if _, global := (&module{gpu: gpus[1], p: spmd.Merged{Program: p}, members: membersOf(p)}).scratch(); global > 0 && !p.Target.Quads { // the least shared memory that there is
			t.Errorf("%v: %d bytes of a team's scratch are in global memory", tc, global)
		}
	}
}

// TestWideTiles has so many columns, those of a vocabulary, that a tile of quads has 256.
func TestWideTiles(t *testing.T) {
	g := quantizedIn(t, noisyMamba(t, 64, 1, 4, 24600), "w8a8-token", false)
	p, weights := program(t, g, "ptx:sm_90a", kernels.Options{MaxRows: 128, MaxSeqs: 1})
	d := &spmdtest.Bed{Target: p.Target, Program: p, Weights: weights, Work: make([]byte, p.WorkBytes), State: make([]byte, spmdtest.Slots*p.SlotBytes),
		Input: spmd.StepInput{IDs: tokens(80, g.Vocab), SeqStart: []int32{0, 80}, SeqSlot: []int32{1}}}
	for i := range int32(70) {
		d.Input.OutRow = append(d.Input.OutRow, i+5)
	}
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), ".m64n256k32.") {
		t.Error("no product has 256 columns")
	}
	run(t, d, parsed(t, p), shape{3, blockThreads})
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
