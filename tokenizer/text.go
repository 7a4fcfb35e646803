package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const replacement = "\uFFFD"

// lossy appends b to dst as text, one U+FFFD for each maximal broken part: F0 9F 91 gives one, FF FE two, ED A0 80 three. Unless final, a beginning of a
// character at the end of b is not broken yet: it comes back as rest.
func lossy(dst, b []byte, final bool) (out, rest []byte) {
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			dst, b = append(dst, b[0]), b[1:]
			continue
		}
		have, want := sequence(b)
		if have == want {
			dst, b = append(dst, b[:have]...), b[have:]
			continue
		}
		if have == len(b) && want > 0 && !final {
			return dst, b
		}
		dst, b = append(dst, replacement...), b[max(have, 1):]
	}
	return dst, nil
}

// sequence says how many bytes of the character that begins b are there, and how many it wants; 0, 0 is a byte that begins none.
func sequence(b []byte) (have, want int) {
	low, high := byte(0x80), byte(0xBF)
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		want = 2
	case c >= 0xE0 && c <= 0xEF:
		want = 3
		if c == 0xE0 {
			low = 0xA0 // shorter forms exist
		} else if c == 0xED {
			high = 0x9F // surrogates
		}
	case c >= 0xF0 && c <= 0xF4:
		want = 4
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F // beyond U+10FFFF
		}
	default:
		return 0, -1
	}
	for have = 1; have < want && have < len(b); have++ {
		if b[have] < low || b[have] > high {
			break
		}
		low, high = 0x80, 0xBF
	}
	return have, want
}

func toValidUTF8(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	out, _ := lossy(nil, []byte(text), true)
	return string(out)
}

// isWord is \w of Rust's regex crate, which decides what single_word means.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// isPunctuation is what BertPreTokenizer and Punctuation cut at: the categories P, and ASCII's symbols with them.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r < 0x7F && !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	return unicode.Is(unicode.P, r)
}

// toLower is the lower case of one character at a time: a final sigma is not known, and only İ becomes two characters.
func toLower(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		if r == 'İ' {
			b.WriteString("i\u0307")
			continue
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// byteRunes is ByteLevel's alphabet, GPT-2's: a printable Latin-1 byte stands for itself, the others follow from U+0100 on in order.
var byteRunes = func() (table [256]rune) {
	next := rune(0x100)
	for b := range table {
		table[b] = rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			table[b] = next
			next++
		}
	}
	return table
}()

// runeBytes is the way back: the byte that a character below U+0144 stands for, or -1.
var runeBytes = func() (table [0x144]int16) {
	for r := range table {
		table[r] = -1
	}
	for b, r := range byteRunes {
		table[r] = int16(b)
	}
	return table
}()

// appendByteLevel appends text as ByteLevel writes it.
func appendByteLevel(dst []byte, text string) []byte {
	for i := range len(text) {
		dst = utf8.AppendRune(dst, byteRunes[text[i]])
	}
	return dst
}

// appendBytes appends the bytes that a byte-level token stands for. A token with any other character stands for itself.
func appendBytes(dst []byte, token string) []byte {
	before := len(dst)
	for _, r := range token {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return append(dst[:before], token...)
		}
		dst = append(dst, byte(runeBytes[r]))
	}
	return dst
}
