package loader

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// one makes a safetensors file of U8 tensors of one byte.
func one(names ...string) []byte {
	var header []string
	for i, name := range names {
		header = append(header, fmt.Sprintf(`"%s":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}`, name, i, i+1))
	}
	return container("{"+strings.Join(header, ",")+"}", make([]byte, len(names))...)
}

// index makes an index of pairs "tensor", "file".
func index(pairs ...string) []byte {
	var entries []string
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, fmt.Sprintf("%q: %q", pairs[i], pairs[i+1]))
	}
	return []byte(`{"metadata": {"total_size": 1}, "weight_map": {` + strings.Join(entries, ", ") + "}}")
}

func TestOpenSingle(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "config.json", []byte(`{"hidden_size": 8, "eos_token_id": 3}`))
	weights := place(t, dir, "model.safetensors", one("b", "a"))
	for _, path := range []string{dir, weights} {
		c, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a", "b"}, c.Names); diff != "" || c.Dir != dir || c.Config.Int("hidden_size", 0) != 8 || c.Bytes() != 2 || len(c.Files()) != 1 {
			t.Errorf("%s: %v in %s, %d bytes in %d files", path, c.Names, c.Dir, c.Bytes(), len(c.Files()))
		}
		if tensor, ok := c.Tensor("b"); !ok || tensor.Name != "b" || tensor.File != weights {
			t.Errorf("tensor b: %v, %v", tensor, ok)
		}
		if diff := cmp.Diff([]int{3}, c.EndTokens()); diff != "" {
			t.Error(diff)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	}
}

func TestOpenSharded(t *testing.T) {
	dir := t.TempDir()
	elsewhere := place(t, t.TempDir(), "blob", one("c"))
	files := map[string][]byte{
		"config.json":            []byte(`{"eos_token_id": 3}`),
		"generation_config.json": []byte(`{"eos_token_id": [4, 5]}`),
		"model.safetensors.index.json": index("a", "model-00001-of-00002.safetensors",
			"b", "model-00001-of-00002.safetensors", "c", "model-00002-of-00002.safetensors"),
		"model-00001-of-00002.safetensors": one("a", "b"),
	}
	for name, data := range files {
		place(t, dir, name, data)
	}
	// As in Hugging Face's cache: the file is a symbolic link to a blob.
	if err := os.Symlink(elsewhere, filepath.Join(dir, "model-00002-of-00002.safetensors")); err != nil {
		t.Fatal(err)
	}
	files["model-00002-of-00002.safetensors"] = one("c")
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if diff := cmp.Diff([]string{"a", "b", "c"}, c.Names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{4, 5}, c.EndTokens()); diff != "" {
		t.Error(diff)
	}
	for _, name := range c.Names {
		tensor, _ := c.Tensor(name)
		c.Release(tensor)
	}
	var want []Source
	for _, name := range []string{"config.json", "generation_config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"} {
		sum := sha256.Sum256(files[name])
		want = append(want, Source{name, int64(len(files[name])), hex.EncodeToString(sum[:])})
	}
	got, err := c.Sources(context.Background())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("sources: %v\n%s", err, diff)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Sources(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("sources of a cancelled context: %v", err)
	}
}

const (
	fixIndex  = "\n  fix: index and shards are not of one checkpoint: get them again"
	fixShard  = "\n  fix: the index is wrong or hostile: get it again from the model's page"
	fixPath   = "\n  fix: check the path"
	indexPath = "zz/model.safetensors.index.json"
)

func TestOpenErrors(t *testing.T) {
	type files map[string][]byte
	config := []byte("{}")
	tests := []struct {
		name  string
		files files
		links map[string]string
		want  string
	}{
		{"empty folder", files{}, nil, "zz/config.json: is missing" + fixOf + "put the model's config.json beside its weights\n" +
			"zz: has neither model.safetensors nor model.safetensors.index.json" + fixOf + "give the folder that holds config.json and the weights as safetensors"},
		{"PyTorch only", files{"config.json": config, "pytorch_model.bin": {1}}, nil,
			"zz: has neither model.safetensors nor model.safetensors.index.json; pytorch_model.bin is a PyTorch file, which ssmc does not read" + fixOf + fixConvert("pytorch_model.bin")},
		{"another name", files{"config.json": config, "weights.safetensors": one("a"), "a.bin": {1}}, nil,
			"zz: has neither model.safetensors nor model.safetensors.index.json" + fixOf + "if the weights are in weights.safetensors, give that file: zz/weights.safetensors"},
		{"every file wrong", files{"config.json": []byte("{"), "generation_config.json": []byte("["), "model.safetensors": nil}, nil,
			"zz/config.json: line 1, column 2: expected a string, found the end\n" +
				"zz/generation_config.json: line 1, column 1: expected '{', found '['" + fixOf + "the file must be one JSON object; correct it, or get it again\n" +
				"zz/model.safetensors: the file is empty (0 bytes)" + fixOf + fixDamaged},
		{"shard missing", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors", "b", "b.safetensors"), "a.safetensors": one("a")}, nil,
			"zz/b.safetensors: no such file or folder" + fixPath},
		{"two shards damaged", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors", "b", "b.safetensors"), "a.safetensors": nil, "b.safetensors": {1}}, nil,
			"zz/a.safetensors: the file is empty (0 bytes)\nzz/b.safetensors: the file has 1 bytes, the length of the header alone needs 8" + fixOf + fixDamaged},
		{"tensor not in its shard", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors", "b", "a.safetensors"), "a.safetensors": one("a")}, nil,
			indexPath + `: tensor "b" is not in a.safetensors` + fixIndex},
		{"tensor not in the index", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors"), "a.safetensors": one("a", "b")}, nil,
			`zz/a.safetensors: tensor "b": is not in model.safetensors.index.json` + fixIndex},
		{"tensor in another shard", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors", "b", "a.safetensors", "c", "c.safetensors"),
			"a.safetensors": one("a"), "c.safetensors": one("b", "c")}, nil,
			`zz/c.safetensors: tensor "b": should be in "a.safetensors", as model.safetensors.index.json says` + fixIndex},
		{"tensor in two shards", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors", "c", "c.safetensors"),
			"a.safetensors": one("a"), "c.safetensors": one("a", "c")}, nil,
			`zz/c.safetensors: tensor "a": is also in zz/a.safetensors` + fixOf + "the shards are not of one checkpoint: get them again"},
		{"shards outside", files{"config.json": config, "model.safetensors.index.json": index("a", "../a.safetensors", "b", "/etc/passwd", "c", "..", "d", "", "e", `x\a.safetensors`)}, nil,
			indexPath + `: tensor "a" is in file "../a.safetensors", which is not a plain file name (byte 47)` + "\n" +
				indexPath + `: tensor "b" is in file "/etc/passwd", which is not a plain file name (byte 72)` + "\n" +
				indexPath + `: tensor "c" is in file "..", which is not a .safetensors file (byte 92)` + "\n" +
				indexPath + `: tensor "d" is in file "", which is not a .safetensors file (byte 103)` + "\n" +
				indexPath + `: tensor "e" is in file "x\\a.safetensors", which is not a plain file name (byte 112)` + fixShard},
		{"index twice", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors", "a", "a.safetensors")}, nil,
			indexPath + `: line 1, column 70: the key "a" occurs twice` + fixOf + "the file must be one JSON object; correct it, or get it again"},
		{"index without map", files{"config.json": config, "model.safetensors.index.json": []byte(`{"metadata": {}}`)}, nil,
			indexPath + `: "weight_map" is missing or empty` + fixOf + "get the index again from the model's page"},
		{"index of depth", files{"config.json": config, "model.safetensors.index.json": []byte(`{"metadata": ` + strings.Repeat("[", 1<<20))}, nil,
			indexPath + ": line 1, column 77: nested deeper than 64 levels" + fixOf + "the file must be one JSON object; correct it, or get it again"},
		{"link in a loop", files{"config.json": config}, map[string]string{"model.safetensors": "other", "other": "model.safetensors"},
			"zz/model.safetensors: its symbolic links form a loop" + fixOf + "replace the link by the file that it should point to"},
		{"link to nothing", files{"config.json": config}, map[string]string{"model.safetensors": "nothing"}, "zz/model.safetensors: no such file or folder" + fixPath},
		{"link to a folder", files{"config.json": config}, map[string]string{"model.safetensors": "."},
			"zz/model.safetensors: is not a regular file" + fixOf + "give a file, or a checkpoint's folder"},
		{"config in a loop", files{"model.safetensors": one("a")}, map[string]string{"config.json": "config.json"},
			"zz/config.json: its symbolic links form a loop" + fixOf + "replace the link by the file that it should point to"},
		{"shard in a loop", files{"config.json": config, "model.safetensors.index.json": index("a", "a.safetensors")}, map[string]string{"a.safetensors": "a.safetensors"},
			"zz/a.safetensors: its symbolic links form a loop" + fixOf + "replace the link by the file that it should point to"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range test.files {
				place(t, dir, name, data)
			}
			for name, target := range test.links {
				if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Open(dir)
			if diff := cmp.Diff(test.want, strings.ReplaceAll(message(err), dir, "zz")); diff != "" || c != nil {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenWrongPath(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.safetensors")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	place(t, dir, "config.json", []byte("{}"))
	for path, want := range map[string]string{
		filepath.Join(dir, "nothing"):                                   "no such file or folder" + fixPath,
		place(t, dir, "model-00001-of-00002.safetensors", nil):          "is one shard of a checkpoint" + fixOf + "give the folder: " + dir,
		filepath.Join(dir, "config.json"):                               "holds no weights" + fixOf + "give the folder: " + dir,
		place(t, dir, "pytorch_model.bin", nil):                         "is not a safetensors file" + fixOf + fixConvert("pytorch_model.bin"),
		pipe:                                                            "is not a regular file" + fixOf + "give a file, or a checkpoint's folder",
		place(t, dir, "model.safetensors.index.json", []byte("{}")):     "holds no weights" + fixOf + "give the folder: " + dir,
		place(t, dir, "other.safetensors", []byte("12345678")) + "/sub": "not a directory",
	} {
		if c, err := Open(path); message(err) != path+": "+want || c != nil {
			t.Errorf("%s: error %q, want %q", path, message(err), want)
		}
	}
}

func TestWant(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "config.json", []byte("{}"))
	ids := Tensor{Name: "ids", DType: I64, Shape: []int{1}, Data: make([]byte, 8)}
	if err := Write(filepath.Join(dir, "model.safetensors"), []Tensor{f32Tensor(t, "w", make([]float32, 6), 2, 3), ids}, nil); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var problems Problems
	if w, ok := c.Want(&problems, "w", 2, 3); !ok || w.Name != "w" || problems.Len() != 0 {
		t.Errorf("w: %v, %v, %v", w, ok, problems.Err())
	}
	for _, ok := range []bool{
		func() bool { _, ok := c.Want(&problems, "w", 3, 2); return ok }(),
		func() bool { _, ok := c.Want(&problems, "ids", 1); return ok }(),
		func() bool { _, ok := c.Want(&problems, "v", 1); return ok }(),
	} {
		if ok {
			t.Error("a wrong tensor is what was wanted")
		}
	}
	want := `zz/model.safetensors: tensor "w": has shape [2 3], config.json implies [3 2]` + fixOf + fixNames + "\n" +
		`zz/model.safetensors: tensor "ids": has dtype I64, a float is needed` + fixOf + fixDType + "\n" +
		`zz: tensor "v": is missing` + fixOf + fixNames
	if diff := cmp.Diff(want, strings.ReplaceAll(message(problems.Err()), dir, "zz")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The checkpoints that the other packages test with open, whole or in shards, and every float in them is finite.
func TestOpenRealLayouts(t *testing.T) {
	configs, err := filepath.Glob("../golden/testdata/*/config.json")
	if err != nil || len(configs) < 3 {
		t.Fatalf("%d checkpoints under golden/testdata, %v", len(configs), err)
	}
	for _, config := range configs {
		c, err := Open(filepath.Dir(config))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range c.Names {
			tensor, _ := c.Tensor(name)
			if i, v, found := tensor.NonFinite(); found {
				t.Errorf("%s: element %d is %v", tensor.where(), i, v)
			}
			c.Release(tensor)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzIndex checks that whatever an index says, no accepted file name leads out of the folder.
func FuzzIndex(f *testing.F) {
	f.Add(index("a", "model-00001-of-00002.safetensors", "b", "model-00002-of-00002.safetensors"))
	f.Add(index("a", "../x.safetensors"))
	f.Add([]byte(`{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}`))
	f.Add([]byte(`{"metadata": {"x": [Infinity, null, {"y": "z"}]}, "weight_map": {}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := parseIndex("i", data)
		if err != nil {
			return
		}
		known := make(map[string]bool)
		for _, shard := range index.shards {
			if !filepath.IsLocal(shard) || filepath.Base(shard) != shard || known[shard] {
				t.Fatalf("file name %q is accepted", shard)
			}
			known[shard] = true
		}
		for tensor, shard := range index.shardOf {
			if !known[shard] {
				t.Fatalf("tensor %q is in %q, which is not among %q", tensor, shard, index.shards)
			}
		}
	})
}
