// Package tokenizer reads a Hugging Face tokenizer.json and turns text into token ids and ids into text, with the answers of the tokenizers library.
//
// A tokenizer.json is a list of parts, and text goes through them in this order:
//
//	added tokens    contents that are cut out whole, before anything else ("<|im_start|>"); each stretch of text between them goes on alone   added.go
//	normalizer      the text is rewritten: NFC, lower case, " " to "▁"                                                                       normalizer.go
//	added tokens    those that are marked normalized are cut out of the rewritten text                                                       added.go
//	pre-tokenizer   the text is cut into words; ByteLevel also writes each byte as one visible character                                    pretokenize.go
//	model           each word becomes ids: BPE, WordPiece or Unigram                                                                         bpe.go wordpiece.go unigram.go
//	post-processor  special tokens are put around the ids                                                                                    post.go
//	decoder         the way back: token strings to text                                                                                      decoder.go
//
// What a file asks for and is not done here is an error of Parse that names the field: ids that are nearly right are worse than none. The regular expressions of
// pre-tokenizers are Oniguruma's (package internal/onig).
//
// A Tokenizer does not change after Parse and may be used by many goroutines at once. Unicode tables are those of the Go release (15.0 in Go 1.26); for characters that are
// younger than the library's own tables the two may differ.
package tokenizer

import (
	"fmt"
	"os"
	"unicode/utf8"
)

// maxFileBytes bounds what Load reads. The largest tokenizer.json that is published has some 35 MB.
const maxFileBytes = 512 << 20

// Tokenizer is one tokenizer.json, ready to use.
type Tokenizer struct {
	vocab     *vocabulary
	added     addedTokens
	normalize []normalizer
	pre       []preTokenizer
	model     model
	single    []templatePiece
	pair      []templatePiece
	decoder   []stageMaker
}

// model turns one word into ids, which it appends.
type model interface {
	encode(w *work, ids []int32, word string) ([]int32, error)
}

// Load reads the file tokenizer.json at path.
func Load(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the tokenizer: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("reading the tokenizer: %s has %d bytes, more than the limit of %d; is it a tokenizer.json?", path, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the tokenizer: %w", err)
	}
	return Parse(path, data)
}

// Encode turns text into ids. addSpecial puts in the tokens of the post-processor, such as the one that begins every text.
//
// Bytes that are not valid UTF-8 count as U+FFFD, one for each maximal broken part. Errors are rare: a character that the model does not know and has no unknown token for,
// or a regular expression of the file that needs too many steps.
func (t *Tokenizer) Encode(text string, addSpecial bool) ([]int32, error) {
	ids, err := t.encodeText(text)
	if err != nil {
		return nil, err
	}
	out, _ := fill(t.single, [2][]int32{ids}, addSpecial)
	return out, nil
}

// EncodePair turns two texts into one sequence of ids, and says for each id which type the post-processor gives it (BERT: 0 for the first text, 1 for the second).
func (t *Tokenizer) EncodePair(first, second string, addSpecial bool) (ids, types []int32, err error) {
	var both [2][]int32
	for i, text := range []string{first, second} {
		if both[i], err = t.encodeText(text); err != nil {
			return nil, nil, err
		}
	}
	ids, types = fill(t.pair, both, addSpecial)
	return ids, types, nil
}

// encodeText is everything up to the post-processor.
func (t *Tokenizer) encodeText(text string) ([]int32, error) {
	text = toValidUTF8(text)
	_, lead := utf8.DecodeRuneInString(text)
	pieces := t.added.raw.split(nil, piece{text: text, lead: lead, id: noToken})
	pieces, err := mapText(nil, pieces, t.normalizePiece)
	if err != nil {
		return nil, fmt.Errorf("normalizing text: %w", err)
	}
	var spare []piece
	for _, step := range t.pre {
		if spare, err = mapText(spare[:0], pieces, step); err != nil {
			return nil, fmt.Errorf("cutting text into words: %w", err)
		}
		pieces, spare = spare, pieces
	}
	w := newWork()
	ids := make([]int32, 0, len(text)/3+len(pieces))
	for _, p := range pieces {
		if p.id != noToken {
			ids = append(ids, p.id)
			continue
		}
		if ids, err = w.encodeWord(t.model, ids, p.text); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (t *Tokenizer) normalizePiece(dst []piece, p piece) ([]piece, error) {
	n := normText{text: p.text, lead: p.lead}
	for _, step := range t.normalize {
		if err := step(&n); err != nil {
			return dst, err
		}
	}
	return t.added.normalized.split(dst, piece{text: n.text, lead: n.lead, id: noToken}), nil
}

// Decode turns ids back into text. skipSpecial leaves out the tokens that are marked special. Ids that no token has are left out: models with a padded vocabulary emit them.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	s := t.NewStream(skipSpecial)
	for _, id := range ids {
		s.push(id)
	}
	return s.Flush()
}

// Token is the token string of an id, as the vocabulary writes it ("Ġthe", "▁the", "<0x0A>").
func (t *Tokenizer) Token(id int32) (string, bool) {
	if a, ok := t.added.byID[id]; ok {
		return a.content, true
	}
	token, ok := t.vocab.tokens[id]
	return token, ok
}

// ID is the id of a token string.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added.ids[token]; ok {
		return id, true
	}
	id, ok := t.vocab.ids[token]
	return id, ok
}

// VocabSize is the highest id plus one: the number of rows that an embedding needs. Ids below it may be unused.
func (t *Tokenizer) VocabSize() int {
	return int(max(t.vocab.last, t.added.last)) + 1
}
