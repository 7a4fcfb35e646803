package artifact

import (
	"encoding/binary"
	"fmt"
)

// Counter says where the object code of an artefact that counts saturation leaves, behind each step, how many values of a tensor it had to clamp when
// it made codes of them: Lanes numbers of 32 bits for each tile of the launch that does so, whose sum is the count.
type Counter struct {
	Tensor  string `json:"tensor"` // layers.3.ssm.u
	Layer   int    `json:"layer"`  // -1 if it belongs to none
	Offset  int64  `json:"offset"` // bytes into work memory
	Lanes   int64  `json:"lanes"`
	Panels  int64  `json:"panels"`            // tiles for each block
	By      string `json:"by"`                // what the blocks are of: all, rows, outs, seqs
	Block   int64  `json:"block,omitempty"`   // rows or outs in a block
	Least   int64  `json:"least,omitempty"`   // the launch is not for steps of less rows, or whatever By says
	Most    int64  `json:"most,omitempty"`    // nor for steps of more, unless it is 0
	Columns int64  `json:"columns"`           // values in a row
	PerOut  bool   `json:"per_out,omitempty"` // there is a row for each wanted row of logits, not for each token
}

// What the blocks of a counter's launch may be of.
const (
	CountAll  = "all"
	CountRows = "rows"
	CountOuts = "outs"
	CountSeqs = "seqs"
)

// tiles is how many tiles counted in a step of these sizes.
func (c *Counter) tiles(rows, seqs, outs int64) int64 {
	count, n := rows, int64(1)
	switch c.By {
	case CountRows:
		n = (rows + c.Block - 1) / c.Block
	case CountOuts:
		count, n = outs, (outs+c.Block-1)/c.Block
	case CountSeqs:
		count, n = seqs, seqs
	}
	if count < c.Least || c.Most > 0 && count > c.Most {
		return 0
	}
	return c.Panels * n
}

// Count reads, from the work memory that a step of these sizes left, how many values there were and how many were clamped.
func (c *Counter) Count(work []byte, rows, seqs, outs int64) (seen, clamped int64) {
	tiles := c.tiles(rows, seqs, outs)
	if tiles == 0 {
		return 0, 0
	}
	at := work[c.Offset:][:4*c.Lanes*tiles]
	for ; len(at) > 0; at = at[4:] {
		clamped += int64(binary.LittleEndian.Uint32(at))
	}
	if c.PerOut {
		rows = outs
	}
	return rows * c.Columns, clamped
}

// checkCounters holds that every number of a counter lies inside of work memory.
func (m *Manifest) checkCounters(c *checker) {
	for i := range m.Counters {
		x := &m.Counters[i]
		where := fmt.Sprintf("counters[%d] %.40q", i, x.Tensor)
		switch x.By {
		case CountAll, CountSeqs:
		case CountRows, CountOuts:
			c.that(x.Block >= 1 && x.Block <= sizeLimit, where, "blocks of %d rows", x.Block)
		default:
			c.that(false, where, "by %.20q is unknown", x.By)
		}
		const most = 1 << 20
		if x.Lanes < 1 || x.Lanes > most || x.Panels < 1 || x.Panels > most || x.Columns < 1 || x.Columns > 1<<32 || x.Block < 0 || (x.By == CountRows || x.By == CountOuts) && x.Block < 1 {
			c.that(false, where, "%d panels of %d numbers, %d columns in blocks of %d", x.Panels, x.Lanes, x.Columns, x.Block)
			continue
		}
		maxRows, maxSeqs := m.Sizes.MaxRows, m.Sizes.MaxSeqs
		if x.Most > 0 {
			maxRows, maxSeqs = min(maxRows, x.Most), min(maxSeqs, x.Most)
		}
		tiles := x.tiles(maxRows, maxSeqs, maxRows)
		fits := x.Offset >= 0 && x.Offset%4 == 0 && x.Offset <= m.Sizes.WorkBytes && tiles <= (m.Sizes.WorkBytes-x.Offset)/4/x.Lanes
		c.that(fits, where, "%d tiles of %d numbers, at %d, are outside of the %d bytes of work memory", tiles, x.Lanes, x.Offset, m.Sizes.WorkBytes)
	}
}
