package artifact

import (
	"encoding/binary"
	"strings"
	"testing"
)

func TestCounters(t *testing.T) {
	m := sample()
	m.Counters = []Counter{{Tensor: "layers.0.norm.out", Offset: 128, Lanes: 16, Panels: 2, By: CountRows, Block: 8, Columns: 10},
		{Tensor: "head.in", Layer: -1, Offset: 1<<20 - 4*512, Lanes: 1, Panels: 1, By: CountOuts, Block: 1, Columns: 3, PerOut: true}}
	comesBack(t, m)
	work := make([]byte, m.Sizes.WorkBytes)
	for i := range 2*2*16 + 1 { // 9 rows are two blocks; the number behind them is not theirs
		binary.LittleEndian.PutUint32(work[128+4*i:], 3)
	}
	if seen, clamped := m.Counters[0].Count(work, 9, 2, 1); seen != 90 || clamped != 3*64 {
		t.Errorf("%d values, %d clamped", seen, clamped)
	}
	if seen, clamped := m.Counters[1].Count(work, 9, 2, 0); seen != 0 || clamped != 0 {
		t.Errorf("no row is wanted: %d values, %d clamped", seen, clamped)
	}
	for _, test := range []struct {
		change func(c *Counter)
		want   string
	}{
		{func(c *Counter) { c.Offset = 1 << 20 }, "outside of the 1048576 bytes"},
		{func(c *Counter) { c.Offset = -4 }, "outside of the 1048576 bytes"},
		{func(c *Counter) { c.Offset = 2 }, "outside of the 1048576 bytes"},
		{func(c *Counter) { c.Panels = 1 << 19 }, "outside of the 1048576 bytes"},
		{func(c *Counter) { c.Lanes = 0 }, "2 panels of 0 numbers"},
		{func(c *Counter) { c.Panels = 1 << 40 }, "panels of 16 numbers"},
		{func(c *Counter) { c.Block = 0 }, "blocks of 0 rows"},
		{func(c *Counter) { c.By = "tiles" }, `by "tiles" is unknown`},
		{func(c *Counter) { c.Columns = 0 }, "0 columns"},
	} {
		m.Counters = []Counter{{Tensor: "x", Offset: 128, Lanes: 16, Panels: 2, By: CountRows, Block: 8, Columns: 10}}
		test.change(&m.Counters[0])
		if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
	}
}
