package tokenizer

import (
	"strings"
	"unicode/utf8"

	"github.com/ssmc/ssmc/tokenizer/internal/onig"
)

// behavior says what becomes of the delimiters that text is cut at. For "-" and "the-final--countdown":
type behavior uint8

const (
	removed            behavior = iota // the|final|countdown
	isolated                           // the|-|final|-|-|countdown
	mergedWithPrevious                 // the-|final-|-|countdown
	mergedWithNext                     // the|-final|-|-countdown
	contiguous                         // the|-|final|--|countdown
)

var behaviors = map[string]behavior{
	"Removed": removed, "Isolated": isolated, "MergedWithPrevious": mergedWithPrevious, "MergedWithNext": mergedWithNext, "Contiguous": contiguous,
}

// cut appends the parts of p. The spans cover its text in order.
func (b behavior) cut(dst []piece, p piece, spans []onig.Span) []piece {
	spans = b.join(spans)
	for _, s := range spans {
		if s.Start < s.End && !(b == removed && s.Match) {
			dst = append(dst, p.from(s.Start, s.End))
		}
	}
	return dst
}

// join puts neighbouring spans together where b says so. It works in place.
func (b behavior) join(spans []onig.Span) []onig.Span {
	if b == removed || b == isolated {
		return spans
	}
	if b == mergedWithNext {
		return joinWithNext(spans)
	}
	out, before := spans[:0], false
	for _, s := range spans {
		joins := s.Match == before // contiguous
		if b == mergedWithPrevious {
			joins = s.Match && !before
		}
		before = s.Match
		if joins && len(out) > 0 {
			out[len(out)-1].End = s.End
		} else {
			out = append(out, s)
		}
	}
	return out
}

// joinWithNext puts each delimiter before what follows it, from the end on: of several delimiters in a row the last one.
func joinWithNext(spans []onig.Span) []onig.Span {
	out, behind := len(spans), false
	for i := len(spans) - 1; i >= 0; i-- {
		s := spans[i]
		joins := s.Match && !behind && out < len(spans)
		behind = s.Match
		if joins {
			spans[out].Start = s.Start
			continue
		}
		out--
		spans[out] = s
	}
	return spans[out:]
}

// spansOf makes each character of a kind a match of its own.
func spansOf(text string, kind func(rune) bool) []onig.Span {
	var spans []onig.Span
	done := 0
	for i, r := range text {
		if !kind(r) {
			continue
		}
		if done < i {
			spans = append(spans, onig.Span{Start: done, End: i})
		}
		done = i + utf8.RuneLen(r)
		spans = append(spans, onig.Span{Start: i, End: done, Match: true})
	}
	if done < len(text) {
		spans = append(spans, onig.Span{Start: done, End: len(text)})
	}
	return spans
}

// literalSpans makes each occurrence of a string that is not empty a match.
func literalSpans(text, literal string) []onig.Span {
	var spans []onig.Span
	done := 0
	for done < len(text) {
		at := strings.Index(text[done:], literal)
		if at < 0 {
			return append(spans, onig.Span{Start: done, End: len(text)})
		}
		if at > 0 {
			spans = append(spans, onig.Span{Start: done, End: done + at})
		}
		spans = append(spans, onig.Span{Start: done + at, End: done + at + len(literal), Match: true})
		done += at + len(literal)
	}
	return spans
}
