package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/amd64"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// Levels gives the CPU levels that a target asks for, the lowest first: "native" is the best that this machine has, "x86-64" (or nothing) all that there
// are, so that the code chooses when it is loaded; else a list such as "x86-64-v3,x86-64-v4".
func Levels(target string) ([]string, error) {
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
		if !slices.Contains(amd64.Names(), name) {
			unknown = append(unknown, fmt.Sprintf("%.40q", name))
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("target %s is unknown\n  fix: use native, x86-64 (all levels), or some of %s", strings.Join(unknown, ", "), strings.Join(amd64.Names(), ","))
	}
	for _, name := range amd64.Names() {
		if slices.Contains(asked, name) {
			levels = append(levels, name)
		}
	}
	return levels, nil
}

// targets describes levels to the kernel builders.
func targets(levels []string) ([]spmd.Target, error) {
	var list []spmd.Target
	for _, name := range levels {
		t, err := amd64.Target(name)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// features are what each level needs, as /proc/cpuinfo names it: for the message on a machine that lacks some. What decides is the object's own check.
var features = map[string][]string{
	"x86-64-v3": {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
	"x86-64-v4": {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"},
}

// manifestLevels describes levels in a manifest.
func manifestLevels(programs []*spmd.Program) []artifact.Level {
	var list []artifact.Level
	for _, p := range programs {
		list = append(list, artifact.Level{Name: p.Target.Name, Lanes: p.Target.Lanes, Features: features[p.Target.Name]})
	}
	return list
}
