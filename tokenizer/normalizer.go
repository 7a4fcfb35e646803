package tokenizer

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/ssmc/ssmc/tokenizer/internal/onig"
)

// normText is text that is being normalized, and how many of its bytes come from the first character of the whole text (piece.lead).
type normText struct {
	text string
	lead int
}

// normalizer rewrites the text.
type normalizer func(*normText) error

// normalizers is what the field "normalizer" may ask for.
var normalizers = map[string]func(*reader, object) normalizer{
	"NFC":       func(*reader, object) normalizer { return normalForm(norm.NFC) },
	"NFD":       func(*reader, object) normalizer { return normalForm(norm.NFD) },
	"NFKC":      func(*reader, object) normalizer { return normalForm(norm.NFKC) },
	"NFKD":      func(*reader, object) normalizer { return normalForm(norm.NFKD) },
	"Lowercase": func(*reader, object) normalizer { return mapped(toLower) },
	"StripAccents": func(*reader, object) normalizer {
		return filter(func(r rune) bool { return !unicode.Is(unicode.M, r) })
	},
	"Strip":          parseStrip,
	"Prepend":        parsePrepend,
	"Replace":        parseReplace,
	"BertNormalizer": parseBertNormalizer,
}

// parseNormalizer reads a normalizer; those in a Sequence come out one by one.
func (r *reader) parseNormalizer(path string, raw json.RawMessage, depth int) []normalizer {
	var out []normalizer
	r.parts(path, raw, "normalizers", depth, func(o object, kind string) {
		build, ok := normalizers[kind]
		if !ok {
			o.unknownType(kind, keys(normalizers)+", Sequence")
			return
		}
		if n := build(r, o); n != nil {
			out = append(out, n)
		}
	})
	return out
}

// mapped is a normalizer that rewrites character by character.
func mapped(rewrite func(string) string) normalizer {
	return func(n *normText) error {
		if n.lead > 0 {
			n.lead = len(rewrite(n.text[:n.lead]))
		}
		n.text = rewrite(n.text)
		for n.lead = min(n.lead, len(n.text)); n.lead > 0 && n.lead < len(n.text) && !utf8.RuneStart(n.text[n.lead]); {
			n.lead++ // the first character may have been composed with what follows
		}
		return nil
	}
}

// filter is a normalizer that keeps some characters.
func filter(keep func(rune) bool) normalizer {
	return mapped(func(text string) string {
		return strings.Map(func(r rune) rune {
			if keep(r) {
				return r
			}
			return -1
		}, text)
	})
}

func parseStrip(_ *reader, o object) normalizer {
	left, right := o.flag("strip_left"), o.flag("strip_right")
	return func(n *normText) error {
		if left {
			stripped := strings.TrimLeftFunc(n.text, unicode.IsSpace)
			n.lead = max(n.lead-(len(n.text)-len(stripped)), 0)
			n.text = stripped
		}
		if right {
			n.text = strings.TrimRightFunc(n.text, unicode.IsSpace)
			n.lead = min(n.lead, len(n.text))
		}
		return nil
	}
}

func parsePrepend(_ *reader, o object) normalizer {
	prefix := o.short("prepend")
	return func(n *normText) error {
		if n.text != "" {
			n.text = prefix + n.text
			if n.lead > 0 {
				n.lead += len(prefix)
			}
		}
		return nil
	}
}

func parseReplace(_ *reader, o object) normalizer {
	literal, re := o.pattern("pattern")
	content := o.short("content")
	if re != nil && re.MatchesEmpty() {
		o.problem("pattern", "%q may match nothing, where the library's own bookkeeping fails; write a pattern that takes a character", re)
	}
	return func(n *normText) error {
		if re == nil {
			n.replaceSpans(literalSpans(n.text, literal), content)
			return nil
		}
		spans, err := re.FindAll(nil, n.text)
		if err == nil {
			n.replaceSpans(spans, content)
		}
		return err
	}
}

func (n *normText) replaceSpans(spans []onig.Span, content string) {
	var b strings.Builder
	lead := 0
	for _, s := range spans {
		part := n.text[s.Start:s.End]
		kept := min(max(n.lead-s.Start, 0), len(part))
		if s.Match {
			part = content
			if kept = 0; s.End <= n.lead { // new text belongs to the last character of what it replaces
				kept = len(content)
			}
		}
		b.WriteString(part)
		lead += kept
	}
	n.text, n.lead = b.String(), lead
}

// parseBertNormalizer reads BERT's four steps. Accents follow lower case where the file does not say.
func parseBertNormalizer(_ *reader, o object) normalizer {
	clean, chinese, lower := o.flag("clean_text"), o.flag("handle_chinese_chars"), o.flag("lowercase")
	accents := o.flagOr("strip_accents", lower)
	var steps []normalizer
	if clean {
		control := func(r rune) bool {
			return r == utf8.RuneError || r != '\t' && r != '\n' && r != '\r' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
		}
		blank := func(r rune) rune {
			if unicode.IsSpace(r) {
				return ' '
			}
			return r
		}
		steps = append(steps, filter(func(r rune) bool { return !control(r) }), mapped(func(s string) string { return strings.Map(blank, s) }))
	}
	if chinese {
		steps = append(steps, mapped(spaceChinese))
	}
	if accents {
		steps = append(steps, normalForm(norm.NFD), filter(func(r rune) bool { return !unicode.Is(unicode.Mn, r) }))
	}
	if lower {
		steps = append(steps, mapped(toLower))
	}
	return func(n *normText) error {
		for _, step := range steps {
			if err := step(n); err != nil {
				return err
			}
		}
		return nil
	}
}

// chineseRanges is what BERT counts as Chinese. The hole between 2B81F and 2B920 is the library's.
var chineseRanges = [...][2]rune{
	{0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF}, {0x2F800, 0x2FA1F},
}

// spaceChinese sets each Chinese character apart.
func spaceChinese(text string) string {
	var b strings.Builder
	for _, r := range text {
		chinese := false
		for _, g := range chineseRanges {
			chinese = chinese || g[0] <= r && r <= g[1]
		}
		if chinese {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		if chinese {
			b.WriteByte(' ')
		}
	}
	return b.String()
}
