package tokenizer

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ssmc/ssmc/tokenizer/internal/onig"
)

// preTokenizer cuts one text piece and appends what comes out.
type preTokenizer func(dst []piece, p piece) ([]piece, error)

// gpt2Pattern is the regular expression that ByteLevel brings along.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// preTokenizers is what the field "pre_tokenizer" may ask for.
var preTokenizers = map[string]func(*reader, object) []preTokenizer{
	"ByteLevel":   parseByteLevel,
	"Metaspace":   parseMetaspace,
	"Split":       parseSplit,
	"Digits":      parseDigits,
	"Punctuation": parsePunctuation,
	"WhitespaceSplit": func(*reader, object) []preTokenizer {
		return []preTokenizer{cutAt(unicode.IsSpace, removed)}
	},
	"BertPreTokenizer": func(*reader, object) []preTokenizer {
		return []preTokenizer{cutAt(unicode.IsSpace, removed), cutAt(isPunctuation, isolated)}
	},
}

// parsePreTokenizer reads a pre-tokenizer; those in a Sequence come out one by one.
func (r *reader) parsePreTokenizer(path string, raw json.RawMessage, depth int) []preTokenizer {
	var out []preTokenizer
	r.parts(path, raw, "pretokenizers", depth, func(o object, kind string) {
		build, ok := preTokenizers[kind]
		if !ok {
			o.unknownType(kind, keys(preTokenizers)+", Sequence")
			return
		}
		out = append(out, build(r, o)...)
	})
	return out
}

func parseByteLevel(_ *reader, o object) []preTokenizer {
	prefix := o.flag("add_prefix_space")
	o.flag("trim_offsets") // concerns offsets only
	var re *onig.Regexp
	if o.flagOr("use_regex", true) {
		re = o.compile("use_regex", gpt2Pattern)
	}
	return []preTokenizer{func(dst []piece, p piece) ([]piece, error) {
		if prefix && p.text != "" && p.text[0] != ' ' {
			p.text = " " + p.text
			if p.lead > 0 {
				p.lead++
			}
		}
		spans := []onig.Span{{Start: 0, End: len(p.text)}}
		if re != nil {
			var err error
			if spans, err = re.FindAll(nil, p.text); err != nil {
				return dst, err
			}
		}
		return appendVisible(dst, p, spans), nil
	}}
}

// appendVisible cuts p at the spans and writes each byte as one character.
func appendVisible(dst []piece, p piece, spans []onig.Span) []piece {
	lead := len(appendByteLevel(nil, p.text[:p.lead]))
	visible := make([]byte, 0, len(p.text)+len(p.text)/2)
	ends := make([]int, len(spans))
	for i, s := range spans {
		visible = appendByteLevel(visible, p.text[s.Start:s.End])
		ends[i] = len(visible)
	}
	p = piece{text: string(visible), lead: lead}
	from := 0
	for _, end := range ends {
		if from < end {
			dst = append(dst, p.from(from, end))
		}
		from = end
	}
	return dst
}

func parseMetaspace(r *reader, o object) []preTokenizer {
	mark, scheme := o.metaspace()
	split := o.flagOr("split", true)
	return []preTokenizer{func(dst []piece, p piece) ([]piece, error) {
		p.lead = len(strings.ReplaceAll(p.text[:p.lead], " ", mark))
		p.text = strings.ReplaceAll(p.text, " ", mark)
		if (scheme == "always" || scheme == "first" && p.lead > 0) && p.text != "" && !strings.HasPrefix(p.text, mark) {
			p.text = mark + p.text
			if p.lead > 0 {
				p.lead += len(mark)
			}
		}
		if !split {
			return append(dst, p), nil
		}
		return mergedWithNext.cut(dst, p, literalSpans(p.text, mark)), nil
	}}
}

// metaspace reads what the pre-tokenizer and the decoder Metaspace have in common. Old files say add_prefix_space where new ones name a scheme.
func (o object) metaspace() (mark, scheme string) {
	mark = o.str("replacement")
	if utf8.RuneCountInString(mark) != 1 {
		o.problem("replacement", "%q is not one character", mark)
	}
	scheme = o.strOr("prepend_scheme", "always")
	if scheme != "always" && scheme != "first" && scheme != "never" {
		o.problem("prepend_scheme", `%q is not known; it can be "always", "first" or "never"`, scheme)
	}
	if !o.flagOr("add_prefix_space", true) && scheme != "never" {
		o.problem("add_prefix_space", `false contradicts prepend_scheme %q; set "prepend_scheme" to "never"`, scheme)
	}
	return mark, scheme
}

func parseSplit(r *reader, o object) []preTokenizer {
	literal, re := o.pattern("pattern")
	behavior := o.behavior("behavior", "")
	invert := o.flag("invert")
	return []preTokenizer{func(dst []piece, p piece) ([]piece, error) {
		var spans []onig.Span
		if re == nil {
			spans = literalSpans(p.text, literal)
		} else {
			var err error
			if spans, err = re.FindAll(nil, p.text); err != nil {
				return dst, err
			}
		}
		if invert {
			for i := range spans {
				spans[i].Match = !spans[i].Match
			}
		}
		return behavior.cut(dst, p, spans), nil
	}}
}

func parseDigits(_ *reader, o object) []preTokenizer {
	if o.flag("individual_digits") {
		return []preTokenizer{cutAt(unicode.IsNumber, isolated)}
	}
	return []preTokenizer{cutAt(unicode.IsNumber, contiguous)}
}

func parsePunctuation(_ *reader, o object) []preTokenizer {
	return []preTokenizer{cutAt(isPunctuation, o.behavior("behavior", "Isolated"))}
}

// cutAt cuts at characters of a kind.
func cutAt(kind func(rune) bool, b behavior) preTokenizer {
	return func(dst []piece, p piece) ([]piece, error) {
		return b.cut(dst, p, spansOf(p.text, kind)), nil
	}
}
