package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/amd64"
	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// Levels gives the CPU levels that a target asks for, the lowest first: "native" is the best that this machine has, "x86-64" (or nothing) all that there
// are, so that the code chooses when it is loaded; else a list such as "x86-64-v3,x86-64-v4". A GPU is one target alone: "ptx:sm_80".
func Levels(target string) ([]string, error) {
	if isGPU(target) {
		if _, err := ptx.Target(target); err != nil {
			return nil, err
		}
		return []string{target}, nil
	}
	switch target {
	case "", "x86-64":
		return amd64.Names(), nil
	case "native":
		best, _, err := amd64.Host()
		if err != nil {
			return nil, fmt.Errorf("target native: %w\n  fix: name a target: %s", err, strings.Join(amd64.Names(), ", "))
		}
		return []string{best}, nil
	}
	asked := strings.Split(target, ",")
	var levels, unknown []string
	for _, name := range asked {
		if !slices.Contains(amd64.ByteNames(), name) {
			unknown = append(unknown, fmt.Sprintf("%.40q", name))
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("target %s is unknown\n  fix: use native, x86-64 (all levels), some of %s, or a GPU: %s", strings.Join(unknown, ", "),
			strings.Join(amd64.ByteNames(), ","), strings.Join(ptx.Names(), ", "))
	}
	for _, name := range amd64.ByteNames() {
		if slices.Contains(asked, name) {
			levels = append(levels, name)
		}
	}
	return levels, nil
}

// isGPU says whether a target is a GPU's.
func isGPU(target string) bool { return strings.HasPrefix(target, ptx.Prefix) }

// hasCodes says whether a graph multiplies codes: then the levels that differ in that differ in its code.
func hasCodes(m *ir.Module) bool {
	for _, op := range m.Func.Ops {
		for _, v := range op.Args {
			if v != nil && (v.Type.DType == ir.I8 || v.Type.DType == ir.I4) {
				return true
			}
		}
	}
	return false
}

// levelsFor is Levels for a graph that has codes, or has none: then the levels that differ in products of bytes alone are left out unless they are named.
func levelsFor(target string, codes bool) ([]string, error) {
	if !codes {
		return Levels(target)
	}
	switch target {
	case "", "x86-64":
		return amd64.ByteNames(), nil
	case "native":
		best, _, err := amd64.ByteHost()
		if err != nil {
			return Levels(target) // says what to do
		}
		return []string{best}, nil
	}
	return Levels(target)
}

// targets describes levels to the kernel builders.
func targets(levels []string) ([]spmd.Target, error) {
	var list []spmd.Target
	for _, name := range levels {
		describe := amd64.Target
		if isGPU(name) {
			describe = ptx.Target
		}
		t, err := describe(name)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// manifestLevels describes levels in a manifest. What each needs is for the message on a machine that lacks some; what decides is the object's own check.
func manifestLevels(programs []*spmd.Program) []artifact.Level {
	var list []artifact.Level
	for _, p := range programs {
		list = append(list, artifact.Level{Name: p.Target.Name, Lanes: p.Target.Lanes, Features: amd64.Flags(p.Target.Name)})
	}
	return list
}
