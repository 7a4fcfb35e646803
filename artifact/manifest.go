package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// What the first fields of a manifest say.
const (
	Format     = "ssmc-artifact"
	Version    = 1 // of the manifest
	ABIVersion = 2 // of the object code; docs/abi.md
)

// Names of the files of an artefact.
const (
	ManifestFile  = "manifest.json"
	WeightsFile   = "weights.safetensors"
	ObjectFile    = "model.o"
	SharedFile    = "model.so"
	PTXFile       = "model.ptx" // in the place of both, for a GPU
	HeaderFile    = "model.h"
	TokenizerFile = "tokenizer.json"
)

// Manifest says what an artefact is. The fields are in the order in which a person wants to read them.
type Manifest struct {
	Format  string  `json:"format"`
	Version int     `json:"version"`
	Tool    string  `json:"tool"` // "ssmc 0.1.0"
	Model   Model   `json:"model"`
	Target  Target  `json:"target"`
	Weights Weights `json:"weights"`
	// Quantization says what is stored as codes; null: nothing is.
	Quantization *Quantization `json:"quantization,omitempty"`
	Entry        Entry         `json:"entry"`
	Sizes        Sizes         `json:"sizes"`
	Cost         Cost          `json:"cost"`
	States       []State       `json:"states"`
	Phases       []Phase       `json:"phases"`
	// Counters is where the code counts clamped values; empty unless it was compiled to.
	Counters []Counter `json:"counters,omitempty"`
	Sources  []Source  `json:"sources"`
	Files    []Source  `json:"files"`
}

// Model is what the checkpoint's configuration says about its use.
type Model struct {
	Family     string `json:"family"`
	Parameters int64  `json:"parameters"`
	Vocab      int    `json:"vocab"`               // columns of the logits, padding included
	BOS        int    `json:"bos"`                 // -1: none
	EOS        []int  `json:"eos"`                 // any of them ends a generation
	Positions  int    `json:"positions,omitempty"` // the most tokens that a sequence may have; 0: no limit
}

// Target is the machine that the code is for, and what made it.
type Target struct {
	Name   string  `json:"name"` // as asked for, with "native" resolved
	Levels []Level `json:"levels"`
	LLVM   string  `json:"llvm"` // version of llc
	Linker string  `json:"linker"`
	GPU    *GPU    `json:"gpu,omitempty"` // null: the code is for CPUs
}

// GPU is what a launch of the module must be like; docs/ptx.md.
type GPU struct {
	SharedBytes  int64 `json:"shared_bytes"` // dynamic shared memory, for each team
	TeamThreads  int64 `json:"team_threads"`
	BlockThreads int64 `json:"block_threads"`  // at most
	Fast         bool  `json:"fast,omitempty"` // products of many rows of floats are of bf16, with sums in any order: not the CPU's bits
}

// Level is one set of CPU features in the object code, in the order of model_level's index.
type Level struct {
	Name     string   `json:"name"`
	Lanes    int      `json:"lanes"`
	Features []string `json:"features,omitempty"` // as /proc/cpuinfo names them
}

// Weights is the packed weights file.
type Weights struct {
	Mode   string `json:"mode"` // as-is, f32, bf16
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the file; the object code carries it too
}

// Entry is how a caller finds the functions.
type Entry struct {
	Prefix string `json:"prefix"` // of the symbols: model_step, ...
	ABI    int    `json:"abi"`
}

// Sizes are the facts that the object code states too; a runtime compares both.
type Sizes struct {
	WorkBytes    int64 `json:"work_bytes"`
	TeamBytes    int64 `json:"team_bytes"`    // for each worker; on a GPU, in global memory for each team
	SlotBytes    int64 `json:"slot_bytes"`    // state of one sequence
	LogitsStride int64 `json:"logits_stride"` // floats from one row of logits to the next
	MaxRows      int64 `json:"max_rows"`      // tokens in a step
	MaxSeqs      int64 `json:"max_seqs"`      // sequences in a step
}

// Cost is the arithmetic of a step, for reports: floating-point operations (a multiply-add is two), and exponentials.
type Cost struct {
	RowOps int64 `json:"row_ops"` // for each token
	RowExp int64 `json:"row_exp"`
	OutOps int64 `json:"out_ops"` // for each row whose logits are wanted
}

// State is one tensor of a sequence's slot. With K the last extent of its logical shape and c counting all others, element (c, k) lies at element
//
//	(c / Block) * K*Pad + k*Pad + c % Block
//
// behind byte Offset: channels lie side by side, so that they fill the lanes of a vector.
type State struct {
	Name   string `json:"name"`  // "state.0.conv", as reference files have it
	Layer  int    `json:"layer"` // -1 if it belongs to none
	Kind   string `json:"kind"`  // conv, recurrent
	DType  string `json:"dtype"` // F32; I8: codes
	Shape  []int  `json:"shape"`
	Offset int64  `json:"offset"`
	Block  int64  `json:"block"`
	Pad    int64  `json:"pad"`
}

// Place is the element's distance from Offset, in elements.
func (s *State) Place(c, k int64) int64 {
	return c/s.Block*int64(s.Shape[len(s.Shape)-1])*s.Pad + k*s.Pad + c%s.Block
}

// Codes says whether the state holds codes, whose meaning is the object code's own.
func (s *State) Codes() bool { return s.DType == "I8" }

// Phase is what the code does between two barriers.
type Phase struct {
	Name        string   `json:"name"`
	MinRows     int64    `json:"min_rows,omitempty"`     // skipped in a step with fewer tokens
	MinChosen   int64    `json:"min_chosen,omitempty"`   // skipped in a step that chooses fewer tokens
	WeightBytes int64    `json:"weight_bytes,omitempty"` // read once in a step
	Notes       []string `json:"notes,omitempty"`        // what its kernels are about
}

// Runs says whether a step of so many tokens, which chooses so many, runs the phase.
func (p *Phase) Runs(rows, chosen int64) bool { return rows >= p.MinRows && chosen >= p.MinChosen }

// Source is a file and its checksum. It has no folder, so that the manifest is the same everywhere.
type Source struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// File finds the entry of one of the artefact's files.
func (m *Manifest) File(name string) (Source, bool) {
	for _, f := range m.Files {
		if f.Name == name {
			return f, true
		}
	}
	return Source{}, false
}

// StepWeightBytes is how many bytes of weights one step of a single token with logits reads: what decoding is measured by.
func (m *Manifest) StepWeightBytes() int64 {
	n := int64(0)
	for _, p := range m.Phases {
		if p.Runs(1, 1) {
			n += p.WeightBytes
		}
	}
	return n
}

// manifestLimit bounds what is read of a manifest.json. That of a model with 64 layers has 100 KB.
const manifestLimit = 64 << 20

// ErrNoManifest says that a folder is not an artefact.
var ErrNoManifest = errors.New("has no " + ManifestFile)

// Read reads and checks the manifest of the artefact in dir.
func Read(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("%s: there is no such folder\n  fix: give the folder that `ssmc compile -o` wrote", dir)
		}
		return nil, fmt.Errorf("%s: %w, so it is not a compiled model\n  fix: give the folder that `ssmc compile -o` wrote", dir, ErrNoManifest)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, manifestLimit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	m, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Parse reads the text of a manifest and checks it.
func Parse(data []byte) (*Manifest, error) {
	if len(data) > manifestLimit {
		return nil, fmt.Errorf("larger than %d bytes", manifestLimit)
	}
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
		Tool    string `json:"tool"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("not a manifest: %w", err)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("format is %.40q, not %q", head.Format, Format)
	}
	if head.Version != Version {
		return nil, fmt.Errorf("manifest version %d (written by %.40q) is unknown; this ssmc reads version %d\n  fix: compile the checkpoint again with this ssmc",
			head.Version, head.Tool, Version)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("not a manifest of version %d: %w", Version, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the manifest")
	}
	return &m, m.check()
}

// Encode gives the text of a manifest: the same manifest, the same bytes.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
