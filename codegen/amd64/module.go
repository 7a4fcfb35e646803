package amd64

import (
	"errors"
	"fmt"
	"strings"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/metadata"
	"github.com/llir/llvm/ir/types"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// Level is the program for one CPU level. All levels of a model have the same phases, arguments and memory; only their kernels differ.
type Level struct {
	Name    string // "x86-64-v3"
	Program *spmd.Program
}

// module is the state of one Emit.
type module struct {
	*ir.Module
	prefix     string
	levels     []Level
	varies     []map[*spmd.Instr]int // by level: see spmd.Merged
	facts      *spmd.Program         // that of the first level, for what all have in common
	intrinsics map[string]*ir.Func
	invariant  *metadata.Attachment // of loads from memory that nothing writes during a step
	kernels    [][]*ir.Func         // by level, then kernel; their text is written already
	texts      []string
}

// Emit gives the LLVM IR of a model for all its levels, with typed pointers as LLVM 14 reads them. prefix begins every symbol;
// weightsSHA256 is put into the object, in hexadecimal, so that it can be matched with its weights.
func Emit(prefix, weightsSHA256 string, levels []Level) ([]byte, error) {
	if err := check(prefix, weightsSHA256, levels); err != nil {
		return nil, err
	}
	m := newModule(prefix, levels)
	var errs []error
	for i, l := range m.levels {
		var fs []*ir.Func
		for _, k := range l.Program.Kernels {
			f, err := m.kernel(rank(l.Name), k, m.varies[i])
			if err != nil {
				errs = append(errs, fmt.Errorf("level %s: kernel %s: %w", l.Name, k.Name, err))
				continue
			}
			fs = append(fs, f)
		}
		m.kernels = append(m.kernels, fs)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	m.exports(weightsSHA256)
	return []byte(m.String() + "\n" + strings.Join(m.texts, "\n\n") + "\n"), nil
}

func newModule(prefix string, levels []Level) *module {
	m := &module{Module: ir.NewModule(), prefix: prefix, intrinsics: map[string]*ir.Func{}}
	var programs []*spmd.Program
	for _, l := range levels {
		programs = append(programs, l.Program)
	}
	for i, merged := range spmd.Merge(programs...) {
		m.levels = append(m.levels, Level{levels[i].Name, merged.Program})
		m.varies = append(m.varies, merged.Varies)
	}
	m.facts = m.levels[0].Program
	m.TargetTriple = "x86_64-unknown-linux-gnu"
	m.invariant = &metadata.Attachment{Name: "invariant.load", Node: &metadata.Tuple{MetadataID: -1}} // printed in place
	return m
}

// exports emits everything around the kernels.
func (m *module) exports(weightsSHA256 string) {
	m.constants(weightsSHA256)
	m.levelFunctions()
	t := m.tables()
	barrier := m.barrier()
	round := m.round(barrier, m.run(t, barrier))
	m.entryPoints(round)
}

// function begins a function of the module that only the module sees.
func (m *module) function(name string, ret types.Type, params ...*ir.Param) *code {
	c := m.detached(name, ret, params...)
	m.Funcs = append(m.Funcs, c.Func)
	return c
}

// detached begins one that is not in llir's list of functions: large ones are turned into text when they are done, and their blocks dropped.
func (m *module) detached(name string, ret types.Type, params ...*ir.Param) *code {
	f := ir.NewFunc(m.prefix+"."+name, ret, params...)
	f.Linkage = enum.LinkageInternal
	f.FuncAttrs = append(f.FuncAttrs, enum.FuncAttrNoUnwind)
	c := &code{Func: f}
	c.at = c.block()
	return c
}

// exported begins a function that the object exports.
func (m *module) exported(name string, ret types.Type, params ...*ir.Param) *code {
	c := m.function(name, ret, params...)
	c.SetName(m.prefix + "_" + name)
	c.Linkage = enum.LinkageNone
	return c
}

// intrinsic declares an LLVM intrinsic once.
func (m *module) intrinsic(name string, ret types.Type, params ...types.Type) *ir.Func {
	f := m.intrinsics[name]
	if f == nil {
		ps := make([]*ir.Param, len(params))
		for i, t := range params {
			ps[i] = ir.NewParam("", t)
		}
		f = m.NewFunc(name, ret, ps...)
		m.intrinsics[name] = f
	}
	return f
}

// check finds what cannot be emitted, all of it at once.
func check(prefix, weightsSHA256 string, levels []Level) error {
	errs := abi.CheckNames(prefix, weightsSHA256)
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(levels) == 0 {
		bad("no CPU level to emit code for")
	}
	seen := map[string]bool{}
	for _, l := range levels {
		switch {
		case l.Program == nil:
			bad("CPU level %s has no program", l.Name)
		case seen[l.Name]:
			bad("CPU level %s is given twice", l.Name)
		case rank(l.Name) < 0:
			_, err := Target(l.Name)
			errs = append(errs, err)
		default:
			checkProgram(l, bad)
		}
		seen[l.Name] = true
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, l := range levels[1:] {
		errs = append(errs, sameShape(levels[0], l))
	}
	return errors.Join(errs...)
}

// checkProgram verifies a program, and what the tables and the context need beyond that.
func checkProgram(l Level, bad func(string, ...any)) {
	p := l.Program
	if err := p.Verify(); err != nil {
		bad("level %s: %w", l.Name, err)
		return
	}
	if want := levelLanes(l.Name); p.Target.Lanes != want {
		bad("level %s has %d lanes, the program was built for %d", l.Name, want, p.Target.Lanes)
	}
	if tiles := levels[rank(l.Name)].target.Tiles; p.Target.Tiles && !tiles {
		bad("level %s has no tiles, the program was built for some", l.Name)
	}
	if len(p.Phases) == 0 {
		bad("level %s: the program has no phases", l.Name)
	}
	for i, ph := range p.Phases {
		if len(ph.Launches) == 0 {
			bad("level %s: phase %d (%s) launches nothing", l.Name, i, ph.Name)
		}
		for j, launch := range ph.Launches {
			if launch.Grid.Least > 0 || launch.Grid.Most > 0 {
				bad("level %s: phase %d (%s), launch %d is for some numbers of rows only: a CPU's kernels choose by themselves", l.Name, i, ph.Name, j)
			}
		}
	}
	if n := p.Target.Members; n != 1 {
		bad("level %s: teams of %d, a worker of a CPU is alone", l.Name, n)
	}
}

func levelLanes(name string) int { return levels[rank(name)].target.Lanes }
