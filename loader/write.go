package loader

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"unicode/utf8"
)

// Write writes tensors as a safetensors file. The same tensors and metadata give the same bytes: the tensors are put in the order of
// their element size, largest first, then of their names, so that every tensor is aligned to its elements. The file appears under
// its name only when it is whole.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	sorted := append([]Tensor(nil), tensors...)
	sort.SliceStable(sorted, func(i, j int) bool {
		if a, b := sorted[i].DType.Size(), sorted[j].DType.Size(); a != b {
			return a > b
		}
		return sorted[i].Name < sorted[j].Name
	})
	for _, t := range sorted {
		if _, err := t.count(); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	w, err := NewStreamWriter(path, sorted, metadata, 8)
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, t := range sorted {
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	return w.Commit()
}

// StreamWriter writes a safetensors file whose tensors are made one after the other, as large packed weights are: first the header,
// then the data in that order by Write, then Commit. Until Commit the file has a temporary name; Abort removes it.
type StreamWriter struct {
	path, temporary string
	file            *os.File
	buffer          *bufio.Writer
	ends            []int64 // where the data of each tensor ends
	names           []string
	start           int64 // where the data begins in the file
	written         int64 // bytes of data so far
	err             error // the first that happened
}

// NewStreamWriter begins a file that will hold the tensors, in this order; their Data is not looked at. The header is padded with
// spaces so that the data begins at a multiple of align bytes, a power of two from 8 on (4096 for a file to be mapped). The tensors follow each other
// without padding, as the format demands: a tensor is aligned if the sizes of those before it are.
func NewStreamWriter(path string, tensors []Tensor, metadata map[string]string, align int) (*StreamWriter, error) {
	if align < 8 || align > 1<<30 || align&(align-1) != 0 {
		return nil, fmt.Errorf("writing %s: alignment %d is not a power of two from 8 to 2^30", path, align)
	}
	w := &StreamWriter{path: path}
	head, err := w.header(tensors, metadata, align)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	if w.file, err = createTemporary(path); err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	w.temporary = w.file.Name()
	w.start = int64(len(head))
	w.buffer = bufio.NewWriterSize(w.file, 1<<20)
	if _, err := w.buffer.Write(head); err != nil {
		w.Abort()
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return w, nil
}

// header makes the first bytes of the file, up to the data, and notes where each tensor ends.
func (w *StreamWriter) header(tensors []Tensor, metadata map[string]string, align int) ([]byte, error) {
	text := []byte{'{'}
	if len(metadata) > 0 {
		if err := checkUTF8(metadata); err != nil {
			return nil, err
		}
		object, err := json.Marshal(metadata) // sorts its keys
		if err != nil {
			return nil, err
		}
		text = append(append(text, `"`+metadataName+`":`...), object...)
	}
	seen := make(map[string]bool, len(tensors))
	offset := int64(0)
	for _, t := range tensors {
		if t.Name == metadataName || seen[t.Name] || !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("the name of tensor %s is reserved, used twice, or not UTF-8", quote(t.Name))
		}
		seen[t.Name] = true
		size, err := byteSize(t.DType, t.Shape)
		if err != nil || t.DType.Size() == 0 || offset+size < offset {
			return nil, fmt.Errorf("tensor %s: %s %v cannot be stored", quote(t.Name), t.DType, t.Shape)
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, err
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(append(text, name...), `:{"dtype":"`+t.DType.String()+`","shape":`...)
		text = appendShape(text, t.Shape)
		text = fmt.Appendf(text, `,"data_offsets":[%d,%d]}`, offset, offset+size)
		offset += size
		w.ends = append(w.ends, offset)
		w.names = append(w.names, t.Name)
	}
	text = append(text, '}')
	for (8+len(text))%align != 0 {
		text = append(text, ' ')
	}
	if len(text) > headerLimit {
		return nil, fmt.Errorf("the header of %d tensors has %d bytes, the format allows %d", len(tensors), len(text), headerLimit)
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

func appendShape(text []byte, shape []int) []byte {
	text = append(text, '[')
	for i, n := range shape {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	return append(text, ']')
}

// checkUTF8 refuses metadata that JSON cannot hold as it is.
func checkUTF8(metadata map[string]string) error {
	for key, value := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return fmt.Errorf("metadata %s is not UTF-8", quote(key))
		}
	}
	return nil
}

// Write appends data. It may hold a part of a tensor, or several.
func (w *StreamWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if total := w.total(); int64(len(p)) > total-w.written {
		w.err = fmt.Errorf("writing %s: %d bytes more than the %d that the header gives", w.path, int64(len(p))-(total-w.written), total)
		return 0, w.err
	}
	n, err := w.buffer.Write(p)
	w.written += int64(n)
	if err != nil {
		w.err = fmt.Errorf("writing %s: %w", w.path, err)
	}
	return n, w.err
}

// Start is where the data begins in the file.
func (w *StreamWriter) Start() int64 { return w.start }

// total is the number of bytes of all tensors.
func (w *StreamWriter) total() int64 {
	if len(w.ends) == 0 {
		return 0
	}
	return w.ends[len(w.ends)-1]
}

// Commit checks that all data was written, and gives the file its name. If it fails the file is removed.
func (w *StreamWriter) Commit() error {
	if w.err == nil && w.written < w.total() {
		first := sort.Search(len(w.ends), func(i int) bool { return w.ends[i] > w.written })
		w.err = fmt.Errorf("writing %s: only %d of %d bytes were written; tensor %s lacks %d", w.path, w.written, w.total(),
			quote(w.names[first]), w.ends[first]-w.written)
	}
	if w.err == nil {
		w.err = w.buffer.Flush()
	}
	if w.err == nil {
		w.err = w.file.Sync()
	}
	if w.err == nil {
		w.err = w.file.Close()
	}
	if w.err == nil {
		w.err = os.Rename(w.temporary, w.path)
	}
	if w.err != nil {
		err := w.err
		w.Abort()
		return err
	}
	w.temporary, w.err = "", errors.New("writing "+w.path+": it is finished")
	return nil
}

// Abort removes the unfinished file. After Commit it does nothing, so that it can be deferred.
func (w *StreamWriter) Abort() {
	if w.temporary == "" {
		return
	}
	w.file.Close()
	os.Remove(w.temporary)
	w.temporary = ""
	if w.err == nil {
		w.err = errors.New("writing " + w.path + ": it was given up")
	}
}

// createTemporary makes a new file beside path, with the permissions that path itself would get.
func createTemporary(path string) (*os.File, error) {
	for {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%08x.tmp", filepath.Base(path), rand.Uint32()))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}
