package loader

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	peer "github.com/nlpodyssey/safetensors"
	"pgregory.net/rapid"
)

// bytesTensor makes a tensor with recognisable bytes.
func bytesTensor(name string, d DType, shape ...int) Tensor {
	t := Tensor{Name: name, DType: d, Shape: shape}
	t.Data = make([]byte, t.Elements()*d.Size())
	for i := range t.Data {
		t.Data[i] = byte(i*31 + len(name))
	}
	return t
}

func TestWriteBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors := []Tensor{
		{Name: "c", DType: U8, Shape: []int{3}, Data: []byte{1, 2, 3}},
		{Name: "b", DType: U8, Shape: []int{}, Data: []byte{4}},
		{Name: `"a"`, DType: BF16, Shape: []int{1, 2}, Data: []byte{5, 6, 7, 8}},
	}
	if err := Write(path, tensors, map[string]string{"y": "2", "x": "1"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"x":"1","y":"2"},"\"a\"":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},` +
		`"b":{"dtype":"U8","shape":[],"data_offsets":[4,5]},"c":{"dtype":"U8","shape":[3],"data_offsets":[5,8]}}`
	header += strings.Repeat(" ", -len(header)&7)
	if diff := cmp.Diff(string(container(header, 5, 6, 7, 8, 4, 1, 2, 3)), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if tensors[0].Name != "c" {
		t.Error("the caller's slice was sorted")
	}
}

// What is written reads back, here and by the peer, and does not depend on the order in which the tensors are given.
func TestWriteRoundTrip(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 6, rapid.ID[string]).Draw(r, "names")
		var tensors []Tensor
		for _, name := range names {
			if name == metadataName {
				continue
			}
			d := DType(rapid.IntRange(int(F64), int(Bool)).Draw(r, "dtype"))
			shape := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 2, 3, 17}), 0, 3).Draw(r, "shape")
			tensors = append(tensors, bytesTensor(name, d, shape...))
		}
		metadata := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(r, "metadata")
		first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
		if err := Write(first, tensors, metadata); err != nil {
			r.Fatal(err)
		}
		shuffled := rapid.Permutation(tensors).Draw(r, "shuffled")
		if err := Write(second, shuffled, metadata); err != nil {
			r.Fatal(err)
		}
		a, _ := os.ReadFile(first)
		b, _ := os.ReadFile(second)
		if !bytes.Equal(a, b) {
			r.Fatal("the order of the tensors changes the file")
		}
		if _, err := peer.Deserialize(a); err != nil {
			r.Fatalf("the peer says: %v", err)
		}
		checkSame(r, first, tensors, metadata)
	})
}

// checkSame opens a file and compares it with what was written.
func checkSame(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, path string, tensors []Tensor, metadata map[string]string) {
	t.Helper()
	file, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if len(file.Tensors()) != len(tensors) {
		t.Fatalf("%d tensors, want %d", len(file.Tensors()), len(tensors))
	}
	for _, want := range tensors {
		got, ok := file.Tensor(want.Name)
		if !ok || got.DType != want.DType || len(got.Shape) != len(want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Fatalf("tensor %q is %v, want %v", want.Name, got, want)
		}
		for i := range want.Shape {
			if got.Shape[i] != want.Shape[i] {
				t.Fatalf("tensor %q is %v, want %v", want.Name, got, want)
			}
		}
		if got.Offset%int64(got.DType.Size()) != 0 {
			t.Fatalf("tensor %v is not aligned: offset %d", got, got.Offset)
		}
	}
	if len(metadata)+len(file.Metadata) > 0 && !cmp.Equal(metadata, file.Metadata) {
		t.Fatalf("metadata %q, want %q", file.Metadata, metadata)
	}
}

func TestStreamWriter(t *testing.T) {
	for _, align := range []int{8, 64, 4096} {
		for _, piece := range []int{1, 15, 16, 17, 4099, 1 << 20} {
			path := filepath.Join(t.TempDir(), "w.safetensors")
			tensors := []Tensor{bytesTensor("z", U8, 4096), bytesTensor("a", F32, 64), bytesTensor("empty", F32, 0), bytesTensor("m", I8, 17)}
			w, err := NewStreamWriter(path, tensors, nil, align)
			if err != nil {
				t.Fatal(err)
			}
			var all []byte
			for _, tensor := range tensors {
				all = append(all, tensor.Data...)
			}
			for len(all) > 0 {
				n := min(piece, len(all))
				if _, err := w.Write(all[:n]); err != nil {
					t.Fatal(err)
				}
				all = all[n:]
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the file is there before Commit")
			}
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			w.Abort() // does nothing now
			checkSame(t, path, tensors, nil)
			data, _ := os.ReadFile(path)
			if start := 8 + binary.LittleEndian.Uint64(data); start%uint64(align) != 0 {
				t.Errorf("data begins at %d, not at a multiple of %d", start, align)
			}
			if _, err := w.Write([]byte{1}); message(err) != "writing "+path+": it is finished" {
				t.Errorf("Write after Commit: %v", err)
			}
		}
	}
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w")
	stream := func(n int, tensors ...Tensor) error {
		w, err := NewStreamWriter(path, tensors, nil, 8)
		if err != nil {
			return err
		}
		defer w.Abort()
		if _, err := w.Write(make([]byte, n)); err != nil {
			return err
		}
		return w.Commit()
	}
	a, b := bytesTensor("a", F32, 2), bytesTensor("b", F32, 3)
	_, alignErr := NewStreamWriter(path, nil, nil, 12)
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"too little", stream(9, a, b), `only 9 of 20 bytes were written; tensor "b" lacks 11`},
		{"nothing", stream(0, a, b), `only 0 of 20 bytes were written; tensor "a" lacks 8`},
		{"too much", stream(21, a, b), `1 bytes more than the 20 that the header gives`},
		{"data without tensors", stream(1), `1 bytes more than the 0 that the header gives`},
		{"same name", stream(0, a, a), `the name of tensor "a" is reserved, used twice, or not UTF-8`},
		{"reserved name", stream(0, bytesTensor("__metadata__", U8)), `the name of tensor "__metadata__" is reserved, used twice, or not UTF-8`},
		{"not UTF-8", stream(0, bytesTensor("\xff", U8)), `the name of tensor "\xff" is reserved, used twice, or not UTF-8`},
		{"negative", stream(0, Tensor{Name: "n", DType: U8, Shape: []int{-1}}), `tensor "n": U8 [-1] cannot be stored`},
		{"no dtype", stream(0, Tensor{Name: "n"}), `tensor "n": none [] cannot be stored`},
		{"sum overflows", stream(0, Tensor{Name: "m", DType: U8, Shape: []int{1 << 62}}, Tensor{Name: "n", DType: U8, Shape: []int{1 << 62}}), `tensor "n": U8 [4611686018427387904] cannot be stored`},
		{"alignment", alignErr, "alignment 12 is not a power of two from 8 to 2^30"},
		{"metadata", Write(path, nil, map[string]string{"x": "\xff"}), `metadata "x" is not UTF-8`},
		{"data and shape differ", Write(path, []Tensor{{Name: "n", DType: F32, Shape: []int{2}, Data: make([]byte, 7)}}, nil), `tensor "n": shape [2] of F32 needs 8 bytes, there are 7`},
	} {
		if got := message(test.err); got != "writing "+path+": "+test.want {
			t.Errorf("%s: error %q, want %q", test.name, got, test.want)
		}
	}
	if err := Write(filepath.Join(dir, "no", "such", "folder"), nil, nil); err == nil {
		t.Error("a file is written into a folder that is not there")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
