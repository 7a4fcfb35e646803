package tokenizer

import (
	"encoding/json"
	"maps"
	"slices"
)

// templatePiece is a part of what the post-processor makes: one of the two texts, or special tokens.
type templatePiece struct {
	text   int // 0 or 1; noText for special tokens
	ids    []int32
	typeID int32
}

const noText = -1

// fill puts the texts' ids into the template.
func fill(template []templatePiece, texts [2][]int32, addSpecial bool) (ids, types []int32) {
	size := 0
	for _, p := range template {
		size += len(p.ids)
		if p.text != noText {
			size += len(texts[p.text])
		}
	}
	ids, types = make([]int32, 0, size), make([]int32, 0, size)
	for _, p := range template {
		part := p.ids
		if p.text != noText {
			part = texts[p.text]
		} else if !addSpecial {
			continue
		}
		ids = append(ids, part...)
		types = append(types, slices.Repeat([]int32{p.typeID}, len(part))...)
	}
	return ids, types
}

// plain puts in nothing: the texts, one after the other. So do ByteLevel, which trims offsets only, and no post-processor at all.
func plain(n int) []templatePiece {
	return []templatePiece{{text: 0}, {text: 1, typeID: 1}}[:n]
}

// parsePost reads the post-processor as the two templates that it comes to, for one text and for two.
func (r *reader) parsePost(path string, raw json.RawMessage, t *Tokenizer) (single, pair []templatePiece) {
	single, pair = plain(1), plain(2)
	adding := 0
	r.parts(path, raw, "processors", 0, func(o object, kind string) {
		p := postParser{object: o, t: t}
		switch kind {
		case "ByteLevel":
			o.flag("add_prefix_space")
			o.flag("trim_offsets")
			return
		case "TemplateProcessing":
			single, pair = p.templates()
		case "BertProcessing":
			cls, sep := p.named("cls"), p.named("sep")
			single = []templatePiece{cls, {text: 0}, sep}
			second := sep
			second.typeID = 1
			pair = []templatePiece{cls, {text: 0}, sep, {text: 1, typeID: 1}, second}
		case "RobertaProcessing": // all types are 0
			cls, sep := p.named("cls"), p.named("sep")
			single = []templatePiece{cls, {text: 0}, sep}
			pair = []templatePiece{cls, {text: 0}, sep, sep, {text: 1}, sep}
		default:
			o.unknownType(kind, "BertProcessing, ByteLevel, RobertaProcessing, TemplateProcessing, Sequence")
			return
		}
		if adding++; adding > 1 {
			o.problem("type", "%s is the second processor that adds tokens; only one is supported", kind)
		}
	})
	return single, pair
}

// postParser reads one processor.
type postParser struct {
	object
	t *Tokenizer
}

// named reads "sep": ["</s>", 2].
func (p postParser) named(field string) templatePiece {
	entry := read[[]json.RawMessage](p.object, field, `a token and its id, ["</s>", 2]`)
	var token string
	var id int32
	if entry == nil {
		return templatePiece{text: noText}
	}
	if len(entry) != 2 || json.Unmarshal(entry[0], &token) != nil || json.Unmarshal(entry[1], &id) != nil {
		p.problem(field, `is not a token and its id, ["</s>", 2]`)
		return templatePiece{text: noText}
	}
	p.check(field, token, id)
	return templatePiece{text: noText, ids: []int32{id}}
}

// check compares what a processor says about a token with the vocabulary.
func (p postParser) check(field, token string, id int32) {
	switch known, ok := p.t.ID(token); {
	case !ok:
		p.problem(field, "names the token %q, which is not in the vocabulary; add it to added_tokens", token)
	case known != id:
		p.problem(field, "says that %q has the id %d, but in the vocabulary it has %d; correct one of them", token, id, known)
	}
}

// templates reads the forms "single" and "pair" and the special tokens that they name.
func (p postParser) templates() (single, pair []templatePiece) {
	special := make(map[string][]int32)
	if o, ok := p.r.object(p.at("special_tokens"), p.fields["special_tokens"]); ok {
		for _, name := range slices.Sorted(maps.Keys(o.fields)) {
			if entry, ok := p.r.object(o.at(name), o.fields[name]); ok {
				special[name] = p.special(entry)
			}
		}
	}
	return p.form("single", special, 1), p.form("pair", special, 2)
}

func (p postParser) special(o object) []int32 {
	ids, tokens := read[[]int32](o, "ids", "a list of ids"), read[[]string](o, "tokens", "a list of tokens")
	if len(ids) != len(tokens) || len(ids) > maxShort {
		o.problem("ids", "are %d for %d tokens; the numbers must be equal and at most %d", len(ids), len(tokens), maxShort)
		return nil
	}
	for i, token := range tokens {
		postParser{object: o, t: p.t}.check("ids", token, ids[i])
	}
	return ids
}

func (p postParser) form(field string, special map[string][]int32, texts int) []templatePiece {
	if !p.has(field) {
		p.problem(field, "is missing")
	}
	var out []templatePiece
	for i, raw := range p.r.list(p.at(field), p.fields[field]) {
		path := index(p.at(field), i)
		if i >= maxShort {
			p.r.problem(path, "is one piece too many; the limit is %d", maxShort)
			break
		}
		o, ok := p.r.object(path, raw)
		if !ok {
			continue
		}
		switch {
		case o.has("Sequence"):
			if s, ok := p.r.object(path+".Sequence", o.fields["Sequence"]); ok {
				text := map[string]int{"A": 0, "B": 1}
				n, known := text[s.str("id")]
				if !known || n >= texts {
					s.problem("id", "%s is not a text of the form %q", s.fields["id"], field)
					continue
				}
				out = append(out, templatePiece{text: n, typeID: int32(s.count("type_id"))})
			}
		case o.has("SpecialToken"):
			if s, ok := p.r.object(path+".SpecialToken", o.fields["SpecialToken"]); ok {
				ids, known := special[s.str("id")]
				if !known {
					s.problem("id", "%s is not among special_tokens; add it there", s.fields["id"])
				}
				out = append(out, templatePiece{text: noText, ids: ids, typeID: int32(s.count("type_id"))})
			}
		default:
			p.r.problem(path, "is neither a Sequence nor a SpecialToken")
		}
	}
	return out
}
