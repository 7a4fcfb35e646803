package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/loader"
)

// sample is a manifest that passes every check.
func sample() *Manifest {
	sum := strings.Repeat("0f", 32)
	return &Manifest{
		Format: Format, Version: Version, Tool: "ssmc test",
		Model:   Model{Family: "mamba", Parameters: 12, Vocab: 250, BOS: -1, EOS: []int{0, 7}},
		Target:  Target{Name: "x86-64-v3", Levels: []Level{{Name: "x86-64-v3", Lanes: 8, Features: []string{"avx2", "fma"}}}, LLVM: "14.0.6", Linker: "GNU ld"},
		Weights: Weights{Mode: "as-is", Bytes: 128, SHA256: sum},
		Entry:   Entry{Prefix: "model", ABI: ABIVersion},
		Sizes:   Sizes{WorkBytes: 1 << 20, TeamBytes: 4096, SlotBytes: 192, LogitsStride: 256, MaxRows: 512, MaxSeqs: 16},
		Cost:    Cost{RowOps: 100, RowExp: 3, OutOps: 50},
		States:  []State{{Name: "state.0.conv", Layer: 0, Kind: "conv", DType: "F32", Shape: []int{3, 2, 3}, Offset: 64, Block: 4, Pad: 5}},
		Phases:  []Phase{{Name: "in", WeightBytes: 64, Notes: []string{"layers.0"}}, {Name: "long", MinRows: 64, WeightBytes: 64}},
		Sources: []Source{{Name: "config.json", Bytes: 3, SHA256: sum}},
	}
}

// comesBack writes a manifest and reads it.
func comesBack(t *testing.T, m *Manifest) *Manifest {
	t.Helper()
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	return back
}

func TestManifestComesBack(t *testing.T) {
	m := sample()
	back := comesBack(t, m)
	if got := back.StepWeightBytes(); got != 64 {
		t.Errorf("StepWeightBytes = %d, want 64: the phase that only long prompts run does not count", got)
	}
}

func TestManifestRefuses(t *testing.T) {
	tests := []struct {
		name, old, new, want string
	}{
		{"version", `"version": 1`, `"version": 9`, "manifest version 9"},
		{"format", Format, "other", `format is "other"`},
		{"field", `"tool"`, `"extra": 1, "tool"`, "unknown field"},
		{"slot", `"slot_bytes": 192`, `"slot_bytes": 191`, "no multiple of 64"},
		{"negative", `"work_bytes": 1048576`, `"work_bytes": -1`, "sizes.work_bytes: is -1"},
		{"huge", `"work_bytes": 1048576`, `"work_bytes": 99999999999999999`, "sizes.work_bytes"},
		{"rows", `"max_rows": 512`, `"max_rows": 0`, "sizes.max_rows"},
		{"stride below vocab", `"logits_stride": 256`, `"logits_stride": 249`, "logits_stride"},
		{"state outside", `"offset": 64`, `"offset": 128`, "outside the slot"},
		{"state too long", `"pad": 5`, `"pad": 6`, "outside the slot"},
		{"state block", `"block": 4`, `"block": 0`, "impossible"},
		{"state shape", `"shape": [
        3,`, `"shape": [
        6000000000000000,`, "impossible"},
		{"prefix", `"prefix": "model"`, `"prefix": "a b"`, "C identifier"},
		{"checksum", strings.Repeat("0f", 32), "0f", "no SHA-256"},
		{"abi", `"abi": 2`, `"abi": 1`, "this ssmc knows 2"},
	}
	text, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := bytes.Replace(text, []byte(test.old), []byte(test.new), 1)
			if bytes.Equal(changed, text) {
				t.Fatalf("%q is not in the manifest", test.old)
			}
			_, err := Parse(changed)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := Parse(append(text, '{', '}')); err == nil {
		t.Error("text after the manifest was accepted")
	}
}

func FuzzManifest(f *testing.F) {
	text, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"ssmc-artifact","version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		if _, err := m.Encode(); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
		if _, err := Header(m); err != nil {
			t.Error(err)
		}
	})
}

// pattern is a piece whose bytes are a function of their place in the file.
func pattern(name string, n int64) Piece {
	return Piece{Name: name, DType: "F32", Shape: []int{int(n / 4)}, Bytes: n, Fill: func(dst []byte, from int64) error {
		for i := range dst {
			dst[i] = byte((from + int64(i)) * 31 >> 3)
		}
		return nil
	}}
}

// write makes an artefact of the pieces.
func write(t *testing.T, dir string, pieces []Piece) error {
	t.Helper()
	w, err := Begin(dir)
	if err != nil {
		return err
	}
	defer w.Abort()
	m := sample()
	weights, err := w.AddWeights(context.Background(), pieces, nil)
	if err != nil {
		return err
	}
	weights.Mode = "as-is"
	m.Weights = weights
	if err := w.Add(ObjectFile, []byte("object")); err != nil {
		return err
	}
	return w.Commit(m)
}

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWrite(t *testing.T) {
	root := t.TempDir()
	// More than two chunks, so that buffers are used again, and pieces of uneven sizes around it.
	pieces := []Piece{pattern("a", 64), pattern("b", 3*chunkBytes+4096), pattern("c", 0), pattern("d", 128)}
	dirs := []string{filepath.Join(root, "one"), filepath.Join(root, "deep", "two")}
	for _, dir := range dirs {
		if err := write(t, dir, pieces); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{ManifestFile, HeaderFile, ObjectFile, WeightsFile}
	for _, name := range want {
		one, err := os.ReadFile(filepath.Join(dirs[0], name))
		if err != nil {
			t.Fatal(err)
		}
		two, err := os.ReadFile(filepath.Join(dirs[1], name))
		if err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s differs between two folders (%v)", name, err)
		}
	}
	if diff := cmp.Diff([]string{"deep", "one"}, names(t, root)); diff != "" {
		t.Errorf("left beside the artefact (-want +got)\n%s", diff)
	}
	m, err := Read(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := m.VerifyFiles(context.Background(), dirs[0], nil); err != nil {
		t.Error(err)
	}
	checkWeights(t, filepath.Join(dirs[0], WeightsFile), pieces)
}

func checkWeights(t *testing.T, path string, pieces []Piece) {
	t.Helper()
	f, err := loader.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	offset := int64(-1)
	for _, p := range pieces {
		got, ok := f.Tensor(p.Name)
		if !ok {
			t.Fatalf("no tensor %s", p.Name)
		}
		if offset < 0 {
			offset = got.Offset
		}
		want := make([]byte, p.Bytes)
		p.Fill(want, 0)
		if got.Offset != offset || !bytes.Equal(got.Data, want) {
			t.Errorf("%s: at %d, want %d; data equal: %v", p.Name, got.Offset, offset, bytes.Equal(got.Data, want))
		}
		offset += p.Bytes
	}
	if first, _ := f.Tensor(pieces[0].Name); first.Offset%weightsAlign != 0 {
		t.Errorf("the data begins at %d, no multiple of %d", first.Offset, weightsAlign)
	}
}

func TestVerifyFindsAllDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	if err := write(t, dir, []Piece{pattern("a", 4096)}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, WeightsFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	os.WriteFile(path, data, 0o666)
	os.WriteFile(filepath.Join(dir, ObjectFile), []byte("objec"), 0o666)
	os.Remove(filepath.Join(dir, HeaderFile))
	m, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = m.VerifyFiles(context.Background(), dir, nil)
	var list *loader.Error
	if !errors.As(err, &list) || list.Total != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
	for _, want := range []string{"weights.safetensors: has the checksum", "model.o: has 5 bytes, the manifest says 6", "model.h: is missing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestReplace(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "m")
	if err := write(t, dir, []Piece{pattern("old", 64)}); err != nil {
		t.Fatal(err)
	}
	failing := Piece{Name: "x", DType: "F32", Shape: []int{16}, Bytes: 64, Fill: func([]byte, int64) error { return errors.New("no such tensor") }}
	if err := write(t, dir, []Piece{pattern("new", 64), failing}); err == nil || !strings.Contains(err.Error(), `packing "x": no such tensor`) {
		t.Errorf("error %v", err)
	}
	checkWeights(t, filepath.Join(dir, WeightsFile), []Piece{pattern("old", 64)})
	if err := write(t, dir, []Piece{pattern("new", 128)}); err != nil {
		t.Fatal(err)
	}
	checkWeights(t, filepath.Join(dir, WeightsFile), []Piece{pattern("new", 128)})
	if diff := cmp.Diff([]string{"m"}, names(t, root)); diff != "" {
		t.Errorf("left beside the artefact (-want +got)\n%s", diff)
	}
}

func TestForeignFolderIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "photos")
	os.Mkdir(dir, 0o777)
	os.WriteFile(filepath.Join(dir, "cat.jpg"), nil, 0o666)
	if _, err := Begin(dir); err == nil || !strings.Contains(err.Error(), "is not replaced") {
		t.Errorf("error %v", err)
	}
	os.WriteFile(filepath.Join(dir, ManifestFile), []byte(`{"name": "a browser extension"}`), 0o666)
	if _, err := Begin(dir); err == nil {
		t.Error("a folder with somebody else's manifest.json would be replaced")
	}
	empty := filepath.Join(t.TempDir(), "empty")
	os.Mkdir(empty, 0o777)
	if err := write(t, empty, []Piece{pattern("a", 64)}); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
}

// A compile that was killed leaves its temporary folder without a lock; one that runs has it locked.
func TestStaleFolders(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "m")
	stale := filepath.Join(root, ".m"+temporaryMark+"00000000")
	os.MkdirAll(filepath.Join(stale, "x"), 0o777)
	running, err := Begin(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Abort()
	if err := write(t, dir, []Piece{pattern("a", 64)}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("the stale folder is still there")
	}
	if _, err := os.Stat(running.temporary); err != nil {
		t.Errorf("the folder of a running compile was removed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, ManifestFile)); err != nil {
		t.Error(err)
	}
}

func TestHeaderNamesEverything(t *testing.T) {
	m := sample()
	m.Entry.Prefix = "tiny"
	text, err := Header(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"#define TINY_WORK_BYTES INT64_C(1048576)", "#define TINY_VOCAB 250", "int32_t tiny_step(struct tiny_ctx *ctx", "0 x86-64-v3;",
		fmt.Sprintf("#define TINY_WEIGHTS_SHA256 %q", m.Weights.SHA256)} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in the header", want)
		}
	}
}
