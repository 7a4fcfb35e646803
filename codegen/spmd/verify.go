package spmd

import (
	"errors"
	"fmt"
	"strings"
)

// Limits that keep hostile text from making anything large: nesting of regions, and sizes whose products must not overflow.
const (
	maxDepth  = 64
	maxBytes  = 1 << 46
	maxRows   = 1 << 24
	maxStride = 1 << 28
	maxTiles  = 1<<31 - 1
	maxErrors = 20

	maxMembers = 32
	maxGroups  = 16 // of copies on their way

	maxRunBytes = 16 // of a lane, in one loadrun

	maxPieces     = 32 // of a copybulk
	maxPieceBytes = 1 << 14
)

// teamScratch is the origin of pointers into scratch memory; the others are spaces.
const teamScratch = numSpaces

// Verify says everything that is wrong with a kernel, each with the value or instruction that it is about.
func (k *Kernel) Verify() error {
	v := &verifier{k: k, ids: map[int]*Value{}, scope: map[*Value]scope{}, origin: map[*Value]Space{}}
	v.kernel()
	return v.join()
}

// problems collects what is wrong, and only counts what is beyond maxErrors.
type problems struct {
	errs []error
	more int
}

func (p *problems) add(format string, args ...any) {
	if len(p.errs) == maxErrors {
		p.more++
		return
	}
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *problems) join() error {
	if p.more > 0 {
		p.errs = append(p.errs, fmt.Errorf("and %d more", p.more))
	}
	return errors.Join(p.errs...)
}

type scope uint8

const (
	undefined scope = iota
	visible
	left // the region that defined it has ended
)

type verifier struct {
	k      *Kernel
	ids    map[int]*Value
	scope  map[*Value]scope
	origin map[*Value]Space // of pointers: where they point
	depth  int
	problems
}

func (v *verifier) fail(format string, args ...any) {
	v.add("kernel %s: %s", printName(v.k.Name), fmt.Sprintf(format, args...))
}

// at fails about an instruction, of which a line's worth is shown.
func (v *verifier) at(in *Instr, format string, args ...any) {
	if len(v.errs) == maxErrors {
		v.more++
		return
	}
	v.fail("%s: %s", in.brief(), fmt.Sprintf(format, args...))
}

func (v *verifier) kernel() {
	k := v.k
	if !plainName(k.Name) {
		v.fail("name: letters, digits, _ . - are wanted, a letter or _ first, because it becomes a symbol")
	}
	if k.Lanes != 8 && k.Lanes != 16 && k.Lanes != 32 {
		v.fail("%d lanes: 8, 16 or 32 are wanted", k.Lanes)
	}
	if k.Members < 1 || k.Members > maxMembers {
		v.fail("%d members share a tile: 1..%d are wanted", k.Members, maxMembers)
	}
	if k.Team < 0 || k.Team > maxBytes {
		v.fail("team: %d bytes of scratch", k.Team)
	}
	for i, p := range k.Params {
		v.param(i, p)
	}
	if k.Body == nil {
		v.fail("has no body")
		return
	}
	if len(k.Body.Params) > 0 || len(k.Body.Yield) > 0 {
		v.fail("the body has parameters or yields; only loops and branches do")
	}
	v.region(k.Body)
}

func (v *verifier) param(i int, p Param) {
	want, fixed := I32, true
	switch p.Space {
	case Logits, Odds:
		want = F32
	case Weights, Work, State:
		fixed = false
	}
	switch {
	case p.Space >= numSpaces:
		v.fail("parameter %d (%s): unknown space %d", i, printName(p.Name), p.Space)
	case !(Type{p.Elem, Pointer}).valid():
		v.fail("parameter %d (%s): memory holds no %v", i, printName(p.Name), p.Elem)
	case fixed && p.Elem != want:
		v.fail("parameter %d (%s): %v holds %v, not %v", i, printName(p.Name), p.Space, want, p.Elem)
	}
}

// region checks a block and ends the scope of what it defines.
func (v *verifier) region(r *Region) {
	if r == nil {
		v.fail("a region is missing")
		return
	}
	if v.depth++; v.depth > maxDepth {
		v.fail("regions are nested more than %d deep", maxDepth)
		v.depth--
		return
	}
	var defined []*Value
	define := func(x *Value) {
		if v.define(x) {
			defined = append(defined, x)
		}
	}
	for _, p := range r.Params {
		define(p)
	}
	for _, in := range r.Body {
		if in == nil || in.Op >= numOps {
			v.fail("unknown instruction")
			continue
		}
		v.instr(in)
		for _, x := range in.Results {
			define(x)
		}
	}
	for _, y := range r.Yield {
		if why := v.unseen(y); why != "" {
			v.fail("yield of %s, which %s", y, why)
		}
	}
	for _, x := range defined {
		v.scope[x] = left
	}
	v.depth--
}

func (v *verifier) define(x *Value) bool {
	switch {
	case x == nil:
		v.fail("a result is missing")
		return false
	case v.scope[x] != undefined:
		v.fail("%s is defined twice", x)
		return false
	case x.ID < 0 || v.ids[x.ID] != nil:
		v.fail("%s: the number is used by another value", x)
	}
	if !x.Type.valid() {
		v.fail("%s has type %v, of which there are no values", x, x.Type)
	}
	v.ids[x.ID], v.scope[x] = x, visible
	return true
}

// unseen says why a value may not be used here.
func (v *verifier) unseen(x *Value) string {
	switch {
	case x == nil:
		return "is missing"
	case v.scope[x] == undefined:
		return "is not defined before this"
	case v.scope[x] == left:
		return "is defined in a region that has ended"
	}
	return ""
}

func (v *verifier) instr(in *Instr) {
	bad := false
	for i, a := range in.Args {
		if why := v.unseen(a); why != "" {
			v.at(in, "operand %d (%s) %s", i+1, a, why)
			bad = true
		}
	}
	if bad {
		// Types and origins of the operands mean nothing; the regions inside are still looked at.
		for _, r := range in.Regions {
			v.region(r)
		}
		return
	}
	switch in.Op {
	case OpFor:
		v.loop(in)
	case OpIf:
		v.branch(in)
	default:
		v.plain(in)
	}
}

// plain checks an instruction without regions against the op table.
func (v *verifier) plain(in *Instr) {
	if len(in.Regions) > 0 {
		v.at(in, "has regions")
	}
	names, patterns, want := in.Op.operands(len(in.Args))
	if want != "" {
		v.at(in, "%s", want)
		return
	}
	b := binding{of: ops[in.Op].of}
	for i, p := range patterns {
		if want := b.match(p, in.Args[i].Type); want != "" {
			v.at(in, "operand %d, %s, is %v; wanted is %s", i+1, names[i], in.Args[i].Type, want)
			return
		}
	}
	if in.Op == OpSelect && in.Args[0].Type.Kind == Varying && b.t.Kind != Varying {
		v.at(in, "chooses between uniform values lane by lane; splat them")
	}
	if n := max(1, 16/max(1, v.k.Lanes)); (in.Op == OpReduceAdd || in.Op == OpReduceMax) && len(in.Args) != n {
		v.at(in, "reduces %d values; 16 lanes are %d of %d", len(in.Args), n, v.k.Lanes)
	}
	switch in.Op {
	case OpMMAI8, OpMMABF16:
		v.fragments(in)
	case OpQuadI8, OpQuadBF16, OpQuadTF32:
		v.quad(in)
	}
	v.immediate(in)
	if v.results(in, &b) {
		v.pointers(in)
	}
}

func (v *verifier) results(in *Instr, b *binding) bool {
	p := in.Op.result()
	if each, many := strings.CutSuffix(p, "..."); many {
		return v.run(in, b, each)
	}
	switch n := len(in.Results); {
	case p == "" && n == 0:
		return true
	case p == "" && n != 0:
		v.at(in, "has no result, %d are taken", n)
	case n != 1:
		v.at(in, "has one result, %d are taken", n)
	case in.Results[0] != nil:
		want := b.match(p, in.Results[0].Type)
		if want != "" {
			v.at(in, "the result is %s, not %v", want, in.Results[0].Type)
		}
		return want == ""
	}
	return false
}

// run checks the results of an instruction that has as many as are taken.
func (v *verifier) run(in *Instr, b *binding, pattern string) bool {
	n := int64(len(in.Results))
	if in.Op.quad() {
		n = 1 // quad has looked at how many there are
	}
	if n < 1 || n&(n-1) != 0 || n*b.e.Bytes() > maxRunBytes {
		v.at(in, "%d results are taken: a power of two of at most %d bytes a lane is wanted", n, maxRunBytes)
		return false
	}
	for i, r := range in.Results {
		if r == nil {
			return false
		}
		if want := b.match(pattern, r.Type); want != "" {
			v.at(in, "result %d is %s, not %v", i+1, want, r.Type)
			return false
		}
	}
	return true
}
