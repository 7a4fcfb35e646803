package amd64

import (
	"fmt"
	"slices"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
)

// tables are the program as constants: which launches a phase has, and what each needs.
type tables struct {
	phases   *ir.Global // [phases+1]{MinRows, MinChosen, first launch}
	launches *ir.Global // [launches]{kernel, index of its arguments, panels, By, Block}
	args     *ir.Global // all arguments of all launches
	kernels  *ir.Global // [levels][kernels] functions
}

// Fields of phases and launches, all i64.
const (
	phaseMinRows = iota
	phaseMinChosen
	phaseFirst
	phaseFields
)

const (
	launchKernel = iota
	launchArgs
	launchPanels
	launchBy
	launchBlock
	launchFields
)

// kernelParams is how a kernel is called: context, arguments, first tile, the one after the last, team scratch.
func kernelParams() []*ir.Param {
	return []*ir.Param{
		ir.NewParam("ctx", bytePtr), ir.NewParam("args", types.I64Ptr),
		ir.NewParam("lo", types.I64), ir.NewParam("hi", types.I64), ir.NewParam("team", bytePtr),
	}
}

// tables emits the program's tables. That of the first level holds for all.
func (m *module) tables() tables {
	var phases, launches [][]int64
	var args []int64
	for _, ph := range m.facts.Phases {
		phases = append(phases, []int64{ph.MinRows, ph.MinChosen, int64(len(launches))})
		for _, l := range ph.Launches {
			launches = append(launches, []int64{int64(l.Kernel), int64(len(args)), l.Grid.Panels, int64(l.Grid.By), l.Grid.RowsPerTile()})
			args = append(args, l.Args...)
		}
	}
	phases = append(phases, []int64{0, 0, int64(len(launches))})
	t := tables{
		phases:   m.hidden("phases", rows(phases, phaseFields)),
		launches: m.hidden("launches", rows(launches, launchFields)),
		args:     m.hidden("args", array(types.I64, args, i64)),
	}
	fn := types.NewPointer(ir.NewFunc("", types.Void, kernelParams()...).Sig)
	perLevel := types.NewArray(uint64(len(m.facts.Kernels)), fn)
	t.kernels = m.hidden("kernels", array(perLevel, m.kernels, func(fs []*ir.Func) constant.Constant {
		return array(fn, fs, func(f *ir.Func) constant.Constant { return f })
	}))
	return t
}

// hidden emits a constant that only the module sees.
func (m *module) hidden(name string, init constant.Constant) *ir.Global {
	g := m.NewGlobalDef(m.prefix+"."+name, init)
	g.Immutable, g.Linkage, g.Align = true, enum.LinkageInternal, 16
	return g
}

// array makes a constant array; it may be empty, which llir's own constructor cannot tell the type of.
func array[T any, C constant.Constant](t types.Type, xs []T, one func(T) C) constant.Constant {
	elems := make([]constant.Constant, len(xs))
	for i, x := range xs {
		elems[i] = one(x)
	}
	return constant.NewArray(types.NewArray(uint64(len(xs)), t), elems...)
}

func rows(table [][]int64, fields uint64) constant.Constant {
	t := types.NewArray(fields, types.I64)
	return array(t, table, func(r []int64) constant.Constant { return array(types.I64, r, i64) })
}

// sameShape says in what the programs of two levels differ that one table cannot hold.
func sameShape(a, b Level) error {
	p, q := a.Program, b.Program
	differ := func(what string, x, y any) error {
		return fmt.Errorf("levels %s and %s are not the same program: %s %v and %v", a.Name, b.Name, what, x, y)
	}
	pm := [...]int64{p.WeightBytes, p.WorkBytes, p.SlotBytes, p.LogitsStride, p.Vocab, p.MaxRows, p.MaxSeqs}
	qm := [...]int64{q.WeightBytes, q.WorkBytes, q.SlotBytes, q.LogitsStride, q.Vocab, q.MaxRows, q.MaxSeqs}
	switch {
	case pm != qm:
		return differ("sizes (weights, work, slot, stride, vocabulary, rows, sequences)", pm, qm)
	case len(p.Kernels) != len(q.Kernels):
		return differ("number of kernels", len(p.Kernels), len(q.Kernels))
	case len(p.Phases) != len(q.Phases):
		return differ("number of phases", len(p.Phases), len(q.Phases))
	}
	for i, ph := range p.Phases {
		qh := q.Phases[i]
		if ph.Needs != qh.Needs || len(ph.Launches) != len(qh.Launches) {
			return differ(fmt.Sprintf("phase %d (%s): MinRows, MinChosen and number of launches", i, ph.Name),
				[]int64{ph.MinRows, ph.MinChosen, int64(len(ph.Launches))}, []int64{qh.MinRows, qh.MinChosen, int64(len(qh.Launches))})
		}
		for j, l := range ph.Launches {
			k := qh.Launches[j]
			if l.Kernel != k.Kernel || l.Grid != k.Grid || !slices.Equal(l.Args, k.Args) {
				return differ(fmt.Sprintf("phase %d (%s): launch %d", i, ph.Name, j), l, k)
			}
		}
	}
	return nil
}
