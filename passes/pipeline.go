package passes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/ir"
)

// Pass is one step from graph to graph.
type Pass struct {
	Name   string // the file's, the flag's and the test's
	Doc    string // what it does and what for, in one line
	Leaves string // what holds after it: later passes rely on this
	// Tolerance is by how much the checked mode lets numbers differ, relative to the largest; 0 is the rule for all (checkTolerance).
	Tolerance float64
	run       func(*ir.Module, *PassReport) error
}

// pipeline is what `ssmc compile` runs, in order.
var pipeline = [...]Pass{
	{Name: "fold-constants", run: foldConstants, Tolerance: 1e-5,
		Doc:    "ops on weights become weights: slices share the checkpoint's memory, the rest (A = -exp(A_log)) is computed when first asked for",
		Leaves: "no op has only weights and constants as operands; folded arithmetic is rounded to f32 once, therefore the wider tolerance"},
	{Name: "canonicalize", run: canonicalize,
		Doc:    "one way to write each thing: no chains of reshapes, no neutral elements, constants to the right, bias inside its linear",
		Leaves: "none of its rules applies anywhere; no op is left that its rewrites made useless"},
	{Name: "share-common", run: shareCommon,
		Doc:    "ops that compute the same from the same operands become one",
		Leaves: "no two ops have the same code, attributes and operands"},
	{Name: "remove-dead", run: removeDead,
		Doc:    "ops and weights that neither a result nor a next state needs go away",
		Leaves: "every op and every weight is needed"},
	{Name: "fuse-scan", run: fuseScan,
		Doc:    "one group per selective scan: dt projection and softplus, discretisation, recurrence, skip and gate, so that no T x E x N value is stored",
		Leaves: "MatchScan accepts every scan group, or its Note says why only the scan itself is in it"},
	{Name: "fuse-contract", run: fuseContract,
		Doc:    "each linear is a contract group with its epilogue: convolution, activation, scale, residual",
		Leaves: "every linear outside a scan group is the anchor of a contract group"},
	{Name: "form-groups", run: formGroups,
		Doc:    "what is left becomes map groups: a norm with the elementwise work around it, a gather, elementwise chains",
		Leaves: "every op is in exactly one group, and CheckGroups holds"},
}

// order says which pass must come before which, and why. It is checked by a test and by Run, and printed in docs/passes.md.
var order = [...]struct{ before, after, why string }{
	{"fold-constants", "canonicalize", "rules about constants see a weight where the family wrote an op on weights"},
	{"fold-constants", "fuse-scan", "A must be a weight: only then is exp(dt*A) the one transcendental of the group"},
	{"fold-constants", "fuse-contract", "a linear is a contraction only if its matrix is a weight"},
	{"canonicalize", "share-common", "equal things must be written in the same way to be found equal"},
	{"canonicalize", "fuse-scan", "the matcher knows one form: no chains of reshapes, the bias inside the linear"},
	{"share-common", "fuse-scan", "a value computed twice has one use each, and both would be fused: sharing decides the use counts that fusion goes by"},
	{"remove-dead", "fuse-scan", "a use that nobody needs would keep an intermediate from being fused"},
	{"fuse-scan", "fuse-contract", "the scan takes dt_proj, softplus and the gate's multiplication, else the gate's linear would take the latter"},
	{"fuse-contract", "form-groups", "a residual belongs to the linear that makes it, not to the norm that reads it"},
}

// Names lists the passes in the order in which they run.
func Names() []string {
	names := make([]string, len(pipeline))
	for i := range pipeline {
		names[i] = pipeline[i].Name
	}
	return names
}

// Lookup finds a pass by its name.
func Lookup(name string) (Pass, bool) {
	for _, p := range pipeline {
		if p.Name == name {
			return p, true
		}
	}
	return Pass{}, false
}

// checkOrder says which constraints of the second list a sequence of passes breaks. A pass may occur once.
func checkOrder(names []string) error {
	at := map[string]int{}
	var problems []string
	for i, n := range names {
		if _, twice := at[n]; twice {
			problems = append(problems, fmt.Sprintf("%s is listed twice", n))
		}
		at[n] = i
	}
	for _, c := range order {
		b, okb := at[c.before]
		a, oka := at[c.after]
		if okb && oka && b > a {
			problems = append(problems, fmt.Sprintf("%s must come before %s: %s", c.before, c.after, c.why))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("order of passes:\n  %s", strings.Join(problems, "\n  "))
	}
	return nil
}

// resolve turns names into passes; no names mean the whole pipeline. All unknown names are reported at once.
func resolve(names []string) ([]Pass, error) {
	if len(names) == 0 {
		return pipeline[:], nil
	}
	var passes []Pass
	var unknown []string
	for _, n := range names {
		if p, ok := Lookup(n); ok {
			passes = append(passes, p)
		} else {
			unknown = append(unknown, n)
		}
	}
	if len(unknown) > 0 {
		return nil, unknownPass(unknown...)
	}
	return passes, nil
}

// unknownPass is the error for names that are no pass.
func unknownPass(names ...string) error {
	slices.Sort(names)
	return fmt.Errorf("no pass is named %s\n  fix: use one of %s", strings.Join(names, ", "), strings.Join(Names(), ", "))
}
