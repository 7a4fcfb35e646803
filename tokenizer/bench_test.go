package tokenizer

import (
	"strings"
	"testing"
)

// bigText is prose, code and other scripts, with words of many lengths, up to a size.
func bigText(t testing.TB, size int) string {
	t.Helper()
	var b strings.Builder
	for b.Len() < size {
		for _, word := range []string{"The state space model reads one token a step; ", "def scan(a, b):\n    return a*h + b  # 12345\n", "Молекула — это ", "長い文章を速く読む。", "don't WE'LL ", "naïve café 👩‍💻 "} {
			b.WriteString(word)
			if b.Len()%7 == 0 {
				b.WriteString(strings.Repeat("xyz", b.Len()%41))
			}
		}
	}
	return b.String()[:size]
}

func BenchmarkEncode(b *testing.B) {
	text := bigText(b, 1<<20)
	for _, folder := range folders(b) {
		tok := load(b, folder)
		b.Run(folder, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := tok.Encode(text, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One word of a million characters: merging must not be quadratic.
func BenchmarkEncodeOneWord(b *testing.B) {
	text := strings.Repeat("abcdefghij", 100_000)
	for _, folder := range []string{"llama2", "llama3", "t5-unigram"} {
		tok := load(b, folder)
		b.Run(folder, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := tok.Encode(text, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := load(b, "llama2")
	ids, err := tok.Encode(bigText(b, 1<<20), true)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1 << 20)
	for b.Loop() {
		tok.Decode(ids, true)
	}
}
