package quant

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Clusters is sort and cluster (Quamba2) of the channels of ssm.u in Mamba-2: an order of heads and channels in which those of like size are neighbours, so
// that a few scales, one for each cell of it, serve all. The order is applied to the weights at compile time; while running only the cuts are seen.
type Clusters struct {
	Groups, Heads, Dim int   // SSD groups, heads in all of them, channels of a head
	HeadGroups         int   // in each SSD group
	ChannelGroups      int   // in each head group
	HeadOrder          []int // the old number of each new head; heads stay in their SSD group
	ChannelOrder       []int // the old number of each new channel
	// HeadCuts[g] is where the head groups of SSD group g begin, in new heads of all groups, and the end of the last.
	HeadCuts [][]int
	// ChannelCuts[g*HeadGroups+h] is where the channel groups of head group h begin in a head, and Dim. Groups may be empty.
	ChannelCuts [][]int
}

// SortAndCluster orders heads of dim channels by the channels' mean |x|, the largest over samples (Stats.ChannelMean). In each SSD group: the channels of
// each head are sorted, small to large; heads whose sorted and normalised sizes are alike are joined by Ward's rule until headGroups are left; and in each
// head group the sorted places are cut into channelGroups ranges by k-means.
func SortAndCluster(mean []float32, groups, heads, dim, headGroups, channelGroups int) (*Clusters, error) {
	if groups <= 0 || heads <= 0 || dim <= 0 || heads%groups != 0 || len(mean) != heads*dim || headGroups <= 0 || channelGroups <= 0 {
		return nil, fmt.Errorf("%d channels are not %d heads of %d in %d SSD groups, for %d x %d scales a group", len(mean), heads, dim, groups, headGroups, channelGroups)
	}
	c := &Clusters{Groups: groups, Heads: heads, Dim: dim, HeadGroups: headGroups, ChannelGroups: channelGroups}
	sorted := make([][]int, heads)     // old channels of each old head, small to large
	points := make([][]float64, heads) // their sizes, of length 1
	for h := range heads {
		sorted[h], points[h] = sortHead(mean[h*dim:(h+1)*dim], h*dim)
	}
	n := heads / groups
	for g := range groups {
		cuts := []int{g * n}
		for _, members := range ward(points[g*n:(g+1)*n], headGroups) {
			var group [][]float64
			for _, m := range members {
				c.HeadOrder = append(c.HeadOrder, g*n+m)
				c.ChannelOrder = append(c.ChannelOrder, sorted[g*n+m]...)
				group = append(group, points[g*n+m])
			}
			cuts = append(cuts, len(c.HeadOrder))
			c.ChannelCuts = append(c.ChannelCuts, cutPlaces(group, dim, channelGroups))
		}
		c.HeadCuts = append(c.HeadCuts, cuts)
	}
	return c, nil
}

// sortHead gives a head's channels, small to large, and their sizes as a vector of length 1.
func sortHead(mean []float32, first int) (channels []int, point []float64) {
	for i := range mean {
		channels = append(channels, first+i)
	}
	slices.SortStableFunc(channels, func(a, b int) int { return cmp.Compare(mean[a-first], mean[b-first]) })
	var length float64
	for _, ch := range channels {
		v := float64(mean[ch-first])
		point = append(point, v)
		length += float64(v * v)
	}
	if length > 0 {
		length = math.Sqrt(length)
		for i := range point {
			point[i] /= length
		}
	}
	return channels, point
}

// wardCluster is a set of points and their centre.
type wardCluster struct {
	members []int
	centre  []float64
}

// cost is what joining two clusters adds to the sum of squared distances from the centres.
func (a *wardCluster) cost(b *wardCluster) float64 {
	na, nb := float64(len(a.members)), float64(len(b.members))
	return na * nb / (na + nb) * squaredDistance(a.centre, b.centre)
}

func squaredDistance(x, y []float64) float64 {
	var d float64
	for i, v := range x {
		d += float64((v - y[i]) * (v - y[i]))
	}
	return d
}

// ward joins the two clusters whose joining costs least, the first such pair if there are several, until n are left, in the order of their first members.
// Where there are fewer points than n, the last clusters are empty.
func ward(points [][]float64, n int) [][]int {
	var list []*wardCluster
	for i, p := range points {
		list = append(list, &wardCluster{[]int{i}, slices.Clone(p)})
	}
	for len(list) > n {
		best, bi, bj := math.Inf(1), 0, 1
		for i := range list {
			for j := i + 1; j < len(list); j++ {
				if c := list[i].cost(list[j]); c < best {
					best, bi, bj = c, i, j
				}
			}
		}
		a, b := list[bi], list[bj]
		na, nb := float64(len(a.members)), float64(len(b.members))
		for k, v := range a.centre {
			a.centre[k] = (float64(na*v) + float64(nb*b.centre[k])) / (na + nb)
		}
		a.members = append(a.members, b.members...)
		slices.Sort(a.members)
		list = slices.Delete(list, bj, bj+1)
	}
	clusters := make([][]int, n)
	for i, c := range list {
		clusters[i] = c.members
	}
	return clusters
}

// maxRounds bounds k-means; it ends far earlier.
const maxRounds = 300

// cutPlaces cuts dim places into n ranges by k-means: a place is the vector of what the heads have there. It begins with centres at equally far places.
// As every head grows along its places, the nearest centre never goes back, so the clusters are ranges.
func cutPlaces(heads [][]float64, dim, n int) []int {
	place := func(i int) []float64 {
		p := make([]float64, len(heads))
		for h := range heads {
			p[h] = heads[h][i]
		}
		return p
	}
	places, centres := make([][]float64, dim), make([][]float64, n)
	for i := range places {
		places[i] = place(i)
	}
	for c := range centres {
		centres[c] = slices.Clone(places[c*dim/n])
	}
	cuts := assign(places, centres)
	for range maxRounds {
		empty := -1
		for c := range centres {
			if in := places[cuts[c]:cuts[c+1]]; len(in) > 0 {
				centres[c] = average64(in)
			} else {
				empty = c
			}
		}
		moved := empty >= 0 && moveToFarthest(places, centres, cuts, empty)
		next := assign(places, centres)
		if !moved && slices.Equal(next, cuts) {
			break
		}
		cuts = next
	}
	return cuts
}

// moveToFarthest gives a centre that has no places the place that is farthest from its own centre, and keeps the centres in order. It does nothing if
// every place is its centre: then fewer clusters are enough.
func moveToFarthest(places, centres [][]float64, cuts []int, empty int) bool {
	farthest, at := 0.0, -1
	for c := range centres {
		for i := cuts[c]; i < cuts[c+1]; i++ {
			if d := squaredDistance(places[i], centres[c]); d > farthest {
				farthest, at = d, i
			}
		}
	}
	if at < 0 {
		return false
	}
	centres[empty] = slices.Clone(places[at])
	slices.SortStableFunc(centres, func(a, b []float64) int { return cmp.Compare(total(a), total(b)) })
	return true
}

func total(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum
}

// assign gives each place to its nearest centre, the first of several, but never to one before that of the place before it.
func assign(places, centres [][]float64) []int {
	cuts := make([]int, len(centres)+1)
	at := 0
	for i, p := range places {
		best, nearest := math.Inf(1), at
		for c := at; c < len(centres); c++ {
			if d := squaredDistance(p, centres[c]); d < best {
				best, nearest = d, c
			}
		}
		for ; at < nearest; at++ {
			cuts[at+1] = i
		}
	}
	for ; at < len(centres); at++ {
		cuts[at+1] = len(places)
	}
	return cuts
}

func average64(points [][]float64) []float64 {
	mean := make([]float64, len(points[0]))
	for _, p := range points {
		for i, v := range p {
			mean[i] += v
		}
	}
	for i := range mean {
		mean[i] /= float64(len(points))
	}
	return mean
}

// Cells is the number of scales.
func (c *Clusters) Cells() int { return c.Groups * c.HeadGroups * c.ChannelGroups }

// Cell is the number of the scale of a new channel: (SSD group, head group, channel group).
func (c *Clusters) Cell(channel int) int {
	head, place := channel/c.Dim, channel%c.Dim
	g := head / (c.Heads / c.Groups)
	h := rangeOf(c.HeadCuts[g], head)
	row := g*c.HeadGroups + h
	return row*c.ChannelGroups + rangeOf(c.ChannelCuts[row], place)
}

// rangeOf finds the range between cuts that holds i.
func rangeOf(cuts []int, i int) int {
	r := 0
	for r+2 < len(cuts) && cuts[r+1] <= i {
		r++
	}
	return r
}

// Scales is the scale of each cell, from the largest |x| of the channels in their old order. An empty cell has scale 1.
func (c *Clusters) Scales(most []float32) ([]float32, error) {
	if len(most) != c.Heads*c.Dim {
		return nil, fmt.Errorf("%d channel maxima for %d channels", len(most), c.Heads*c.Dim)
	}
	cells := make([]float32, c.Cells())
	for i, old := range c.ChannelOrder {
		cell := c.Cell(i)
		cells[cell] = max(cells[cell], most[old])
	}
	return ChannelScales(cells), nil
}

// StateScales is the scale of each cell and state index of an i8 state (channel_x_state), from the largest |h| of [channels, states] in the old order.
func (c *Clusters) StateScales(most []float32, states int) ([]float32, error) {
	if states <= 0 || len(most) != c.Heads*c.Dim*states {
		return nil, fmt.Errorf("%d maxima of states for %d channels with %d states", len(most), c.Heads*c.Dim, states)
	}
	cells := make([]float32, c.Cells()*states)
	for i, old := range c.ChannelOrder {
		cell := cells[c.Cell(i)*states:][:states]
		for n := range states {
			cell[n] = max(cell[n], most[old*states+n])
		}
	}
	return ChannelScales(cells), nil
}

// Reorder puts rows of a matrix, or elements of a vector (width 1), into a new order: row i of the result is row order[i] of x.
func Reorder[T any](x []T, width int, order []int) ([]T, error) {
	if width <= 0 || len(x) != width*len(order) {
		return nil, fmt.Errorf("%d elements are not %d rows of %d to put in order", len(x), len(order), width)
	}
	y := make([]T, 0, len(x))
	for _, old := range order {
		y = append(y, x[old*width:(old+1)*width]...)
	}
	return y, nil
}

// ReorderColumns puts the columns of a matrix [rows, len(order)] into a new order: column j of the result is column order[j] of x.
func ReorderColumns[T any](x []T, order []int) ([]T, error) {
	if len(order) == 0 || len(x)%len(order) != 0 {
		return nil, fmt.Errorf("%d elements are not rows of %d columns to put in order", len(x), len(order))
	}
	y := make([]T, len(x))
	for i := range y {
		y[i] = x[i/len(order)*len(order)+order[i%len(order)]]
	}
	return y, nil
}
