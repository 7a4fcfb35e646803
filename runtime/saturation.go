package runtime

import (
	"cmp"
	"slices"

	"github.com/ssmc/ssmc/artifact"
)

// SaturationLimit is the share of a tensor's values from which on clamping them counts as a calibrated range that does not fit: ten times what is left
// beyond a percentile of 0.9999, and a hundred times what the schemes that come with ssmc leave there.
const SaturationLimit = 0.001

// Saturation is how many values of a tensor were clamped when codes were made of them.
type Saturation struct {
	Tensor  string  `json:"tensor"` // layers.3.ssm.u
	Layer   int     `json:"layer"`  // -1 if it belongs to none
	Seen    int64   `json:"seen"`
	Clamped int64   `json:"clamped"`
	Share   float64 `json:"share"`
}

// saturation adds up what steps clamped, by the manifest's counters.
type saturation struct {
	seen, clamped []int64
}

// add reads what a step left in work memory.
func (s *saturation) add(counters []artifact.Counter, work []byte, rows, seqs, outs int) {
	if s.seen == nil {
		s.seen, s.clamped = make([]int64, len(counters)), make([]int64, len(counters))
	}
	for i := range counters {
		seen, clamped := counters[i].Count(work, int64(rows), int64(seqs), int64(outs))
		s.seen[i] += seen
		s.clamped[i] += clamped
	}
}

// Saturation is what all steps since Open clamped, the largest share first. It is nil for an artefact that does not count.
func (m *Model) Saturation() []Saturation {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Saturation
	for i, c := range m.Manifest.Counters {
		at := slices.IndexFunc(list, func(x Saturation) bool { return x.Tensor == c.Tensor })
		if at < 0 { // else another launch makes the same tensor, of steps of other sizes
			at = len(list)
			list = append(list, Saturation{Tensor: c.Tensor, Layer: c.Layer})
		}
		if x := &list[at]; m.clamps.seen != nil {
			x.Seen += m.clamps.seen[i]
			x.Clamped += m.clamps.clamped[i]
			x.Share = float64(x.Clamped) / float64(max(x.Seen, 1))
		}
	}
	slices.SortStableFunc(list, func(a, b Saturation) int { return cmp.Compare(b.Share, a.Share) })
	return list
}
