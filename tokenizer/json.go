package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/tokenizer/internal/onig"
)

// Limits of what a file may hold, far above what real files do.
const (
	maxID       = 1 << 24
	maxDepth    = 16
	maxProblems = 20
	maxShort    = 256 // bytes of a replacement or prefix, which text may ask for once a character; pieces of a template
)

// reader collects what is wrong with a file, so that all of it is said at once.
type reader struct {
	name     string
	problems []string
	more     int
}

func (r *reader) problem(path, format string, args ...any) {
	if len(r.problems) >= maxProblems {
		r.more++
		return
	}
	r.problems = append(r.problems, path+": "+fmt.Sprintf(format, args...))
}

func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	list := strings.Join(r.problems, "\n  ")
	if r.more > 0 {
		list += fmt.Sprintf("\n  and %d more", r.more)
	}
	if len(r.problems) == 1 {
		return fmt.Errorf("%s: %s", r.name, list)
	}
	return fmt.Errorf("%s: this tokenizer cannot be used:\n  %s", r.name, list)
}

// object is a JSON object and its place in the file. Its methods report what is missing or of the wrong type, and go on with a zero.
type object struct {
	r      *reader
	path   string
	fields map[string]json.RawMessage
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func (r *reader) object(path string, raw json.RawMessage) (object, bool) {
	o := object{r: r, path: path}
	if isNull(raw) || json.Unmarshal(raw, &o.fields) != nil {
		r.problem(path, "is not a JSON object")
		return o, false
	}
	return o, true
}

// list reads an array; null and a missing field are an empty one.
func (r *reader) list(path string, raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if !isNull(raw) && json.Unmarshal(raw, &list) != nil {
		r.problem(path, "is not a JSON array")
	}
	return list
}

func (o object) problem(field, format string, args ...any) {
	o.r.problem(o.at(field), format, args...)
}

func (o object) at(field string) string {
	if o.path == "" {
		return field
	}
	return o.path + "." + field
}

func (o object) has(field string) bool { return !isNull(o.fields[field]) }

func read[T any](o object, field, what string) (v T) {
	switch {
	case !o.has(field):
		o.problem(field, "is missing; it must be %s", what)
	case json.Unmarshal(o.fields[field], &v) != nil:
		o.problem(field, "is %.40s, not %s", o.fields[field], what)
	}
	return v
}

func (o object) str(field string) string { return read[string](o, field, "a string") }
func (o object) flag(field string) bool  { return read[bool](o, field, "true or false") }

// short reads a string that text is made longer with.
func (o object) short(field string) string {
	s := o.str(field)
	if len(s) > maxShort {
		o.problem(field, "has %d bytes, more than the limit of %d", len(s), maxShort)
	}
	return s
}

func (o object) strOr(field, missing string) string {
	if !o.has(field) {
		return missing
	}
	return o.str(field)
}

func (o object) flagOr(field string, missing bool) bool {
	if !o.has(field) {
		return missing
	}
	return o.flag(field)
}

// count reads a number of things.
func (o object) count(field string) int {
	n := read[int64](o, field, "a whole number")
	if n < 0 || n > maxID {
		o.problem(field, "%d is not between 0 and %d", n, maxID)
		return 0
	}
	return int(n)
}

// id reads a token id.
func (o object) id(field string) (int32, bool) {
	before := len(o.r.problems) + o.r.more
	id := read[int64](o, field, "a whole number")
	if id < 0 || id >= maxID {
		o.problem(field, "%d is not between 0 and %d", id, maxID-1)
	}
	return int32(id), len(o.r.problems)+o.r.more == before
}

// pattern reads {"String": s} or {"Regex": s}; the first has no regexp.
func (o object) pattern(field string) (literal string, re *onig.Regexp) {
	p, ok := o.r.object(o.at(field), o.fields[field])
	if !ok {
		return "", nil
	}
	if p.has("Regex") {
		return "", p.compile("Regex", p.str("Regex"))
	}
	if literal = p.str("String"); literal == "" {
		p.problem("String", "is empty")
	}
	return literal, nil
}

func (o object) compile(field, pattern string) *onig.Regexp {
	re, err := onig.Compile(pattern)
	if err != nil {
		o.problem(field, "%v; correct the pattern, or write it without that", err)
	}
	return re
}

func (o object) behavior(field, missing string) behavior {
	name := missing
	if missing == "" || o.has(field) {
		name = o.str(field)
	}
	b, ok := behaviors[name]
	if !ok {
		o.problem(field, "%q is not known; it can be one of %s", name, keys(behaviors))
	}
	return b
}

func keys[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// parts reads a component with a "type" and hands it on; a Sequence hands on what it holds, in order. null is none at all.
func (r *reader) parts(path string, raw json.RawMessage, list string, depth int, use func(o object, kind string)) {
	if isNull(raw) {
		return
	}
	if depth > maxDepth {
		r.problem(path, "sequences are nested deeper than %d", maxDepth)
		return
	}
	o, ok := r.object(path, raw)
	if !ok {
		return
	}
	kind := o.str("type")
	if kind != "Sequence" {
		if kind != "" {
			use(o, kind)
		}
		return
	}
	if !o.has(list) {
		o.problem(list, "is missing")
	}
	for i, raw := range r.list(o.at(list), o.fields[list]) {
		if isNull(raw) {
			r.problem(index(o.at(list), i), "is null")
			continue
		}
		r.parts(index(o.at(list), i), raw, list, depth+1, use)
	}
}

// refused explains what is known and not done.
var refused = map[string]string{
	"Precompiled": "a compiled SentencePiece table, as T5 and XLM-R have",
	"Nmt":         "SentencePiece's NMT rules",
	"WordLevel":   "whole words only",
}

func (o object) unknownType(kind, known string) {
	if why, ok := refused[kind]; ok {
		kind += " (" + why + ")"
	}
	o.problem("type", "%s is not supported; supported are %s. Tokenize such text with the tokenizers library and hand over ids", kind, known)
}

// loneSurrogate finds a \ud800-style escape without its other half, which encoding/json would turn into U+FFFD without a word. data is valid JSON.
func loneSurrogate(data []byte) (at int, found bool) {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		unit := escapedUnit(data[i:])
		switch {
		case unit >= 0xD800 && unit <= 0xDBFF:
			if low := escapedUnit(data[i+6:]); low < 0xDC00 || low > 0xDFFF {
				return i, true
			}
			i += 11
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return i, true
		default:
			i++ // the escaped character is no backslash that begins something
		}
	}
	return 0, false
}

// escapedUnit is the value of \uXXXX at the beginning of data, or -1.
func escapedUnit(data []byte) int {
	var unit int
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return -1
	}
	for _, c := range data[2:6] {
		switch {
		case c >= '0' && c <= '9':
			unit = unit<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			unit = unit<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return unit
}
