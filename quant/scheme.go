package quant

import (
	"fmt"
	"slices"
)

// Rotation is what turns a vector before it is quantized.
type Rotation struct {
	Hadamard bool   // by NewHadamard of its width
	Signs    bool   // with random signs in front
	Seed     uint64 // of the signs
}

// Calibrate is how much text the observers see.
type Calibrate struct {
	Samples int  `json:"samples,omitempty"`     // how many sequences
	Length  int  `json:"length,omitempty"`      // tokens of each
	Carry   bool `json:"carry_state,omitempty"` // one long text: each sequence begins with the state in which the one before it ended
}

// Smooth moves outliers of a value into the weights that read it: channel j is divided by amax(x_j)^Alpha / amax(W_j)^(1-Alpha).
type Smooth struct {
	Role  Role
	Alpha float64
}

// Rule is an entry and the role or pattern that it is about.
type Rule struct {
	Name string // a role, a family (ssm.*) or *
	Entry
	from string // scheme and place, for messages and for Value.From
}

// Layers is a range of layers, both ends included.
type Layers struct{ First, Last int }

// Override changes some layers, or all: Layers is empty.
type Override struct {
	Layers          []Layers
	Values, Weights []Rule
	from            string
}

func (o *Override) covers(layer int) bool {
	return len(o.Layers) == 0 || slices.ContainsFunc(o.Layers, func(l Layers) bool { return l.First <= layer && layer <= l.Last })
}

// unnamed is a layer that no override names.
const unnamed = maxLayer + 1

// Outside is the layer number of what belongs to no layer: embedding, final norm, head.
const Outside = -1

// Scheme says how every value and weight of a model is stored. It is one scheme file and those that it extends, checked: any role in any layer has
// one answer.
//
// Of the entries about a role the more specific one wins (* before ssm.* before the role itself, an override before all of these), and of two that are
// equally specific the later one, a file being later than the one that it extends. What an entry does not say stays. A pattern covers only roles that can
// have what it says: `"*": {type: i4}` leaves the convolution alone, and the residual stream, states and caches are f32 unless they are named.
type Scheme struct {
	Name      string
	Extends   []string // names of the schemes below it, nearest first
	Calibrate Calibrate
	Stream    Rotation // of the residual stream: folded into weights
	Y         Rotation // of ssm.y: runs for every token
	Tied      bool     // where embedding and head are one tensor in the checkpoint they stay one, see KeepsTie
	Smooth    []Smooth

	values, weights [][]Rule // of each file, the lowest first
	overrides       []Override
	places          map[string]place
}

// Value is how values of a role are stored in a layer. A role that is none is stored in f32.
func (s *Scheme) Value(role Role, layer int) Value {
	for i, v := range s.layerValues(layer, nil) {
		if valueRoles[i].role == role {
			return v
		}
	}
	return Value{}
}

// Weight is how weights of a role are stored in a layer. A role that is none is stored in f32.
func (s *Scheme) Weight(role Role, layer int) Weight {
	return s.weight(role, layer, nil)
}

// Values is how values of all roles are stored in a layer, in the order of ValueRoles.
func (s *Scheme) Values(layer int) []Value { return s.layerValues(layer, nil) }

// report takes what is wrong with an entry; nil where that is known to be nothing.
type report func(from, what string)

// inOrder calls take for every rule about a role in a layer, the weakest first.
func (s *Scheme) inOrder(files [][]Rule, of func(*Override) []Rule, role Role, layer int, take func(*Rule)) {
	pass := func(rules []Rule, level int) {
		for i := range rules {
			if specificity(rules[i].Name) == level && covers(rules[i].Name, role) {
				take(&rules[i])
			}
		}
	}
	for level := range covering {
		for _, rules := range files {
			pass(rules, level)
		}
	}
	for i := range s.overrides {
		o := &s.overrides[i]
		for level := range covering {
			if o.covers(layer) {
				pass(of(o), level)
			}
		}
	}
}

func (s *Scheme) layerValues(layer int, wrong report) []Value {
	values := make([]Value, len(valueRoles))
	for i, r := range valueRoles {
		v := &values[i]
		s.inOrder(s.values, func(o *Override) []Rule { return o.Values }, r.role, layer, func(rule *Rule) {
			pattern := isPattern(rule.Name)
			if pattern && (r.role == ConvWindow || r.named && (rule.Type == nil || *rule.Type != F32)) {
				return
			}
			next, problem := v.with(&rule.Entry, r)
			if problem == "" {
				*v, v.From = next, rule.from
			} else if !pattern && wrong != nil {
				wrong(rule.from, problem)
			}
		})
	}
	s.followX(values, wrong)
	joinShared(values, layer, wrong)
	return values
}

// followX gives the convolution's window what its input has: it is made of the same codes.
func (s *Scheme) followX(values []Value, wrong report) {
	var x, window *Value
	for i, r := range valueRoles {
		switch r.role {
		case SSMX:
			x = &values[i]
		case ConvWindow:
			window = &values[i]
		}
	}
	if window.From != "" && window.Type != x.Type && wrong != nil {
		wrong(window.From, fmt.Sprintf("conv.window is %s and ssm.x is %s: the window keeps ssm.x as it is", window.Type, x.Type))
	}
	*window = *x
	window.Share = nil
}

// joinShared makes sharing mutual: all roles that are joined, even through others, list each other. A role that no entry is about is stored as the one
// that shares with it.
func joinShared(values []Value, layer int, wrong report) {
	set := make([]int, len(values)) // index of the first role of each one's set
	for i := range set {
		set[i] = i
	}
	for i, v := range values {
		for _, other := range v.Share {
			j := slices.IndexFunc(valueRoles[:], func(r valueRole) bool { return r.role == other })
			o := &values[j]
			if o.From == "" {
				*o = Value{Type: v.Type, Scale: v.Scale, Range: v.Range, From: v.From}
			}
			if wrong != nil && (o.Type != I8 || o.Scale != v.Scale || v.Scale.Kind != PerTensor || o.Range != v.Range) {
				wrong(v.From, fmt.Sprintf("it shares its scale with %s, so in %s both must be i8 with one scale a tensor and one range", other, layerName(layer)))
				continue
			}
			keep, drop := min(set[i], set[j]), max(set[i], set[j])
			for k := range set {
				if set[k] == drop {
					set[k] = keep
				}
			}
		}
	}
	for i := range values {
		values[i].Share = nil
		for j := range values {
			if i != j && set[i] == set[j] {
				values[i].Share = append(values[i].Share, valueRoles[j].role)
			}
		}
	}
}

func (s *Scheme) weight(role Role, layer int, wrong report) Weight {
	var w Weight
	r, ok := findWeightRole(role)
	if !ok {
		return w
	}
	s.inOrder(s.weights, func(o *Override) []Rule { return o.Weights }, role, layer, func(rule *Rule) {
		entry, pattern := rule.Entry, isPattern(rule.Name)
		if pattern && !r.linear {
			entry.Method = nil // no product reads it: rounded to nearest
		}
		next, problem := w.with(&entry, r)
		if problem == "" {
			w, w.From = next, rule.from
		} else if !pattern && wrong != nil {
			wrong(rule.from, problem)
		}
	})
	return w
}

// KeepsTie says whether a checkpoint's one tensor for embedding and head stays one, and if not, why. It stays one if the scheme asks for it and stores
// both alike. If the stream is rotated, the rows of the embedding are then rotated, and the vector before the head is rotated back, while running. The
// codes are chosen by the head's method.
func (s *Scheme) KeepsTie() (ok bool, why string) {
	e, h := s.Weight(Embed, Outside), s.Weight(Head, Outside)
	switch {
	case !s.Tied:
		return false, fmt.Sprintf("scheme %s says head: untied", s.Name)
	case e.Type != h.Type || e.Scale != h.Scale || e.Range != h.Range || e.Expand != h.Expand:
		return false, fmt.Sprintf("the embedding is %s (%s), the head %s (%s)", e.Type, e.From, h.Type, h.From)
	}
	return true, ""
}

// Check is an error if an override is about layers that a model of so many layers lacks.
func (s *Scheme) Check(layers int) error {
	p := schemeProblems{places: s.places}
	for _, o := range s.overrides {
		for _, l := range o.Layers {
			if l.Last >= layers {
				p.entry(o.from, fmt.Sprintf("there is no layer %d: the model has %d, numbered from 0", l.Last, layers))
			}
		}
	}
	return p.err()
}

func layerName(layer int) string {
	switch layer {
	case Outside:
		return "what is outside of the layers"
	case unnamed:
		return "every layer that no override names"
	}
	return fmt.Sprintf("layer %d", layer)
}

// check finds entries that contradict a role or each other, in every layer that differs from the others.
func (s *Scheme) check(p *schemeProblems) {
	layers := []int{Outside, unnamed}
	for _, o := range s.overrides {
		for _, l := range o.Layers {
			// Which overrides cover a layer changes only where a range begins or ends.
			layers = append(layers, l.First, l.Last+1)
		}
	}
	slices.Sort(layers)
	roles := s.weightNames()
	for _, layer := range slices.Compact(layers) {
		s.layerValues(layer, p.entry)
		for _, r := range roles {
			s.weight(r, layer, p.entry)
		}
	}
	for _, m := range s.Smooth {
		if v := s.Value(m.Role, unnamed); v.Type.Float() {
			p.entry(s.Name+": smooth."+string(m.Role), fmt.Sprintf("the value is %s: there is nothing to smooth", v.Type))
		}
	}
}

// weightNames is every weight role that is not of an open family, and every member of one that an entry names.
func (s *Scheme) weightNames() []Role {
	var roles []Role
	for _, r := range weightRoles {
		if !isPattern(string(r.role)) {
			roles = append(roles, r.role)
		}
	}
	add := func(rules []Rule) {
		for _, r := range rules {
			if !isPattern(r.Name) && !slices.Contains(roles, Role(r.Name)) {
				roles = append(roles, Role(r.Name))
			}
		}
	}
	for _, rules := range s.weights {
		add(rules)
	}
	for _, o := range s.overrides {
		add(o.Weights)
	}
	return roles
}
