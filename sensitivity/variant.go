package sensitivity

import (
	"path/filepath"
	"slices"

	"github.com/ssmc/ssmc/quant"
)

// Base names a scheme so that others can extend it: one that comes with ssmc, or a file.
type Base string

// parse reads a scheme that extends the base.
func (b Base) parse(f *quant.SchemeFile) (*quant.Scheme, error) {
	text, err := f.JSON()
	if err != nil {
		return nil, err
	}
	return quant.ParseScheme(f.Scheme, ".", text)
}

// extends is the name of the base for a file that extends it.
func (b Base) extends() string {
	if slices.Contains(quant.BuiltinSchemes(), string(b)) {
		return string(b)
	}
	if abs, err := filepath.Abs(string(b)); err == nil {
		return abs
	}
	return string(b)
}

// only is the base with codes in the given layers alone; quant.Outside stands for the embedding and the head.
func (b Base) only(n int, keep ...int) (*quant.Scheme, error) {
	f := &quant.SchemeFile{Scheme: "only-some-layers", Extends: b.extends()}
	f.Overrides = append(f.Overrides, inFloat(n, keep)...)
	return b.parse(f)
}

// inFloat are overrides that leave all but the given layers in float.
func inFloat(n int, keep []int) []quant.Override {
	f32 := quant.F32
	float := quant.Entry{Type: &f32}
	var list []quant.Override
	if rest := ranges(n, keep); len(rest) > 0 {
		all := []quant.Rule{{Name: "*", Entry: float}}
		list = append(list, quant.Override{Layers: rest, Values: all, Weights: all})
	}
	if !slices.Contains(keep, quant.Outside) {
		list = append(list, quant.Override{
			Values:  []quant.Rule{{Name: string(quant.HeadIn), Entry: float}},
			Weights: []quant.Rule{{Name: string(quant.Embed), Entry: float}, {Name: string(quant.Head), Entry: float}},
		})
	}
	return list
}

// ranges lists the layers of n that are not in without.
func ranges(n int, without []int) []quant.Layers {
	var list []quant.Layers
	for i := range n {
		if slices.Contains(without, i) {
			continue
		}
		if k := len(list) - 1; k >= 0 && list[k].Last == i-1 {
			list[k].Last = i
		} else {
			list = append(list, quant.Layers{First: i, Last: i})
		}
	}
	return list
}
