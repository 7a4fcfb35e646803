package artifact

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ssmc/ssmc/loader"
)

// sizeLimit bounds every size of a manifest, so that sums and products of a few of them cannot overflow.
const sizeLimit = 1 << 44

// prefixName is what a symbol's prefix may be: the beginning of a C identifier.
var prefixName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)

// ValidPrefix says whether the functions may be called prefix_step and so on.
func ValidPrefix(prefix string) bool { return prefixName.MatchString(prefix) }

// checker collects what is wrong with a manifest.
type checker struct{ problems loader.Problems }

func (c *checker) that(ok bool, where, format string, args ...any) {
	if !ok {
		c.problems.Add(where, fmt.Sprintf(format, args...), "compile the checkpoint again")
	}
}

func (c *checker) size(where string, n, least int64) {
	c.that(n >= least && n <= sizeLimit, where, "is %d, must be from %d to %d", n, least, int64(sizeLimit))
}

func (m *Manifest) check() error {
	c := &checker{}
	m.checkSizes(c)
	c.that(ValidPrefix(m.Entry.Prefix), "entry.prefix", "is %.40q, must be a C identifier in small letters", m.Entry.Prefix)
	c.that(m.Entry.ABI == ABIVersion, "entry.abi", "is %d; this ssmc knows %d", m.Entry.ABI, ABIVersion)
	c.that(len(m.Target.Levels) > 0, "target.levels", "is empty")
	c.that(validSum(m.Weights.SHA256), "weights.sha256", "is no SHA-256 checksum")
	if g := m.Target.GPU; g != nil {
		c.that(g.SharedBytes >= 0 && g.SharedBytes <= 1<<20, "target.gpu.shared_bytes", "is %d", g.SharedBytes)
		c.that(g.TeamThreads >= 32 && g.TeamThreads%32 == 0 && g.BlockThreads >= g.TeamThreads && g.BlockThreads <= 1024, "target.gpu",
			"teams of %d threads in blocks of at most %d", g.TeamThreads, g.BlockThreads)
	}
	for i, s := range m.States {
		s.check(c, fmt.Sprintf("states[%d] %.40q", i, s.Name), m.Sizes.SlotBytes)
	}
	m.checkCounters(c)
	if m.Quantization != nil {
		m.Quantization.check(c)
	}
	for i, p := range m.Phases {
		c.size(fmt.Sprintf("phases[%d].weight_bytes", i), p.WeightBytes, 0)
	}
	seen := make(map[string]bool)
	for i, f := range m.Files {
		where := fmt.Sprintf("files[%d]", i)
		c.that(f.Name != "" && f.Name == filepath.Base(f.Name) && !strings.HasPrefix(f.Name, ".") && !seen[f.Name],
			where, "the name %.80q is a path or occurs twice", f.Name)
		c.that(validSum(f.SHA256), where, "has no SHA-256 checksum")
		c.size(where, f.Bytes, 0)
		seen[f.Name] = true
	}
	return c.problems.Err()
}

func (m *Manifest) checkSizes(c *checker) {
	c.size("weights.bytes", m.Weights.Bytes, 0)
	c.size("sizes.work_bytes", m.Sizes.WorkBytes, 0)
	c.size("sizes.team_bytes", m.Sizes.TeamBytes, 0)
	c.size("sizes.slot_bytes", m.Sizes.SlotBytes, 0)
	c.that(m.Sizes.SlotBytes%64 == 0, "sizes.slot_bytes", "%d is no multiple of 64", m.Sizes.SlotBytes)
	c.size("sizes.max_rows", m.Sizes.MaxRows, 1)
	c.size("sizes.max_seqs", m.Sizes.MaxSeqs, 1)
	c.that(m.Sizes.MaxRows <= 1<<20 && m.Sizes.MaxSeqs <= 1<<20, "sizes", "max_rows and max_seqs are at most 2^20")
	c.size("sizes.logits_stride", m.Sizes.LogitsStride, int64(max(m.Model.Vocab, 0)))
	c.that(m.Sizes.LogitsStride <= 1<<30, "sizes.logits_stride", "is more than 2^30")
	c.size("model.vocab", int64(m.Model.Vocab), 0)
	c.size("cost.row_ops", m.Cost.RowOps, 0)
	c.size("cost.row_exp", m.Cost.RowExp, 0)
	c.size("cost.out_ops", m.Cost.OutOps, 0)
}

// stateBytes is the size of an element of a state.
var stateBytes = map[string]int64{"F32": 4, "F64": 8, "BF16": 2, "F16": 2, "I32": 4, "I64": 8, "I8": 1}

// check holds that every element of the state lies inside of the slot.
func (s *State) check(c *checker, where string, slot int64) {
	size := stateBytes[s.DType]
	c.that(size > 0, where, "the dtype %.20q is unknown", s.DType)
	if len(s.Shape) == 0 || s.Block < 1 || s.Pad < s.Block || s.Pad > 1<<20 {
		c.that(false, where, "the shape %v in blocks of %d of %d is impossible", s.Shape, s.Block, s.Pad)
		return
	}
	channels := int64(1)
	for _, n := range s.Shape[:len(s.Shape)-1] {
		if n < 1 || channels > sizeLimit/int64(n) {
			c.that(false, where, "the shape %v is impossible", s.Shape)
			return
		}
		channels *= int64(n)
	}
	k := int64(s.Shape[len(s.Shape)-1])
	blocks := (channels + s.Block - 1) / s.Block
	fits := s.Offset >= 0 && s.Offset%size1(size) == 0 && s.Offset <= slot && k >= 0 && (k == 0 || blocks <= sizeLimit/k/s.Pad && blocks*k*s.Pad*size <= slot-s.Offset)
	c.that(fits, where, "%v in blocks of %d of %d, at %d, is outside the slot of %d bytes", s.Shape, s.Block, s.Pad, s.Offset, slot)
}

// size1 is size, or 1 if it is unknown.
func size1(size int64) int64 { return max(size, 1) }

func validSum(sum string) bool {
	raw, err := hex.DecodeString(sum)
	return err == nil && len(raw) == 32 && strings.ToLower(sum) == sum
}
