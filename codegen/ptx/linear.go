package ptx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// forms takes the indices and pointers of a kernel apart.
type forms struct {
	p      *spmd.Program
	kernel int
	loops  map[*spmd.Region]*spmd.Instr
	known  map[*spmd.Value]linear
}

func newForms(p *spmd.Program, kernel int) *forms {
	return &forms{p: p, kernel: kernel, loops: newRanges(p, kernel).loops, known: map[*spmd.Value]linear{}}
}

// linear is a sum of values times numbers, and a number. Elements of pointers count as bytes.
type linear struct {
	terms map[*spmd.Value]int64
	plain int64
}

// name is how a value is called in the text of a form.
func name(v *spmd.Value) string { return fmt.Sprintf("<%d>", v.ID) }

// text writes the sum modulo n, the same for equal sums; its values alone if n is 0.
func (l linear) text(n int64) string {
	mod := func(x int64) int64 {
		if n == 0 {
			return x
		}
		return (x%n + n) % n
	}
	var parts []string
	for v, c := range l.terms {
		if c = mod(c); c != 0 {
			parts = append(parts, fmt.Sprintf("%d*%s", c, name(v)))
		}
	}
	slices.Sort(parts)
	if n == 0 {
		return strings.Join(parts, "+")
	}
	return fmt.Sprintf("%s+%d", strings.Join(parts, "+"), mod(l.plain))
}

func (l linear) add(n int64) linear { return linear{l.terms, l.plain + n} }

func (l linear) times(n int64) linear { return linear{}.plus(l, n) }

// plus is l + n*m.
func (l linear) plus(m linear, n int64) linear {
	out := linear{map[*spmd.Value]int64{}, l.plain + n*m.plain}
	for v, c := range l.terms {
		out.terms[v] += c
	}
	for v, c := range m.terms {
		out.terms[v] += n * c
	}
	return out
}

// of takes an index or a pointer apart.
func (o *forms) of(v *spmd.Value) linear {
	f, ok := o.known[v]
	if !ok {
		f = o.findForm(v)
		o.known[v] = f
	}
	return f
}

func (o *forms) findForm(v *spmd.Value) linear {
	self := linear{terms: map[*spmd.Value]int64{v: 1}}
	in := v.Def
	if in == nil {
		return self
	}
	switch in.Op {
	case spmd.OpConst:
		return linear{plain: in.Imm}
	case spmd.OpAdd:
		return o.of(in.Args[0]).plus(o.of(in.Args[1]), 1)
	case spmd.OpSub:
		return o.of(in.Args[0]).plus(o.of(in.Args[1]), -1)
	case spmd.OpMul:
		for i := range 2 {
			if c, ok := in.Args[i].Const(); ok {
				return o.of(in.Args[1-i]).times(c)
			}
		}
	case spmd.OpShl:
		return o.of(in.Args[0]).times(1 << uint(in.Imm))
	case spmd.OpOffset:
		return o.of(in.Args[0]).plus(o.of(in.Args[1]), v.Type.Elem.Bytes())
	case spmd.OpScratch:
		return linear{plain: in.Imm}
	}
	return self
}

// address is where an access begins, in bytes; operands are those that follow the address.
func (o *forms) address(in *spmd.Instr, operands int) linear {
	bytes := in.Args[0].Type.Elem.Bytes()
	f := o.of(in.Args[0])
	if x := index(in, operands); x != nil {
		f = f.plus(o.of(x), bytes)
	}
	return f.add(in.Imm * bytes)
}

// divides says that an address is a multiple of n, a power of two up to what a warp can cover.
func (o *forms) divides(n int64, l linear) bool { return o.reduced(l).text(n) == "+0" }

// reduced puts in place of values what they are modulo anything that a warp can cover.
func (o *forms) reduced(l linear) linear {
	out := linear{map[*spmd.Value]int64{}, l.plain}
	for v, c := range l.terms {
		switch {
		case v.Def == nil:
			n, multiple := o.counted(v)
			out.terms[v] += c * multiple
			out.plain += c * n
		case v.Def.Op == spmd.OpParam:
			n, ok := o.argument(int(v.Def.Imm))
			if !ok {
				out.terms[v] += c
			}
			out.plain += c * n
		default:
			out.terms[v] += c
		}
	}
	return out
}

// counted is for a loop's variable v, which begins at the lower bound and goes by whole steps: v = n + multiple * something. The name of v then stands for
// that.
func (o *forms) counted(v *spmd.Value) (n, multiple int64) {
	in := o.loops[v.In]
	if in == nil || v.In.Params[0] != v {
		return 0, 1
	}
	if lo := o.of(in.Args[0]); len(lo.terms) == 0 {
		return lo.plain, in.Imm
	}
	return 0, 1
}

// argument is where a parameter points, if all launches agree modulo the most that a warp can cover; spaces begin at multiples of it.
func (o *forms) argument(i int) (n int64, ok bool) {
	const most = warp * 8
	for _, ph := range o.p.Phases {
		for _, l := range ph.Launches {
			if l.Kernel != o.kernel {
				continue
			}
			if ok && l.Args[i]%most != n {
				return 0, false
			}
			n, ok = l.Args[i]%most, true
		}
	}
	return n, ok
}
