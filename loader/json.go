package loader

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may nest. Real files use four levels.
const maxDepth = 64

// scanner walks JSON text in place. It is stricter than encoding/json where leniency hides damage (a duplicate key, text that
// is not UTF-8, half of a surrogate pair), limits depth, and builds nothing: the caller takes what it wants in callbacks.
// So the memory used is what the caller keeps, not a tree of thirty times the text.
type scanner struct {
	data   []byte
	pos    int
	depth  int
	floats bool // also accept the bare tokens Infinity, -Infinity and NaN, which Python writes into config.json
}

// syntaxError says what is wrong at which byte.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.at, e.what) }

func (s *scanner) failAt(at int, format string, args ...any) error {
	return &syntaxError{at: at, what: fmt.Sprintf(format, args...)}
}

// found describes what stands at the position, for messages.
func (s *scanner) found() string {
	if s.pos >= len(s.data) {
		return "the end"
	}
	return fmt.Sprintf("%q", rune(s.data[s.pos]))
}

func (s *scanner) fail(expected string) error {
	return s.failAt(s.pos, "expected %s, found %s", expected, s.found())
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// eat skips space and takes c if it comes next.
func (s *scanner) eat(c byte) bool {
	s.space()
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// end is an error if anything but space is left.
func (s *scanner) end() error {
	s.space()
	if s.pos < len(s.data) {
		return s.fail("the end")
	}
	return nil
}

func (s *scanner) enter(open byte) error {
	if !s.eat(open) {
		return s.fail(strconv.QuoteRune(rune(open)))
	}
	if s.depth++; s.depth > maxDepth {
		return s.failAt(s.pos-1, "nested deeper than %d levels", maxDepth)
	}
	return nil
}

// object walks an object. member is called at each value, with the key and the byte where the key stands, and must consume the value.
func (s *scanner) object(member func(key string, at int) error) error {
	if err := s.enter('{'); err != nil {
		return err
	}
	var keys keySet
	for closed := s.eat('}'); !closed; {
		s.space()
		at := s.pos
		key, err := s.str()
		if err != nil {
			return err
		}
		if !keys.add(key) {
			return s.failAt(at, "the key %s occurs twice", quote(key))
		}
		if !s.eat(':') {
			return s.fail("':'")
		}
		s.space()
		if err := member(key, at); err != nil {
			return err
		}
		if closed = s.eat('}'); !closed && !s.eat(',') {
			return s.fail("',' or '}'")
		}
	}
	s.depth--
	return nil
}

// array walks an array. item is called at each value and must consume it.
func (s *scanner) array(item func() error) error {
	if err := s.enter('['); err != nil {
		return err
	}
	for closed := s.eat(']'); !closed; {
		s.space()
		if err := item(); err != nil {
			return err
		}
		if closed = s.eat(']'); !closed && !s.eat(',') {
			return s.fail("',' or ']'")
		}
	}
	s.depth--
	return nil
}

// keySet finds duplicate keys. Most objects of a hostile file have one key or none, so the map waits for the second.
type keySet struct {
	first string
	some  bool
	rest  map[string]bool
}

// add says whether key is new.
func (k *keySet) add(key string) bool {
	switch {
	case !k.some:
		k.first, k.some = key, true
		return true
	case key == k.first || k.rest[key]:
		return false
	case k.rest == nil:
		k.rest = make(map[string]bool)
	}
	k.rest[key] = true
	return true
}

// skip validates a value of any kind and passes over it.
func (s *scanner) skip() error {
	if s.pos >= len(s.data) {
		return s.fail("a value")
	}
	switch s.data[s.pos] {
	case '{':
		return s.object(func(string, int) error { return s.skip() })
	case '[':
		return s.array(s.skip)
	case '"':
		_, err := s.str()
		return err
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if s.word(word) {
			return nil
		}
	}
	_, err := s.number()
	return err
}

// word takes the literal if it comes next.
func (s *scanner) word(word string) bool {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return false
	}
	s.pos += len(word)
	return true
}

// number takes a number and gives its text.
func (s *scanner) number() (string, error) {
	start := s.pos
	if s.floats && (s.word("Infinity") || s.word("-Infinity") || s.word("NaN")) {
		return string(s.data[start:s.pos]), nil
	}
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}
	if zero := s.pos; s.digits() == 0 {
		return "", s.fail("a value")
	} else if s.data[zero] == '0' && s.pos > zero+1 {
		return "", s.failAt(zero, "a number begins with 0")
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if s.digits() == 0 {
			return "", s.fail("a digit")
		}
	}
	if s.pos < len(s.data) && (s.data[s.pos] == 'e' || s.data[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return "", s.fail("a digit")
		}
	}
	return string(s.data[start:s.pos]), nil
}

// digits passes over digits and counts them.
func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// str takes a string and gives what it stands for.
func (s *scanner) str() (string, error) {
	if s.pos >= len(s.data) || s.data[s.pos] != '"' {
		return "", s.fail("a string")
	}
	open := s.pos
	s.pos++
	var decoded []byte // only if there is an escape
	plain := s.pos     // where the text that is not yet in decoded begins
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			text := s.data[plain:s.pos]
			if decoded != nil {
				text = append(decoded, text...)
			}
			s.pos++
			if !utf8.Valid(text) {
				return "", s.failAt(open, "the string is not UTF-8")
			}
			return string(text), nil
		case c == '\\':
			decoded = append(decoded, s.data[plain:s.pos]...)
			var err error
			if decoded, err = s.escape(decoded); err != nil {
				return "", err
			}
			plain = s.pos
		case c < 0x20:
			return "", s.failAt(s.pos, "a control character in a string")
		default:
			s.pos++
		}
	}
	return "", s.failAt(open, "the string does not end")
}

// escape decodes the escape at the position and appends what it stands for.
func (s *scanner) escape(decoded []byte) ([]byte, error) {
	at := s.pos
	if s.pos+1 >= len(s.data) {
		return nil, s.failAt(at, "the string does not end")
	}
	c := s.data[s.pos+1]
	s.pos += 2
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
		return append(decoded, "\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return nil, s.failAt(at, "unknown escape \\%s", strconv.QuoteRune(rune(c)))
	}
	r, ok := s.hex4()
	if ok && utf16.IsSurrogate(r) {
		ok = s.word(`\u`)
		if ok {
			var low rune
			low, ok = s.hex4()
			r = utf16.DecodeRune(r, low)
			ok = ok && r != utf8.RuneError
		}
	}
	if !ok {
		return nil, s.failAt(at, "a \\u escape that is no character")
	}
	return utf8.AppendRune(decoded, r), nil
}

// hex4 takes the four digits of a \u escape.
func (s *scanner) hex4() (rune, bool) {
	if s.pos+4 > len(s.data) {
		return 0, false
	}
	var r rune
	for _, c := range s.data[s.pos : s.pos+4] {
		digit := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
		if digit < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	s.pos += 4
	return r, true
}
