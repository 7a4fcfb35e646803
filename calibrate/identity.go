package calibrate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// Keys of a calibration's Meta.
const (
	MetaModel    = "model"    // checksum of the checkpoint
	MetaRotation = "rotation" // Rotation
	MetaWindows  = "windows"  // checksum of the token ids
	MetaSamples  = "samples"  // how many windows there are; quant.Calibration.Samples says how many were run
	MetaLength   = "length"   // tokens of a window
)

// Meta says what a run is about. Two runs with the same Meta are the same run.
func Meta(model, rotation string, d *Data) map[string]string {
	h := sha256.New()
	for _, w := range d.Windows {
		raw := binary.LittleEndian.AppendUint32(nil, uint32(len(w)))
		for _, id := range w {
			raw = binary.LittleEndian.AppendUint32(raw, uint32(id))
		}
		h.Write(raw)
	}
	if d.Carry {
		h.Write([]byte("carry"))
	}
	return map[string]string{
		MetaModel: model, MetaRotation: rotation, MetaWindows: hex.EncodeToString(h.Sum(nil)),
		MetaSamples: fmt.Sprint(len(d.Windows)), MetaLength: fmt.Sprint(d.Length),
	}
}

// Rotation names what a scheme does to a model's values before any of them is observed. Schemes with the same one can be made of one calibration.
func Rotation(s *quant.Scheme, m *ir.Module) string {
	var parts []string
	add := func(name string, r quant.Rotation) {
		if !r.Hadamard {
			return
		}
		if r.Signs {
			name += fmt.Sprintf(" with signs %d", r.Seed)
		}
		parts = append(parts, name)
	}
	add("stream", s.Stream)
	if keeps, _ := s.KeepsTie(); s.Stream.Hadamard && keeps && tied(m) {
		parts = append(parts, "head tied")
	}
	add("ssm.y", s.Y)
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// tied says whether one tensor is the embedding and the head.
func tied(m *ir.Module) bool {
	uses := m.Func.AllUses()
	for _, w := range m.Func.Weights {
		gather, linear := false, false
		for _, u := range uses[w] {
			gather = gather || u.Op != nil && u.Op.Code == ir.OpGather
			linear = linear || u.Op != nil && u.Op.Code == ir.OpLinear
		}
		if gather && linear {
			return true
		}
	}
	return false
}

// Differences lists in words how the Meta of a calibration differs from what is wanted, for the keys that are wanted.
func Differences(have, want map[string]string) []string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if have[k] != want[k] {
			list = append(list, fmt.Sprintf("%s: %.40s in the file, here %.40s", k, have[k], want[k]))
		}
	}
	return list
}
