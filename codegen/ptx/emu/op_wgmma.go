package emu

import (
	"slices"
	"strconv"
	"strings"
)

// What wgmma instructions say; wgmma_run.go does it.

// wgmmaForm is what an instruction says.
type wgmmaForm struct {
	n     int // columns
	size  int // bytes of an element of A and B
	typ   typ
	sums  []int32
	a     []int32 // registers of A; nil: it is in shared memory
	da    int32
	db    int32
	scale int32 // predicate: add to the sums
	flip  uint32
}

// wgmmaKinds by the type of A and B.
var wgmmaKinds = map[typ]struct {
	k    string
	size int
	sum  typ
	imms int // operands behind the predicate: signs, and transpositions
}{
	s8:   {"k32", 1, s32, 0},
	bf16: {"k16", 2, f32, 4},
	tf32: {"k8", 4, f32, 2},
}

func compileWgmma(c *compiler) {
	if c.m.Target != "sm_90a" {
		c.fail("wants sm_90a; the module is for %s", c.m.Target)
	}
	what := c.need("fence", "mma_async", "commit_group", "wait_group")
	if !c.has("sync") || !c.has("aligned") {
		c.fail("want .sync.aligned")
	}
	switch what {
	case "fence":
		c.operands(0)
		c.x.exec = func(w *warp, in *inst) { w.gather(in, full) }
	case "commit_group":
		c.operands(0)
		c.x.exec = func(w *warp, in *inst) {
			if w.gather(in, full) {
				w.productGroups++
			}
		}
	case "wait_group":
		if c.operands(1) {
			o := c.arg(0)
			if o.kind != argInt || o.value > 7 {
				c.fail("want a number of groups, 0 to 7")
			}
			c.x.imm = int64(o.value)
		}
		c.x.exec = func(w *warp, in *inst) {
			if w.gather(in, full) {
				w.waitProducts(in)
			}
		}
	default:
		c.wgmma()
	}
}

// wgmma compiles the product.
func (c *compiler) wgmma() {
	shape := ""
	c.mods = slices.DeleteFunc(c.mods, func(m string) bool {
		if strings.HasPrefix(m, "m64n") {
			shape = m
		}
		return strings.HasPrefix(m, "m64n")
	})
	ts := c.takeTypes(3)
	kind, ok := wgmmaKinds[ts[1]]
	columns, k, _ := strings.Cut(strings.TrimPrefix(shape, "m64n"), "k")
	n, err := strconv.Atoi(columns)
	if !ok || ts[2] != ts[1] || ts[0] != kind.sum || "k"+k != kind.k || err != nil || n < 8 || n > 256 || n%8 != 0 || ts[1] == s8 && n > 32 && n%16 != 0 {
		c.fail("this combination of shape and types is not supported")
		return
	}
	f := &wgmmaForm{n: n, size: kind.size, typ: ts[1]}
	imms := kind.imms
	if len(c.in.args) > 1 && c.arg(1).kind == argVector {
		if f.typ == bf16 { // registers are not transposed
			imms--
		}
		f.a = c.vector(1, 4, b32, false, false)
	}
	if !c.operands(4 + imms) {
		return
	}
	f.sums = c.vector(0, n/2, kind.sum, true, false)
	c.fl.reads = append(c.fl.reads, f.sums...)
	if f.a == nil {
		f.da = c.src(1, b64)
	}
	f.db = c.src(2, b64)
	f.scale, f.flip = c.predSource(3)
	for i := range imms {
		want := uint64(1)
		if i >= 2 {
			want = 0 // both lie with K together
		}
		if o := c.arg(4 + i); o.kind != argInt || o.value != want {
			c.fail("operand %d: only %d is supported", 5+i, want)
		}
	}
	if c.failed {
		return
	}
	if kind.sum == f32 {
		c.approximate()
	}
	c.fenced(f)
	c.x.exec = func(w *warp, in *inst) {
		if w.gather(in, full) && w.whole(in) {
			w.beginProduct(in, f)
		}
	}
}

// fenced wants a wgmma.fence in the same run of instructions, with no write to the product's registers behind it but by other products.
func (c *compiler) fenced(f *wgmmaForm) {
	labels := map[int32]bool{}
	for _, at := range c.labels {
		labels[at] = true
	}
	for at := int32(len(c.m.code)); at > c.first && !labels[at]; at-- {
		before := c.m.code[at-1].src
		if before.op == "wgmma" {
			if slices.Contains(before.mods, "fence") {
				return
			}
			if slices.Contains(before.mods, "mma_async") {
				continue
			}
		}
		for _, s := range c.flows[at-1-c.first].writes {
			if slices.Contains(f.sums, s) || slices.Contains(f.a, s) {
				c.fail("%s is written by line %d, behind the last wgmma.fence", c.code.names[s], before.line)
				return
			}
		}
	}
	c.fail("no wgmma.fence between the last label and this")
}
