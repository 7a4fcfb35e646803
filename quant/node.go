package quant

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxSchemeBytes = 1 << 17 // a scheme with every role of fifty layers has 50 KB
	maxNesting     = 24      // real schemes nest seven deep
)

// node is a value of a YAML text with the line it stands on. Exactly one of keys, items and scalar is in use, by kind.
type node struct {
	line   int
	kind   nodeKind
	keys   []string // in the order of the text
	kids   map[string]*node
	items  []*node
	text   string // of a string; of a number as it was written
	number float64
	truth  bool
}

type nodeKind uint8

const (
	isNull nodeKind = iota
	isText
	isNumber
	isBool
	isMap
	isList
)

// get is a member of a map; nil if it is not there.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	return n.kids[key]
}

// at follows a path of keys and indices as far as it goes.
func (n *node) at(path []string) *node {
	for _, key := range path {
		var next *node
		if n.kind == isMap {
			next = n.kids[key]
		} else if i, err := strconv.Atoi(key); n.kind == isList && err == nil && i >= 0 && i < len(n.items) {
			next = n.items[i]
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// plain is the node as the JSON schema's library takes it.
func (n *node) plain() any {
	switch n.kind {
	case isText:
		return n.text
	case isNumber:
		return n.number
	case isBool:
		return n.truth
	case isList:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = item.plain()
		}
		return items
	case isMap:
		m := make(map[string]any, len(n.keys))
		for _, k := range n.keys {
			m[k] = n.kids[k].plain()
		}
		return m
	}
	return nil
}

// parseYAML reads one YAML document without anchors, aliases and tags.
func parseYAML(data []byte) (*node, error) {
	if len(data) > maxSchemeBytes {
		return nil, fmt.Errorf("it has %d bytes, a scheme file at most %d", len(data), maxSchemeBytes)
	}
	tokens := lexer.Tokenize(string(data))
	if err := checkNesting(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		hint := ""
		if text := string(data); strings.Contains(text, "*:") && !strings.Contains(text, `"*"`) {
			hint = "\n  fix: the name * is written \"*\""
		}
		return nil, fmt.Errorf("it is not YAML: %s%s", firstLine(err), hint)
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			return nil, fmt.Errorf("it has several documents; a scheme file has one")
		}
		body = d.Body
	}
	if body == nil {
		return nil, fmt.Errorf("it is empty")
	}
	return convert(body, 0)
}

// checkNesting bounds the depth of flow collections and of lists on one line before the parser, whose time grows with its square, sees them.
func checkNesting(tokens token.Tokens) error {
	depth, dashes := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			dashes++
			depth++
			if dashes > maxNesting {
				return fmt.Errorf("line %d: more than %d lists in lists", t.Position.Line, maxNesting)
			}
			depth--
			continue
		}
		dashes = 0
		if depth > maxNesting {
			return fmt.Errorf("line %d: nested deeper than %d", t.Position.Line, maxNesting)
		}
	}
	return nil
}

// firstLine cuts the excerpt of the text that the library puts behind its message.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	const longest = 200
	if len(line) > longest {
		line = line[:longest] + "..."
	}
	return line
}

func convert(a ast.Node, depth int) (*node, error) {
	n := &node{line: 1}
	if t := a.GetToken(); t != nil && t.Position != nil {
		n.line = t.Position.Line
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("line %d: nested deeper than %d", n.line, maxNesting)
	}
	switch a := a.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		n.kind, n.text = isText, a.Value
	case *ast.LiteralNode:
		n.kind, n.text = isText, a.Value.Value
	case *ast.BoolNode:
		n.kind, n.truth = isBool, a.Value
	case *ast.IntegerNode, *ast.FloatNode:
		text := a.GetToken().Value
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: the number %q is not decimal or out of range", n.line, text)
		}
		n.kind, n.text, n.number = isNumber, text, v
	case *ast.SequenceNode:
		n.kind = isList
		for _, item := range a.Values {
			c, err := convert(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, c)
		}
	case *ast.MappingNode:
		n.kind, n.kids = isMap, map[string]*node{}
		for _, pair := range a.Values {
			if err := n.put(pair, depth); err != nil {
				return nil, err
			}
		}
	case *ast.MappingValueNode:
		n.kind, n.kids = isMap, map[string]*node{}
		if err := n.put(a, depth); err != nil {
			return nil, err
		}
	case *ast.AliasNode:
		return nil, fmt.Errorf("line %d: aliases are not read; if the name * for every role is meant, it is written \"*\"", n.line)
	default:
		return nil, fmt.Errorf("line %d: anchors, tags and other constructions beyond maps, lists and scalars are not read", n.line)
	}
	return n, nil
}

// put adds a key and its value to a map.
func (n *node) put(pair *ast.MappingValueNode, depth int) error {
	key, err := convert(pair.Key, depth+1)
	if err != nil {
		return err
	}
	if key.kind != isText {
		return fmt.Errorf("line %d: a key is a name, in quotes if need be", key.line)
	}
	if n.kids[key.text] != nil {
		return fmt.Errorf("line %d: %q stands here a second time", key.line, key.text)
	}
	value, err := convert(pair.Value, depth+1)
	if err != nil {
		return err
	}
	value.line = key.line
	n.keys, n.kids[key.text] = append(n.keys, key.text), value
	return nil
}
