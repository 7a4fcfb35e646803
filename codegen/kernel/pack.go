package kernel

import (
	"encoding/binary"
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// layout is where element (c, k) of a matrix [C, K] lies, for every weight and state: channels in blocks of Block, each padded to Pad lanes,
// and within a block one row of Pad lanes for each k:
//
//	(c / Block) * K*Pad + k*Pad + c % Block
//
// Block = Pad = panel is the order in which a contraction reads its weight: one forward stream. Block = Pad = 1 is row-major; a vector is K = 1.
type layout struct{ Block, Pad int64 }

var rowMajor = layout{1, 1}

func panels(p int64) layout { return layout{p, p} }

// blocks is how many blocks C channels make.
func (l layout) blocks(c int64) int64 { return (c + l.Block - 1) / l.Block }

// size is the number of elements that [C, K] takes.
func (l layout) size(c, k int64) int64 { return l.blocks(c) * k * l.Pad }

// form is what one element of a packed weight is made of.
type form uint8

const (
	plain   form = iota // one element of the weight, in another type
	words               // i32: four signed bytes, neighbours along K, zeros behind the last (dot4)
	nibbles             // i32: eight codes plus 8, along K: the low halves of its four bytes are the first four (dot4u)
	sums                // i32, K = 1: -128 times the sum of a row's codes, which undoes the 128 that an unsigned activation has too much
)

// perUnit is how many neighbours along K a packed element takes in.
func (f form) perUnit() int64 { return [...]int64{1, 4, 8, 1}[f] }

// packing is how a weight lies in memory. Of a target whose lanes load more than an element at once, run neighbours along K of a channel lie together: unit
// u of channel c is the element
//
//	(c / Block) * U*Pad + (u / run) * run*Pad + (c % Block) * run + u % run
//
// where U is the number of units in whole runs. A run of 1, or 0, is the layout as it stands.
type packing struct {
	layout layout
	form   form
	elem   spmd.Elem
	run    int64
}

// unitsOf is how many units k elements take, in whole runs.
func (pk packing) unitsOf(k int64) int64 {
	if pk.form == sums {
		return 1
	}
	whole := max(1, pk.run)
	if pk.form != plain && pk.run > 1 { // and, for products of fragments, in fours of them
		whole *= chunkRuns
	}
	return roundUp((k+pk.form.perUnit()-1)/pk.form.perUnit(), whole)
}

// Piece is a packed weight: a run of bytes in the weights file. Pieces follow each other without holes.
type Piece struct {
	Name   string // checkpoint tensor, or what was made of it
	DType  string // F32, BF16, F16, I8 or I32
	Shape  []int  // as it lies: blocks, K, lanes (and the units of a run); the last axis holds the padding to 64 bytes
	Offset int64  // bytes from the start of the weights, a multiple of 64
	Bytes  int64

	weight *ir.Weight
	packing
	c, k  int64 // logical shape of the weight
	units int64 // packed elements along K
	again bool  // the next piece is of the same weight: it is not released
}

var dtypeNames = map[spmd.Elem]string{spmd.F32: "F32", spmd.BF16: "BF16", spmd.F16: "F16", spmd.I8: "I8", spmd.I32: "I32"}

// newPiece plans a weight of logical shape [c, k].
func newPiece(w *ir.Weight, pk packing, c, k int64) Piece {
	units := pk.unitsOf(k)
	elements := pk.layout.size(c, units)
	bytes := (elements*pk.elem.Bytes() + 63) &^ 63
	shape := []int{int(pk.layout.blocks(c)), int(units), int(pk.layout.Pad)}
	if pk.run > 1 {
		shape = []int{shape[0], shape[1] / int(pk.run), shape[2], int(pk.run)}
	}
	if bytes != elements*pk.elem.Bytes() {
		shape = []int{int(bytes / pk.elem.Bytes())}
	}
	return Piece{Name: w.Name, DType: dtypeNames[pk.elem], Shape: shape, Bytes: bytes, weight: w, packing: pk, c: c, k: k, units: units}
}

// Fill writes the bytes from.. of the piece into dst; from is a multiple of 64. Nothing else of the weight is held in memory.
func (p *Piece) Fill(dst []byte, from int64) error {
	clear(dst)
	if p.weight == nil { // the slack behind the last weight
		return nil
	}
	if err := p.fill(dst, from); err != nil {
		return fmt.Errorf("packing weight %q: %w", p.Name, err)
	}
	if from+int64(len(dst)) == p.Bytes && !p.again && p.weight.Release != nil {
		p.weight.Release()
	}
	return nil
}

// byRows says whether the weight gives its rows one by one, and they are the piece's.
func (p *Piece) byRows() bool {
	s := p.weight.Shape
	return p.weight.Rows != nil && len(s) == 2 && int64(s[0]) == p.c && int64(s[1]) == p.k
}

func (p *Piece) fill(dst []byte, from int64) error {
	if p.weight.Bytes == nil {
		return fmt.Errorf("it has no data (the graph came from text)")
	}
	var src []byte // all of the weight, or the rows of the block at hand
	if !p.byRows() {
		var err error
		if src, err = p.weight.Bytes(); err != nil {
			return err
		}
		if want := (p.c*p.k*int64(p.weight.DType.Bits()) + 7) / 8; int64(len(src)) != want {
			return fmt.Errorf("%d bytes of %v for %d x %d elements", len(src), p.weight.DType, p.c, p.k)
		}
	}
	run := max(1, p.run)
	lane := run * p.elem.Bytes() // bytes of a channel that lie together
	row := p.layout.Pad * lane   // bytes of one run of a block
	first, last := from/row, (from+int64(len(dst))+row-1)/row
	for at := first; at < last; {
		perBlock := p.units / run
		block, u := at/perBlock, at%perBlock
		n := min(perBlock-u, last-at)                           // runs of this block that lie in dst, whole or in part
		begin := int64(0)                                       // the row that src begins with
		if c := block * p.layout.Block; p.byRows() && c < p.c { // behind the last row lies padding
			begin = c
			x, err := p.weight.Rows(int(c), int(min(c+p.layout.Block, p.c)))
			if err == nil {
				src, err = ir.Encode(p.weight.DType, x)
			}
			if err != nil {
				return err
			}
		}
		for i := int64(0); i < p.layout.Block; i++ {
			if c := block*p.layout.Block + i; c < p.c {
				raw, err := p.convert(src, c-begin, u*run, n*run)
				if err != nil {
					return err
				}
				scatter(dst, at*row+i*lane-from, row, lane, raw)
			}
		}
		at += n
	}
	return nil
}

// scatter writes packed elements, or runs of them, of size bytes to dst, the first at byte at, which may lie outside, and each row bytes behind the last.
func scatter(dst []byte, at, row, size int64, raw []byte) {
	if at < 0 {
		skip := (-at + row - 1) / row
		at, raw = at+skip*row, raw[min(skip*size, int64(len(raw))):]
	}
	n := min(int64(len(raw))/size, (int64(len(dst))-at-size+row)/row)
	switch size {
	case 1:
		for i := range n {
			dst[at+i*row] = raw[i]
		}
	case 2:
		for i := range n {
			d, s := dst[at+i*row:], raw[2*i:]
			d[1], d[0] = s[1], s[0]
		}
	case 4:
		for i := range n {
			binary.LittleEndian.PutUint32(dst[at+i*row:], binary.LittleEndian.Uint32(raw[4*i:]))
		}
	default:
		for i := range n {
			copy(dst[at+i*row:][:size], raw[size*i:])
		}
	}
}

// convert makes the packed elements u..u+n-1 of row c.
func (p *Piece) convert(src []byte, c, u, n int64) ([]byte, error) {
	switch p.form {
	case words:
		lo, hi := c*p.k+4*u, c*p.k+min(p.k, 4*(u+n))
		if hi-lo == 4*n {
			return src[lo:hi], nil
		}
		return append(append([]byte(nil), src[lo:hi]...), make([]byte, 4*n-(hi-lo))...), nil
	case nibbles:
		return p.nibbles(src, c, u, n), nil
	case sums:
		var sum int32
		for _, b := range src[c*p.k : (c+1)*p.k] {
			sum += int32(int8(b))
		}
		return binary.LittleEndian.AppendUint32(nil, uint32(-128*sum)), nil
	}
	in := int64(p.weight.DType.Size())
	raw, err := p.converted(src[(c*p.k+u)*in : (c*p.k+min(p.k, u+n))*in])
	if behind := u + n - p.k; behind > 0 { // zeros end the last run
		raw = append(raw[:len(raw):len(raw)], make([]byte, behind*p.elem.Bytes())...)
	}
	return raw, err
}

// nibbles packs eight codes of a row into each word: code k of the eight goes to byte k%4, the low half for k < 4.
func (p *Piece) nibbles(src []byte, c, u, n int64) []byte {
	out := make([]byte, 4*n)
	for i := range 8 * n {
		code := byte(8) // 0, for what lies behind the row's end
		if k := 8*u + i; k < p.k {
			at := c*p.k + k
			code = (src[at/2]>>(at%2*4) + 8) & 15
		}
		out[i/8*4+i%4] |= code << (i % 8 / 4 * 4)
	}
	return out
}

// converted gives the run's bytes in the packed element type: the checkpoint's own where the types agree.
func (p *Piece) converted(run []byte) ([]byte, error) {
	to := map[spmd.Elem]ir.DType{spmd.F32: ir.F32, spmd.BF16: ir.BF16, spmd.F16: ir.F16, spmd.I8: ir.I8}[p.elem]
	from := p.weight.DType
	if from == to {
		return run, nil
	}
	x := make([]float32, len(run)/from.Size())
	if from == ir.I8 {
		for i := range x {
			x[i] = float32(int8(run[i]))
		}
	} else if err := ir.Decode(x, from, run); err != nil {
		return nil, err
	}
	return ir.Encode(to, x)
}
