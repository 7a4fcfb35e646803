package spmd

import (
	"regexp"
	"slices"
	"strings"
)

// The layers of a quantized model differ in the scales of their activations, which are constants in their kernels. Here kernels that differ in constants
// alone become one, and the constants in which they differ follow the arguments of the launch. So the code is as long as one layer, not as all: a step
// finds it in a cache from the second layer on.

// Merged is a program whose kernels are all different.
type Merged struct {
	*Program
	Varies map[*Instr]int // float constants that a launch gives as bits: which of its arguments
}

// Merge gives programs that do the same. Those they are made of must have been verified, and be the same model for different targets: the new ones have the same
// launches, which have more arguments than their kernels have parameters.
func Merge(programs ...*Program) []Merged {
	classes := alike(programs)
	constants := make([][][]*Instr, len(programs)) // by program and kernel
	for i, p := range programs {
		for _, k := range p.Kernels {
			constants[i] = append(constants[i], floatConstants(k))
		}
	}
	class := map[int]int{} // of a kernel
	var varying [][]tuple  // by class: what its launches give
	for c, kernels := range classes {
		for _, k := range kernels {
			class[k] = c
		}
		varying = append(varying, tuplesOf(constants, kernels))
	}
	var list []Merged
	for i, p := range programs {
		m := Merged{cloneTables(p), map[*Instr]int{}}
		m.Kernels = nil
		for c, kernels := range classes {
			first := p.Kernels[kernels[0]]
			m.Kernels = append(m.Kernels, first)
			for n, in := range constants[i][kernels[0]] {
				if at, ok := slices.BinarySearchFunc(varying[c], constantsAt(constants[i], kernels, n), slices.Compare); ok {
					m.Varies[in] = len(first.Params) + at
				}
			}
		}
		for _, ph := range m.Phases {
			for i := range ph.Launches {
				l := &ph.Launches[i]
				c := class[l.Kernel]
				for _, t := range varying[c] {
					l.Args = append(l.Args, t[slices.Index(classes[c], l.Kernel)])
				}
				l.Kernel = c
			}
		}
		list = append(list, m)
	}
	return list
}

// alike gives the kernels that differ in float constants alone, in all of the programs.
func alike(programs []*Program) [][]int {
	var classes [][]int
	seen := map[string]int{}
	for i := range programs[0].Kernels {
		var key strings.Builder
		for _, p := range programs {
			key.WriteString(shapeOf(p.Kernels[i]))
		}
		c, ok := seen[key.String()]
		if !ok {
			c = len(classes)
			seen[key.String()] = c
			classes = append(classes, nil)
		}
		classes[c] = append(classes[c], i)
	}
	return classes
}

// tuple is what the kernels of a class have at one place: the bits of a float each.
type tuple = []int64

// constantsAt is the tuple of the nth float constant.
func constantsAt(constants [][]*Instr, kernels []int, n int) tuple {
	var t tuple
	for _, k := range kernels {
		t = append(t, constants[k][n].Imm)
	}
	return t
}

// tuplesOf lists the tuples in which the kernels differ, in an order that no target decides; equal ones once.
func tuplesOf(constants [][][]*Instr, kernels []int) []tuple {
	var list []tuple
	for _, cs := range constants {
		for n := range cs[kernels[0]] {
			if t := constantsAt(cs, kernels, n); slices.ContainsFunc(t, func(x int64) bool { return x != t[0] }) {
				list = append(list, t)
			}
		}
	}
	slices.SortFunc(list, slices.Compare)
	return slices.CompactFunc(list, func(a, b tuple) bool { return slices.Compare(a, b) == 0 })
}

// cloneTables copies a program so far that its launches can be changed.
func cloneTables(p *Program) *Program {
	out := *p
	out.Phases = slices.Clone(p.Phases)
	for i := range out.Phases {
		ph := &out.Phases[i]
		ph.Launches = slices.Clone(ph.Launches)
		for j := range ph.Launches {
			ph.Launches[j].Args = slices.Clone(ph.Launches[j].Args)
		}
	}
	return &out
}

// floatConstants lists the float constants of a kernel, in order.
func floatConstants(k *Kernel) (list []*Instr) {
	k.Body.Walk(func(in *Instr) {
		if in.Op == OpConst && in.Results[0].Type.Elem == F32 {
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
func shapeOf(k *Kernel) string {
	return floatOfText.ReplaceAllString(headOfText.ReplaceAllString(k.String(), "kernel"), "$1")
}
