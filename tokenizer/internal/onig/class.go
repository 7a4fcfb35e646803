package onig

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// class reads what follows "[": ranges, shorthands, properties, nested classes, && between intersected parts.
func (p *parser) class(depth int) (*Set, error) {
	if depth > maxNesting {
		return nil, p.errorf("classes are nested deeper than %d", maxNesting)
	}
	negate := p.take("^")
	var whole *Set // what stands before the last &&
	var part []runeRange
	begin := p.at
	for {
		switch {
		case p.eof():
			return nil, p.errorf(`"]" is missing`)
		case p.src[p.at] == ']':
			if p.at == begin {
				return nil, p.errorf(`a class that is empty or begins with "]" is not supported; write \] for the character`)
			}
			p.at++
			set := newSet(part)
			if whole != nil {
				set = whole.and(set)
			}
			if negate {
				set = set.not()
			}
			return set, nil
		case p.take("&&"):
			set := newSet(part)
			if whole != nil {
				set = whole.and(set)
			}
			whole, part = set, nil
		case strings.HasPrefix(p.src[p.at:], "[:"):
			return nil, p.errorf(`a POSIX bracket "[:" is not supported; use \p{...}`)
		case p.take("["):
			set, err := p.class(depth + 1)
			if err != nil {
				return nil, err
			}
			part = append(part, set.ranges...)
		default:
			ranges, err := p.classItem()
			if err != nil {
				return nil, err
			}
			part = append(part, ranges...)
		}
	}
}

// classItem reads one character, range, shorthand or property.
func (p *parser) classItem() ([]runeRange, error) {
	low, err := p.classChar()
	if err != nil || len(low.ranges) != 1 || low.ranges[0].lo != low.ranges[0].hi {
		if err != nil {
			return nil, err
		}
		return low.ranges, nil
	}
	rest := p.src[p.at:]
	if !strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "-]") || strings.HasPrefix(rest, "-[") || strings.HasPrefix(rest, "-&&") {
		return low.ranges, nil
	}
	p.at++
	if p.eof() {
		return nil, p.errorf(`"]" is missing`)
	}
	high, err := p.classChar()
	if err != nil {
		return nil, err
	}
	from := low.ranges[0].lo
	if len(high.ranges) != 1 || high.ranges[0].lo != high.ranges[0].hi || high.ranges[0].lo < from {
		return nil, p.errorf("a range in a class does not end in a character that follows its first one")
	}
	return []runeRange{{from, high.ranges[0].lo}}, nil
}

func (p *parser) classChar() (*Set, error) {
	if p.src[p.at] == '\\' {
		return p.escape()
	}
	c, size := utf8.DecodeRuneInString(p.src[p.at:])
	p.at += size
	return newSet([]runeRange{{c, c}}), nil
}

// controls are the escapes of single control characters, with Oniguruma's meaning: \v is one character.
var controls = map[byte]rune{'t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', 'a': '\a', 'e': 0x1b}

// escape reads a backslash and what it means as a set.
func (p *parser) escape() (*Set, error) {
	if p.at+1 >= len(p.src) {
		return nil, p.errorf("the pattern ends in a backslash")
	}
	c := p.src[p.at+1]
	if r, ok := controls[c]; ok {
		p.at += 2
		return newSet([]runeRange{{r, r}}), nil
	}
	switch c {
	case 's', 'S', 'd', 'D', 'w', 'W', 'h', 'H':
		p.at += 2
		return shorthand(c), nil
	case 'p', 'P':
		return p.property()
	case 'x', 'u':
		return p.hex()
	}
	if c >= utf8.RuneSelf || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return nil, p.errorf(`\%c is not supported`, rune(c))
	}
	p.at += 2
	return newSet([]runeRange{{rune(c), rune(c)}}), nil
}

func (p *parser) property() (*Set, error) {
	rest := p.src[p.at+2:]
	end := strings.IndexByte(rest, '}')
	if !strings.HasPrefix(rest, "{") || end < 0 {
		return nil, p.errorf(`\p without {name} is not supported`)
	}
	set, err := property(rest[1:end])
	if err != nil {
		return nil, p.errorf("%v", err)
	}
	if p.src[p.at+1] == 'P' {
		set = set.not()
	}
	p.at += 2 + end + 1
	return set, nil
}

// hex reads \xHH, \x{H...} or \uHHHH.
func (p *parser) hex() (*Set, error) {
	rest := p.src[p.at+2:]
	digits, used := "", 0
	switch end := strings.IndexByte(rest, '}'); {
	case p.src[p.at+1] == 'x' && strings.HasPrefix(rest, "{") && end > 0:
		digits, used = rest[1:end], end+1
	case p.src[p.at+1] == 'x' && len(rest) >= 2:
		digits, used = rest[:2], 2
	case p.src[p.at+1] == 'u' && len(rest) >= 4:
		digits, used = rest[:4], 4
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || v > unicode.MaxRune || v >= 0xD800 && v <= 0xDFFF || used == 2 && v >= utf8.RuneSelf {
		return nil, p.errorf(`\x or \u does not give a character as \xHH (ASCII), \x{H} or \uHHHH`)
	}
	p.at += 2 + used
	return newSet([]runeRange{{rune(v), rune(v)}}), nil
}
