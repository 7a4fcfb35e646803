package quant

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// SchemeFile is one scheme file as it is written: what it says itself, without the scheme that it extends. Searches make these.
type SchemeFile struct {
	Scheme          string
	Extends         string
	Calibrate       *Calibrate
	Rotate          *Rotations
	Tied            *bool
	Smooth          *[]Smooth
	Values, Weights []Rule
	Overrides       []Override

	where  string           // the file, for messages
	places map[string]place // where entries stand in it
}

// Rotations is the rotate of a file, which replaces that of the file it extends as a whole.
type Rotations struct{ Stream, Y Rotation }

// JSON writes the file, which is JSON and so YAML too, after proof that it reads back without a problem.
func (f *SchemeFile) JSON() ([]byte, error) {
	var w jsonWriter
	w.object(func() {
		w.member("scheme", f.Scheme)
		if f.Extends != "" {
			w.member("extends", f.Extends)
		}
		if f.Calibrate != nil {
			w.member("calibrate", f.Calibrate)
		}
		if f.Rotate != nil {
			w.key("rotate")
			w.object(func() {
				w.rotation("stream", f.Rotate.Stream)
				w.rotation("ssm.y", f.Rotate.Y)
			})
		}
		if f.Tied != nil {
			w.member("head", map[bool]string{true: "tied", false: "untied"}[*f.Tied])
		}
		if f.Smooth != nil {
			w.key("smooth")
			w.object(func() {
				for _, s := range *f.Smooth {
					w.member(string(s.Role), map[string]float64{"alpha": s.Alpha})
				}
			})
		}
		w.rules("values", f.Values)
		w.rules("weights", f.Weights)
		w.overrides(f.Overrides)
	})
	if w.err != nil {
		return nil, fmt.Errorf("writing scheme %s: %w", f.Scheme, w.err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, w.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("writing scheme %s: %w", f.Scheme, err)
	}
	text.WriteByte('\n')
	if _, err := ParseSchemeFile(f.Scheme, text.Bytes()); err != nil {
		return nil, fmt.Errorf("writing scheme %s: it would not read back: %w", f.Scheme, err)
	}
	return text.Bytes(), nil
}

// jsonWriter writes objects whose members keep their order.
type jsonWriter struct {
	bytes.Buffer
	comma bool
	err   error
}

func (w *jsonWriter) object(members func()) {
	w.WriteByte('{')
	w.comma = false
	members()
	w.WriteByte('}')
	w.comma = true
}

func (w *jsonWriter) key(name string) {
	if w.comma {
		w.WriteByte(',')
	}
	w.value(name)
	w.WriteByte(':')
	w.comma = true
}

func (w *jsonWriter) value(v any) {
	text, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.Write(text)
}

func (w *jsonWriter) member(name string, v any) {
	w.key(name)
	w.value(v)
}

func (w *jsonWriter) rotation(name string, r Rotation) {
	switch {
	case r.Hadamard && r.Signs:
		w.key(name)
		w.object(func() {
			w.member("kind", "hadamard")
			w.member("signs", r.Seed)
		})
	case r.Hadamard:
		w.member(name, "hadamard")
	}
}

func (w *jsonWriter) rules(name string, rules []Rule) {
	if len(rules) == 0 {
		return
	}
	w.key(name)
	w.object(func() {
		for _, r := range rules {
			w.member(r.Name, r.Entry)
		}
	})
}

func (w *jsonWriter) overrides(list []Override) {
	if len(list) == 0 {
		return
	}
	w.key("overrides")
	w.WriteByte('[')
	for i, o := range list {
		if i > 0 {
			w.WriteByte(',')
		}
		w.object(func() {
			if len(o.Layers) > 0 {
				layers := make([]string, len(o.Layers))
				for i, l := range o.Layers {
					layers[i] = l.String()
				}
				w.member("layers", layers)
			}
			w.rules("values", o.Values)
			w.rules("weights", o.Weights)
		})
	}
	w.WriteByte(']')
	w.comma = true
}

// String is the range as a scheme file has it: 4-9, or 4.
func (l Layers) String() string {
	if l.First == l.Last {
		return fmt.Sprint(l.First)
	}
	return fmt.Sprintf("%d-%d", l.First, l.Last)
}
