package calibrate

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// Watch is a value that a run looks at: what it is, and where its rows lie behind a step. A state is looked at where a step ends.
type Watch struct {
	passes.Point
	At kernel.Kept
}

// Watches joins the points of Prepare with the places that the kernels' plan gives them.
func Watches(points []passes.Point, kept []kernel.Kept) ([]Watch, error) {
	list := make([]Watch, len(points))
	for i, p := range points {
		if list[i].Point = p; p.State != "" {
			continue
		}
		if len(kept) == 0 || int64(p.Channels) != kept[0].Columns {
			return nil, fmt.Errorf("%s has %d channels, which is not what the plan keeps for it", p.Tensor, p.Channels)
		}
		list[i].At, kept = kept[0], kept[1:]
	}
	if len(kept) > 0 {
		return nil, fmt.Errorf("the plan keeps %d values that nobody observes", len(kept))
	}
	return list, nil
}

// Prepare makes of a model's graph, as the family built it, the float one that calibration runs: rotated as the scheme says, in groups, and its
// function returns every value that a scheme with these rotations may store as codes. The points are these values, in that order.
func Prepare(m *ir.Module, s *quant.Scheme) ([]passes.Point, error) {
	all, err := everything(s, m)
	if err != nil {
		return nil, err
	}
	wanted, err := Rotate(m, s)
	if err != nil {
		return nil, err
	}
	points, err := passes.Points(m, all)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range points {
		p := &points[i]
		p.Keep = quant.Keep{Channels: p.Channels, Means: p.Role == quant.SSMU}
		if p.Role == quant.SSMU {
			p.Keep.Moving = slices.Clone(quant.Published)
		}
		if j := slices.IndexFunc(wanted, func(w passes.Point) bool { return w.Tensor == p.Tensor }); j >= 0 {
			for _, m := range wanted[j].Keep.Moving {
				if !slices.Contains(p.Keep.Moving, m) {
					p.Keep.Moving = append(p.Keep.Moving, m)
				}
			}
			p.Gram = wanted[j].Gram
		}
		if p.State == "" {
			names = append(names, p.Value)
		}
	}
	return points, Keep(m, names)
}

// lastFloat is the last pass before codes are made.
const lastFloat = "rotate-hadamard"

// Rotate makes a model's graph ready for a scheme, in float, and says what the scheme wants to know of a calibration. Its ops are in no groups yet.
//
// A dt that no scheme stores keeps its bias; in Prepare's graph it has none, so that what is observed is what a scheme that stores it needs.
func Rotate(m *ir.Module, s *quant.Scheme) ([]passes.Point, error) {
	all, err := everything(s, m)
	if err != nil {
		return nil, err
	}
	if _, err := passes.Run(m, passes.Options{Scheme: all, StopAfter: lastFloat}); err != nil {
		return nil, err
	}
	return passes.Points(m, s)
}

// Keep makes the function return the named values, all of them rows of numbers, and puts its ops into groups: their rows can be read behind each step.
func Keep(m *ir.Module, names []string) error {
	byName := map[string]*ir.Value{}
	for v := range m.Func.Values() {
		byName[v.Name] = v
	}
	for _, name := range names {
		v := byName[name]
		if v == nil {
			return fmt.Errorf("no value is named %%%s", name)
		}
		m.Func.Returns = append(m.Func.Returns, v)
	}
	list := passes.Names()
	at := slices.Index(list, "quantize")
	_, err := passes.Run(m, passes.Options{Passes: list[at+1:]})
	return err
}

// everything is the scheme that stores all that can be stored as i8 codes, with the rotations of s. It smooths and sorts nothing: what these do to
// scales follows from the largest values of channels, which every calibration has.
func everything(s *quant.Scheme, m *ir.Module) (*quant.Scheme, error) {
	i8, channel := quant.I8, quant.Granularity{Kind: quant.PerChannel}
	tied, _ := s.KeepsTie()
	f := quant.SchemeFile{
		Scheme: s.Name, Rotate: &quant.Rotations{Stream: s.Stream, Y: s.Y}, Tied: &tied,
		Values:  []quant.Rule{{Name: "*", Entry: quant.Entry{Type: &i8}}, {Name: string(quant.SSMState), Entry: quant.Entry{Type: &i8}}},
		Weights: []quant.Rule{{Name: "*", Entry: quant.Entry{Type: &i8, Scale: &channel}}},
	}
	text, err := f.JSON()
	if err != nil {
		return nil, err
	}
	return quant.ParseScheme(s.Name, ".", text)
}
