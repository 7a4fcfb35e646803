package tokenizer

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
)

// Rust's lossy conversion, which ByteLevel's decoder is: one U+FFFD for each maximal broken part.
func TestLossy(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"abc":                      "abc",
		"\xF0\x9F\x91":             "\uFFFD",
		"\xFF\xFE":                 "\uFFFD\uFFFD",
		"\xED\xA0\x80":             "\uFFFD\uFFFD\uFFFD",
		"\xE2\x28\xA1":             "\uFFFD(\uFFFD",
		"\xC0\x80":                 "\uFFFD\uFFFD",
		"\xE0\x80\x80":             "\uFFFD\uFFFD\uFFFD",
		"\xF4\x90\x80\x80":         "\uFFFD\uFFFD\uFFFD\uFFFD",
		"\xF4\x8F\xBF\xBF":         "\U0010FFFF",
		"a\xC3b\xC3\xA9":           "a\uFFFDbé",
		"\xF0\x9F\x91\xF0\x9F\x91": "\uFFFD\uFFFD",
	} {
		if got := toValidUTF8(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
		// Byte by byte, as a stream gets it.
		var out, pending []byte
		for i := range len(in) {
			out, pending = lossy(out, append(pending, in[i]), false)
			pending = append([]byte(nil), pending...)
		}
		if out, _ = lossy(out, pending, true); string(out) != want {
			t.Errorf("%q becomes %q byte by byte, want %q", in, out, want)
		}
	}
}

func TestByteAlphabet(t *testing.T) {
	seen := make(map[rune]bool)
	for b := range 256 {
		visible := appendByteLevel(nil, string([]byte{byte(b)}))
		if back := appendBytes(nil, string(visible)); len(back) != 1 || back[0] != byte(b) {
			t.Errorf("byte %#x is written %q and read %q", b, visible, back)
		}
		seen[byteRunes[b]] = true
	}
	if len(seen) != 256 || byteRunes[' '] != 'Ġ' || byteRunes['\n'] != 'Ċ' {
		t.Errorf("the alphabet has %d characters, blank is %q, newline %q", len(seen), byteRunes[' '], byteRunes['\n'])
	}
	if got := string(appendBytes([]byte("x"), "a▁")); got != "xa▁" {
		t.Errorf("a token with other characters becomes %q", got)
	}
}

// Behind 30 marks package norm would put U+034F. The short and the long way must agree where both can be used.
func TestNormalForms(t *testing.T) {
	long := "e" + strings.Repeat("\u0301", 40) + "\u0323"
	n := normText{text: long}
	if err := normalForm(norm.NFC)(&n); err != nil {
		t.Fatal(err)
	}
	if want := "\u1EB9" + strings.Repeat("\u0301", 40); n.text != want {
		t.Errorf("NFC of a long run is %+q, want %+q", n.text, want)
	}
	for _, text := range []string{"", "a", "é", "e\u0301", "\u0344", "\u0958", "\uFB1D", "\u1E9B\u0323", "각", "각", "ﬁ①", "\U0001D15E", "q\u0307\u0323", "\u09C7\u09BE", "a\u0315\u0300\u05AE\u0300\u0062", "\u2126\u212B"} {
		for _, form := range []norm.Form{norm.NFC, norm.NFD, norm.NFKC, norm.NFKD} {
			if got, want := normalizeSlowly(form, text), form.String(text); got != want {
				t.Errorf("form %d of %+q is %+q, want %+q", form, text, got, want)
			}
		}
	}
}

// In added-tokens, "->" takes the blanks around it and "\n\n" those before it: both want the same newlines.
func TestAddedTokensOverlap(t *testing.T) {
	tok := load(t, "added-tokens")
	for text, want := range map[string][]string{
		"a->\n\nb":      {"Ġa", "->", "Ġb"},
		"a  ->  b":      {"Ġa", "  ", "->", "  ", "Ġb"}, // the second "  " begins in what "->" took, and comes out all the same
		"<tool><call>":  {"<tool><call>"},
		"cat catx _cat": {"cat", "Ġc", "at", "x", "Ġ_", "c", "at"},
	} {
		ids, err := tok.Encode(text, true)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range ids {
			token, _ := tok.Token(id)
			got = append(got, token)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// A normalized added token decodes to its content, and is skipped if it is special; the library's versions differ there.
func TestNormalizedTokenDecodes(t *testing.T) {
	tok := load(t, "sp-unknown")
	id, ok := tok.ID("<sep>")
	if !ok {
		t.Fatal("no <sep>")
	}
	if got := tok.Decode([]int32{id}, false); got != "<sep>" {
		t.Errorf("it decodes to %q", got)
	}
	if got := tok.Decode([]int32{id}, true); got != "" {
		t.Errorf("it is not skipped: %q", got)
	}
}

func TestStreamIsReusedAndPrompt(t *testing.T) {
	tok := load(t, "llama3")
	ids, err := tok.Encode("hello 👩 world", false)
	if err != nil {
		t.Fatal(err)
	}
	s := tok.NewStream(true)
	for range 2 {
		var parts []string
		for _, id := range ids {
			if part := s.Next(id); part != "" {
				parts = append(parts, part)
			}
		}
		if rest := s.Flush(); rest != "" {
			t.Errorf("%q came only at the end", rest)
		}
		if len(parts) < 4 || strings.Join(parts, "") != "hello 👩 world" {
			t.Errorf("the parts are %q", parts)
		}
	}
}

// An unknown id is left out; a token cut inside a character shows as U+FFFD at the end.
func TestDecodeOddIDs(t *testing.T) {
	tok := load(t, "byte-level")
	if got := tok.Decode([]int32{-1, 3 + 'a', 1 << 30, 3 + 0xF0, 3 + 0x9F}, false); got != "a\uFFFD" {
		t.Errorf("got %q", got)
	}
	if _, ok := tok.Token(-1); ok {
		t.Error("-1 has a token")
	}
	if _, ok := tok.ID("no such token"); ok {
		t.Error("an unknown token has an id")
	}
	if tok.VocabSize() != 259 {
		t.Errorf("the vocabulary has %d tokens, want 259", tok.VocabSize())
	}
}

// Many goroutines may use one Tokenizer (run with -race).
func TestConcurrentUse(t *testing.T) {
	tok := load(t, "qwen2")
	text := bigText(t, 5000)
	want, err := tok.Encode(text, true)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := tok.Encode(text, true)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	group.Wait()
}

// A pattern from a file may need exponentially many steps; Encode says so and does not hang.
func TestPatternOutOfSteps(t *testing.T) {
	patch := json.RawMessage(`{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?:a|aa)+x"}, "behavior": "Isolated", "invert": false}}`)
	tok, err := Parse("tokenizer.json", mergePatch(t, json.RawMessage(small), patch))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Encode(strings.Repeat("a", 10_000), true); err == nil || !strings.Contains(err.Error(), "(?:a|aa)+x") {
		t.Errorf("got the error %v, want one that names the pattern", err)
	}
}
