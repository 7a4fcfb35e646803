package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// vocabulary is the model's own list of tokens.
type vocabulary struct {
	ids    map[string]int32
	tokens map[int32]string
	size   int32 // entries, as the library counts them
	last   int32 // the highest id
}

// Parse reads the contents of a tokenizer.json. name is the file's name for messages. The error lists everything that is wrong or not supported, with the fields' names.
func Parse(name string, data []byte) (*Tokenizer, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: is not valid UTF-8; is it a tokenizer.json?", name)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("%s: is not a JSON object: %w", name, err)
	}
	if at, found := loneSurrogate(data); found {
		return nil, fmt.Errorf("%s: byte %d: half of a surrogate pair is no character; the file is damaged", name, at)
	}
	r := &reader{name: name}
	o := object{r: r, fields: fields}
	if v := o.strOr("version", "1.0"); v != "1.0" {
		o.problem("version", `%q is not known; "1.0" is`, v)
	}
	for _, field := range []string{"truncation", "padding"} {
		if o.has(field) {
			o.problem(field, "would change ids and is not supported; set it to null")
		}
	}
	t := &Tokenizer{}
	t.vocab, t.model = r.parseModel(fields["model"])
	t.normalize = r.parseNormalizer("normalizer", fields["normalizer"], 0)
	t.pre = r.parsePreTokenizer("pre_tokenizer", fields["pre_tokenizer"], 0)
	t.decoder = r.parseDecoder("decoder", fields["decoder"])
	if len(r.problems) == 0 {
		// These two look up what the parts above made of the file.
		t.added = r.parseAdded(fields["added_tokens"], t.vocab, t.normalize)
		t.single, t.pair = r.parsePost("post_processor", fields["post_processor"], t)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return t, nil
}

// models is what the field "model" may hold.
var models = map[string]func(*reader, object) (*vocabulary, model){
	"BPE":       parseBPE,
	"WordPiece": parseWordPiece,
	"Unigram":   parseUnigram,
}

func (r *reader) parseModel(raw json.RawMessage) (*vocabulary, model) {
	o, ok := r.object("model", raw)
	if !ok {
		return nil, nil
	}
	kind := o.strOr("type", "")
	if kind == "" { // files of 2020 do not say; the library tells by the fields
		switch {
		case o.has("merges"):
			kind = "BPE"
		case o.has("max_input_chars_per_word"):
			kind = "WordPiece"
		case o.has("unk_id"):
			kind = "Unigram"
		}
	}
	build, ok := models[kind]
	if !ok {
		o.unknownType(kind, keys(models))
		return nil, nil
	}
	return build(r, o)
}

// parseVocabulary reads {"token": id, ...}.
func (o object) parseVocabulary() *vocabulary {
	const field = "vocab"
	v := &vocabulary{ids: make(map[string]int32), tokens: make(map[int32]string), last: -1}
	var raw map[string]int64
	if !o.has(field) {
		o.problem(field, "is missing")
		return v
	}
	if err := json.Unmarshal(o.fields[field], &raw); err != nil {
		o.problem(field, "is not an object of tokens and whole numbers: %v", err)
		return v
	}
	for token, id := range raw {
		if id >= 0 && id < maxID {
			v.ids[token], v.tokens[int32(id)], v.last = int32(id), token, max(v.last, int32(id))
		}
	}
	if len(v.tokens) != len(raw) {
		o.vocabularyProblems(raw)
	}
	v.size = int32(len(v.ids))
	return v
}

// vocabularyProblems says which ids are wrong, in the tokens' order.
func (o object) vocabularyProblems(raw map[string]int64) {
	owner := make(map[int64]string)
	for _, token := range slices.Sorted(maps.Keys(raw)) {
		id := raw[token]
		if id < 0 || id >= maxID {
			o.problem("vocab", "%q has the id %d, which is not between 0 and %d", token, id, maxID-1)
		} else if other, ok := owner[id]; ok {
			o.problem("vocab", "the id %d is doubled: %q and %q have it; give each an id of its own", id, other, token)
		}
		owner[id] = token
	}
}
