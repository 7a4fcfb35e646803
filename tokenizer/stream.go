package tokenizer

import "strings"

// Stream decodes ids while they are generated. What Next and then Flush return, put together, is Decode of all the ids; each part is whole characters.
//
// A part may be empty: the first bytes of a character wait for its last one, and a run of byte tokens (<0xE3>...) waits for its end, because only the whole run shows whether it is text.
type Stream struct {
	t           *Tokenizer
	skipSpecial bool
	token       func(string)
	finish      func()
	out         strings.Builder
}

// NewStream begins a text.
func (t *Tokenizer) NewStream(skipSpecial bool) *Stream {
	s := &Stream{t: t, skipSpecial: skipSpecial}
	s.begin()
	return s
}

// begin chains the decoders: what one emits, the next one takes.
func (s *Stream) begin() {
	stages := make([]stage, len(s.t.decoder))
	fused := false
	for i, build := range s.t.decoder {
		stages[i], fused = build(fused)
	}
	s.token = func(text string) { s.out.WriteString(text) }
	s.finish = func() {}
	for i := len(stages) - 1; i >= 0; i-- {
		st, emit, finish := stages[i], s.token, s.finish
		s.token = func(token string) { st.next(token, emit) }
		s.finish = func() {
			st.end(emit)
			finish()
		}
	}
}

// Next takes the next id and returns the text that is certain now.
func (s *Stream) Next(id int32) string {
	s.push(id)
	return s.take()
}

// Flush ends the text and returns what was held back. The stream can be used for another text then.
func (s *Stream) Flush() string {
	s.finish()
	s.begin()
	return s.take()
}

func (s *Stream) push(id int32) {
	if s.skipSpecial && s.t.added.byID[id].special {
		return
	}
	if token, ok := s.t.Token(id); ok {
		s.token(token)
	}
}

func (s *Stream) take() string {
	text := s.out.String()
	s.out.Reset()
	return text
}
