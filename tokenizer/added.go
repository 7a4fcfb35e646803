package tokenizer

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a content that is cut out of the text whole.
type addedToken struct {
	content    string
	id         int32
	singleWord bool // only between characters that are not part of a word
	lstrip     bool // takes the white space before it
	rstrip     bool // and behind it
	normalized bool // is looked for in normalized text, in its own normalized form
	special    bool
}

// addedTokens are all of them, by what is looked up.
type addedTokens struct {
	ids        map[string]int32
	byID       map[int32]addedToken
	last       int32
	raw        matcher // those found before normalization
	normalized matcher // and after it
}

// matcher finds a set of added tokens in text.
type matcher struct {
	trie   *trie
	tokens []addedToken
}

func (m *matcher) add(pattern string, a addedToken) (had int32) {
	if m.trie == nil {
		m.trie = newTrie()
	}
	m.tokens = append(m.tokens, a)
	return m.trie.insert(pattern, int32(len(m.tokens)-1))
}

// split cuts p at its added tokens, leftmost first, then longest, and appends what comes out.
//
// The search goes on behind the content of a match, not behind the white space that rstrip takes, so a token may begin in it. It is what the library does: such a token comes
// out as well, and the text behind it again; but one with lstrip, whose beginning moves behind its end, does not.
func (m *matcher) split(dst []piece, p piece) []piece {
	text, done := p.text, 0
	cut := func(start, end int) {
		if start < end {
			dst = append(dst, p.from(start, end))
		}
	}
	for at := 0; m.trie != nil && at < len(text); {
		i, size := m.trie.longest(text[at:])
		if size == 0 {
			at++
			continue
		}
		start, end, a := at, at+size, &m.tokens[i]
		at = end
		if a.singleWord && !standsAlone(text[:start], text[end:]) {
			continue
		}
		if a.lstrip {
			start = max(len(strings.TrimRightFunc(text[:start], unicode.IsSpace)), done)
		}
		if a.rstrip {
			end += len(text[end:]) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if start >= end {
			continue
		}
		cut(done, start)
		dst = append(dst, piece{id: a.id})
		done = end
	}
	cut(done, len(text))
	return dst
}

func standsAlone(before, behind string) bool {
	left, n := utf8.DecodeLastRuneInString(before)
	if n > 0 && isWord(left) {
		return false
	}
	right, n := utf8.DecodeRuneInString(behind)
	return n == 0 || !isWord(right)
}

// parseAdded reads the list "added_tokens". The library ignores the ids that are written there: a content that the model has keeps the model's id, the others are numbered behind
// the vocabulary. A file whose ids say something else is refused, because one of the two must be wrong.
func (r *reader) parseAdded(raw json.RawMessage, v *vocabulary, normalize []normalizer) addedTokens {
	t := addedTokens{ids: make(map[string]int32), byID: make(map[int32]addedToken), last: -1}
	next := v.size // as the library counts: 0.23 from here on, 0.22 behind the highest id so far
	for i, raw := range r.list("added_tokens", raw) {
		o, ok := r.object(index("added_tokens", i), raw)
		if !ok {
			continue
		}
		a := addedToken{
			content: o.str("content"), singleWord: o.flag("single_word"), lstrip: o.flag("lstrip"), rstrip: o.flag("rstrip"),
			normalized: o.flag("normalized"), special: o.flag("special"),
		}
		if a.id, ok = o.id("id"); !ok || a.content == "" {
			continue // the library skips empty contents
		}
		if known, ok := v.ids[a.content]; ok {
			if known != a.id {
				o.problem("id", "%d, but %q is %d in model.vocab, which is what the tokenizers library uses; correct one of them", a.id, a.content, known)
			}
		} else {
			if a.id != next && a.id != max(t.last+1, v.size) {
				o.problem("id", "%d, but the tokenizers library numbers %q %d, behind the vocabulary; save the file again with the library", a.id, a.content, next)
			}
			if token, ok := v.tokens[a.id]; ok {
				o.problem("id", "%d of %q is %q in model.vocab; give it an id of its own", a.id, a.content, token)
			}
			next++
		}
		if other, ok := t.byID[a.id]; ok {
			o.problem("id", "%d is doubled: %q and %q have it; give each an id of its own", a.id, other.content, a.content)
		} else if _, ok := t.ids[a.content]; ok {
			o.problem("content", "%q is there twice; remove one", a.content)
		}
		t.ids[a.content], t.byID[a.id], t.last = a.id, a, max(t.last, a.id)
		r.addPattern(o, &t, a, normalize)
	}
	return t
}

// addPattern enters a token into the matcher that looks for it.
func (r *reader) addPattern(o object, t *addedTokens, a addedToken, normalize []normalizer) {
	if !a.normalized {
		t.raw.add(a.content, a)
		return
	}
	n := normText{text: a.content}
	for _, step := range normalize {
		if err := step(&n); err != nil {
			o.problem("content", "%q cannot be normalized: %v", a.content, err)
			return
		}
	}
	if n.text == "" {
		o.problem("content", "%q is normalized to nothing, so it would match everywhere; set \"normalized\" to false", a.content)
		return
	}
	if had := t.normalized.add(n.text, a); had != noValue {
		o.problem("content", "%q and %q are both normalized to %q, so they cannot be told apart; set \"normalized\" to false", t.normalized.tokens[had].content, a.content, n.text)
	}
}
