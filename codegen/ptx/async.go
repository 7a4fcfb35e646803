package ptx

import (
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// mmaBF16Name is a product whose sums have no order: the emulator says that its result is not defined to the bit.
const mmaBF16Name = "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"

// fragments is an mma.sync on what lanes hold.
func (e *kernel) fragments(in *spmd.Instr, k class, name string) string {
	list := func(from, to int, k class) string {
		var regs []string
		for i := from; i < to; i++ {
			regs = append(regs, e.held(k, e.arg(in, i)))
		}
		return "{" + strings.Join(regs, ", ") + "}"
	}
	sums, a, b := list(0, 4, k), list(4, 8, word), list(8, 10, word)
	var d []string
	for range in.Results {
		d = append(d, e.reg(k))
	}
	e.op("%s {%s}, %s, %s, %s", name, strings.Join(d, ", "), a, b, sums)
	for i, r := range in.Results {
		e.define(r, d[i])
	}
	return ""
}

// held is register, of a constant once in a region: a fragment of sums begins with four of the same.
func (e *kernel) held(k class, x string) string {
	if isRegister(x) {
		return x
	}
	key := string(k) + x
	for _, s := range e.scopes {
		if r := s.constants[key]; r != "" {
			return r
		}
	}
	r := e.register(k, x)
	e.inner().constants[key] = r
	return r
}

// copyAsync is a cp.async of sixteen bytes a lane, past the first-level cache. Scratch that had to go to global memory is no place for one: there it is a
// load and a store.
func (e *kernel) copyAsync(in *spmd.Instr) string {
	to, from := in.Args[0], in.Args[2]
	place := e.moved(to, e.val(to), e.register(word, e.arg(in, 1)))
	source := e.moved(from, e.val(from), e.register(word, e.arg(in, 3)))
	if e.home(to).shared {
		e.op("cp.async.cg.shared.global %s, %s, 16", field(place, 0), field(source, 0))
		return ""
	}
	regs := strings.Join([]string{e.reg(word), e.reg(word), e.reg(word), e.reg(word)}, ", ")
	name := "ld.global"
	if e.home(from).space.Constant() {
		name += ".nc"
	}
	e.op("%s.v4.b32 {%s}, %s", name, regs, field(source, 0))
	e.op("st.global.v4.b32 %s, {%s}", field(place, 0), regs)
	return ""
}
