package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/internal/goldentest"
)

func TestMain(m *testing.M) {
	goldentest.Parse()
	os.Exit(m.Run())
}

// small is what the cases of testdata/parse change by merge patches.
const small = `{
	"version": "1.0",
	"added_tokens": [
		{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
		{"id": 6, "content": "<x>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false}
	],
	"normalizer": {"type": "Lowercase"},
	"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
	"post_processor": {
		"type": "TemplateProcessing",
		"single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
		"pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
		"special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}
	},
	"decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
	"model": {"type": "BPE", "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4, "<unk>": 5}, "merges": ["a b"]}
}`

// TestParse: "patch" changes the small tokenizer, "file" is one of its own. The output is the ids of "ab a<x>b" or the error.
func TestParse(t *testing.T) {
	datadriven.RunTest(t, "testdata/parse", func(t *testing.T, d *datadriven.TestData) string {
		data := []byte(d.Input)
		if d.Cmd == "patch" {
			data = mergePatch(t, json.RawMessage(small), data)
		}
		tok, err := Parse("tokenizer.json", data)
		if err != nil {
			return err.Error() + "\n"
		}
		ids, err := tok.Encode("ab a<x>b", true)
		if err != nil {
			return "encode: " + err.Error() + "\n"
		}
		return fmt.Sprintln(ids, tok.VocabSize())
	})
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(`{"model": {"type": "WordLevel"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), path+": model.type: WordLevel") {
		t.Errorf("the error does not begin with file, field and name: %v", err)
	}
}

// FuzzParse: nothing in a file may bring down Parse, or Encode and Decode of what it accepted.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	for _, patch := range []string{
		`{"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\s+|[a-c]{2}"}, "behavior": "MergedWithNext", "invert": true}, {"type": "Digits", "individual_digits": true}, {"type": "Punctuation"}]}}`,
		`{"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}, {"type": "Prepend", "prepend": "▁"}]}}`,
		`{"normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"}}`,
		`{"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}, "decoder": {"type": "Metaspace", "replacement": "▁"}}`,
		`{"decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}, {"type": "WordPiece", "prefix": "##", "cleanup": true}]}}`,
		`{"model": {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}}`,
		`{"model": {"type": "Unigram", "unk_id": 2, "byte_fallback": true, "vocab": [["<s>", 0], ["a", -1.5], ["<unk>", -2], ["<0x62>", -9], ["x", 0], ["y", 1e9]]}}`,
		`{"model": {"unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "ignore_merges": true}, "post_processor": {"type": "RobertaProcessing", "sep": ["<s>", 0], "cls": ["<s>", 0]}}`,
	} {
		f.Add([]byte(mergePatch(f, json.RawMessage(small), json.RawMessage(patch))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse("tokenizer.json", data)
		if err != nil {
			return
		}
		for _, text := range []string{"", "ab a<x>b <s> 12\n\n▁漢 é'S", "\xff\xf0\x9f"} {
			ids, err := tok.Encode(text, true)
			if err != nil {
				continue
			}
			tok.Decode(append(ids, -1, 1<<30), false)
			if _, _, err := tok.EncodePair(text, text, false); err != nil {
				t.Errorf("%q encodes alone, but not in a pair: %v", text, err)
			}
		}
	})
}

// FuzzEncode: every text has ids of the vocabulary, and they decode, in one piece and as a stream, to the same.
func FuzzEncode(f *testing.F) {
	var toks []*Tokenizer
	for _, folder := range folders(f) {
		toks = append(toks, load(f, folder))
	}
	for i, text := range []string{"", "don't  WE'LL 1234\r\n", "é漢字한 👩‍💻▁<0x41>", "<s> <mask> tool_call <|end|>", "\xff\xed\xa0\x80a", strings.Repeat("e\u0301\u0323", 40)} {
		f.Add(text, byte(i))
	}
	f.Fuzz(func(t *testing.T, text string, which byte) {
		tok := toks[int(which)%len(toks)]
		ids, err := tok.Encode(text, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if token, ok := tok.Token(id); !ok || int(id) >= tok.VocabSize() {
				t.Fatalf("%q: the id %d is %q of %d", text, id, token, tok.VocabSize())
			}
		}
		checkDecode(t, tok, "stream", 0, ids, which&128 != 0, nil)
		if bytes := toks[2]; tok == bytes { // byte-level: nothing is lost
			if got := tok.Decode(ids, false); got != toValidUTF8(text)+"</s>" {
				t.Fatalf("%q comes back as %q", text, got)
			}
		}
	})
}
