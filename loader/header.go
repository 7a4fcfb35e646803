package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strconv"
)

// A safetensors file is: the length of the header (8 bytes, little-endian), the header (a JSON object, padded with spaces), the
// data. The header gives for each tensor its dtype, its shape, and where in the data it begins and ends; the tensors cover the data
// without holes and overlaps. "__metadata__" is an object of strings.

const (
	headerLimit  = 100_000_000 // the format's own limit
	metadataName = "__metadata__"

	fixDamaged = "the file is damaged or truncated: get it again, and compare its size and checksum with the publisher's"
	fixWriter  = "the file breaks the safetensors format: write it again with a current safetensors library"
	fixDType   = "convert the checkpoint to F32, F16 or BF16"
)

// header is what the header of a file says, checked.
type header struct {
	tensors  []Tensor // in the order of their data
	metadata map[string]string
}

// entry is one tensor of the header while it is read.
type entry struct {
	tensor     Tensor
	at         int // the byte in the file where its name stands
	begin, end int64
}

// parseHeader reads and checks the header of a whole file. file is its path, for messages and Tensor.File.
func parseHeader(file string, data []byte) (*header, error) {
	text, err := headerText(file, data)
	if err != nil {
		return nil, err
	}
	dataStart := 8 + len(text)
	p := &headerParser{
		scanner: scanner{data: data[:dataStart], pos: 8},
		file:    file,
		size:    int64(len(data) - dataStart),
	}
	if text[0] != '{' {
		return nil, problem(file, fmt.Sprintf("the header begins with %q, not with '{' (header byte 8)", text[0]), fixWriter)
	}
	err = p.object(p.member)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		p.problems.AddError(headerError(file, err))
		return nil, p.problems.Err()
	}
	p.checkLayout()
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	h := &header{metadata: p.metadata, tensors: make([]Tensor, len(p.entries))}
	for i, e := range p.entries {
		begin, end := dataStart+int(e.begin), dataStart+int(e.end)
		e.tensor.Data = data[begin:end:end]
		e.tensor.Offset = int64(begin)
		h.tensors[i] = e.tensor
	}
	return h, nil
}

// headerText is the part of the file that holds the header, after the checks that need no parsing.
func headerText(file string, data []byte) ([]byte, error) {
	switch {
	case len(data) == 0:
		return nil, problem(file, "the file is empty (0 bytes)", fixDamaged)
	case bytes.HasPrefix(data, []byte("version https://git-lfs")):
		return nil, problem(file, "this is a Git LFS pointer, not the weights", "run `git lfs pull` in the checkpoint's folder")
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return nil, problem(file, "this is a zip archive (a PyTorch file?), not safetensors", fixConvert("pytorch_model.bin"))
	case len(data) < 8:
		return nil, problem(file, fmt.Sprintf("the file has %d bytes, the length of the header alone needs 8", len(data)), fixDamaged)
	}
	n := binary.LittleEndian.Uint64(data)
	switch {
	case n > headerLimit:
		return nil, problem(file, fmt.Sprintf("the header's length is given as %d bytes, the format allows %d", n, headerLimit), fixDamaged)
	case n > uint64(len(data)-8):
		return nil, problem(file, fmt.Sprintf("the header needs %d bytes, the file has %d after the header's length", n, len(data)-8), fixDamaged)
	case n < 2:
		return nil, problem(file, fmt.Sprintf("the header has %d bytes, the smallest is {}", n), fixDamaged)
	}
	return data[8 : 8+n], nil
}

// headerError turns a syntax error into a problem of the file.
func headerError(file string, err error) error {
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return problem(file, fmt.Sprintf("%s (header byte %d)", syntax.what, syntax.at), fixWriter)
	}
	return err
}

// headerParser reads the header. Its scanner sees the file from its first byte, so that positions are the file's.
type headerParser struct {
	scanner
	file     string
	size     int64 // of the data
	entries  []entry
	metadata map[string]string
	problems Problems
}

// member reads one member of the header: a tensor, or the metadata. A wrong form ends the parse, a wrong value is noted.
func (p *headerParser) member(name string, at int) error {
	if name == metadataName {
		p.metadata = make(map[string]string)
		return p.object(func(key string, _ int) error {
			value, err := p.str()
			p.metadata[key] = value
			return err
		})
	}
	e := entry{tensor: Tensor{Name: name, File: p.file}, at: at}
	var dtype string
	var offsets []int64
	fields := 0
	err := p.object(func(key string, at int) (err error) {
		fields++
		switch key {
		case "dtype":
			dtype, err = p.str()
		case "shape":
			err = p.integers(maxRank, func(n int64) { e.tensor.Shape = append(e.tensor.Shape, int(n)) })
		case "data_offsets":
			err = p.integers(2, func(n int64) { offsets = append(offsets, n) })
		default:
			err = p.failAt(at, "tensor %s: unknown key %s", quote(name), quote(key))
		}
		return err
	})
	if err != nil {
		return err
	}
	if fields != 3 || len(offsets) != 2 {
		return p.failAt(at, "tensor %s: needs dtype, shape and two data_offsets", quote(name))
	}
	e.begin, e.end = offsets[0], offsets[1]
	if e.tensor.Shape == nil {
		e.tensor.Shape = []int{}
	}
	p.check(&e, dtype)
	p.entries = append(p.entries, e)
	return nil
}

// integers reads an array of at most limit integers that are not negative.
func (p *headerParser) integers(limit int, take func(int64)) error {
	start, count := p.pos, 0
	return p.array(func() error {
		at := p.pos
		if count++; count > limit {
			return p.failAt(start, "more than %d numbers", limit)
		}
		text, err := p.number()
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || text[0] == '-' {
			return p.failAt(at, "%s is not an integer from 0 to 2^63-1", excerpt([]byte(text)))
		}
		take(n)
		return nil
	})
}

// where names a tensor of the file.
func (p *headerParser) where(e *entry) string { return p.file + ": tensor " + quote(e.tensor.Name) }

// check notes what is wrong with one tensor by itself.
func (p *headerParser) check(e *entry, dtype string) {
	note := func(what, fix string) {
		p.problems.Add(p.where(e), fmt.Sprintf("%s (header byte %d)", what, e.at), fix)
	}
	var err error
	if e.tensor.DType, err = ParseDType(dtype); err != nil {
		note(err.Error(), fixDType)
		return
	}
	need, err := byteSize(e.tensor.DType, e.tensor.Shape)
	switch {
	case err != nil:
		note(err.Error(), fixDamaged)
	case e.end < e.begin:
		note(fmt.Sprintf("data_offsets [%d %d] run backwards", e.begin, e.end), fixDamaged)
	case e.end-e.begin != need:
		note(fmt.Sprintf("shape %v of %s needs %d bytes, data_offsets give %d", e.tensor.Shape, e.tensor.DType, need, e.end-e.begin), fixDamaged)
	case e.end > p.size:
		note(fmt.Sprintf("data_offsets end at byte %d of the data, the file has %d", e.end, p.size), fixDamaged)
	}
}

// checkLayout sorts the tensors by their data and notes holes and overlaps. It runs only when each tensor is right by itself.
func (p *headerParser) checkLayout() {
	if p.problems.Len() > 0 {
		return
	}
	sort.Slice(p.entries, func(i, j int) bool {
		a, b := &p.entries[i], &p.entries[j]
		if a.begin != b.begin {
			return a.begin < b.begin
		}
		if a.end != b.end {
			return a.end < b.end // an empty tensor comes before the one that begins at the same byte
		}
		return a.tensor.Name < b.tensor.Name
	})
	covered := int64(0)
	for i := range p.entries {
		e := &p.entries[i]
		switch {
		case e.begin < covered:
			p.problems.Add(p.where(e), fmt.Sprintf("its data [%d %d) overlaps that of tensor %s (header byte %d)",
				e.begin, e.end, quote(p.entries[i-1].tensor.Name), e.at), fixDamaged)
		case e.begin > covered:
			p.problems.Add(p.where(e), fmt.Sprintf("%d bytes before its data belong to no tensor (header byte %d)", e.begin-covered, e.at), fixWriter)
		}
		covered = max(covered, e.end)
	}
	if covered < p.size {
		p.problems.Add(p.file, fmt.Sprintf("%d bytes at the end belong to no tensor", p.size-covered), fixWriter)
	}
}
