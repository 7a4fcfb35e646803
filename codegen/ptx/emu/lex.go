package emu

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokName             // add, %r1, $label, smem
	tokDot              // .u32, .L2::128B
	tokInt              // value
	tokFloat            // value: bits of a double, or with single of a float
	tokString           // "nounroll"
	tokPunct
)

type token struct {
	kind   tokenKind
	single bool // a float written 0f
	glued  bool // no space before it
	line   int32
	text   string
	value  uint64
}

func (t token) String() string {
	if t.kind == tokEnd {
		return "the end of the text"
	}
	return strconv.Quote(t.text)
}

// lex cuts a text into tokens.
func lex(text string) ([]token, error) {
	l := lexer{text: text, line: 1}
	var out []token
	for {
		before := l.at
		if err := l.skip(); err != nil {
			return nil, err
		}
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		t.glued = before > 0 && l.at-len(t.text) == before
		out = append(out, t)
		if t.kind == tokEnd {
			return out, nil
		}
	}
}

type lexer struct {
	text string
	at   int
	line int32
}

func (l *lexer) fail(format string, args ...any) error {
	return fmt.Errorf("%d: %s", l.line, fmt.Sprintf(format, args...))
}

// skip passes over white space and comments.
func (l *lexer) skip() error {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case rest[0] == '\n':
			l.line++
			l.at++
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
			l.at++
		case strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			l.at += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest, "*/")
			if n < 0 {
				return l.fail("a comment /* has no end")
			}
			l.line += int32(strings.Count(rest[:n], "\n"))
			l.at += n + 2
		default:
			return nil
		}
	}
	return nil
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$'
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// word is how many bytes of s are letters and digits.
func word(s string) int {
	n := 0
	for n < len(s) && (letter(s[n]) || digit(s[n])) {
		n++
	}
	return n
}

func (l *lexer) take(kind tokenKind, n int) token {
	t := token{kind: kind, line: l.line, text: l.text[l.at : l.at+n]}
	l.at += n
	return t
}

func (l *lexer) next() (token, error) {
	rest := l.text[l.at:]
	if rest == "" {
		return token{line: l.line}, nil
	}
	switch c := rest[0]; {
	case letter(c):
		return l.take(tokName, word(rest)), nil
	case c == '%' && len(rest) > 1 && letter(rest[1]):
		return l.take(tokName, 1+word(rest[1:])), nil
	case c == '.' && len(rest) > 1 && (letter(rest[1]) || digit(rest[1])):
		n := 1 + word(rest[1:])
		for strings.HasPrefix(rest[n:], "::") {
			n += 2 + word(rest[n+2:])
		}
		return l.take(tokDot, n), nil
	case digit(c):
		return l.number(rest)
	case c == '"':
		n := strings.IndexAny(rest[1:], "\"\n")
		if n < 0 || rest[1+n] == '\n' {
			return token{}, l.fail("a string has no end")
		}
		return l.take(tokString, n+2), nil
	case strings.IndexByte(",;:{}()[]+-=!|@<>~*/&", c) >= 0:
		return l.take(tokPunct, 1), nil
	}
	return token{}, l.fail("byte %q does not belong into PTX", rest[0])
}

// number reads an integer (decimal, 0x, 0b, octal, with or without U) or a float (0f, 0d, decimal).
func (l *lexer) number(rest string) (token, error) {
	n := word(rest)
	if s := rest[:n]; len(s) > 2 && (s[:2] == "0f" || s[:2] == "0F" || s[:2] == "0d" || s[:2] == "0D") {
		return l.bits(s)
	}
	if hex := strings.HasPrefix(rest, "0x") || strings.HasPrefix(rest, "0X"); !hex {
		if m := decimal(rest); m > 0 {
			x, err := strconv.ParseFloat(rest[:m], 64)
			if err != nil && !math.IsInf(x, 0) {
				return token{}, l.fail("%q is no number", rest[:m])
			}
			t := l.take(tokFloat, m)
			t.value = math.Float64bits(x)
			return t, nil
		}
	}
	s := strings.TrimRight(rest[:n], "uU")
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil || strings.Contains(s, "_") || len(rest[:n])-len(s) > 1 {
		return token{}, l.fail("%q is no number that 64 bits hold", rest[:n])
	}
	t := l.take(tokInt, n)
	t.value = v
	return t, nil
}

// bits reads 0f and eight hexadecimal digits, or 0d and sixteen.
func (l *lexer) bits(s string) (token, error) {
	single := s[1] == 'f' || s[1] == 'F'
	want := 18
	if single {
		want = 10
	}
	v, err := strconv.ParseUint(s[2:], 16, 64)
	if err != nil || len(s) != want {
		return token{}, l.fail("%q: want %s and %d hexadecimal digits", s, s[:2], want-2)
	}
	t := l.take(tokFloat, len(s))
	t.value, t.single = v, single
	return t, nil
}

// decimal is the length of a decimal float at the start of s, 0 if there is none: it has a point or an exponent.
func decimal(s string) int {
	n, float := 0, false
	for n < len(s) && digit(s[n]) {
		n++
	}
	if n < len(s) && s[n] == '.' {
		float = true
		for n++; n < len(s) && digit(s[n]); {
			n++
		}
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		m := n + 1
		if m < len(s) && (s[m] == '+' || s[m] == '-') {
			m++
		}
		if m < len(s) && digit(s[m]) {
			for float = true; m < len(s) && digit(s[m]); {
				m++
			}
			n = m
		}
	}
	if !float {
		return 0
	}
	return n
}
