package tokenizer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// variant is one line of testdata/variants.jsonl.gz, which testdata/make_variants.py makes: a reference tokenizer, changed, and what the library answers then.
type variant struct {
	Name, Base string
	Patch      json.RawMessage
	Cases      []struct {
		Text    string
		Pair    *string
		Special bool
		Fails   bool
		IDs     []int32
		Types   []int32
		Decode  []int32
		All     *string
		Plain   *string
	}
}

// mergePatch applies a JSON merge patch (RFC 7386).
func mergePatch(t testing.TB, value, patch json.RawMessage) json.RawMessage {
	t.Helper()
	var changes, fields map[string]json.RawMessage
	if json.Unmarshal(patch, &changes) != nil || changes == nil {
		return patch
	}
	if json.Unmarshal(value, &fields) != nil || fields == nil {
		fields = make(map[string]json.RawMessage)
	}
	for key, change := range changes {
		if isNull(change) {
			delete(fields, key)
			continue
		}
		fields[key] = mergePatch(t, fields[key], change)
	}
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVariants(t *testing.T) {
	f, err := os.Open("testdata/variants.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	base := make(map[string][]byte)
	for _, folder := range folders(t) {
		base[folder] = unzip(t, folder, "tokenizer.json")
	}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 1<<24)
	lines := 0
	for ; in.Scan(); lines++ {
		var v variant
		if err := json.Unmarshal(in.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		t.Run(v.Name+" of "+v.Base, func(t *testing.T) {
			tok, err := Parse(v.Base, mergePatch(t, base[v.Base], v.Patch))
			if err != nil {
				t.Fatal(err)
			}
			checkVariant(t, tok, v)
		})
	}
	if err := in.Err(); err != nil || lines != 124 {
		t.Errorf("%d variants and the error %v, want 124 and none", lines, err)
	}
}

func checkVariant(t *testing.T, tok *Tokenizer, v variant) {
	for i, c := range v.Cases {
		var ids, types []int32
		var err error
		if c.Pair != nil {
			ids, types, err = tok.EncodePair(c.Text, *c.Pair, c.Special)
		} else {
			ids, err = tok.Encode(c.Text, c.Special)
			types = c.Types
		}
		if (err != nil) != c.Fails {
			t.Errorf("case %d: %.80q: the error is %v, and it fails in the library: %v", i, c.Text, err, c.Fails)
		}
		if c.Fails {
			continue
		}
		if diff := cmp.Diff(c.IDs, append([]int32{}, ids...)); diff != "" {
			t.Errorf("case %d: %.200q (-library +ours):\n%s", i, c.Text, diff)
		}
		if diff := cmp.Diff(c.Types, append([]int32{}, types...)); diff != "" {
			t.Errorf("case %d: types (-library +ours):\n%s", i, diff)
		}
		checkDecode(t, tok, "case", i, c.Decode, false, c.All)
		checkDecode(t, tok, "case", i, c.Decode, true, c.Plain)
	}
}

// Parsing must not depend on the order in which a map is walked: neither ids nor messages.
func TestDeterministic(t *testing.T) {
	broken := mergePatch(t, unzip(t, "byte-level", "tokenizer.json"), json.RawMessage(`{"model": {"vocab": {"a": 7, "b": 7, "c": -1, "d": 8}}}`))
	var first []byte
	for range 5 {
		_, err := Parse("tokenizer.json", broken)
		if err == nil {
			t.Fatal("doubled and negative ids are accepted")
		}
		if first == nil {
			first = []byte(err.Error())
		}
		if !bytes.Equal(first, []byte(err.Error())) {
			t.Errorf("two parses of one file say\n%s\nand\n%v", first, err)
		}
	}
}
