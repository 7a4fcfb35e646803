package emu

import "math"

// Matrix fragments. In all of them lane l belongs to group l/4 and is thread l%4 of it; A and the sums have rows group and group+8.

// compileLdmatrix loads one, two or four matrices of 8 rows of 16 bytes: lanes 8i to 8i+7 have the addresses of the rows of matrix i, and lane l
// gets words l%4 of row l/4 (with .trans, the halves 2(l%4) and 2(l%4)+1 of column l/4).
func compileLdmatrix(c *compiler) {
	if !c.has("sync") || !c.has("aligned") || !c.has("m8n8") {
		c.fail("want .sync.aligned.m8n8")
	}
	n := map[string]int{"x1": 1, "x2": 2, "x4": 4}[c.need("x1", "x2", "x4")]
	trans := c.has("trans")
	s := c.stateSpace()
	if s != shared && s != generic {
		c.fail("want .shared")
	}
	c.typ(b16)
	if !c.operands(2) {
		return
	}
	c.x.size = 16
	s = c.address(1, s)
	c.x.list = c.vector(0, n, b32, true, false)
	c.x.exec = func(w *warp, in *inst) {
		if !w.gather(in, full) || !w.whole(in) {
			return
		}
		w.begin(in, false)
		var rows [lanes][]byte
		a := *w.r(in.a)
		for l := range 8 * n {
			if rows[l] = w.at(in, l, s, a[l]+uint64(in.imm), 16); rows[l] == nil {
				return
			}
		}
		for i, slot := range in.list {
			d := w.r(slot)
			for l := range d {
				d[l] = fragmentWord(rows[8*i:8*i+8], l, trans)
			}
		}
	}
}

func fragmentWord(rows [][]byte, l int, trans bool) uint64 {
	if !trans {
		return uint64(le.Uint32(rows[l/4][4*(l%4):]))
	}
	low, high := rows[2*(l%4)], rows[2*(l%4)+1]
	return uint64(le.Uint16(low[2*(l/4):])) | uint64(le.Uint16(high[2*(l/4):]))<<16
}

// whole refuses a warp that has lost lanes.
func (w *warp) whole(in *inst) bool {
	if w.act != full {
		w.fault(in, w.lane(w.act), "wants all 32 lanes; there are %#x", w.act)
	}
	return w.act == full
}

// fragments says how many words a lane has of A and B, and how elements lie in them.
type fragments struct {
	k      int // columns of A
	perReg int // elements of a word
	a, b   int // words
}

// mmaShapes by shape and bytes of an element (0: not there).
var mmaShapes = map[string]map[int]fragments{
	"m16n8k8":  {2: {8, 2, 2, 1}, 4: {8, 1, 4, 2}},
	"m16n8k16": {1: {16, 4, 2, 1}, 2: {16, 2, 4, 2}},
	"m16n8k32": {1: {32, 4, 4, 2}},
}

// compileMMA is mma.sync of integers, exact, or of floats: the products are exact, their sums are made in double, k after k, and rounded once.
// Tensor cores sum otherwise, which PTX leaves open: Module.Inexact has them.
func compileMMA(c *compiler) {
	if !c.has("sync") || !c.has("aligned") || !c.has("row") || !c.has("col") {
		c.fail("want .sync.aligned.shape.row.col")
	}
	c.needs(80)
	shape := c.need("m16n8k8", "m16n8k16", "m16n8k32")
	sat := c.has("satfinite")
	ts := c.takeTypes(4)
	if c.failed {
		return
	}
	ta, tb := ts[1], ts[2]
	size := ta.bytes()
	ints := (ta == s8 || ta == u8) && (tb == s8 || tb == u8) && ts[0] == s32 && ts[3] == s32
	flts := (ta == bf16 || ta == f16 || ta == tf32) && tb == ta && ts[0] == f32 && ts[3] == f32
	f, ok := mmaShapes[shape][size]
	if !ok || !ints && !flts || sat && !ints {
		c.fail("this combination of shape and types is not supported")
		return
	}
	if !c.operands(4) {
		return
	}
	d := c.vector(0, 4, ts[0], true, false)
	a := c.vector(1, f.a, b32, false, false)
	b := c.vector(2, f.b, b32, false, false)
	cc := c.vector(3, 4, ts[3], false, false)
	if flts {
		c.approximate()
	}
	c.x.exec = func(w *warp, in *inst) {
		if !w.gather(in, full) || !w.whole(in) {
			return
		}
		if ints {
			w.mmaInt(f, d, a, b, cc, ta == s8, tb == s8, sat)
		} else {
			w.mmaFloat(f, ta, d, a, b, cc)
		}
	}
}

// partA says which row of A a lane's word is of, and which column its first element is in.
func (f fragments) partA(lane, word int) (row, k int) {
	return lane/4 + word%2*8, (word/2*4 + lane%4) * f.perReg
}

// partB says which column of B a lane's word is of, and which row its first element is in.
func (f fragments) partB(lane, word int) (col, k int) {
	return lane / 4, (word*4 + lane%4) * f.perReg
}

// elementC does it for the sums.
func elementC(row, col int) (lane, reg int) { return row%8*4 + col/2, row/8*2 + col%2 }

func (w *warp) mmaInt(f fragments, d, a, b, c []int32, signedA, signedB, sat bool) {
	var x [16][32]int32 // rows of A
	var y [8][32]int32  // columns of B
	for word, slot := range a {
		for l, v := range w.r(slot) {
			row, k := f.partA(l, word)
			bytesOf(x[row][k:][:4], v, signedA)
		}
	}
	for word, slot := range b {
		for l, v := range w.r(slot) {
			col, k := f.partB(l, word)
			bytesOf(y[col][k:][:4], v, signedB)
		}
	}
	var out [4]vec
	for row := range x {
		for col := range y {
			l, reg := elementC(row, col)
			dot := int32(0) // of 32 products of bytes: exact
			for k, v := range x[row][:f.k] {
				dot += v * y[col][k]
			}
			sum := int64(int32(w.r(c[reg])[l])) + int64(dot)
			if sat {
				sum = saturate(sum)
			}
			out[reg][l] = uint64(uint32(sum))
		}
	}
	for i, s := range d {
		*w.r(s) = out[i]
	}
}

func bytesOf(to []int32, word uint64, signed bool) {
	for i := range to {
		b := byte(word >> (8 * i))
		to[i] = int32(b)
		if signed {
			to[i] = int32(int8(b))
		}
	}
}

// factor is element i of a word of floats.
func factor(t typ, word uint64, i int) float64 {
	if t == tf32 { // the low 13 bits are not looked at
		return float64(single(word &^ (1<<13 - 1)))
	}
	return fromHalf(t, word>>(16*i)&0xffff)
}

func (w *warp) mmaFloat(f fragments, t typ, d, a, b, c []int32) {
	var x [16][16]float64
	var y [8][16]float64
	for word, slot := range a {
		for l, v := range w.r(slot) {
			row, k := f.partA(l, word)
			for i := range f.perReg {
				x[row][k+i] = factor(t, v, i)
			}
		}
	}
	for word, slot := range b {
		for l, v := range w.r(slot) {
			col, k := f.partB(l, word)
			for i := range f.perReg {
				y[col][k+i] = factor(t, v, i)
			}
		}
	}
	var out [4]vec
	for row := range x {
		for col := range y {
			l, reg := elementC(row, col)
			sum := float64(single(w.r(c[reg])[l]))
			for k, v := range x[row][:f.k] {
				p := v * y[col][k]
				sum += p
			}
			out[reg][l] = bitsOf(float32(sum))
		}
	}
	for i, s := range d {
		*w.r(s) = out[i]
	}
}

func double(x uint64) float64     { return math.Float64frombits(x) }
func doubleBits(x float64) uint64 { return math.Float64bits(x) }
