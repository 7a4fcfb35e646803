package tokenizer

// noToken marks a piece that is still text.
const noToken = -1

// piece is a stretch of the text on its way to ids: text, or an added token that was found.
type piece struct {
	text string
	lead int   // how many of its bytes come from the first character of the whole text: Metaspace's prepend scheme "first" asks whether it begins there
	id   int32 // noToken for text
}

// from is the part of p between two bytes.
func (p piece) from(start, end int) piece {
	return piece{text: p.text[start:end], lead: min(max(p.lead-start, 0), end-start), id: noToken}
}

// mapText replaces each text piece by what step makes of it and leaves added tokens alone. Empty pieces vanish.
func mapText(dst, pieces []piece, step func([]piece, piece) ([]piece, error)) ([]piece, error) {
	var err error
	for _, p := range pieces {
		if p.id != noToken {
			dst = append(dst, p)
			continue
		}
		if dst, err = step(dst, p); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// work is the scratch space of one Encode: the words seen so far, and the model's own buffers.
type work struct {
	words map[string][]int32
	bpe   bpeWork
}

// Words are remembered up to this length and number; text repeats its short words.
const (
	maxWordBytes = 64
	maxWords     = 1 << 16
)

func newWork() *work { return &work{words: make(map[string][]int32)} }

func (w *work) encodeWord(m model, ids []int32, word string) ([]int32, error) {
	if word == "" {
		return ids, nil
	}
	if known, ok := w.words[word]; ok {
		return append(ids, known...), nil
	}
	before := len(ids)
	ids, err := m.encode(w, ids, word)
	if err == nil && len(word) <= maxWordBytes && len(w.words) < maxWords {
		w.words[word] = append([]int32(nil), ids[before:]...)
	}
	return ids, err
}
