package spmd

import (
	"fmt"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokLine
	tokValue  // %12
	tokName   // fma, layers.0.in_proj
	tokString // "any text"
	tokNumber // 12, 0x7fc00000, 1.5e-05: no sign
	tokMark   // one character of { } ( ) < > * , = + - /
)

type token struct {
	kind tokenKind
	text string // of a string: the unquoted text
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokEnd:
		return "the end"
	case tokLine:
		return "the end of the line"
	}
	return strconv.Quote(t.text)
}

// lexer gives the tokens of a text one by one; nothing is allocated but unquoted strings.
type lexer struct {
	text string
	at   int
	line int
	err  error // the first error; after it there are only tokEnd
}

func (l *lexer) fail(line int, format string, args ...any) token {
	if l.err == nil {
		l.err = fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	}
	return token{kind: tokEnd, line: line}
}

func (l *lexer) next() token {
	for l.err == nil && l.at < len(l.text) {
		c := l.text[l.at]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			l.at++
		case c == '#':
			l.take(func(c byte) bool { return c != '\n' })
		case c == '\n':
			l.at++
			l.line++
			return token{tokLine, "\n", l.line - 1}
		case c == '%':
			from := l.at
			l.at++
			l.take(func(c byte) bool { return '0' <= c && c <= '9' })
			return token{tokValue, l.text[from:l.at], l.line}
		case c == '"':
			return l.str()
		case '0' <= c && c <= '9':
			return token{tokNumber, l.number(), l.line}
		case nameByte(c) && c != '-' && c != '.':
			return token{tokName, l.take(nameByte), l.line}
		case strings.IndexByte("{}()<>*,=+-/", c) >= 0:
			l.at++
			return token{tokMark, l.text[l.at-1 : l.at], l.line}
		default:
			return l.fail(l.line, "unexpected character %q", c)
		}
	}
	return token{kind: tokEnd, line: l.line}
}

func (l *lexer) take(in func(byte) bool) string {
	from := l.at
	for l.at < len(l.text) && in(l.text[l.at]) {
		l.at++
	}
	return l.text[from:l.at]
}

// number takes digits, letters and points, and the sign of a decimal exponent.
func (l *lexer) number() string {
	from := l.at
	hex := strings.HasPrefix(l.text[from:], "0x")
	for l.at < len(l.text) {
		c := l.text[l.at]
		sign := c == '+' || c == '-'
		if sign && (hex || l.text[l.at-1] != 'e') || !sign && (!nameByte(c) || c == '_') {
			break
		}
		l.at++
	}
	return l.text[from:l.at]
}

func (l *lexer) str() token {
	from := l.at
	for l.at++; l.at < len(l.text) && l.text[l.at] != '"' && l.text[l.at] != '\n'; l.at++ {
		if l.text[l.at] == '\\' {
			l.at++
		}
	}
	if l.at >= len(l.text) || l.text[l.at] != '"' {
		return l.fail(l.line, "a string does not end on its line")
	}
	l.at++
	s, err := strconv.Unquote(l.text[from:l.at])
	if err != nil {
		return l.fail(l.line, "string %s: %v", l.text[from:l.at], err)
	}
	return token{tokString, s, l.line}
}
