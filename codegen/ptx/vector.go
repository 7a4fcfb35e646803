package ptx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// A row's elements are uniform values: each is one load by all lanes of one address, as costly as a load of a line. Neighbours can be had two or four at
// once where the address is a multiple of their size, which the packing of rows makes it: this file finds them.

// vector is loads of neighbours, in the order of their addresses, done where the first of them stands.
type vector struct {
	loads []*spmd.Instr
	regs  []string // once they are loaded
}

// neighbour is where a uniform load reads, but for a constant.
type neighbour struct {
	p, i *spmd.Value
}

// together finds the vectors of a region. What is stored in between, or a place where lanes meet, ends all that is open: loads are not moved over it.
func (e *kernel) together(r *spmd.Region) {
	open := map[neighbour][]*spmd.Instr{}
	var order []neighbour
	flush := func() {
		for _, n := range order {
			e.pair(open[n])
		}
		open, order = map[neighbour][]*spmd.Instr{}, nil
	}
	for _, in := range r.Body {
		switch in.Op {
		case spmd.OpLoad:
			if e.meets[in] {
				flush()
			}
			if el := in.Args[0].Type.Elem; el == spmd.F32 || el == spmd.I32 {
				rest, _ := split(index(in, 0))
				n := neighbour{in.Args[0], rest}
				if open[n] == nil {
					order = append(order, n)
				}
				open[n] = append(open[n], in)
			}
		case spmd.OpStore, spmd.OpStoreV, spmd.OpStoreVN, spmd.OpMMA8, spmd.OpCopyAsync, spmd.OpCopyBulk, spmd.OpBarrier, spmd.OpFor, spmd.OpIf:
			flush()
		default:
			if e.meets[in] {
				flush()
			}
		}
	}
	flush()
}

// at is the constant part of a load's index.
func at(in *spmd.Instr) int64 {
	_, more := split(index(in, 0))
	return in.Imm + more
}

// pair makes vectors of four, then of two, of loads that differ by a constant.
func (e *kernel) pair(loads []*spmd.Instr) {
	byPlace := map[int64]*spmd.Instr{}
	for _, in := range loads {
		if byPlace[at(in)] == nil {
			byPlace[at(in)] = in
		}
	}
	for _, n := range [...]int64{4, 2} {
		for _, in := range loads {
			first := at(in)
			group := make([]*spmd.Instr, n)
			for j := range group {
				if x := byPlace[first+int64(j)]; x != nil && e.wide[x] == nil {
					group[j] = x
				}
			}
			if slices.Contains(group, nil) || !e.forms.divides(4*n, e.forms.address(group[0], 0)) {
				continue
			}
			v := &vector{loads: group}
			for _, x := range group {
				e.wide[x] = v
			}
		}
	}
}

// loadTogether gives the register of a load that is part of a vector.
func (e *kernel) loadTogether(in *spmd.Instr, v *vector) string {
	if v.regs == nil {
		p := in.Args[0]
		k := access[p.Type.Elem].class
		for range v.loads {
			v.regs = append(v.regs, e.reg(k))
		}
		name := e.loadName(p, false)
		dot := strings.LastIndexByte(name, '.')
		count := ".v4"
		if len(v.loads) == 2 {
			count = ".v2"
		}
		first := v.loads[0]
		e.op("%s%s%s {%s}, %s", name[:dot], count, name[dot:], strings.Join(v.regs, ", "), e.address(p, index(first, 0), first.Imm, 0))
	}
	return v.regs[slices.Index(v.loads, in)]
}

// loadRun is a load of neighbours by each lane: one instruction, then its words are taken apart.
func (e *kernel) loadRun(in *spmd.Instr) string {
	p, n := in.Args[0], elementsOfLane(in)
	if l, ok := e.looks[in]; ok {
		e.lookAhead(in, l)
	}
	return e.runFrom(in, e.address(p, index(in, 0), in.Imm, n))
}

// gatherRun is the same from any place.
func (e *kernel) gatherRun(in *spmd.Instr) string { return e.runFrom(in, e.gathered(in)) }

func (e *kernel) runFrom(in *spmd.Instr, at string) string {
	p, n := in.Args[0], int64(len(in.Results))
	el := p.Type.Elem
	if n == 1 {
		return e.fetch(p, at, "", true)
	}
	bytes := n * el.Bytes()
	k, typ := word, "b32"
	switch {
	case el == spmd.F32:
		k, typ = float, "f32"
	case bytes == 2: // of two bytes
		typ = "u16"
	}
	regs := make([]string, max(1, bytes/4))
	for i := range regs {
		regs[i] = e.reg(k)
	}
	name := e.loadName(p, true)
	name = name[:strings.LastIndexByte(name, '.')]
	if len(regs) == 1 {
		e.op("%s.%s %s, %s", name, typ, regs[0], at)
	} else {
		e.op("%s.v%d.%s {%s}, %s", name, len(regs), typ, strings.Join(regs, ", "), at)
	}
	for i, r := range in.Results {
		byteAt := int64(i) * el.Bytes()
		e.define(r, e.pick(el, regs[byteAt/4], byteAt%4))
	}
	return ""
}

// pick takes the element that begins at a byte of a word.
func (e *kernel) pick(el spmd.Elem, w string, at int64) string {
	switch el {
	case spmd.I8: // the byte, and its sign three times
		return e.to(word, "prmt.b32", w, "0", fmt.Sprintf("0x%x", 0x8880+0x1111*at))
	case spmd.U8:
		return e.to(word, "prmt.b32", w, "0", fmt.Sprintf("0x%x", 0x4440+at))
	case spmd.BF16:
		if at == 0 {
			return e.widen(el, w)
		}
		return e.to(float, "and.b32", w, "0xffff0000")
	case spmd.F16:
		low, high := e.reg(half), e.reg(half)
		e.op("mov.b32 {%s, %s}, %s", low, high, w)
		if at == 0 {
			return e.widen(el, low)
		}
		return e.widen(el, high)
	}
	return w
}
