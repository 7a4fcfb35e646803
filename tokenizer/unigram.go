package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// unigram takes the cut of a word whose tokens' scores (log probabilities) have the largest sum, by Viterbi's algorithm.
type unigram struct {
	ids          map[string]int32
	scores       []float64
	trie         *trie
	unkID        int32 // noToken: an unknown character is an error
	unkScore     float64
	byteFallback bool
	bytes        [256]int32
}

// unkPenalty is how far an unknown character lies below the worst token.
const unkPenalty = 10

func parseUnigram(r *reader, o object) (*vocabulary, model) {
	v := &vocabulary{ids: make(map[string]int32), tokens: make(map[int32]string)}
	m := &unigram{ids: v.ids, trie: newTrie(), unkID: noToken, byteFallback: o.flagOr("byte_fallback", false)}
	if !o.has("vocab") {
		o.problem("vocab", "is missing")
	}
	lowest := math.Inf(1)
	for i, raw := range r.list("model.vocab", o.fields["vocab"]) {
		var entry []json.RawMessage
		var token string
		var score float64
		if json.Unmarshal(raw, &entry) != nil || len(entry) != 2 || json.Unmarshal(entry[0], &token) != nil || json.Unmarshal(entry[1], &score) != nil || isNull(entry[0]) || isNull(entry[1]) {
			o.problem(index("vocab", i), "%.60s is not a token and its score, [\"a\", -1.5]", raw)
			continue
		}
		v.ids[token], v.tokens[int32(i)] = int32(i), token
		m.scores = append(m.scores, score)
		m.trie.insert(token, int32(i))
		lowest = min(lowest, score)
	}
	v.size, v.last = int32(len(m.scores)), int32(len(m.scores))-1
	m.unkScore = lowest - unkPenalty
	if o.has("unk_id") {
		id := o.count("unk_id")
		if m.unkID = int32(id); id >= len(m.scores) {
			o.problem("unk_id", "%d is not below the %d entries of vocab", id, len(m.scores))
		}
	}
	for b := range m.bytes {
		m.bytes[b] = lookUp(v.ids, fmt.Sprintf("<0x%02X>", b))
	}
	return v, m
}

// step is the best way to a place of the word: the last token on it and where that begins.
type step struct {
	id    int32
	start int32 // -1: no way yet
	score float64
}

func (m *unigram) encode(_ *work, ids []int32, word string) ([]int32, error) {
	best := make([]step, len(word)+1)
	for i := range best {
		best[i].start = -1
	}
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		if !m.extend(best, word, at, size) {
			if m.unkID == noToken {
				return ids, errors.New("the text has a character that is not in the vocabulary, and model.unk_id names no token for it")
			}
			offer(&best[at+size], m.unkID, at, m.unkScore+best[at].score)
		}
		at += size
	}
	before := len(ids)
	for end := len(word); end > 0; {
		s := best[end]
		start := int(s.start)
		if s.id == m.unkID { // unknown tokens in a row are one
			for start > 0 && best[start].id == m.unkID {
				start = int(best[start].start)
			}
		}
		ids = m.appendReversed(ids, s.id, word[start:end])
		end = start
	}
	slices.Reverse(ids[before:])
	return ids, nil
}

// extend offers each token that the word goes on with at a place, and reports whether one of them is the next character alone.
func (m *unigram) extend(best []step, word string, at, size int) (single bool) {
	node, ok := int32(0), false
	for end := at; end < len(word); end++ {
		if node, ok = m.trie.step(node, word[end]); !ok {
			break
		}
		if id := m.trie.value[node]; id != noValue {
			offer(&best[end+1], id, at, m.scores[id]+best[at].score)
			single = single || end+1 == at+size
		}
	}
	return single
}

func offer(s *step, id int32, start int, score float64) {
	if s.start < 0 || score > s.score {
		*s = step{id: id, start: int32(start), score: score}
	}
}

// appendReversed appends the ids of one stretch, last first. An unknown stretch may be a token after all, as a whole; else it becomes bytes, if all are there.
func (m *unigram) appendReversed(ids []int32, id int32, stretch string) []int32 {
	if id != m.unkID {
		return append(ids, id)
	}
	if known, ok := m.ids[stretch]; ok {
		return append(ids, known)
	}
	if m.byteFallback {
		before := len(ids)
		for i := len(stretch) - 1; i >= 0; i-- {
			b := m.bytes[stretch[i]]
			if b == noToken {
				return append(ids[:before], m.unkID)
			}
			ids = append(ids, b)
		}
		return ids
	}
	return append(ids, m.unkID)
}
