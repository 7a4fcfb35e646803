package ptx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// A product of a quad is one wgmma.mma_async of a warpgroup. Its sums stay in the registers that they come in, if nobody else reads them. Products that follow
// one another are a group: it begins with a fence, which orders the registers before it, and is waited for at its end, so that a result is there when the next
// instruction runs. Two warpgroups cover each other's waits.
//
// ptxas keeps products apart, one finished before the next begins, if they are in a function that is called. So such a kernel stands in the entry itself.
var quads = map[spmd.Op]struct {
	name  string
	steps int // of K
	class class
	last  string // operands behind the predicate: signs, and that nothing is transposed
}{
	spmd.OpQuadI8:   {"s32.s8.s8", 32, word, ""},
	spmd.OpQuadBF16: {"f32.bf16.bf16", 16, float, ", 1, 1, 0"},
	spmd.OpQuadTF32: {"f32.tf32.tf32", 8, float, ", 1, 1"},
}

// isQuad says that an instruction is a product of a quad; nil is none.
func isQuad(in *spmd.Instr) bool { return in != nil && quads[in.Op].name != "" }

// hasQuads says whether a kernel stands in the entry.
func hasQuads(k *spmd.Kernel) bool {
	found := false
	k.Body.Walk(func(in *spmd.Instr) { found = found || isQuad(in) })
	return found
}

// quad is a product.
func (e *kernel) quad(in *spmd.Instr) string {
	q := quads[in.Op]
	n := len(in.Args) - len(in.Results)
	sums := e.sums(in.Args[n:], q.class)
	a := ""
	if in.Op == spmd.OpQuadBF16 {
		var regs []string
		for i := range 4 {
			if !isRegister(e.arg(in, i)) { // one is written, which must not be behind the fence
				e.endGroup()
			}
			regs = append(regs, e.register(word, e.arg(in, i)))
		}
		a = "{" + strings.Join(regs, ", ") + "}"
	} else {
		a = e.descriptor(in.Args[0], in.Strides.A)
	}
	b := e.descriptor(in.Args[n-1], in.Strides.B)
	if !e.group {
		e.op("wgmma.fence.sync.aligned")
		e.group = true
	}
	e.op("wgmma.mma_async.sync.aligned.m64n%dk%d.%s {%s}, %s, %s, %s%s", 2*len(sums), q.steps, q.name, strings.Join(sums, ", "), a, b, e.always, q.last)
	if !isQuad(e.next) {
		e.endGroup()
	}
	for i, r := range in.Results {
		e.define(r, sums[i])
	}
	return ""
}

// endGroup waits for the products of a group, if there is one.
func (e *kernel) endGroup() {
	if e.group {
		e.op("wgmma.commit_group.sync.aligned")
		e.op("wgmma.wait_group.sync.aligned 0")
		e.group = false
	}
}

// sums gives the registers in which sums are added to: those that they are in, or copies.
func (e *kernel) sums(vs []*spmd.Value, k class) []string {
	regs := make([]string, len(vs))
	for i, v := range vs {
		x := e.val(v)
		if e.ends(v) && isRegister(x) && !slices.Contains(regs[:i], x) {
			regs[i] = x
			continue
		}
		e.endGroup()
		regs[i] = e.to(k, "mov."+k.bits(), x)
	}
	return regs
}

// ends says that a value has a register of its own, which nobody reads again: it is a quad's result or carried by the loop at hand, and used once.
func (e *kernel) ends(v *spmd.Value) bool {
	here := v.In == e.here || v.Def != nil && isQuad(v.Def) && slices.Contains(e.here.Body, v.Def)
	return here && e.used[v] == 1
}

// countUses counts who reads a value.
func countUses(r *spmd.Region, used map[*spmd.Value]int) {
	count := func(vs []*spmd.Value) {
		for _, v := range vs {
			used[v]++
		}
	}
	count(r.Yield)
	for _, in := range r.Body {
		count(in.Args)
		for _, inner := range in.Regions {
			countUses(inner, used)
		}
	}
}

// descriptor says where a matrix lies in shared memory: cores of eight rows or columns and sixteen bytes of K, one after the other, and so far from the
// first sixteen bytes to the second.
func (e *kernel) descriptor(p *spmd.Value, stride int64) string {
	if !e.home(p).shared {
		panic("the scratch is not in shared memory")
	}
	const core = 8 * 16
	at := e.to(wide, "cvt.u64.u32", e.to(word, "shr.u32", e.val(p), "4"))
	return e.to(wide, "or.b64", at, fmt.Sprint(stride>>4<<16|core>>4<<32))
}

// inline is the text of a kernel that stands in the entry, with its parameters in registers of their names.
func (m *module) inline(number int, args [6]string) string {
	var b strings.Builder
	b.WriteString("\t{\n")
	for i, p := range strings.Split(strings.Trim(kernelParams, "()"), ", ") {
		_, name, _ := strings.Cut(p, "%")
		typ := strings.Fields(p)[1]
		fmt.Fprintf(&b, "\t%s;\n\tmov%s %%%s, %s;\n", p, typ, name, args[i])
	}
	b.WriteString(m.inlined[number])
	b.WriteString("\t}\n")
	return b.String()
}
