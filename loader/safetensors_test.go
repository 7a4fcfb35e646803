package loader

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	peer "github.com/nlpodyssey/safetensors"
)

const fixOf = "\n  fix: "

// hostile is every way in which a file can be wrong, with the whole error. zz stands for the file's name.
var hostile = []struct {
	name string
	file []byte
	want string
}{
	{"empty", nil, "zz: the file is empty (0 bytes)" + fixOf + fixDamaged},
	{"seven bytes", make([]byte, 7), "zz: the file has 7 bytes, the length of the header alone needs 8" + fixOf + fixDamaged},
	{"header length of all ones", bytes.Repeat([]byte{0xff}, 64),
		"zz: the header's length is given as 18446744073709551615 bytes, the format allows 100000000" + fixOf + fixDamaged},
	{"header longer than the file", append(binary.LittleEndian.AppendUint64(nil, 99_000_000), `{}`...),
		"zz: the header needs 99000000 bytes, the file has 2 after the header's length" + fixOf + fixDamaged},
	{"header of 0 bytes", container(""), "zz: the header has 0 bytes, the smallest is {}" + fixOf + fixDamaged},
	{"Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
		"zz: this is a Git LFS pointer, not the weights" + fixOf + "run `git lfs pull` in the checkpoint's folder"},
	{"PyTorch", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00"), "zz: this is a zip archive (a PyTorch file?), not safetensors" + fixOf + fixConvert("pytorch_model.bin")},
	{"not an object", container(`[]`), "zz: the header begins with '[', not with '{' (header byte 8)" + fixOf + fixWriter},
	{"space before", container(` {}`), "zz: the header begins with ' ', not with '{' (header byte 8)" + fixOf + fixWriter},
	{"null", container(`null`), "zz: the header begins with 'n', not with '{' (header byte 8)" + fixOf + fixWriter},
	{"text behind", container(`{}x`), "zz: expected the end, found 'x' (header byte 10)" + fixOf + fixWriter},
	{"unfinished", container(`{"a":{"dtype":"F32"`), "zz: expected ',' or '}', found the end (header byte 27)" + fixOf + fixWriter},
	{"tensor is null", container(`{"a":null}`), "zz: expected '{', found 'n' (header byte 13)" + fixOf + fixWriter},
	{"tensor twice", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		`zz: the key "a" occurs twice (header byte 61)` + fixOf + fixWriter},
	{"tensor twice, escaped", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		`zz: the key "a" occurs twice (header byte 61)` + fixOf + fixWriter},
	{"dtype twice", container(`{"a":{"dtype":"U8","dtype":"U8","data_offsets":[0,1]}}`, 1), `zz: the key "dtype" occurs twice (header byte 27)` + fixOf + fixWriter},
	{"metadata twice", container(`{"__metadata__":{"a":"1","a":"2"}}`), `zz: the key "a" occurs twice (header byte 33)` + fixOf + fixWriter},
	{"metadata not of strings", container(`{"__metadata__":{"a":1}}`), "zz: expected a string, found '1' (header byte 29)" + fixOf + fixWriter},
	{"unknown key", container(`{"a":{"dtype":"U8","shape":[1],"offsets":[0,1]}}`, 1), `zz: tensor "a": unknown key "offsets" (header byte 39)` + fixOf + fixWriter},
	{"key missing", container(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1), `zz: tensor "a": needs dtype, shape and two data_offsets (header byte 9)` + fixOf + fixWriter},
	{"one offset", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}`, 1), `zz: tensor "a": needs dtype, shape and two data_offsets (header byte 9)` + fixOf + fixWriter},
	{"three offsets", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1), `zz: more than 2 numbers (header byte 54)` + fixOf + fixWriter},
	{"depth", container(`{"a":{"shape":` + strings.Repeat("[", 5000)), "zz: expected a value, found '[' (header byte 23)" + fixOf + fixWriter},
	{"name not UTF-8", container("{\"\xff\":{}}"), "zz: the string is not UTF-8 (header byte 9)" + fixOf + fixWriter},
	{"half a surrogate pair", container(`{"\ud800":{}}`), `zz: a \u escape that is no character (header byte 10)` + fixOf + fixWriter},
	{"negative dimension", container(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1),
		"zz: -1 is not an integer from 0 to 2^63-1 (header byte 36)" + fixOf + fixWriter},
	{"fraction", container(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, 1),
		"zz: 1.0 is not an integer from 0 to 2^63-1 (header byte 36)" + fixOf + fixWriter},
	{"dimension of 2^64", container(`{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}}`, 1),
		"zz: 18446744073709551616 is not an integer from 0 to 2^63-1 (header byte 36)" + fixOf + fixWriter},
	{"too many dimensions", container(`{"a":{"dtype":"U8","shape":[` + strings.Repeat("1,", 16) + `1],"data_offsets":[0,1]}}`),
		"zz: more than 16 numbers (header byte 35)" + fixOf + fixWriter},
	{"product overflows", container(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`),
		`zz: tensor "a": the shape [4294967296 4294967296] of F32 overflows the number of bytes (header byte 9)` + fixOf + fixDamaged},
	{"product of an empty tensor overflows", container(`{"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}`),
		`zz: tensor "a": the shape [0 4294967296 4294967296] of F32 overflows the number of bytes (header byte 9)` + fixOf + fixDamaged},
	{"8-bit float", container(`{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}`, 1),
		`zz: tensor "a": dtype F8_E4M3 (an 8-bit float) is not supported (header byte 9)` + fixOf + fixDType},
	{"unknown dtype", container(`{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}`, 1, 2, 3, 4),
		`zz: tensor "a": dtype "f32" is unknown (header byte 9)` + fixOf + fixDType},
	{"none is no dtype", container(`{"a":{"dtype":"none","shape":[1],"data_offsets":[0,0]}}`), `zz: tensor "a": dtype "none" is unknown (header byte 9)` + fixOf + fixDType},
	{"shape and offsets differ", container(`{"a":{"dtype":"F32","shape":[3,5],"data_offsets":[0,56]}}`, make([]byte, 56)...),
		`zz: tensor "a": shape [3 5] of F32 needs 60 bytes, data_offsets give 56 (header byte 9)` + fixOf + fixDamaged},
	{"backwards", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1), `zz: tensor "a": data_offsets [1 0] run backwards (header byte 9)` + fixOf + fixDamaged},
	{"truncated", container(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 1, 2, 3),
		`zz: tensor "a": data_offsets end at byte 4 of the data, the file has 3 (header byte 9)` + fixOf + fixDamaged},
	{"far behind the end", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]}}`),
		`zz: tensor "a": data_offsets end at byte 9223372036854775807 of the data, the file has 0 (header byte 9)` + fixOf + fixDamaged},
	{"overlap", container(`{"b":{"dtype":"U8","shape":[3],"data_offsets":[1,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1, 2, 3, 4),
		`zz: tensor "b": its data [1 4) overlaps that of tensor "a" (header byte 9)` + fixOf + fixDamaged},
	{"same data", container(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		`zz: tensor "b": its data [0 1) overlaps that of tensor "a" (header byte 9)` + fixOf + fixDamaged},
	{"hole", container(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, 2, 3, 4),
		`zz: tensor "b": 2 bytes before its data belong to no tensor (header byte 9)` + fixOf + fixWriter},
	{"hole at the end", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, 2, 3), `zz: 2 bytes at the end belong to no tensor` + fixOf + fixWriter},
	{"data without tensors", container(`{}`, 1), `zz: 1 bytes at the end belong to no tensor` + fixOf + fixWriter},
	{"two problems at once", container(`{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[9],"data_offsets":[1,3]}}`, 1, 2),
		`zz: tensor "a": dtype F8_E5M2 (an 8-bit float) is not supported (header byte 9)` + fixOf + fixDType +
			"\n" + `zz: tensor "b": shape [9] of U8 needs 9 bytes, data_offsets give 2 (header byte 66)` + fixOf + fixDamaged},
	{"a name of a megabyte", container(`{"` + strings.Repeat("a", 1<<20) + `":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`),
		`zz: tensor "` + strings.Repeat("a", 120) + `"... (1048576 bytes): data_offsets end at byte 1 of the data, the file has 0 (header byte 9)` + fixOf + fixDamaged},
}

func TestHostileFiles(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.name, func(t *testing.T) {
			path := place(t, t.TempDir(), "x.safetensors", test.file)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			file, err := OpenFile(path)
			runtime.ReadMemStats(&after)
			if diff := cmp.Diff(test.want, strings.ReplaceAll(message(err), path, "zz")); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if file != nil {
				t.Error("a file beside an error")
			}
			if used, allowed := after.TotalAlloc-before.TotalAlloc, uint64(1<<16+16*len(test.file)); used > allowed {
				t.Errorf("%d bytes allocated for a file of %d, allowed %d", used, len(test.file), allowed)
			}
		})
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	var header strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&header, `,"t%d":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}`, i)
	}
	_, err := parse("x", container("{"+header.String()[1:]+"}"))
	lines := strings.Split(message(err), "\n")
	// The twenty have the same fix, which is said once.
	if len(lines) != 22 || lines[20] != "  fix: "+fixDType || lines[21] != "and 980 more problems" {
		t.Errorf("%d lines, the last %q", len(lines), lines[max(0, len(lines)-2):])
	}
}

func TestOpenFile(t *testing.T) {
	data := container(`{"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[3,7]}, "a":{"shape":[],"data_offsets":[0,1],"dtype":"U8"},`+
		`"empty":{"dtype":"F64","shape":[0,5],"data_offsets":[3,3]},"\u00e9\ud83d\ude00":{"dtype":"F16","shape":[1],"data_offsets":[1,3]},`+
		`"__metadata__":{"format":"pt"}}    `, 1, 2, 3, 4, 5, 6, 7)
	path := place(t, t.TempDir(), "x.safetensors", data)
	file, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	at := int64(len(data) - 7)
	want := []Tensor{
		{Name: "a", DType: U8, Shape: []int{}, Data: []byte{1}, File: path, Offset: at},
		{Name: "b", DType: BF16, Shape: []int{2, 1}, Data: []byte{4, 5, 6, 7}, File: path, Offset: at + 3},
		{Name: "empty", DType: F64, Shape: []int{0, 5}, Data: []byte{}, File: path, Offset: at + 3},
		{Name: "é😀", DType: F16, Shape: []int{1}, Data: []byte{2, 3}, File: path, Offset: at + 1},
	}
	if diff := cmp.Diff(want, file.Tensors()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"format": "pt"}, file.Metadata); diff != "" {
		t.Error(diff)
	}
	for _, w := range want {
		got, ok := file.Tensor(w.Name)
		if !ok || !cmp.Equal(w, got) {
			t.Errorf("Tensor(%q) = %v, %v", w.Name, got, ok)
		}
		if cap(got.Data) != len(got.Data) {
			t.Errorf("tensor %q can be appended to into its neighbour", w.Name)
		}
		file.Release(got)
		if again, _ := file.Tensor(w.Name); !bytes.Equal(again.Data, w.Data) {
			t.Errorf("tensor %q has other data after Release", w.Name)
		}
	}
	if _, ok := file.Tensor("c"); ok {
		t.Error("a tensor that is not there")
	}
}

// resident is the number of bytes of the mapping that are in memory now.
func resident(t *testing.T, data []byte) int {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	begin := fmt.Sprintf("%08x-", pointerOf(data))
	_, rest, ok := strings.Cut("\n"+string(smaps), "\n"+begin)
	if !ok {
		t.Fatalf("no mapping begins at %s", begin)
	}
	_, rest, _ = strings.Cut(rest, "\nRss:")
	kilobytes := 0
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

func TestReleaseGivesMemoryBack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("resident memory of a mapping is read from /proc")
	}
	path := filepath.Join(t.TempDir(), "big.safetensors")
	if err := Write(path, []Tensor{f32Tensor(t, "w", make([]float32, 1<<20), 1<<20)}, nil); err != nil {
		t.Fatal(err)
	}
	file, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, _ := file.Tensor("w")
	if _, err := w.Float32(); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, file.data); n < 4<<20 {
		t.Fatalf("%d bytes resident after reading 4 MiB", n)
	}
	file.Release(w)
	if n := resident(t, file.data); n > 1<<16 {
		t.Errorf("%d bytes resident after Release", n)
	}
}

// FuzzSafetensors mutates whole files.
func FuzzSafetensors(f *testing.F) {
	for _, test := range hostile {
		if len(test.file) < 1<<12 {
			f.Add(test.file)
		}
	}
	f.Add(container(`{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)...))
	f.Fuzz(compareWithPeer)
}

// FuzzHeader mutates header and data each by itself, with the length of the header always right: this reaches deeper.
func FuzzHeader(f *testing.F) {
	f.Add(`{"__metadata__":{"a":"\n\u00e9"},"a":{"dtype":"I16","shape":[0],"data_offsets":[2,2]},"b":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}  `, []byte{1, 2})
	f.Add(`{"a":{"shape":[2,1],"dtype":"BF16","data_offsets":[1,5]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, []byte{1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, header string, data []byte) { compareWithPeer(t, container(header, data...)) })
}

// compareWithPeer checks that whatever parse accepts the peer accepts too, with the same tensors. What the peer accepts may be refused here, as
// this package is stricter: duplicate keys (the peer takes the last), text that is not UTF-8 or has half a surrogate pair, more than 16 dimensions,
// sizes above 2^63-1, dimensions of empty tensors that overflow, a header that does not begin with '{' or is null, and metadata that is null.
func compareWithPeer(t *testing.T, data []byte) {
	file, err := parse("x", data)
	if err != nil {
		if file != nil || err.Error() == "" {
			t.Fatalf("file %v beside error %q", file, err)
		}
		return
	}
	complexTensors := false
	for _, tensor := range file.Tensors() {
		complexTensors = complexTensors || tensor.DType == C64
		if _, err := tensor.count(); err != nil {
			t.Fatal(err)
		}
	}
	theirs, err := peer.Deserialize(data)
	if complexTensors { // the peer does not know C64
		if err == nil {
			t.Fatal("the peer knows C64 now: compare it too")
		}
		return
	}
	if err != nil {
		t.Fatalf("accepted, but the peer says: %v", err)
	}
	if theirs.Len() != len(file.Tensors()) {
		t.Fatalf("%d tensors, the peer has %d", len(file.Tensors()), theirs.Len())
	}
	for _, tensor := range file.Tensors() {
		view, ok := theirs.Tensor(tensor.Name)
		if !ok || view.DType().String() != tensor.DType.String() || fmt.Sprint(view.Shape()) != fmt.Sprint(tensor.Shape) || !bytes.Equal(view.Data(), tensor.Data) {
			t.Fatalf("%v: the peer has %v %v, found %v", tensor, view.DType(), view.Shape(), ok)
		}
	}
}

func TestDTypes(t *testing.T) {
	for d := F64; d < numDTypes; d++ {
		parsed, err := ParseDType(d.String())
		if err != nil || parsed != d || d.Size() < 1 {
			t.Errorf("%v: parsed as %v, %v, size %d", d, parsed, err, d.Size())
		}
	}
	if d := DType(200); d.Size() != 0 || d.String() != "DType(200)" {
		t.Errorf("DType(200) is %v of %d bytes", d, d.Size())
	}
	if n, err := byteSize(F64, []int{math.MaxInt64 / 8}); n != math.MaxInt64/8*8 || err != nil {
		t.Errorf("the largest tensor: %d, %v", n, err)
	}
}
