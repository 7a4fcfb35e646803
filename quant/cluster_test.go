package quant

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestClusterByHand has two SSD groups of three heads with four channels, two of which are alike.
func TestClusterByHand(t *testing.T) {
	mean := []float32{
		4, 1, 1, 4 /**/, 8, 8, 8, 8 /**/, 40, 10, 40, 10, // heads 0 and 2 have one shape
		1, 1, 1, 1 /**/, 2, 2, 2, 2 /**/, 0, 0, 9, 0, // heads 3 and 4
	}
	c, err := SortAndCluster(mean, 2, 6, 4, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "heads", c.HeadOrder, []int{0, 2, 1, 3, 4, 5})
	same(t, "channels", c.ChannelOrder, []int{1, 2, 0, 3, 9, 11, 8, 10, 4, 5, 6, 7, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 23, 22})
	same(t, "head cuts", c.HeadCuts, [][]int{{0, 2, 3}, {3, 5, 6}})
	same(t, "channel cuts", c.ChannelCuts, [][]int{{0, 2, 4}, {0, 4, 4}, {0, 4, 4}, {0, 3, 4}})
	most := apply(mean, func(v float32) float32 { return 127 * v })
	scales, err := c.Scales(most)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "scales", scales, []float32{10, 40, 8, 1, 2, 1, 1, 9})
	rows, err := Reorder(mean, 4, c.HeadOrder)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "reordered heads", rows[4:12], []float32{40, 10, 40, 10, 8, 8, 8, 8})
	columns, err := ReorderColumns(append(slices.Clone(mean), mean...), c.ChannelOrder)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "reordered channels", columns[24:32], []float32{1, 1, 4, 4, 10, 10, 40, 40})
	states, err := c.StateScales(append(most, most...), 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(states) != 16 {
		t.Errorf("%d scales of states", len(states))
	}
}

// TestClusters checks what must hold for any input: orders are permutations that stay in their SSD group, cuts ascend, channels grow in each head, every
// channel is in its cell, and more scales never code a channel coarser than one scale does.
func TestClusters(t *testing.T) {
	r := random(23)
	for _, c := range []struct{ groups, heads, dim, hg, cg int }{{1, 1, 1, 1, 1}, {1, 3, 17, 4, 4}, {1, 24, 64, 4, 4}, {8, 16, 64, 4, 4}, {2, 10, 5, 3, 7}, {1, 5, 2, 4, 4}} {
		n := c.heads * c.dim
		mean := make([]float32, n)
		for i := range mean {
			mean[i] = float32(math.Exp(r.NormFloat64()))
			if r.IntN(7) == 0 {
				mean[i] = 0
			}
		}
		got, err := SortAndCluster(mean, c.groups, c.heads, c.dim, c.hg, c.cg)
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("%+v", c)
		order := slices.Sorted(slices.Values(got.ChannelOrder))
		for i, old := range order {
			if i != old {
				t.Fatalf("%s: channel %d is missing", what, i)
			}
		}
		perGroup := c.heads / c.groups
		for i, old := range got.HeadOrder {
			if i/perGroup != old/perGroup {
				t.Errorf("%s: head %d leaves its SSD group", what, old)
			}
			for j := range c.dim {
				ch := got.ChannelOrder[i*c.dim+j]
				if ch/c.dim != old {
					t.Fatalf("%s: channel %d is not of head %d", what, ch, old)
				}
				if j > 0 && mean[ch] < mean[got.ChannelOrder[i*c.dim+j-1]] {
					t.Fatalf("%s: channels of head %d do not grow", what, old)
				}
			}
		}
		for _, cuts := range append(slices.Clone(got.ChannelCuts), got.HeadCuts...) {
			if !slices.IsSorted(cuts) {
				t.Errorf("%s: cuts %v", what, cuts)
			}
		}
		scales, err := got.Scales(mean)
		if err != nil || len(scales) != got.Cells() {
			t.Fatalf("%s: %d scales (%v)", what, len(scales), err)
		}
		for i, old := range got.ChannelOrder {
			s := scales[got.Cell(i)]
			if mean[old] > 0 && float32(s*127.001) < mean[old] || s > ScaleOf(float64(largest(mean))) && s != 1 {
				t.Fatalf("%s: channel %d of size %v has scale %v", what, old, mean[old], s)
			}
		}
	}
	for _, bad := range [][6]int{{12, 0, 3, 4, 1, 1}, {12, 2, 3, 4, 1, 1}, {11, 1, 3, 4, 1, 1}, {12, 1, 3, 4, 0, 1}, {12, 1, 3, 4, 1, -1}} {
		if _, err := SortAndCluster(make([]float32, bad[0]), bad[1], bad[2], bad[3], bad[4], bad[5]); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
	if _, err := Reorder([]int{1, 2, 3}, 2, []int{0}); err == nil {
		t.Error("three elements make a row of two")
	}
	if _, err := ReorderColumns([]int{1, 2, 3}, []int{0, 1}); err == nil {
		t.Error("three elements make rows of two")
	}
}
