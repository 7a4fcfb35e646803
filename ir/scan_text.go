package ir

import (
	"fmt"
	"strings"
)

// line is one line of text being read. Its methods take one thing each off the front and record a problem where it is not there.
type line struct {
	p    *parser
	no   int    // from 1
	all  string // without the comment
	rest string
	from string // the comment
	bad  bool   // a problem has been recorded; what follows is read without complaint
}

// splitLines cuts a text into lines and separates the comments, which begin with "#" outside quotes.
func splitLines(text string) []line {
	var out []line
	for i, s := range strings.Split(text, "\n") {
		l := line{no: i + 1, all: s}
		quoted := false
		for k := 0; k < len(s); k++ {
			switch {
			case quoted && s[k] == '\\':
				k++
			case s[k] == '"':
				quoted = !quoted
			case s[k] == '#' && !quoted:
				l.all, l.from = s[:k], comment(s[k+1:])
				k = len(s)
			}
		}
		l.all = strings.TrimRight(l.all, " \t\r")
		l.rest = l.all
		l.space()
		if l.rest != "" {
			out = append(out, l)
		}
	}
	return out
}

func (l *line) space() { l.rest = strings.TrimLeft(l.rest, " \t") }

// fail records a problem at the current column.
func (l *line) fail(format string, args ...any) {
	if !l.bad {
		l.p.problem(l.no, len(l.all)-len(l.rest)+1, format, args...)
	}
	l.bad = true
}

// accept takes a token if it is next.
func (l *line) accept(token string) bool {
	l.space()
	if !strings.HasPrefix(l.rest, token) {
		return false
	}
	l.rest = l.rest[len(token):]
	return true
}

// expect takes a token that must be next.
func (l *line) expect(token string) {
	if !l.accept(token) {
		l.fail("want %q", token)
	}
}

// keyword takes a word if it is next and ends there.
func (l *line) keyword(w string) bool {
	l.space()
	if wordLen(l.rest) == len(w) && strings.HasPrefix(l.rest, w) {
		l.rest = l.rest[len(w):]
		return true
	}
	return false
}

// wordLen is the length of the letters, digits, "_" and "." at the start of s.
func wordLen(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if n < 0 {
		return len(s)
	}
	return n
}

// word takes a word, or "" if none is there.
func (l *line) word() string {
	l.space()
	n := wordLen(l.rest)
	w := l.rest[:n]
	l.rest = l.rest[n:]
	return w
}

// name takes %name.
func (l *line) name() string {
	l.expect("%")
	n := nameLen(l.rest)
	if n == 0 {
		l.fail("want a name")
	}
	w := l.rest[:n]
	l.rest = l.rest[n:]
	return w
}

// value takes what stands behind "key=": a list in brackets, or all up to the next blank.
func (l *line) value() string {
	end := strings.IndexAny(l.rest, " \t:")
	if strings.HasPrefix(l.rest, "[") {
		end = strings.IndexByte(l.rest, ']') + 1
		if end == 0 {
			l.fail("the list does not end")
		}
	}
	if end < 0 {
		end = len(l.rest)
	}
	w := l.rest[:end]
	l.rest = l.rest[end:]
	return w
}

// typ takes a type such as f32[T, 768].
func (l *line) typ() Type {
	l.space()
	at := *l
	t, ok := DTypeByName(l.word())
	if !ok {
		at.fail("want a type such as f32[T, 768]")
		l.bad = true
		return Type{}
	}
	if !strings.HasPrefix(l.rest, "[") {
		l.fail("want [ and the shape")
		return Type{}
	}
	shape, err := parseShape(l.value())
	if err != nil {
		l.fail("%v", err)
	}
	return Type{t, shape}
}

// role takes @role if it is next.
func (l *line) role() string {
	if !l.accept("@") {
		return ""
	}
	n := wordLen(l.rest)
	if n == 0 {
		l.fail("want a role such as ssm.u")
	}
	w := l.rest[:n]
	l.rest = l.rest[n:]
	return w
}

// end requires that nothing is left.
func (l *line) end() {
	l.space()
	if l.rest != "" {
		l.fail("unexpected %s", excerpt(l.rest))
	}
}

func excerpt(s string) string {
	if len(s) > 24 {
		s = s[:24] + "..."
	}
	return fmt.Sprintf("%q", s)
}
