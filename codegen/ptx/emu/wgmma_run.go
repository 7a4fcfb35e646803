package emu

import "slices"

// wgmma: four warps multiply 64 rows of A by N columns of B. Each warp has its 16 rows' sums. Operands are read when a product begins, and must stay as they
// are until it is waited for; till then its registers hold nothing that may be used, so they are filled with a pattern.

// wgmma is a wgmma.mma_async of a warp that is under way, or several on the same sums.
type wgmma struct {
	in    *inst
	sums  []int32 // places in warp.regs
	value []vec
	a     []int32 // registers of A, and what they hold
	holds []vec
	reads []span // of shared memory
	group int32
}

type span struct {
	at uint64
	n  int
}

// underWay is what a register of a product holds that is under way.
const underWay = 0xdeadbeef

const coreBytes = 8 * 16 // of eight rows or columns and sixteen bytes of K

// beginProduct reads the operands and sums up.
func (w *warp) beginProduct(in *inst, f *wgmmaForm) {
	p := w.productOn(in, f)
	if p == nil {
		return
	}
	da, db := uint64(0), w.r(f.db)[0]
	if f.a == nil {
		da = w.r(f.da)[0]
	}
	for l := range lanes {
		if w.r(f.db)[l] != db || f.a == nil && w.r(f.da)[l] != da || *w.p(f.scale) != 0 && *w.p(f.scale) != full {
			w.fault(in, l, "lanes of a warp have different operands")
			return
		}
	}
	if !w.together(in, da, db) {
		return
	}
	if *w.p(f.scale)^f.flip == 0 {
		for i := range p.value {
			p.value[i] = vec{}
		}
	}
	b := w.matrix(in, p, db, f.n)
	if b == nil {
		return
	}
	var a [][32]byte
	if f.a == nil {
		if a = w.matrix(in, p, da, 64); a == nil {
			return
		}
		a = a[w.index%4*16:][:16]
	} else {
		a = w.rowsOf(p, f)
	}
	if f.typ == s8 {
		p.addInts(a, b)
	} else {
		p.addFloats(a, b, f)
	}
}

// productOn gives the product under way on an instruction's sums, or a new one.
func (w *warp) productOn(in *inst, f *wgmmaForm) *wgmma {
	base := w.top.base
	for _, p := range w.products {
		same := 0
		for _, s := range f.sums {
			if slices.Contains(p.sums, base+s) {
				same++
			}
		}
		for _, s := range f.a {
			if slices.Contains(p.sums, base+s) {
				w.fault(in, 0, "multiplies sums of line %d, which are under way", p.in.src.line)
				return nil
			}
		}
		switch {
		case same == 0:
		case same == len(p.sums) && same == len(f.sums) && p.sums[0] == base+f.sums[0]:
			p.in, p.group = in, w.productGroups
			return p
		default:
			w.fault(in, 0, "has some of the sums of line %d, which are under way", p.in.src.line)
			return nil
		}
	}
	p := &wgmma{in: in, group: w.productGroups}
	for _, s := range f.sums {
		r := w.r(s)
		p.sums, p.value = append(p.sums, base+s), append(p.value, *r)
		for l := range r {
			r[l] = underWay
		}
	}
	w.products = append(w.products, p)
	return p
}

// together compares what the four warps of a warpgroup do.
func (w *warp) together(in *inst, da, db uint64) bool {
	if len(w.b.warps)%4 != 0 {
		w.fault(in, 0, "the block has %d warps, no whole warpgroups", len(w.b.warps))
		return false
	}
	g := w.index / 4
	for len(w.b.warpgroups) <= g {
		w.b.warpgroups = append(w.b.warpgroups, map[int]*joint{})
	}
	log := w.b.warpgroups[g]
	x := log[w.begun]
	if x == nil {
		x = &joint{in: in, da: da, db: db}
		log[w.begun] = x
	}
	if x.in != in || x.da != da || x.db != db {
		w.fault(in, 0, "product %d of the warp: another warp of its group has other operands there, or line %d", w.begun, x.in.src.line)
		return false
	}
	if x.warps++; x.warps == 4 {
		delete(log, w.begun)
	}
	w.begun++
	return true
}

// joint is a product of a warpgroup that not all of its warps have come to.
type joint struct {
	in     *inst
	da, db uint64
	warps  int
}

// matrix reads so many rows or columns by a descriptor: of each 32 bytes of K.
func (w *warp) matrix(in *inst, p *wgmma, desc uint64, n int) [][32]byte {
	at, leading, stride := desc&0x3fff<<4, desc>>16&0x3fff<<4, desc>>32&0x3fff<<4
	if desc>>62 != 0 || desc>>49&7 != 0 || desc&(3<<14|3<<30|7<<46) != 0 {
		w.fault(in, 0, "descriptor %#x: swizzles and base offsets are not supported", desc)
		return nil
	}
	out := make([][32]byte, n)
	for i := 0; i < n; i += 8 {
		for half := range uint64(2) {
			s := span{at + uint64(i/8)*stride + half*leading, coreBytes}
			b := w.read(in, s)
			if b == nil {
				return nil
			}
			p.reads = append(p.reads, s)
			for r := range 8 {
				copy(out[i+r][16*half:], b[16*r:][:16])
			}
		}
	}
	return out
}

// read is a read of the async proxy for all lanes.
func (w *warp) read(in *inst, s span) []byte {
	w.begin(in, false)
	w.access.async, w.access.many = true, true
	b := w.atShared(in, 0, s.at, s.n)
	w.access.many = false
	return b
}

// rowsOf gives the warp's rows of A, which are in registers.
func (w *warp) rowsOf(p *wgmma, f *wgmmaForm) [][32]byte {
	out := make([][32]byte, 16)
	for i, s := range f.a {
		r := w.r(s)
		p.a, p.holds = append(p.a, w.top.base+s), append(p.holds, *r)
		for l, v := range r {
			put(out[l/4+i%2*8][i/2*16+l%4*4:][:4], v)
		}
	}
	return out
}

// sum says which lane and register have an element of the warp's sums.
func (p *wgmma) sum(row, col int) *uint64 {
	l, reg := elementC(row, col%8)
	return &p.value[col/8*4+reg][l]
}

func (p *wgmma) addInts(a, b [][32]byte) {
	for row := range a {
		for col := range b {
			dot := int32(0)
			for k, x := range a[row] {
				dot += int32(int8(x)) * int32(int8(b[col][k]))
			}
			s := p.sum(row, col)
			*s = uint64(uint32(*s) + uint32(dot))
		}
	}
}

func (p *wgmma) addFloats(a, b [][32]byte, f *wgmmaForm) {
	numbers := func(lines [][32]byte) [][16]float64 {
		out := make([][16]float64, len(lines))
		for i, line := range lines {
			for k := range 32 / f.size {
				out[i][k] = factor(f.typ, get(line[k*f.size:], f.size), 0)
			}
		}
		return out
	}
	x, y := numbers(a), numbers(b)
	for row := range x {
		for col := range y {
			s := p.sum(row, col)
			sum := float64(single(*s))
			for k := range 32 / f.size {
				sum += float64(x[row][k] * y[col][k])
			}
			*s = bitsOf(float32(sum))
		}
	}
}

// waitProducts ends the products of all groups but the last ones.
func (w *warp) waitProducts(in *inst) {
	rest := w.products[:0]
	for _, p := range w.products {
		if p.group >= w.productGroups-int32(in.imm) {
			rest = append(rest, p)
			continue
		}
		for _, s := range p.reads { // nobody has changed them meanwhile
			if w.read(in, s) == nil {
				return
			}
		}
		for i, s := range p.a {
			if w.regs[s] != p.holds[i] {
				w.fault(in, 0, "registers of A of line %d were changed before this", p.in.src.line)
				return
			}
		}
		for i, s := range p.sums {
			for l, v := range w.regs[s] {
				if v != underWay {
					w.fault(in, l, "sums of line %d were changed before this", p.in.src.line)
					return
				}
			}
			w.regs[s] = p.value[i]
		}
	}
	w.products = rest
}
