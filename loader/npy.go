package loader

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A .npy file is: "\x93NUMPY", version (2 bytes), length of the header (2 bytes in version 1, 4 in version 2), the header (a Python
// dictionary literal, padded with spaces), the data. {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }

const npyLimit = 1 << 31 // bytes; the array is read into memory

const fixNpy = "save it with numpy.save(file, numpy.ascontiguousarray(array, dtype='<f4')) or another of i4, i8, f8"

// npyDTypes gives the format of each array type that is read.
var npyDTypes = map[string]DType{
	"<f8": F64, "<f4": F32, "<f2": F16, "<i8": I64, "<i4": I32, "<i2": I16, "|i1": I8, "|u1": U8, "|b1": Bool,
}

// ReadNpy reads an array that NumPy saved (.npy, version 1 or 2, little-endian, C order) into memory.
func ReadNpy(path string) (Tensor, error) {
	data, err := readSmall(path, npyLimit)
	if err != nil {
		return Tensor{}, err
	}
	return ParseNpy(path, data)
}

// ParseNpy is ReadNpy on bytes; the tensor's Data is a part of them. file is its name in messages.
func ParseNpy(file string, data []byte) (Tensor, error) {
	text, start, err := npyHeader(data)
	if err != nil {
		return Tensor{}, problem(file, err.Error(), fixNpy)
	}
	t := Tensor{File: file, Offset: int64(start), Data: data[start:len(data):len(data)]}
	p := npyParser{text: text}
	if err := p.header(&t); err != nil {
		return Tensor{}, problem(file, fmt.Sprintf("header byte %d: %v", start-len(text)+p.pos, err), fixNpy)
	}
	need, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return Tensor{}, problem(file, err.Error(), fixDamaged)
	}
	if need != int64(len(t.Data)) {
		return Tensor{}, problem(file, fmt.Sprintf("shape %v of %s needs %d bytes, the file has %d", t.Shape, t.DType, need, len(t.Data)), fixDamaged)
	}
	return t, nil
}

// npyHeader finds the header's text and where the data begins.
func npyHeader(data []byte) (text string, start int, err error) {
	if !bytes.HasPrefix(data, []byte("\x93NUMPY")) || len(data) < 10 {
		return "", 0, fmt.Errorf("is not a .npy file")
	}
	var length, begin uint64
	switch version := data[6]; {
	case version == 1:
		length, begin = uint64(binary.LittleEndian.Uint16(data[8:])), 10
	case version == 2 && len(data) >= 12:
		length, begin = uint64(binary.LittleEndian.Uint32(data[8:])), 12
	default:
		return "", 0, fmt.Errorf(".npy version %d.%d is not read", data[6], data[7])
	}
	if begin+length > uint64(len(data)) {
		return "", 0, fmt.Errorf("the header needs %d bytes, the file has %d", length, uint64(len(data))-begin)
	}
	return string(data[begin : begin+length]), int(begin + length), nil
}

// npyParser reads the dictionary. It knows the three keys that NumPy writes, in any order, and nothing else.
type npyParser struct {
	text string
	pos  int
}

func (p *npyParser) header(t *Tensor) error {
	seen := make(map[string]bool)
	if !p.eat("{") {
		return fmt.Errorf("expected '{'")
	}
	for !p.eat("}") {
		key, err := p.quoted()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("the key %s occurs twice", quote(key))
		}
		seen[key] = true
		if !p.eat(":") {
			return fmt.Errorf("expected ':'")
		}
		if err := p.value(key, t); err != nil {
			return err
		}
		if !p.eat(",") {
			if !p.eat("}") {
				return fmt.Errorf("expected ',' or '}'")
			}
			break
		}
	}
	if p.space(); p.pos != len(p.text) {
		return fmt.Errorf("text after the dictionary")
	}
	if !seen["descr"] || !seen["fortran_order"] || !seen["shape"] {
		return fmt.Errorf("needs descr, fortran_order and shape")
	}
	return nil
}

// value reads the value of one key.
func (p *npyParser) value(key string, t *Tensor) error {
	switch key {
	case "descr":
		descr, err := p.quoted()
		if err != nil {
			return err
		}
		var ok bool
		if t.DType, ok = npyDTypes[descr]; !ok {
			return fmt.Errorf("arrays of type %s are not read", quote(descr))
		}
		return nil
	case "fortran_order":
		switch {
		case p.eat("False"):
			return nil
		case p.eat("True"):
			return fmt.Errorf("the array is in Fortran order (columns first)")
		}
		return fmt.Errorf("fortran_order is neither True nor False")
	case "shape":
		return p.shape(t)
	}
	return fmt.Errorf("unknown key %s", quote(key))
}

// shape reads a tuple: (), (3,), (3, 4).
func (p *npyParser) shape(t *Tensor) error {
	t.Shape = []int{}
	if !p.eat("(") {
		return fmt.Errorf("expected '('")
	}
	for !p.eat(")") {
		p.space()
		digits := p.pos
		for p.pos < len(p.text) && '0' <= p.text[p.pos] && p.text[p.pos] <= '9' {
			p.pos++
		}
		n, err := strconv.ParseInt(p.text[digits:p.pos], 10, 64)
		if err != nil {
			p.pos = digits
			return fmt.Errorf("a dimension is not an integer from 0 to 2^63-1")
		}
		if t.Shape = append(t.Shape, int(n)); len(t.Shape) > maxRank {
			return fmt.Errorf("more than %d dimensions", maxRank)
		}
		if !p.eat(",") {
			if !p.eat(")") {
				return fmt.Errorf("expected ',' or ')'")
			}
			break
		}
	}
	return nil
}

func (p *npyParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// eat skips space and takes the word if it comes next.
func (p *npyParser) eat(word string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], word) {
		return false
	}
	p.pos += len(word)
	return true
}

// quoted reads a string in single or double quotes. NumPy writes none with escapes.
func (p *npyParser) quoted() (string, error) {
	p.space()
	if p.pos < len(p.text) && (p.text[p.pos] == '\'' || p.text[p.pos] == '"') {
		rest := p.text[p.pos+1:]
		if end := strings.IndexByte(rest, p.text[p.pos]); end >= 0 && !strings.Contains(rest[:end], `\`) {
			p.pos += end + 2
			return rest[:end], nil
		}
	}
	return "", fmt.Errorf("expected a string")
}
