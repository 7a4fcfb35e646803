package tokenizer

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// stage is one decoder at work. Tokens come one by one, what can be said already goes on to emit, and end gives the rest.
//
// After a stage that joins everything into one string (Fuse, ByteLevel), tokens are fragments of it, cut between characters: "fused" below.
type stage interface {
	next(token string, emit func(string))
	end(emit func(string))
}

// stageMaker makes a decoder for one text. It is told whether its input is fused, and says whether its output is.
type stageMaker func(fused bool) (s stage, outFused bool)

// decoders is what the field "decoder" may ask for.
var decoders = map[string]func(object) stageMaker{
	"ByteLevel":    parseByteLevelDecoder,
	"ByteFallback": func(object) stageMaker { return whole(func() stage { return &byteFallback{} }) },
	"Fuse":         func(object) stageMaker { return func(bool) (stage, bool) { return fuse{}, true } },
	"Metaspace":    parseMetaspaceDecoder,
	"Replace":      parseReplaceDecoder,
	"Strip":        parseStripDecoder,
	"WordPiece":    parseWordPieceDecoder,
}

// parseDecoder reads a decoder; those in a Sequence come out one by one. Without one, tokens are joined by blanks.
func (r *reader) parseDecoder(path string, raw json.RawMessage) []stageMaker {
	if isNull(raw) {
		return []stageMaker{whole(func() stage { return &joinByBlanks{} })}
	}
	var out []stageMaker
	r.parts(path, raw, "decoders", 0, func(o object, kind string) {
		build, ok := decoders[kind]
		if !ok {
			o.unknownType(kind, keys(decoders)+", Sequence")
			return
		}
		out = append(out, build(o))
	})
	return out
}

// whole is a decoder that must see its tokens uncut: fused input is held back to the end.
func whole(build func() stage) stageMaker {
	return func(fused bool) (stage, bool) {
		if fused {
			return &hold{inner: build()}, true
		}
		return build(), false
	}
}

// hold collects the fragments of a fused string and hands it on whole.
type hold struct {
	inner stage
	all   strings.Builder
}

func (h *hold) next(token string, _ func(string)) { h.all.WriteString(token) }

func (h *hold) end(emit func(string)) {
	h.inner.next(h.all.String(), emit)
	h.inner.end(emit)
	h.all.Reset()
}

// each is a decoder that looks at one token at a time.
type each func(string) string

func (f each) next(token string, emit func(string)) { emit(f(token)) }
func (each) end(func(string))                       {}

type fuse struct{}

func (fuse) next(token string, emit func(string)) { emit(token) }
func (fuse) end(func(string))                     {}

type joinByBlanks struct{ more bool }

func (j *joinByBlanks) next(token string, emit func(string)) {
	if j.more {
		token = " " + token
	}
	j.more = true
	emit(token)
}

func (j *joinByBlanks) end(func(string)) { j.more = false }

// byteLevel turns visible characters back into bytes and bytes into text. The beginning of a character waits for its end.
type byteLevel struct{ pending, out []byte }

func parseByteLevelDecoder(object) stageMaker {
	return func(fused bool) (stage, bool) {
		if fused {
			return &hold{inner: &byteLevel{}}, true
		}
		return &byteLevel{}, true
	}
}

func (b *byteLevel) next(token string, emit func(string)) {
	b.convert(appendBytes(b.pending, token), false, emit)
}

func (b *byteLevel) end(emit func(string)) { b.convert(b.pending, true, emit) }

func (b *byteLevel) convert(bytes []byte, final bool, emit func(string)) {
	var rest []byte
	b.out, rest = lossy(b.out[:0], bytes, final)
	b.pending = append(bytes[:0], rest...)
	if len(b.out) > 0 {
		emit(string(b.out))
	}
}

// byteFallback turns runs of tokens like <0xE3> into text. A run that is not valid as a whole gives one U+FFFD for each of its bytes, so a run is held until it ends.
type byteFallback struct{ run []byte }

func (b *byteFallback) next(token string, emit func(string)) {
	if c, ok := byteToken(token); ok {
		b.run = append(b.run, c)
		return
	}
	b.end(emit)
	emit(token)
}

func (b *byteFallback) end(emit func(string)) {
	switch {
	case len(b.run) == 0:
		return
	case utf8.Valid(b.run):
		emit(string(b.run))
	default:
		for range b.run {
			emit(replacement)
		}
	}
	b.run = b.run[:0]
}

// byteToken reads <0xE3>. Like the library's number parser it takes lower case, and a plus sign for the first digit.
func byteToken(token string) (byte, bool) {
	if len(token) != 6 || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	v, err := strconv.ParseUint(strings.TrimPrefix(token[3:5], "+"), 16, 8)
	return byte(v), err == nil
}

func parseMetaspaceDecoder(o object) stageMaker {
	mark, scheme := o.metaspace()
	return func(fused bool) (stage, bool) {
		first := true
		return each(func(token string) string {
			blank := " "
			if first && scheme != "never" {
				blank = "" // in the first token all marks vanish
			}
			first = fused
			return strings.ReplaceAll(token, mark, blank)
		}), fused
	}
}

func parseReplaceDecoder(o object) stageMaker {
	literal, re := o.pattern("pattern")
	content := o.short("content")
	if re != nil {
		o.problem("pattern", "a Regex is not supported in a decoder; a String is")
	}
	replace := each(func(token string) string { return strings.ReplaceAll(token, literal, content) })
	if utf8.RuneCountInString(literal) == 1 {
		return func(fused bool) (stage, bool) { return replace, fused }
	}
	return whole(func() stage { return replace })
}

func parseStripDecoder(o object) stageMaker {
	content, start, stop := o.str("content"), o.count("start"), o.count("stop")
	if utf8.RuneCountInString(content) != 1 {
		o.problem("content", "%q is not one character", content)
	}
	both := func() stage {
		return each(func(token string) string {
			for i := 0; i < start && strings.HasPrefix(token, content); i++ {
				token = token[len(content):]
			}
			for i := 0; i < stop && strings.HasSuffix(token, content); i++ {
				token = token[:len(token)-len(content)]
			}
			return token
		})
	}
	return func(fused bool) (stage, bool) {
		if fused && stop == 0 {
			return &stripStart{content: content, left: start}, true
		}
		return whole(both)(fused)
	}
}

// stripStart removes what a fused string begins with while it comes.
type stripStart struct {
	content string
	left    int // how many may still be removed
}

func (s *stripStart) next(token string, emit func(string)) {
	for s.left > 0 && token != "" {
		rest, ok := strings.CutPrefix(token, s.content)
		if token = rest; !ok {
			s.left = 0
			break
		}
		s.left--
	}
	if token != "" {
		emit(token)
	}
}

func (*stripStart) end(func(string)) {}

func parseWordPieceDecoder(o object) stageMaker {
	prefix, clean := o.str("prefix"), o.flag("cleanup")
	return whole(func() stage {
		first := true
		return each(func(token string) string {
			if !first {
				rest, ok := strings.CutPrefix(token, prefix)
				if token = rest; !ok {
					token = " " + rest
				}
			}
			first = false
			if clean {
				token = cleanUp(token)
			}
			return token
		})
	})
}

// cleanUps are applied one after the other, each to the result of the one before.
var cleanUps = [...][2]string{
	{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
}

func cleanUp(token string) string {
	for _, c := range cleanUps {
		token = strings.ReplaceAll(token, c[0], c[1])
	}
	return token
}
