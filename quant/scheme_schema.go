package quant

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"github.com/ssmc/ssmc/internal/spell"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// SchemeSchema is the JSON schema of scheme files; docs/scheme.schema.json is a copy of it.
//
//go:embed scheme.schema.json
var SchemeSchema []byte

// schema is SchemeSchema, compiled when it is first needed.
var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	const name = "scheme.schema.json"
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(SchemeSchema))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return c.Compile(name)
})

// checkSchema adds what the schema says against a scheme file.
func checkSchema(file string, root *node, p *schemeProblems) error {
	s, err := schema()
	if err != nil {
		return err
	}
	err = s.Validate(root.plain())
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		c := complaints{file: file, root: root, problems: p}
		c.names(root)
		c.walk(invalid)
		return nil
	}
	return err
}

// complaints turns the tree of a validation's errors into problems of entries.
type complaints struct {
	file     string
	root     *node
	problems *schemeProblems
}

// walk reports the leaves: what stands above them says only that something below is wrong. Names of roles are left to names, which knows better places.
func (c *complaints) walk(e *jsonschema.ValidationError) {
	switch e.ErrorKind.(type) {
	case *kind.PropertyNames:
		return
	case *kind.AnyOf:
		c.add(e.InstanceLocation, "it changes neither values nor weights")
		return
	}
	if len(e.Causes) == 0 {
		c.leaf(e)
		return
	}
	for _, cause := range e.Causes {
		c.walk(cause)
	}
}

// names reports keys and list items that should be roles or patterns and are not.
func (c *complaints) names(n *node, path ...string) {
	if len(path) > 0 && n.kind == isMap {
		for _, key := range n.keys {
			if what := unknownName(key, path[len(path)-1]); what != "" {
				c.add(append(path, key), what)
			}
		}
		return
	}
	for _, key := range n.keys {
		switch kid := n.kids[key]; key {
		case "values", "weights", "smooth":
			c.names(kid, key)
		case "overrides":
			for i, o := range kid.items {
				c.overrideNames(o, key, strconv.Itoa(i))
			}
		}
	}
}

func (c *complaints) overrideNames(o *node, path ...string) {
	roles := o.get("roles")
	for _, key := range [...]string{"values", "weights"} {
		n := o.get(key)
		switch {
		case n == nil:
		case roles == nil:
			c.names(n, append(slices.Clone(path), key)...)
		case key == "values" && o.get("weights") != nil: // a complaint already
		default:
			for i, item := range roles.items {
				if what := unknownName(item.text, key); what != "" {
					c.add(append(slices.Clone(path), "roles", strconv.Itoa(i)), what)
				}
			}
		}
	}
}

// unknownName says what is wrong with a name in a map of values, weights or smooth; "" if nothing is.
func unknownName(name, kind string) string {
	known := entryNames(kind)
	if slices.Contains(known, name) || kind == "weights" && IsWeightRole(Role(name)) {
		return ""
	}
	what := fmt.Sprintf("there is no role %q of %s", name[:min(len(name), 60)], kind)
	if near := spell.Nearest(name, slices.DeleteFunc(slices.Clone(known), isPattern)); near != "" {
		return what + "; near to it is " + near
	}
	return what + "; there are " + strings.Join(known, ", ")
}

// entryNames is what may be named in a map of values, weights or smooth.
func entryNames(kind string) []string {
	var names []string
	switch kind {
	case "smooth":
		for _, v := range valueRoles {
			if v.smooth {
				names = append(names, string(v.role))
			}
		}
	case "weights":
		for _, w := range weightRoles {
			names = append(names, string(w.role))
		}
		names = append(names, "*", "ssm.*")
	default:
		for _, r := range ValueRoles() {
			names = append(names, string(r))
		}
		names = append(names, "*", "ssm.*", "attn.*", "mlp.*")
	}
	return names
}

func (c *complaints) leaf(e *jsonschema.ValidationError) {
	if slices.Contains(e.InstanceLocation, "roles") && c.root.at(e.InstanceLocation).kind == isText {
		return // names knows better
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			c.add(append(slices.Clone(e.InstanceLocation), name), "there is no such key here")
		}
	case *kind.FalseSchema:
		c.add(e.InstanceLocation, "with weights, roles are roles of weights; values take another override")
	case *kind.Required:
		c.add(e.InstanceLocation, "it lacks "+strings.Join(k.Missing, ", "))
	case *kind.Enum:
		var want []string
		for _, w := range k.Want {
			want = append(want, fmt.Sprint(w))
		}
		c.add(e.InstanceLocation, fmt.Sprintf("%s is none of %s", c.shown(e.InstanceLocation), strings.Join(want, ", ")))
	case *kind.Pattern:
		form := k.Want
		if slices.Contains(e.InstanceLocation, "layers") {
			form = "4 or 4-9"
		}
		c.add(e.InstanceLocation, fmt.Sprintf("%s does not have the form %s", c.shown(e.InstanceLocation), form))
	default:
		c.add(e.InstanceLocation, e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
	}
}

// shown is a scalar of the file for a message.
func (c *complaints) shown(path []string) string {
	switch n := c.root.at(path); n.kind {
	case isText:
		return strconv.Quote(n.text[:min(len(n.text), 60)])
	case isNumber:
		return n.text
	case isBool:
		return strconv.FormatBool(n.truth)
	}
	return "what stands here"
}

func (c *complaints) add(path []string, what string) {
	if len(path) > 0 {
		what = pathName(path) + ": " + what
	}
	c.problems.add(place{c.file, c.root.at(path).line}, what)
}

// pathName writes keys and indices as they are spoken of: overrides[1].values.ssm.u.
func pathName(path []string) string {
	s := ""
	for _, key := range path {
		if _, err := strconv.Atoi(key); err == nil {
			s += "[" + key + "]"
			continue
		}
		if s != "" {
			s += "."
		}
		s += key[:min(len(key), 60)]
	}
	return s
}
