package loader

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// container makes the bytes of a safetensors file of a header's text and data.
func container(header string, data ...byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(file, header...), data...)
}

// place writes a file of a test and gives its path.
func place(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// f32Tensor makes a tensor in memory.
func f32Tensor(t testing.TB, name string, values []float32, shape ...int) Tensor {
	t.Helper()
	tensor := Tensor{Name: name, DType: F32, Shape: shape, Data: make([]byte, 4*len(values))}
	if err := Narrow(tensor.Data, F32, values); err != nil {
		t.Fatal(err)
	}
	return tensor
}

// message is the text of an error; "" for nil.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
