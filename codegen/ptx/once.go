package ptx

import (
	"fmt"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Templates compute an index where they want it, so a kernel has the same instructions in many places. ptxas would find them, but the text is what is read and
// what the driver compiles: an instruction whose result is in a register already is not written again.

// pure are the operations that have the same result whenever their operands are the same, and do nothing else.
var pure = [...]bool{
	spmd.OpScratch: true, spmd.OpOffset: true,
	spmd.OpAdd: true, spmd.OpSub: true, spmd.OpMul: true, spmd.OpDiv: true, spmd.OpRem: true, spmd.OpMin: true, spmd.OpMax: true,
	spmd.OpAnd: true, spmd.OpOr: true, spmd.OpXor: true, spmd.OpShl: true, spmd.OpShr: true, spmd.OpShrl: true, spmd.OpNeg: true, spmd.OpAbs: true,
	spmd.OpFMA: true, spmd.OpDot4: true, spmd.OpDot4U: true, spmd.OpDot2: true, spmd.OpByte16: true, spmd.OpPackBF16: true,
	spmd.OpCmp: true, spmd.OpSelect: true, spmd.OpRound: true, spmd.OpToF32: true, spmd.OpBitcast: true,
	spmd.OpExtend: true, spmd.OpTruncate: true, spmd.OpSplat: true,
}

// scope is what was made in a region, or before it in those around.
type scope struct {
	places map[place]string
	values map[string]*spmd.Value // by the instruction that made them

	constants map[string]string // registers that hold them, by class and number
}

func newScope() scope {
	return scope{map[place]string{}, map[string]*spmd.Value{}, map[string]string{}}
}

// inner is the scope at hand.
func (e *kernel) inner() scope { return e.scopes[len(e.scopes)-1] }

// again gives the value that an instruction has made before; nil if none has, which is then this one's.
func (e *kernel) again(in *spmd.Instr) *spmd.Value {
	if int(in.Op) >= len(pure) || !pure[in.Op] {
		return nil
	}
	r := in.Results[0]
	key := fmt.Sprint(in.Op, in.Imm, r.Type, string(e.class(r)))
	for _, a := range in.Args {
		key += fmt.Sprint(" ", a.Type, e.val(a))
	}
	for _, s := range e.scopes {
		if v := s.values[key]; v != nil {
			return v
		}
	}
	e.inner().values[key] = r
	return nil
}

// sameArgument is the first parameter of a kernel that is what parameter i is, in all its launches: codes are also looked at as words.
func (m *module) sameArgument(kernel, i int) int {
	params := m.p.Kernels[kernel].Params
	for j := range i {
		same := params[j].Space == params[i].Space
		for _, ph := range m.p.Phases {
			for _, l := range ph.Launches {
				same = same && (l.Kernel != kernel || l.Args[j] == l.Args[i])
			}
		}
		if same {
			return j
		}
	}
	return i
}

// repeat says that a value is another one.
func (e *kernel) repeat(v, first *spmd.Value) {
	e.same[v] = first
	e.vals[v] = e.val(first)
	e.placeLanes(first, e.lanes[v])
}

// original is the value that was made instead of one, or itself.
func (e *kernel) original(v *spmd.Value) *spmd.Value {
	if f := e.same[v]; f != nil {
		return f
	}
	return v
}

// placeLanes makes the addresses that a pointer means to this lane, where each takes so many elements.
func (e *kernel) placeLanes(p *spmd.Value, elements []int64) {
	for _, n := range elements {
		if at := (place{p: p, lanes: n}); e.made(at) == "" {
			e.inner().places[at] = e.movedLanes(p, e.val(p), n)
		}
	}
}
