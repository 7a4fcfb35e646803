package tokenizer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The folders of testdata/reference hold small trained tokenizers with the structure of real ones, and what the tokenizers library (0.23.3) answers.
const reference = "testdata/reference"

// folders lists them.
func folders(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(reference)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 13 {
		t.Fatalf("%d folders in %s, want 13", len(names), reference)
	}
	return names
}

func unzip(t testing.TB, folder, file string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join(reference, folder, file+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func load(t testing.TB, folder string) *Tokenizer {
	t.Helper()
	tok, err := Parse(folder+"/tokenizer.json", unzip(t, folder, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// eachLine decodes a .jsonl file line by line.
func eachLine[T any](t *testing.T, folder, file string, use func(line int, v T)) (lines int) {
	t.Helper()
	in := bufio.NewScanner(bytes.NewReader(unzip(t, folder, file)))
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		lines++
		var v T
		if err := json.Unmarshal(in.Bytes(), &v); err != nil {
			t.Fatalf("%s/%s:%d: %v", folder, file, lines, err)
		}
		use(lines, v)
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

type encodeCase struct {
	Text    string
	Special bool `json:"add_special_tokens"`
	IDs     []int32
	Tokens  []string
	All     *string `json:"decoded"`
	Plain   *string `json:"decoded_skip_special"`
}

func TestReferenceCases(t *testing.T) {
	for _, folder := range folders(t) {
		t.Run(folder, func(t *testing.T) {
			tok := load(t, folder)
			lines := eachLine(t, folder, "cases.jsonl", func(line int, c encodeCase) {
				ids, err := tok.Encode(c.Text, c.Special)
				if err != nil {
					t.Errorf("cases.jsonl:%d: %v", line, err)
					return
				}
				if diff := cmp.Diff(c.IDs, append([]int32{}, ids...)); diff != "" {
					t.Errorf("cases.jsonl:%d: %.60q (-library +ours):\n%s", line, c.Text, diff)
				}
				checkTokens(t, tok, line, c)
				checkDecode(t, tok, "cases.jsonl", line, c.IDs, false, c.All)
				checkDecode(t, tok, "cases.jsonl", line, c.IDs, true, c.Plain)
			})
			if lines != 432 {
				t.Errorf("%d cases, want 432", lines)
			}
		})
	}
}

// checkTokens compares the tokens' strings. The library shows the text that was found where that differs from the vocabulary: added tokens with the blanks they took, unknown stretches.
func checkTokens(t *testing.T, tok *Tokenizer, line int, c encodeCase) {
	t.Helper()
	for i, id := range c.IDs {
		token, ok := tok.Token(id)
		_, added := tok.added.byID[id]
		_, known := tok.vocab.ids[c.Tokens[i]]
		if !ok || token != c.Tokens[i] && !added && known {
			t.Errorf("cases.jsonl:%d: id %d is %q, want %q", line, id, token, c.Tokens[i])
		}
		if back, ok := tok.ID(token); !ok || back != id {
			t.Errorf("cases.jsonl:%d: ID(Token(%d)) is %d", line, id, back)
		}
	}
}

// checkDecode compares Decode with the library, and the stream with Decode. want is nil where the library's versions differ.
func checkDecode(t *testing.T, tok *Tokenizer, file string, line int, ids []int32, skip bool, want *string) {
	t.Helper()
	got := tok.Decode(ids, skip)
	if want != nil && got != *want {
		t.Errorf("%s:%d: Decode(%v, %v) is %q, want %q", file, line, ids, skip, got, *want)
	}
	var parts strings.Builder
	s := tok.NewStream(skip)
	for _, id := range ids {
		part := s.Next(id)
		if strings.ToValidUTF8(part, "") != part {
			t.Errorf("%s:%d: the stream gives %q, which is cut inside a character", file, line, part)
		}
		parts.WriteString(part)
	}
	parts.WriteString(s.Flush())
	if parts.String() != got {
		t.Errorf("%s:%d: the stream gives %q, Decode %q", file, line, parts.String(), got)
	}
}

func TestReferenceDecode(t *testing.T) {
	for _, folder := range folders(t) {
		t.Run(folder, func(t *testing.T) {
			tok := load(t, folder)
			eachLine(t, folder, "decode.jsonl", func(line int, c struct {
				IDs     []int32
				Skip    bool `json:"skip_special_tokens"`
				Decoded string
			}) {
				checkDecode(t, tok, "decode.jsonl", line, c.IDs, c.Skip, &c.Decoded)
			})
		})
	}
}

func TestReferencePairs(t *testing.T) {
	with := 0
	for _, folder := range folders(t) {
		if _, err := os.Stat(filepath.Join(reference, folder, "pairs.jsonl.gz")); errors.Is(err, fs.ErrNotExist) {
			continue // its post-processor has no form for pairs
		}
		with++
		t.Run(folder, func(t *testing.T) {
			tok := load(t, folder)
			eachLine(t, folder, "pairs.jsonl", func(line int, c struct {
				Text, Pair string
				Special    bool `json:"add_special_tokens"`
				IDs        []int32
				Types      []int32 `json:"type_ids"`
			}) {
				ids, types, err := tok.EncodePair(c.Text, c.Pair, c.Special)
				if err != nil {
					t.Errorf("pairs.jsonl:%d: %v", line, err)
				}
				if diff := cmp.Diff(c.IDs, append([]int32{}, ids...)); diff != "" {
					t.Errorf("pairs.jsonl:%d: ids (-library +ours):\n%s", line, diff)
				}
				if diff := cmp.Diff(c.Types, append([]int32{}, types...)); diff != "" {
					t.Errorf("pairs.jsonl:%d: types (-library +ours):\n%s", line, diff)
				}
			})
		})
	}
	if with != 8 {
		t.Errorf("%d folders with pairs, want 8", with)
	}
}
