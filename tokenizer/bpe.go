package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe is byte pair encoding: a word begins as its characters, and the pair of neighbours with the lowest rank is merged until none is left.
type bpe struct {
	ids          map[string]int32
	low          [512]int32       // ids of the one-character tokens below U+0200, where ByteLevel's alphabet is
	merges       map[uint64]int32 // left<<32 | right to rank
	merged       []int32          // rank to the id that comes out
	bytes        [256]int32       // ids of <0x00> to <0xFF>, for byteFallback
	unk          string           // stands for a character that is not in the vocabulary; "" for none
	unkID        int32            // noToken if unk is not in the vocabulary
	fuseUnk      bool             // unknown characters in a row make one unk
	byteFallback bool             // an unknown character becomes the tokens of its bytes, if there are all
	ignoreMerges bool             // a word that is a token is that token, whatever the merges say
}

func parseBPE(r *reader, o object) (*vocabulary, model) {
	v := o.parseVocabulary()
	m := &bpe{
		ids: v.ids, unk: o.strOr("unk_token", ""), unkID: noToken,
		fuseUnk: o.flagOr("fuse_unk", false), byteFallback: o.flagOr("byte_fallback", false), ignoreMerges: o.flagOr("ignore_merges", false),
	}
	if o.has("dropout") && read[float64](o, "dropout", "a number") != 0 {
		o.problem("dropout", "makes ids a matter of chance and is not supported; set it to null")
	}
	for _, field := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if affix := o.strOr(field, ""); affix != "" {
			o.problem(field, "%q is not supported; only null and \"\" are", affix)
		}
	}
	for c := range m.low {
		m.low[c] = lookUp(v.ids, string(rune(c)))
	}
	for b := range m.bytes {
		m.bytes[b] = lookUp(v.ids, fmt.Sprintf("<0x%02X>", b))
	}
	if m.unk != "" {
		m.unkID = lookUp(v.ids, m.unk)
	}
	m.parseMerges(o)
	return v, m
}

func lookUp(ids map[string]int32, token string) int32 {
	if id, ok := ids[token]; ok {
		return id
	}
	return noToken
}

// parseMerges reads ["a b", ...] or [["a", "b"], ...]. The rank of a merge is its place; of a doubled one the last place counts.
func (m *bpe) parseMerges(o object) {
	if !o.has("merges") {
		o.problem("merges", "is missing")
		return
	}
	var pairs [][]string
	if json.Unmarshal(o.fields["merges"], &pairs) != nil {
		var lines []string
		if json.Unmarshal(o.fields["merges"], &lines) != nil {
			o.problem("merges", `is neither a list of strings "a b" nor of pairs ["a", "b"]`)
			return
		}
		pairs = pairs[:0]
		for _, line := range lines {
			if !strings.HasPrefix(line, "#version") {
				pairs = append(pairs, strings.Split(line, " "))
			}
		}
	}
	m.merges = make(map[uint64]int32, len(pairs))
	m.merged = make([]int32, len(pairs))
	var joined []byte
	for rank, pair := range pairs {
		if len(pair) != 2 {
			o.problem(index("merges", rank), "%q is not two tokens", pair)
			continue
		}
		joined = append(append(joined[:0], pair[0]...), pair[1]...)
		left, hasLeft := m.ids[pair[0]]
		right, hasRight := m.ids[pair[1]]
		result, hasResult := m.ids[string(joined)]
		if !hasLeft || !hasRight || !hasResult {
			o.problem(index("merges", rank), "%q and %q give %q, and not all three are in vocab; remove the merge or add the token", pair[0], pair[1], joined)
			continue
		}
		m.merges[pairKey(left, right)], m.merged[rank] = int32(rank), result
	}
}

func pairKey(left, right int32) uint64 { return uint64(left)<<32 | uint64(uint32(right)) }

func (m *bpe) encode(w *work, ids []int32, word string) ([]int32, error) {
	if m.ignoreMerges {
		if id, ok := m.ids[word]; ok {
			return append(ids, id), nil
		}
	}
	w.bpe.reset()
	if err := m.begin(&w.bpe, word); err != nil {
		return ids, err
	}
	w.bpe.mergeAll(m)
	for _, s := range w.bpe.symbols {
		if s.id != noToken {
			ids = append(ids, s.id)
		}
	}
	return ids, nil
}

// begin makes the symbols of a word from its characters.
//
// An unknown token waits until a known character follows or the word ends, and does not wait for bytes: those of a later character come before it. That is the library's order.
func (m *bpe) begin(w *bpeWork, word string) error {
	waiting := false
	for i := 0; i < len(word); {
		r, size := utf8.DecodeRuneInString(word[i:])
		c := word[i : i+size]
		i += size
		id := int32(noToken)
		if int(r) < len(m.low) {
			id = m.low[r]
		} else {
			id = lookUp(m.ids, c)
		}
		switch {
		case id != noToken:
			if waiting {
				w.add(m.unkID)
				waiting = false
			}
			w.add(id)
		case m.byteFallback && m.hasBytes(c):
			for i := range len(c) {
				w.add(m.bytes[c[i]])
			}
		case m.unk == "":
			// Without an unknown token the character is dropped.
		case m.unkID == noToken:
			return fmt.Errorf("the character %q is not in the vocabulary, and neither is the unknown token %q that model.unk_token names", c, m.unk)
		default:
			if waiting && !m.fuseUnk {
				w.add(m.unkID)
			}
			waiting = true
		}
	}
	if waiting {
		w.add(m.unkID)
	}
	return nil
}

func (m *bpe) hasBytes(c string) bool {
	for i := range len(c) {
		if m.bytes[c[i]] == noToken {
			return false
		}
	}
	return true
}
