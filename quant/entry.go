package quant

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Type is how an element is stored.
type Type uint8

const (
	F32 Type = iota
	BF16
	F16
	I8
	I4
)

var typeNames = [...]string{"f32", "bf16", "f16", "i8", "i4"}

func (t Type) String() string               { return typeNames[t] }
func (t Type) Float() bool                  { return t <= F16 }
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// GranularityKind is what shares one scale.
type GranularityKind uint8

const (
	NoScale         GranularityKind = iota // of floats
	PerTensor                              // all of it
	PerChannel                             // one output channel of a weight, one channel of a value
	PerGroup                               // Group neighbours along the input axis of a weight, along the last of a value
	PerToken                               // one row, computed while running
	PerCell                                // a group of heads and one of channels after sort and cluster
	PerSSDGroup                            // what the heads of one SSD group read
	PerStateChannel                        // one channel and one state index
)

var granularityNames = [...]string{NoScale: "none", PerTensor: "tensor", PerChannel: "channel", PerGroup: "group", PerToken: "token",
	PerCell: "heads and channels", PerSSDGroup: "ssd_group", PerStateChannel: "channel_x_state"}

func (k GranularityKind) String() string { return granularityNames[k] }

// Granularity is the scale of an entry.
type Granularity struct {
	Kind            GranularityKind
	Group           int // of PerGroup
	Heads, Channels int // of PerCell: how many groups of heads in an SSD group, and of channels in each of them
}

// MarshalJSON writes it as a scheme file has it.
func (g Granularity) MarshalJSON() ([]byte, error) {
	switch g.Kind {
	case PerGroup:
		return fmt.Appendf(nil, `{"group":%d}`, g.Group), nil
	case PerCell:
		return fmt.Appendf(nil, `{"heads":%d,"channels":%d}`, g.Heads, g.Channels), nil
	}
	return json.Marshal(g.Kind.String())
}

// ObserverKind is what turns the values seen in calibration into the largest one that has a code.
type ObserverKind uint8

const (
	Amax          ObserverKind = iota // the largest |x|
	Percentile                        // of all |x|
	EMAPercentile                     // the published one: moving average over samples of the quantile of each
	MSE                               // the clip with the least expected squared error
	NoObserver                        // the scale is computed while running
)

var observerNames = [...]string{"amax", "percentile", "ema_percentile", "mse", "none"}

// Observer is the observe of an entry.
type Observer struct {
	Kind         ObserverKind
	Alpha, Sigma float64
}

// MarshalJSON writes it as a scheme file has it.
func (o Observer) MarshalJSON() ([]byte, error) {
	alpha, _ := json.Marshal(o.Alpha)
	switch o.Kind {
	case Percentile:
		return fmt.Appendf(nil, `{"percentile":%s}`, alpha), nil
	case EMAPercentile:
		sigma, _ := json.Marshal(o.Sigma)
		return fmt.Appendf(nil, `{"ema_percentile":%s,"sigma":%s}`, alpha, sigma), nil
	}
	return json.Marshal(observerNames[o.Kind])
}

// Method is how the codes of a weight are chosen. The zero value rounds to nearest.
type Method struct {
	GPTQ bool
	Damp float64 // of GPTQ: what is added to the diagonal, as a part of its mean
}

// MarshalJSON writes it as a scheme file has it.
func (m Method) MarshalJSON() ([]byte, error) {
	if !m.GPTQ {
		return []byte(`"nearest"`), nil
	}
	damp, err := json.Marshal(m.Damp)
	return fmt.Appendf(nil, `{"gptq":{"damp":%s}}`, damp), err
}

// MarshalText writes it as a scheme file has it.
func (r Range) MarshalText() ([]byte, error) {
	if r == Full {
		return []byte("full"), nil
	}
	return []byte("narrow"), nil
}

// Entry is what a scheme file says about a role; nil fields are not said.
type Entry struct {
	Type    *Type        `json:"type,omitempty"`
	Scale   *Granularity `json:"scale,omitempty"`
	Observe *Observer    `json:"observe,omitempty"` // values
	Share   *[]Role      `json:"share,omitempty"`   // values: roles that use one scale with this one
	Scan    *Type        `json:"scan,omitempty"`    // ssm.u: what the scan reads
	Method  *Method      `json:"method,omitempty"`  // weights
	Expand  *Type        `json:"expand,omitempty"`  // i4 weights: i8 for the published two-level form
	Range   *Range       `json:"range,omitempty"`
}

// Value is how a value is stored in a layer.
type Value struct {
	Type    Type        `json:"type"`
	Scale   Granularity `json:"scale,omitzero"`
	Observe Observer    `json:"observe,omitzero"`
	Share   []Role      `json:"share,omitempty"` // the other roles that use the same scale
	Range   Range       `json:"range,omitzero"`
	Scan    Type        `json:"scan,omitzero"` // ssm.u: what the scan reads, F32 (the value before its quantization) or I8
	From    string      `json:"from"`          // the entry that decided last: w8a8: values.ssm.u
}

// Weight is how a weight is stored in a layer.
type Weight struct {
	Type   Type        `json:"type"`
	Scale  Granularity `json:"scale,omitzero"`
	Method Method      `json:"method,omitzero"`
	Range  Range       `json:"range,omitzero"`
	Expand bool        `json:"expand,omitempty"` // i4 codes become i8 codes of one scale a channel while running
	From   string      `json:"from"`
}

// newValue and newWeight are what a type has if nothing more is said.
func newValue(t Type, r Role) Value {
	v := Value{Type: t}
	if t == I8 {
		v.Scale.Kind = PerTensor
		if r == SSMU {
			v.Scan = I8
		}
	}
	return v
}

func newWeight(t Type, rows bool) Weight {
	w := Weight{Type: t}
	switch {
	case t == I8 && rows:
		w.Scale.Kind = PerChannel
	case t == I8:
		w.Scale.Kind = PerTensor
	case t == I4:
		w.Scale = Granularity{Kind: PerGroup, Group: 128}
	}
	return w
}

// with is the value after an entry about it, or what is wrong with the entry. An entry that changes the type forgets what was said about the old
// type; one that changes the scale forgets the observer.
func (v Value) with(e *Entry, r valueRole) (Value, string) {
	if e.Type != nil {
		if !slices.Contains(r.types, *e.Type) {
			return v, fmt.Sprintf("it cannot be %s, only %s", *e.Type, list(r.types))
		}
		if *e.Type != v.Type {
			v = newValue(*e.Type, r.role)
		}
	}
	if v.Type.Float() {
		if e.Scale != nil || e.Observe != nil || e.Share != nil && len(*e.Share) > 0 || e.Scan != nil || e.Range != nil {
			return v, fmt.Sprintf("it is %s: scale, observe, share, scan and range are for i8", v.Type)
		}
		return v, ""
	}
	if e.Scale != nil {
		if !slices.Contains(r.scales, e.Scale.Kind) {
			return v, fmt.Sprintf("its scale cannot be %s, only %s", e.Scale.Kind, list(r.scales))
		}
		if *e.Scale != v.Scale {
			v.Scale, v.Observe = *e.Scale, Observer{}
			if v.Scale.Kind == PerToken {
				v.Observe.Kind = NoObserver
				if r.role == SSMU {
					v.Scan = F32
				}
			}
		}
	}
	if e.Observe != nil {
		v.Observe = *e.Observe
	}
	switch dynamic := v.Scale.Kind == PerToken; {
	case dynamic != (v.Observe.Kind == NoObserver):
		return v, "scale: token and observe: none belong together: its scale is computed while running"
	case !dynamic && v.Observe.Kind != Amax && v.Scale.Kind != PerTensor:
		return v, fmt.Sprintf("observe: %s needs scale: tensor; with scale: %s only amax is known", observerNames[v.Observe.Kind], v.Scale.Kind)
	}
	if e.Share != nil {
		v.Share = *e.Share
	}
	if e.Scan != nil {
		if r.role != SSMU {
			return v, "scan is for ssm.u"
		}
		v.Scan = *e.Scan
	}
	if r.role == SSMU && v.Scale.Kind == PerToken && v.Scan != F32 {
		return v, fmt.Sprintf("scan: %s needs one scale for all rows, not scale: token", v.Scan)
	}
	if e.Range != nil {
		v.Range = *e.Range
	}
	return v, ""
}

// with is the weight after an entry about it, or what is wrong with the entry; as Value.with.
func (w Weight) with(e *Entry, r weightRole) (Weight, string) {
	if e.Type != nil {
		if !slices.Contains(r.types, *e.Type) {
			return w, fmt.Sprintf("it cannot be %s, only %s", *e.Type, list(r.types))
		}
		if *e.Type != w.Type {
			w = newWeight(*e.Type, r.rows)
		}
	}
	if w.Type.Float() {
		if e.Scale != nil || e.Range != nil || e.Expand != nil || e.Method != nil && e.Method.GPTQ {
			return w, fmt.Sprintf("it is %s: scale, method, range and expand are for i8 and i4", w.Type)
		}
		return w, ""
	}
	if e.Scale != nil {
		fits := []GranularityKind{PerTensor}
		if w.Type == I4 {
			fits = []GranularityKind{PerChannel, PerGroup}
		} else if r.rows {
			fits = append(fits, PerChannel)
		}
		if !slices.Contains(fits, e.Scale.Kind) {
			return w, fmt.Sprintf("the scale of %s cannot be %s, only %s", w.Type, e.Scale.Kind, list(fits))
		}
		w.Scale = *e.Scale
	}
	if e.Method != nil {
		if e.Method.GPTQ && (w.Type != I4 || !r.linear) {
			return w, "gptq is for i4 weights that a product reads"
		}
		w.Method = *e.Method
	}
	if e.Range != nil {
		if w.Type != I8 {
			return w, "range is for i8"
		}
		w.Range = *e.Range
	}
	if e.Expand != nil {
		if w.Type != I4 {
			return w, "expand is for i4"
		}
		w.Expand = *e.Expand == I8
	}
	return w, ""
}

// list writes alternatives for a message.
func list[T fmt.Stringer](items []T) string {
	s := ""
	for i, item := range items {
		switch {
		case i > 0 && i == len(items)-1:
			s += " or "
		case i > 0:
			s += ", "
		}
		s += item.String()
	}
	return s
}
