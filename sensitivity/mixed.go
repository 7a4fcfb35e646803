package sensitivity

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// Budget ends a search for mixed precision. At least one of them is set.
type Budget struct {
	Bytes int64   // of all weights: as many layers are made smaller as it needs; 0: no limit
	KL    float64 // largest mean KL: as many layers are made smaller as it allows; 0: no limit
}

// Mixed is what a search for mixed precision found.
type Mixed struct {
	Order   []Step           `json:"order"`   // layers by what a byte saved costs, the cheapest first
	Smaller []int            `json:"smaller"` // which were made smaller
	Bytes   int64            `json:"bytes"`
	Base    int64            `json:"base_bytes"`
	Found   compare.Distance `json:"found"` // measured, not summed up
}

// Step is one layer: what it saves and costs to make it smaller, everything else as the base has it.
type Step struct {
	Layer int     `json:"layer"`
	Saved int64   `json:"bytes_saved"`
	KL    float64 `json:"kl_added"`
}

// Mix searches between two schemes with the same rotations: it starts with the base and stores layers as the smaller one does, greedily by divergence
// per byte saved, and writes the scheme that it ends with. What layers cost together is measured, as errors of several layers do not simply add up.
func Mix(ctx context.Context, s *compile.Scaled, smaller *quant.Scheme, name string, b Budget, o Options) (*Mixed, *quant.SchemeFile, error) {
	r := &mixer{run: &run{Scaled: s, Options: o, ctx: ctx, study: &Study{}}, smaller: smaller, name: name, known: map[string]measured{}}
	defer r.close()
	if err := r.begin(); err != nil {
		return nil, nil, err
	}
	if err := r.reachable(b); err != nil {
		return nil, nil, err
	}
	base, err := r.measure(nil)
	if err != nil {
		return nil, nil, err
	}
	m := &Mixed{Base: base.bytes, Bytes: base.bytes, Found: base.Distance}
	if b.KL > 0 && base.KL > b.KL {
		return nil, nil, fmt.Errorf("scheme %s itself has a mean KL of %.6f, above %v: there is no room for smaller layers", s.Scheme.Name, base.KL, b.KL)
	}
	for i := range r.n {
		r.stage("one layer made smaller", i, r.n)
		d, err := r.measure([]int{i})
		if err != nil {
			return nil, nil, err
		}
		if saved := base.bytes - d.bytes; saved > 0 {
			m.Order = append(m.Order, Step{i, saved, max(d.KL-base.KL, 0)})
		}
	}
	sort.SliceStable(m.Order, func(i, j int) bool {
		a, b := m.Order[i], m.Order[j]
		return a.KL*float64(b.Saved) < b.KL*float64(a.Saved)
	})
	if err := r.choose(m, b); err != nil {
		return nil, nil, err
	}
	return m, r.file(m.Smaller), nil
}

// mixer is one search under way.
type mixer struct {
	*run
	smaller *quant.Scheme
	name    string
	n       int                 // layers
	known   map[string]measured // by the smaller layers
}

// measured is a scheme's distance from the float model, and its size.
type measured struct {
	compare.Distance
	bytes int64
}

func (r *mixer) begin() error {
	r.stage("compiling the float model", 0, 0)
	var err error
	if r.graph, err = r.Float(); err != nil {
		return err
	}
	if a, b := calibrate.Rotation(r.Scheme, r.graph), calibrate.Rotation(r.smaller, r.graph); a != b {
		return fmt.Errorf("scheme %s has the rotations %s, scheme %s %s: layers cannot be taken from both", r.Scheme.Name, a, r.smaller.Name, b)
	}
	r.n = layers(r.graph)
	r.float, err = openFloat(r.Scaled, nil)
	return err
}

// choose takes layers in order until the budget is met or used up.
func (r *mixer) choose(m *Mixed, b Budget) error {
	take := func(n int) []int {
		var list []int
		for _, s := range m.Order[:n] {
			list = append(list, s.Layer)
		}
		slices.Sort(list)
		return list
	}
	try := func(n int) (measured, error) {
		r.stage(fmt.Sprintf("%d layers made smaller", n), 0, 0)
		return r.measure(take(n))
	}
	n := len(m.Order)
	if b.Bytes > 0 {
		saved := int64(0)
		for n = 0; n < len(m.Order) && m.Base-saved > b.Bytes; n++ {
			saved += m.Order[n].Saved
		}
	}
	if b.KL > 0 { // the most layers that stay within it: the divergence grows with their number
		fits := sort.Search(n, func(i int) bool {
			d, err := try(i + 1)
			return err != nil || d.KL > b.KL
		})
		if b.Bytes > 0 && fits < n {
			return fmt.Errorf("%d bytes need %d smaller layers, a mean KL of %v allows %d", b.Bytes, n, b.KL, fits)
		}
		n = fits
	}
	d, err := try(n)
	if err != nil {
		return err
	}
	m.Smaller, m.Found, m.Bytes = take(n), d.Distance, d.bytes
	return nil
}

// stored is the base with some layers as the smaller scheme has them.
func (r *mixer) stored(layers []int) (*quant.Scheme, *passes.Scales, *ir.Module, error) {
	s, err := r.Base.parse(r.file(layers))
	if err != nil {
		return nil, nil, nil, err
	}
	scales, err := r.ScalesOf(s)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := r.Quantized(s, scales, nil)
	return s, scales, m, err
}

// measure compiles it and compares.
func (r *mixer) measure(layers []int) (measured, error) {
	if err := r.ctx.Err(); err != nil {
		return measured{}, err
	}
	key := fmt.Sprint(layers)
	if d, ok := r.known[key]; ok {
		return d, nil
	}
	s, scales, m, err := r.stored(layers)
	if err != nil {
		return measured{}, err
	}
	d, _, err := r.against(s, scales, nil)
	if err != nil {
		return measured{}, err
	}
	r.known[key] = measured{d, weightBytes(m)}
	return r.known[key], nil
}

// reachable says whether the weights can be made as small as a budget has them.
func (r *mixer) reachable(b Budget) error {
	all := make([]int, r.n)
	for i := range all {
		all[i] = i
	}
	_, _, m, err := r.stored(all)
	if err != nil {
		return err
	}
	if n := weightBytes(m); b.Bytes > 0 && n > b.Bytes {
		return fmt.Errorf("with all layers as scheme %s has them the weights have %d bytes, more than %d", r.smaller.Name, n, b.Bytes)
	}
	return nil
}

func weightBytes(m *ir.Module) int64 {
	n := int64(0)
	for _, w := range m.Func.Weights {
		n += int64(w.Weight.ByteLen())
	}
	return n
}

// Roles that values and weights of a layer have.
var (
	layerValues  = [...]quant.Role{quant.NormOut, quant.SSMX, quant.SSMZ, quant.SSMU, quant.SSMDtIn, quant.SSMB, quant.SSMC, quant.SSMDt, quant.SSMY}
	layerWeights = [...]quant.Role{quant.InProj, quant.Conv, quant.XProj, quant.DtProj, quant.OutProj, quant.Params}
)

// file is the base with some layers as the smaller scheme has them, all of it said. Layers that are stored alike stand together.
func (r *mixer) file(layers []int) *quant.SchemeFile {
	f := &quant.SchemeFile{Scheme: r.name, Extends: r.Base.extends()}
	known := map[string]int{}
	for _, layer := range layers {
		var o quant.Override
		for _, role := range layerValues {
			if v := r.smaller.Value(role, layer); v.From != "" {
				o.Values = append(o.Values, quant.Rule{Name: string(role), Entry: valueEntry(v, role)})
			}
		}
		for _, role := range layerWeights {
			o.Weights = append(o.Weights, quant.Rule{Name: string(role), Entry: weightEntry(r.smaller.Weight(role, layer))})
		}
		text, _ := json.Marshal([][]quant.Rule{o.Values, o.Weights}) // it is written as JSON later, with its errors
		at, ok := known[string(text)]
		if !ok {
			at = len(f.Overrides)
			known[string(text)] = at
			f.Overrides = append(f.Overrides, o)
		}
		list := &f.Overrides[at].Layers
		if k := len(*list) - 1; k >= 0 && (*list)[k].Last == layer-1 {
			(*list)[k].Last = layer
		} else {
			*list = append(*list, quant.Layers{First: layer, Last: layer})
		}
	}
	return f
}

func valueEntry(v quant.Value, role quant.Role) quant.Entry {
	if v.Type.Float() {
		return quant.Entry{Type: &v.Type}
	}
	e := quant.Entry{Type: &v.Type, Scale: &v.Scale, Observe: &v.Observe, Range: &v.Range}
	if len(v.Share) > 0 {
		e.Share = &v.Share
	}
	if role == quant.SSMU {
		e.Scan = &v.Scan
	}
	return e
}

func weightEntry(w quant.Weight) quant.Entry {
	e := quant.Entry{Type: &w.Type}
	if w.Type.Float() {
		return e
	}
	e.Scale = &w.Scale
	if w.Type == quant.I8 {
		e.Range = &w.Range
		return e
	}
	e.Method = &w.Method
	if w.Expand {
		i8 := quant.I8
		e.Expand = &i8
	}
	return e
}
