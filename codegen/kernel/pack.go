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

// Piece is a packed weight: a run of bytes in the weights file. Pieces follow each other without holes.
type Piece struct {
	Name   string // checkpoint tensor, or what was made of it
	DType  string // F32, BF16 or F16
	Shape  []int  // as it lies: blocks, K, lanes; the last axis holds the padding to 64 bytes
	Offset int64  // bytes from the start of the weights, a multiple of 64
	Bytes  int64

	weight *ir.Weight
	layout layout
	c, k   int64
	elem   spmd.Elem
}

var dtypeNames = map[spmd.Elem]string{spmd.F32: "F32", spmd.BF16: "BF16", spmd.F16: "F16"}

// newPiece plans a weight of logical shape [c, k].
func newPiece(w *ir.Weight, l layout, c, k int64, e spmd.Elem) Piece {
	elements := l.size(c, k)
	bytes := (elements*e.Bytes() + 63) &^ 63
	shape := []int{int(l.blocks(c)), int(k), int(l.Pad)}
	if bytes != elements*e.Bytes() {
		shape = []int{int(bytes / e.Bytes())}
	}
	return Piece{Name: w.Name, DType: dtypeNames[e], Shape: shape, Bytes: bytes, weight: w, layout: l, c: c, k: k, elem: e}
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
	if from+int64(len(dst)) == p.Bytes && p.weight.Release != nil {
		p.weight.Release()
	}
	return nil
}

func (p *Piece) fill(dst []byte, from int64) error {
	if p.weight.Bytes == nil {
		return fmt.Errorf("it has no data (the graph came from text)")
	}
	src, err := p.weight.Bytes()
	if err != nil {
		return err
	}
	in := int64(p.weight.DType.Size())
	if int64(len(src)) != p.c*p.k*in {
		return fmt.Errorf("%d bytes of %v for %d x %d elements", len(src), p.weight.DType, p.c, p.k)
	}
	row := p.layout.Pad * p.elem.Bytes() // bytes of one k of a block
	first, last := from/row, (from+int64(len(dst))+row-1)/row
	for at := first; at < last; {
		block, k := at/p.k, at%p.k
		n := min(p.k-k, last-at) // ks of this block that lie in dst, whole or in part
		for lane := int64(0); lane < p.layout.Block; lane++ {
			if c := block*p.layout.Block + lane; c < p.c {
				run := src[(c*p.k+k)*in : (c*p.k+k+n)*in]
				if err := p.scatter(dst, at*row+lane*p.elem.Bytes()-from, row, run); err != nil {
					return err
				}
			}
		}
		at += n
	}
	return nil
}

// scatter converts a run of elements and writes them to dst, the first at byte at, which may lie outside, and each row bytes behind the last.
func (p *Piece) scatter(dst []byte, at, row int64, run []byte) error {
	raw, err := p.converted(run)
	if err != nil {
		return err
	}
	size := p.elem.Bytes()
	if at < 0 {
		skip := (-at + row - 1) / row
		at, raw = at+skip*row, raw[min(skip*size, int64(len(raw))):]
	}
	n := min(int64(len(raw))/size, (int64(len(dst))-at-size+row)/row)
	if size == 2 {
		for i := range n {
			d, s := dst[at+i*row:], raw[2*i:]
			d[1], d[0] = s[1], s[0]
		}
		return nil
	}
	for i := range n {
		binary.LittleEndian.PutUint32(dst[at+i*row:], binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return nil
}

// converted gives the run's bytes in the packed element type: the checkpoint's own where the types agree.
func (p *Piece) converted(run []byte) ([]byte, error) {
	to := map[spmd.Elem]ir.DType{spmd.F32: ir.F32, spmd.BF16: ir.BF16, spmd.F16: ir.F16}[p.elem]
	if p.weight.DType == to {
		return run, nil
	}
	x := make([]float32, len(run)/p.weight.DType.Size())
	if err := ir.Decode(x, p.weight.DType, run); err != nil {
		return nil, err
	}
	return ir.Encode(to, x)
}
