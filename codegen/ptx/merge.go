package ptx

import (
	"regexp"
	"slices"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// The layers of a quantized model differ in the scales of their activations, which are constants in their kernels. Here kernels that differ in constants
// alone become one, and the constants in which they differ follow the arguments of the launch: the module is as long as one layer, not as all.

// merged is a program whose kernels are all different.
type merged struct {
	*spmd.Program
	varies map[*spmd.Instr]int // constants that a launch gives: which of its arguments
}

// merge gives a program that does the same. The one it is made of must have been verified; the new one's launches have more arguments than their kernels
// have parameters.
func merge(p *spmd.Program) merged {
	out := *p
	out.Kernels, out.Phases = nil, nil
	m := merged{&out, map[*spmd.Instr]int{}}
	class := make([]int, len(p.Kernels))
	constants := make([][]*spmd.Instr, len(p.Kernels))
	var members [][]int
	seen := map[string]int{}
	for i, k := range p.Kernels {
		constants[i] = floats(k)
		key := shapeOf(k)
		c, ok := seen[key]
		if !ok {
			c = len(members)
			seen[key] = c
			members = append(members, nil)
			out.Kernels = append(out.Kernels, k)
		}
		class[i] = c
		members[c] = append(members[c], i)
	}
	varying := make([][]int, len(members)) // which constants, by class
	for c, ks := range members {
		for n, in := range constants[ks[0]] {
			if slices.ContainsFunc(ks, func(k int) bool { return constants[k][n].Imm != in.Imm }) {
				m.varies[in] = len(p.Kernels[ks[0]].Params) + len(varying[c])
				varying[c] = append(varying[c], n)
			}
		}
	}
	for _, ph := range p.Phases {
		ph.Launches = slices.Clone(ph.Launches)
		for i := range ph.Launches {
			l := &ph.Launches[i]
			l.Args = slices.Clone(l.Args)
			for _, n := range varying[class[l.Kernel]] {
				l.Args = append(l.Args, constants[l.Kernel][n].Imm)
			}
			l.Kernel = class[l.Kernel]
		}
		out.Phases = append(out.Phases, ph)
	}
	return m
}

// floats lists the float constants of a kernel, in order.
func floats(k *spmd.Kernel) (list []*spmd.Instr) {
	walk(k.Body, func(in *spmd.Instr) {
		if in.Op == spmd.OpConst && in.Results[0].Type.Elem == spmd.F32 {
			list = append(list, in)
		}
	})
	return list
}

var (
	headOfText  = regexp.MustCompile(`^kernel \S+`)
	floatOfText = regexp.MustCompile(`(= const f32) \S+`)
)

// shapeOf is a kernel's text without its name and the float constants.
func shapeOf(k *spmd.Kernel) string {
	return floatOfText.ReplaceAllString(headOfText.ReplaceAllString(k.String(), "kernel"), "$1")
}
