package tokenizer

import (
	"unicode/utf8"
)

// wordPiece takes the longest token that the rest of the word begins with, again and again; a word that cannot be made up so is one unknown token.
type wordPiece struct {
	ids      map[string]int32
	prefix   string // of tokens that go on a word: "##"
	unkID    int32
	maxChars int // longer words are unknown
	longest  int // bytes of the longest token: nothing longer needs to be looked up
}

func parseWordPiece(_ *reader, o object) (*vocabulary, model) {
	v := o.parseVocabulary()
	m := &wordPiece{ids: v.ids, prefix: o.short("continuing_subword_prefix"), unkID: noToken, maxChars: o.count("max_input_chars_per_word")}
	unk := o.str("unk_token")
	if m.unkID = lookUp(v.ids, unk); m.unkID == noToken {
		o.problem("unk_token", "%q is not in vocab; add it", unk)
	}
	for token := range v.ids {
		m.longest = max(m.longest, len(token))
	}
	return v, m
}

func (m *wordPiece) encode(_ *work, ids []int32, word string) ([]int32, error) {
	if utf8.RuneCountInString(word) > m.maxChars {
		return append(ids, m.unkID), nil
	}
	before := len(ids)
	var candidate []byte
	for start := 0; start < len(word); {
		candidate = candidate[:0]
		if start > 0 {
			candidate = append(candidate, m.prefix...)
		}
		prefix := len(candidate)
		end := min(len(word), start+max(m.longest-prefix, 0))
		for end < len(word) && end > start && !utf8.RuneStart(word[end]) {
			end--
		}
		candidate = append(candidate, word[start:end]...)
		found := false
		for len(candidate) > prefix {
			id, ok := m.ids[string(candidate)]
			if ok {
				ids, found = append(ids, id), true
				break
			}
			_, size := utf8.DecodeLastRune(candidate)
			candidate = candidate[:len(candidate)-size]
		}
		if !found {
			return append(ids[:before], m.unkID), nil
		}
		start += len(candidate) - prefix
	}
	return ids, nil
}
