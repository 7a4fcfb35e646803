package loader

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// array makes a .npy file of a header's text, padded as NumPy does, and data.
func array(version int, header string, data ...byte) []byte {
	prefix := 10
	if version != 1 {
		prefix = 12
	}
	header += strings.Repeat(" ", -(prefix+len(header)+1)&63) + "\n"
	file := append([]byte("\x93NUMPY"), byte(version), 0)
	if version == 1 {
		file = binary.LittleEndian.AppendUint16(file, uint16(len(header)))
	} else {
		file = binary.LittleEndian.AppendUint32(file, uint32(len(header)))
	}
	return append(append(file, header...), data...)
}

func TestReadNpy(t *testing.T) {
	for _, version := range []int{1, 2} {
		for descr, d := range npyDTypes {
			for shape, n := range map[string]int{"()": 1, "(3,)": 3, "(2, 1, 2)": 4, "(0, 7)": 0} {
				data := make([]byte, n*d.Size())
				for i := range data {
					data[i] = byte(i)
				}
				file := array(version, fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape), data...)
				path := place(t, t.TempDir(), "a.npy", file)
				got, err := ReadNpy(path)
				if err != nil {
					t.Fatal(err)
				}
				want := Tensor{DType: d, Shape: got.Shape, Data: data, File: path, Offset: int64(len(file) - len(data))}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if python := strings.ReplaceAll(strings.ReplaceAll(fmt.Sprint(got.Shape), "[", "("), "]", ")"); python != strings.NewReplacer(",)", ")", ",", "").Replace(shape) {
					t.Errorf("shape %s is read as %s", shape, python)
				}
			}
		}
	}
	// Any order of keys, double quotes, no comma at the end.
	got, err := ParseNpy("a", array(1, `{"shape":(2,), "fortran_order":False,"descr":"<i4"}`, 1, 0, 0, 0, 2, 0, 0, 0))
	if values, _ := got.Int64(); err != nil || !cmp.Equal(values, []int64{1, 2}) {
		t.Errorf("%v, %v", values, err)
	}
}

func TestNpyErrors(t *testing.T) {
	form := "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "is not a .npy file"},
		{"other file", []byte("PK\x03\x04 something else"), "is not a .npy file"},
		{"only magic", []byte("\x93NUMPY\x01\x00\x40"), "is not a .npy file"},
		{"version", array(3, "{}"), ".npy version 3.0 is not read"},
		{"version 2, cut", []byte("\x93NUMPY\x02\x00\x40\x00"), ".npy version 2.0 is not read"},
		{"header too long", []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{}"), "the header needs 4294967295 bytes, the file has 2"},
		{"Fortran order", array(1, fmt.Sprintf(form, "<f4", "True", "(1,)"), 0, 0, 0, 0), "header byte 48: the array is in Fortran order (columns first)"},
		{"big-endian", array(1, fmt.Sprintf(form, ">f4", "False", "(1,)"), 0, 0, 0, 0), `header byte 25: arrays of type ">f4" are not read`},
		{"objects", array(1, fmt.Sprintf(form, "|O", "False", "(1,)")), `header byte 24: arrays of type "|O" are not read`},
		{"structure", array(1, "{'descr': [('a', '<f4')], }"), "header byte 20: expected a string"},
		{"truncated", array(1, fmt.Sprintf(form, "<f4", "False", "(2,)"), 0, 0, 0, 0), "shape [2] of F32 needs 8 bytes, the file has 4"},
		{"too long", array(1, fmt.Sprintf(form, "<f4", "False", "(1,)"), 0, 0, 0, 0, 0), "shape [1] of F32 needs 4 bytes, the file has 5"},
		{"overflow", array(1, fmt.Sprintf(form, "<f4", "False", "(4294967296, 4294967296)")), "the shape [4294967296 4294967296] of F32 overflows the number of bytes"},
		{"dimension", array(1, fmt.Sprintf(form, "<f4", "False", "(99999999999999999999,)")), "header byte 61: a dimension is not an integer from 0 to 2^63-1"},
		{"negative", array(1, fmt.Sprintf(form, "<f4", "False", "(-1,)")), "header byte 61: a dimension is not an integer from 0 to 2^63-1"},
		{"rank", array(1, fmt.Sprintf(form, "<f4", "False", "("+strings.Repeat("1,", 17)+")")), "header byte 94: more than 16 dimensions"},
		{"key twice", array(1, "{'shape': (), 'shape': ()}"), `header byte 31: the key "shape" occurs twice`},
		{"unknown key", array(1, "{'x': 1}"), `header byte 15: unknown key "x"`},
		{"key missing", array(1, "{'descr': '<f4', 'shape': ()}"), "header byte 64: needs descr, fortran_order and shape"},
		{"text behind", array(1, "{'descr': '<f4', 'shape': ()} x"), "header byte 40: text after the dictionary"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseNpy("a.npy", test.file)
			line, _, _ := strings.Cut(message(err), "\n")
			if line != "a.npy: "+test.want {
				t.Errorf("error %q, want %q", line, test.want)
			}
		})
	}
}

func FuzzNpy(f *testing.F) {
	f.Add(array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 0, 0, 0, 0))
	f.Add(array(2, `{"shape":(), "fortran_order":False,"descr":"<i8"}`, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(array(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 0, 4294967296), }"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensor, err := ParseNpy("a", data)
		if err != nil {
			return
		}
		n, err := tensor.count()
		if err != nil || n != tensor.Elements() {
			t.Fatalf("%v: %d elements, %v", tensor, n, err)
		}
		if !bytes.HasSuffix(data, tensor.Data) || int(tensor.Offset)+len(tensor.Data) != len(data) {
			t.Fatalf("%v: data at %d is not the end of the file", tensor, tensor.Offset)
		}
	})
}
