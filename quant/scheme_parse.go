package quant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxLayer is the largest layer number in a scheme file.
const maxLayer = 9999

// ParseSchemeFile reads one scheme file. name is for messages.
func ParseSchemeFile(name string, data []byte) (*SchemeFile, error) {
	root, err := parseYAML(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var p schemeProblems
	if err := checkSchema(name, root, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	r := reader{name: name, problems: &p, file: &SchemeFile{where: name, places: map[string]place{}}}
	r.read(root)
	return r.file, p.err()
}

// reader takes a file that the schema has accepted apart: keys and types are as they should be.
type reader struct {
	name     string
	file     *SchemeFile
	problems *schemeProblems
}

// place notes where an entry stands and gives its name for messages and manifests, which must not depend on the file's path.
func (r *reader) place(n *node, path string) string {
	name := r.file.Scheme + ": " + path
	r.file.places[name] = place{r.name, n.line}
	return name
}

func (r *reader) wrong(n *node, format string, args ...any) {
	r.problems.add(place{r.name, n.line}, fmt.Sprintf(format, args...))
}

func (r *reader) read(root *node) {
	f := r.file
	f.Scheme = root.get("scheme").text
	if n := root.get("extends"); n != nil {
		f.Extends = n.text
	}
	if n := root.get("calibrate"); n != nil {
		f.Calibrate = &Calibrate{Samples: integer(n.get("samples")), Length: integer(n.get("length"))}
		if carry := n.get("carry_state"); carry != nil {
			f.Calibrate.Carry = carry.truth
		}
	}
	if n := root.get("rotate"); n != nil {
		f.Rotate = &Rotations{Stream: rotation(n.get("stream")), Y: rotation(n.get("ssm.y"))}
	}
	if n := root.get("head"); n != nil {
		tied := n.text == "tied"
		f.Tied = &tied
	}
	if n := root.get("smooth"); n != nil {
		f.Smooth = &[]Smooth{}
		for _, k := range n.keys {
			*f.Smooth = append(*f.Smooth, Smooth{Role(k), n.kids[k].get("alpha").number})
			r.place(n.kids[k], "smooth."+k)
		}
	}
	f.Values = r.rules(root.get("values"), "values")
	f.Weights = r.rules(root.get("weights"), "weights")
	if n := root.get("overrides"); n != nil {
		for i, item := range n.items {
			f.Overrides = append(f.Overrides, r.override(item, fmt.Sprintf("overrides[%d]", i)))
		}
	}
}

func integer(n *node) int {
	if n == nil {
		return 0
	}
	return int(n.number)
}

func rotation(n *node) Rotation {
	switch {
	case n == nil, n.kind == isText && n.text == "none":
		return Rotation{}
	case n.get("signs") != nil:
		return Rotation{Hadamard: true, Signs: true, Seed: uint64(n.get("signs").number)}
	}
	return Rotation{Hadamard: true}
}

func (r *reader) rules(n *node, path string) []Rule {
	if n == nil {
		return nil
	}
	var rules []Rule
	for _, k := range n.keys {
		rules = append(rules, r.rule(k, n.kids[k], path+"."+k))
	}
	return rules
}

func (r *reader) rule(name string, n *node, path string) Rule {
	return Rule{Name: name, Entry: r.entry(n), from: r.place(n, path)}
}

func (r *reader) override(n *node, path string) Override {
	o := Override{Layers: r.layers(n.get("layers")), from: r.place(n, path+".layers")}
	roles := n.get("roles")
	if roles == nil {
		o.Values = r.rules(n.get("values"), path+".values")
		o.Weights = r.rules(n.get("weights"), path+".weights")
		return o
	}
	for _, role := range roles.items {
		if v := n.get("values"); v != nil {
			o.Values = append(o.Values, r.rule(role.text, v, path+".values."+role.text))
		}
		if w := n.get("weights"); w != nil {
			o.Weights = append(o.Weights, r.rule(role.text, w, path+".weights."+role.text))
		}
	}
	return o
}

// layers reads layer numbers and ranges.
func (r *reader) layers(n *node) []Layers {
	if n == nil {
		return nil
	}
	items := n.items
	if n.kind != isList {
		items = []*node{n}
	}
	var list []Layers
	for _, item := range items {
		if item.kind == isNumber {
			list = append(list, Layers{integer(item), integer(item)})
			continue
		}
		first, last, isRange := strings.Cut(item.text, "-")
		if !isRange {
			last = first
		}
		l := Layers{}
		l.First, _ = strconv.Atoi(first) // the schema lets only digits through
		l.Last, _ = strconv.Atoi(last)
		if l.First > l.Last {
			r.wrong(item, "the range of layers %q is empty", item.text)
		}
		list = append(list, l)
	}
	return list
}

func (r *reader) entry(n *node) Entry {
	var e Entry
	for _, k := range n.keys {
		v := n.kids[k]
		switch k {
		case "type":
			e.Type = typeOf(v)
		case "scan":
			e.Scan = typeOf(v)
		case "expand":
			e.Expand = typeOf(v)
		case "scale":
			e.Scale = r.granularity(v)
		case "observe":
			e.Observe = r.observer(v)
		case "share":
			share := []Role{}
			for _, item := range v.items {
				share = append(share, Role(item.text))
			}
			e.Share = &share
		case "method":
			e.Method = method(v)
		case "range":
			full := Narrow
			if v.text == "full" {
				full = Full
			}
			e.Range = &full
		}
	}
	return e
}

func typeOf(n *node) *Type {
	t := Type(slices.Index(typeNames[:], n.text))
	return &t
}

func (r *reader) granularity(n *node) *Granularity {
	g := &Granularity{Group: integer(n.get("group")), Heads: integer(n.get("heads")), Channels: integer(n.get("channels"))}
	switch {
	case n.kind == isText:
		g.Kind = GranularityKind(slices.Index(granularityNames[:], n.text))
	case g.Group > 0 && g.Heads > 0:
		r.wrong(n, "scale: it is {group} or {heads, channels}, not both")
	case g.Group > 0:
		g.Kind = PerGroup
	default:
		g.Kind = PerCell
	}
	return g
}

// publishedSigma is the weight of a new sample in the published moving average.
const publishedSigma = 0.01

func (r *reader) observer(n *node) *Observer {
	if n.kind == isText {
		return &Observer{Kind: ObserverKind(slices.Index(observerNames[:], n.text))}
	}
	pooled, moving := n.get("percentile"), n.get("ema_percentile")
	switch {
	case pooled != nil && moving != nil:
		r.wrong(n, "observe: it is percentile or ema_percentile, not both")
		return nil
	case pooled != nil:
		return &Observer{Kind: Percentile, Alpha: pooled.number}
	}
	o := &Observer{Kind: EMAPercentile, Alpha: moving.number, Sigma: publishedSigma}
	if sigma := n.get("sigma"); sigma != nil {
		o.Sigma = sigma.number
	}
	return o
}

// publishedDamp is what the published GPTQ adds to the diagonal.
const publishedDamp = 0.01

func method(n *node) *Method {
	gptq := n.get("gptq")
	if gptq == nil {
		return &Method{}
	}
	m := &Method{GPTQ: true, Damp: publishedDamp}
	if damp := gptq.get("damp"); damp != nil {
		m.Damp = damp.number
	}
	return m
}
