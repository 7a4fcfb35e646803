package onig

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/google/go-cmp/cmp"
)

// The patterns of real files, by the name under which they are known.
var known = map[string]string{
	"gpt2":     `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
	"llama3":   `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"qwen2":    `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"o200k":    `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"tekken":   `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"deepseek": "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
	"falcon":   `[0-9][0-9][0-9]`,
	"t5":       ` {2,}`,
	"lazy":     `a.*?b|(?:x|yz){1,3}?q|(?:ab|a)+(?=b)`,
	"groups":   `(a|ab)(c|bcd)(d*)|(?:x{0,2}y){2,3}|^[^\n]|\s+$`,
}

// pieces makes text that the patterns have something to do with.
var pieces = []string{"a", "b", "ab", "x", "y", "q", "S", "T", "don't", "WE'LL", "'s", "'S", "'ſ", "'K", "é", "é", "Σ", "ǅ", "ʰ", "漢字", "かな", "한", "١٢", "1", "23", "4567", "½", "Ⅷ",
	" ", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u0085", "\u2028", "\u3000", "!", "?!", "/", "->", "_", "€", "👩‍💻", "\u0301", "\u200d", "\x00", "\x1f", ",", "."}

func randomText(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(pieces[rng.IntN(len(pieces))])
	}
	return b.String()
}

// regexp2Spans is the same cut by another engine. It folds by lower case only (no long s), so (?i:...) is written out for it.
func regexp2Spans(t *testing.T, pattern, text string) []Span {
	t.Helper()
	fold := strings.NewReplacer(`(?i:'s|'t|'re|'ve|'m|'ll|'d)`, `(?:'[sSſ]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`)
	re, err := regexp2.Compile(fold.Replace(pattern), regexp2.Multiline)
	if err != nil {
		t.Fatal(err)
	}
	offset := make([]int, 0, len(text)+1)
	for i := range text {
		offset = append(offset, i)
	}
	offset = append(offset, len(text))
	var spans []Span
	done := 0
	m, err := re.FindStringMatch(text)
	for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
		start, end := offset[m.Index], offset[m.Index+m.Length]
		if done < start {
			spans = append(spans, Span{done, start, false})
		}
		spans = append(spans, Span{start, end, true})
		done = end
	}
	if err != nil {
		t.Fatal(err)
	}
	if done < len(text) {
		spans = append(spans, Span{done, len(text), false})
	}
	return spans
}

func TestAgainstRegexp2(t *testing.T) {
	for name, pattern := range known {
		t.Run(name, func(t *testing.T) {
			re, err := Compile(pattern)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range 400 {
				text := randomText(rng, i%23)
				got, err := re.FindAll(nil, text)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(regexp2Spans(t, pattern, text), got); diff != "" {
					t.Fatalf("%q (-regexp2 +ours):\n%s", text, diff)
				}
			}
		})
	}
}

// What Oniguruma 6.9 gives through the tokenizers library, matches and what lies between them; "|" separates.
func TestOnigurumaAnswers(t *testing.T) {
	cases := []struct{ pattern, text, want string }{
		{`^`, "ab\ncd\n", "ab\n|cd\n"},
		{`$`, "ab\ncd\n", "ab|\ncd|\n"},
		{`^a`, "ab\naaa", "a|b\n|a|aa"},
		{`a{,2}`, "aaaa", "aa|aa"},
		{`a++a`, "aaaa", "aaaa"},
		{`a{1,2}+`, "aaaaa", "aaaaa"},
		{`\x41`, "A", "A"},
		{`\u0041`, "uA", "u|A"},
		{`(?i)ab|c`, "xABC", "x|AB|C"},
		{`a(?i)b|c`, "abc aBC cC", "ab|c |aB|C cC"},
		{`[a-z&&[^b]]+`, "abab", "a|b|a|b"},
		{`\p{Letter}+`, "ab1", "ab|1"},
		{`\p{^L}+`, "ab1", "ab|1"},
		{`\P{L}+`, "ab12", "ab|12"},
		{`\p{lu}`, "aA", "a|A"},
		{`\p{Uppercase_Letter}`, "aA", "a|A"},
		{`x*`, "axb", "a|x|b"},
		{`(?=b)`, "abab", "a|ba|b"},
		{`\v`, "a\vb", "a|\v|b"},
		{`\Aa`, "aa", "a|a"},
		{`\z`, "aa", "aa"},
		{`(?:ab)+`, "abab", "abab"},
		{`(?:a|b)*?c`, "abac", "abac"},
		{`[\w-]+`, "a-b c", "a-b| |c"},
		{`[a-c-e]`, "abc-de", "a|b|c|-|d|e"},
		{`a?+a`, "aa", "aa"},
		{`\#\&\-\~`, "#&-~", "#&-~"},
		{`(?!)`, "a", "a"},
		{`\p{L}{2,}?`, "abc", "ab|c"},
		{`(?i:[sdmt])+`, "sSſD", "sSſD"},
		{`(?i:k)`, "kK\u212a", "k|K|\u212a"},
		{`[\p{L}&&[^\p{Han}]]+`, "a漢b", "a|漢|b"},
	}
	for _, c := range cases {
		re, err := Compile(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		spans, err := re.FindAll(nil, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		var parts []string
		for _, s := range spans {
			if s.Start < s.End {
				parts = append(parts, c.text[s.Start:s.End])
			}
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("%s on %q: got %q, want %q", c.pattern, c.text, got, c.want)
		}
	}
}

// Each of these is refused, with a message that names what it is about.
func TestRefused(t *testing.T) {
	cases := []struct{ pattern, says string }{
		{`a(`, `")" is missing`},
		{`a)`, `")" without "("`},
		{`[a`, `"]" is missing`},
		{`[]a]`, "begins with"},
		{`[^]`, "begins with"},
		{`[a-\d]`, "range"},
		{`[z-a]`, "range"},
		{`[[:alpha:]]`, "POSIX"},
		{`*a`, "nothing to repeat"},
		{`a{`, `"{" without "}"`},
		{`a{x}`, "{n,m}"},
		{`a{2,1}`, "empty"},
		{`a{,}`, "empty"},
		{`a{2}?`, "{n}?"},
		{`a{1001}`, "1000"},
		{`(?:(?:ab){1000}){1000}`, "instructions"},
		{`(a*)*`, "may be empty"},
		{`(ab)++`, "possessive"},
		{`\1`, `\1`},
		{`\bx`, `\b`},
		{`\R`, `\R`},
		{`\pL`, "{name}"},
		{`\p{Klingon}`, "Klingon"},
		{`\p{C}`, `\p{C}`},
		{`\xFF`, `\x`},
		{`\`, "backslash"},
		{`(?<n>a)`, "(?<n"},
		{`(?<=a)b`, "(?<="},
		{`(?m:a)`, "(?m:"},
		{`(?>a)`, "(?>a"},
		{`(?i:ß)`, "(?i)"},
		{`(?i:ss)`, "full case folding"},
		{`(?i:\p{Lu})`, "(?i)"},
		{`(?=a)*`, "lookahead"},
		{"\xff", "UTF-8"},
		{strings.Repeat("(", 100), "nested"},
		{strings.Repeat("[", 100), "nested"},
		{strings.Repeat("a", maxPattern+1), "longer"},
	}
	for _, c := range cases {
		_, err := Compile(c.pattern)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: got error %v, want one with %q", c.pattern, err, c.says)
		}
	}
}

func TestStepsAreBounded(t *testing.T) {
	re, err := Compile(`(?:a|aa)+b|(?:a+a+)+c`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := re.FindAll(nil, strings.Repeat("a", 5000)); err == nil || !strings.Contains(err.Error(), "too many steps") {
		t.Errorf("got %v, want an error about too many steps", err)
	}
}

// Runs of one kind of character must cost the same per byte however long they are.
func TestLongRuns(t *testing.T) {
	for name, pattern := range known {
		re, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []string{"a", "A", " ", "\n", "1", "!", "漢", "'", "\t", "́"} {
			if name == "lazy" || name == "groups" {
				continue // made for their semantics; a.*?b is quadratic anywhere
			}
			text := strings.Repeat(piece, 200_000)
			if _, err := re.FindAll(nil, text); err != nil {
				t.Errorf("%s on a run of %q: %v", name, piece, err)
			}
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, pattern := range known {
		f.Add(pattern, "don't  1234\n漢字 'S")
	}
	f.Add(`(?i)a(?:b{0,3}|[^c-d&&\w])*?(?!\S)\x{1F600}`, "aBb😀")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 300 || len(text) > 300 || !utf8.ValidString(text) {
			return
		}
		re, err := Compile(pattern)
		if err != nil {
			return
		}
		spans, err := re.FindAll(nil, text)
		if err != nil {
			return
		}
		at := 0
		for _, s := range spans {
			if s.Start != at || s.End < s.Start || !utf8.ValidString(text[s.Start:s.End]) {
				t.Fatalf("%q on %q: spans %v do not cover the text in order", pattern, text, spans)
			}
			at = s.End
		}
		if at != len(text) {
			t.Fatalf("%q on %q: spans end at %d of %d", pattern, text, at, len(text))
		}
	})
}

func BenchmarkFindAll(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	text := randomText(rng, 1<<15)
	for _, name := range []string{"gpt2", "llama3", "o200k"} {
		re, err := Compile(known[name])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			var spans []Span
			for b.Loop() {
				spans, _ = re.FindAll(spans[:0], text)
			}
		})
	}
}
