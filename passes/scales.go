package passes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// Scales is what the pass "quantize" needs of a calibration. NewScales makes it.
type Scales struct {
	// Values holds, by quant.TensorName of role and layer, the one scale of a tensor, or one for each of its channels.
	Values map[string][]float32 `json:"values"`
	// Most holds the largest |x| of each channel of what the scheme smooths.
	Most map[string][]float32 `json:"-"`
	// Orders is the order of heads and channels in layers that have scales by groups of these. Scales of channels are in the new order.
	Orders map[int]Order `json:"orders,omitempty"`
	// Gram gives the second moments of what a linear reads, for 4-bit weights whose codes are chosen by GPTQ. If it is nil these are rounded to
	// nearest, and the report says so.
	Gram func(tensor string) (*quant.Gram, error) `json:"-"`

	clusters map[int]*quant.Clusters // what Orders are of
}

// Point is a value that calibration has to see.
type Point struct {
	Value  string // its name in the graph; it is rows of Channels numbers
	Tensor string // under which its statistics are kept (quant.Calibration.Tensors)
	Role   quant.Role
	Layer  int // quant.Outside: none

	Channels int
	Keep     quant.Keep      // what statistics the scheme needs of it
	State    string          // it is no rows, but the state of this name: Channels numbers a sequence, channel by channel
	States   int             // numbers of a channel of a state
	Spec     quant.Value     // how the scheme stores it: observer, granularity, sharing
	Scales   int             // how many scales it gets: 1, or one for each channel; 0: none, or each row has its own
	Dynamic  bool            // each row has its own
	Groups   int             // of equal groups of channels that share a scale; 0: none
	Cells    *quant.Clusters // the heads and channels of which groups will share a scale, in no order yet; nil: none
	Smooth   bool            // the scheme smooths it

	Gram bool // its second moments are wanted: GPTQ chooses the codes of a weight that reads it
}

// Points lists what calibration of a scheme has to see in a graph that the passes before "quantize" have made ready for it (Run with a Scheme and
// without Scales), in the order in which the values are made. Everything that the scheme asks for and that cannot be done is an error.
func Points(m *ir.Module, s *quant.Scheme) ([]Point, error) {
	p := newPlan(m.Func, s)
	if err := p.err(); err != nil {
		return nil, err
	}
	var points []Point
	for _, s := range p.order {
		gram := p.wantsGram(s.v)
		if !s.codes && !gram {
			continue
		}
		pt := Point{Value: s.v.Name, Tensor: s.tensor(), Role: roleOf(s.v), Layer: s.layer, Channels: rowSize(s.v),
			Spec: s.spec, Scales: s.channels, Groups: s.groups, Gram: gram}
		pt.Smooth = s.codes && slices.ContainsFunc(p.scheme.Smooth, func(m quant.Smooth) bool { return m.Role == pt.Role })
		if s.channels > 1 || pt.Smooth {
			pt.Keep.Channels = pt.Channels
		}
		if s.codes && s.channels > 1 && s.spec.Scale.Kind == quant.PerCell {
			pt.Keep.Means = true
			pt.Cells = p.cells(s)
		}
		if o := s.spec.Observe; o.Kind == quant.EMAPercentile {
			pt.Keep.Moving = []quant.Moving{{Alpha: o.Alpha, Sigma: o.Sigma}}
		}
		if !s.codes || s.dynamic {
			pt.Scales = 0
		}
		pt.Dynamic = s.codes && s.dynamic
		if s.state {
			pt.State, pt.States = s.v.State.Name, s.v.State.Shape[len(s.v.State.Shape)-1]
		}
		points = append(points, pt)
	}
	return points, nil
}

// NeedCalibration says whether anything about these values must be known before the scheme can be used.
func NeedCalibration(points []Point) bool {
	return slices.ContainsFunc(points, func(p Point) bool { return p.Scales > 0 || p.Smooth || p.Gram })
}

// err is everything that was found wrong.
func (p *plan) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	return fmt.Errorf("scheme %s: %s", p.scheme.Name, strings.Join(p.problems, "\n"))
}

// wantsGram says whether GPTQ chooses the codes of a weight that reads v.
func (p *plan) wantsGram(v *ir.Value) bool {
	for _, u := range p.uses[v] {
		if u.Op != nil && u.Op.Code == ir.OpLinear && u.Index == 0 && u.Op.Args[1].Weight != nil {
			if w := p.weight(u.Op); w.Type == quant.I4 && w.Method.GPTQ {
				return true
			}
		}
	}
	return false
}

// NewScales makes the scales of all points from what calibration saw. Everything that is missing or of no use is in the error.
func NewScales(points []Point, c *quant.Calibration) (*Scales, error) {
	s := &Scales{Values: map[string][]float32{}, Most: map[string][]float32{}, Orders: map[int]Order{}, clusters: map[int]*quant.Clusters{}}
	var problems []string
	for i := range points {
		pt := &points[i]
		if pt.Scales == 0 && !pt.Smooth {
			continue
		}
		if err := pt.scales(points, c, s); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("scales from the calibration: %s", strings.Join(problems, "\n  "))
	}
	return s, nil
}

// scales makes the scales of one point.
func (pt *Point) scales(points []Point, c *quant.Calibration, into *Scales) error {
	stats, err := c.Stats(quant.Role(strings.TrimPrefix(pt.Tensor, layerPrefix(pt.Layer))), pt.Layer)
	if err != nil {
		return err
	}
	if most := stats.ChannelMax(); pt.Keep.Channels > 0 && len(most) != pt.Channels {
		return fmt.Errorf("%s: the calibration has the largest values of %d channels, not of %d\n  fix: calibrate again with this scheme", pt.Tensor, len(most), pt.Channels)
	}
	if pt.Smooth {
		into.Most[pt.Tensor] = stats.ChannelMax()
	}
	if pt.Scales == 0 {
		return nil
	}
	var scales []float32
	switch {
	case pt.State != "" && pt.Scales > 1:
		scales, err = pt.stateScales(stats, into)
	case pt.Cells != nil:
		scales, err = pt.cellScales(stats, into)
	case pt.Scales > 1:
		scales, err = pt.channelScales(stats)
	default:
		scales, err = pt.tensorScale(stats, points, c)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", pt.Tensor, err)
	}
	into.Values[pt.Tensor] = scales
	return nil
}

// tensorScale is the one scale of a tensor, and of those that share it.
func (pt *Point) tensorScale(stats *quant.Stats, points []Point, c *quant.Calibration) ([]float32, error) {
	all, observers := []*quant.Stats{stats}, []quant.Observer{pt.Spec.Observe}
	for _, role := range pt.Spec.Share {
		for i := range points {
			if o := &points[i]; o.Layer == pt.Layer && o.Tensor == quant.TensorName(role, pt.Layer) && o.Scales > 0 {
				other, err := c.Stats(role, pt.Layer)
				if err != nil {
					return nil, err
				}
				all, observers = append(all, other), append(observers, o.Spec.Observe)
			}
		}
	}
	scale, err := quant.Scale(all, observers)
	return []float32{scale}, err
}

// layerPrefix is what quant.TensorName puts before a role.
func layerPrefix(layer int) string {
	return strings.TrimSuffix(quant.TensorName("x", layer), "x")
}

// channelScales makes one scale for each channel; those of a group are the same.
func (pt *Point) channelScales(stats *quant.Stats) ([]float32, error) {
	most := stats.ChannelMax()
	if pt.Groups == 0 {
		return quant.ChannelScales(most), nil
	}
	groups, err := quant.GroupScales(most, pt.Groups)
	if err != nil {
		return nil, err
	}
	scales := make([]float32, pt.Channels)
	for i := range scales {
		scales[i] = groups[i/(pt.Channels/pt.Groups)]
	}
	return scales, nil
}

// cellScales sorts and clusters the channels, and makes one scale for each cell.
func (pt *Point) cellScales(stats *quant.Stats, into *Scales) ([]float32, error) {
	mean := stats.ChannelMean()
	if mean == nil {
		return nil, errors.New("the calibration has no means of channels\n  fix: calibrate again with this scheme")
	}
	c, err := quant.SortAndCluster(mean, pt.Cells.Groups, pt.Cells.Heads, pt.Cells.Dim, pt.Cells.HeadGroups, pt.Cells.ChannelGroups)
	if err != nil {
		return nil, err
	}
	cells, err := c.Scales(stats.ChannelMax())
	if err != nil {
		return nil, err
	}
	scales := make([]float32, pt.Channels)
	for i := range scales {
		scales[i] = cells[c.Cell(i)]
	}
	into.clusters[pt.Layer] = c
	into.Orders[pt.Layer] = Order{Heads: c.HeadOrder, Channels: c.ChannelOrder}
	return scales, nil
}

// stateScales makes scales of a state for each channel, or for each channel and state index. In layers whose channels are sorted into cells, the channels
// of a cell have those of a state index together.
func (pt *Point) stateScales(stats *quant.Stats, into *Scales) ([]float32, error) {
	most, n := stats.ChannelMax(), max(pt.States, 1)
	if c := into.clusters[pt.Layer]; c != nil {
		if pt.Scales == pt.Channels {
			cells, err := c.StateScales(most, n)
			if err != nil {
				return nil, err
			}
			scales := make([]float32, 0, pt.Channels)
			for i := range pt.Channels / n {
				scales = append(scales, cells[c.Cell(i)*n:][:n]...)
			}
			return scales, nil
		}
		var err error
		if most, err = quant.Reorder(most, n, c.ChannelOrder); err != nil {
			return nil, err
		}
	}
	if pt.Scales == pt.Channels {
		return quant.ChannelScales(most), nil
	}
	channels := make([]float32, pt.Channels/n)
	for i := range channels {
		channels[i] = slices.Max(most[i*n : (i+1)*n])
	}
	return quant.ChannelScales(channels), nil
}

// of finds the scales of a value, or says what is wrong with them.
func (s *Scales) of(v *stored) ([]float32, error) {
	scales, ok := s.Values[v.tensor()]
	if !ok {
		return nil, fmt.Errorf("%s: no scale is named %s\n  fix: calibrate with this scheme", place(v.v), v.tensor())
	}
	if len(scales) != v.channels {
		return nil, fmt.Errorf("%s: %d scales, want %d\n  fix: calibrate with this scheme", place(v.v), len(scales), v.channels)
	}
	for i, x := range scales {
		if !quant.GoodScale(x) {
			return nil, fmt.Errorf("%s: scale %d is %v, which is no use as one\n  fix: look for dead or infinite values in calibration", place(v.v), i, x)
		}
	}
	return scales, nil
}
