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
	// quant is in the place of run in the passes that make what a scheme asks for: they rest without one, and those with needsScales also
	// until there are scales.
	quant       func(*ir.Module, *PassReport, *Options) error
	needsScales bool
	// Lossy says that what it leaves cannot be compared with what was before: numbers change, as little as the scheme is good, or the elements of
	// states are in another order.
	Lossy bool
}

// pipeline is what `ssmc compile` runs, in order.
var pipeline = [...]Pass{
	{Name: "quantize-params", quant: quantizeParams, needsScales: true, Lossy: true,
		Doc:    "A_log, D and the biases of a scheme that stores them in 8 bits become what their codes stand for, in f32: they are a thousandth of the bytes",
		Leaves: "weights of the role ssm.params are what the scheme says"},
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
	{Name: "split-bias", quant: splitBias,
		Doc:    "where dt is stored in 8 bits, it is so without its bias, which the scan adds in f32",
		Leaves: "a value of the role ssm.dt is what the scheme stores"},
	{Name: "fold-norm", quant: foldNorm,
		Doc:    "the weight of a norm goes into the linears that read it: what is left commutes with a rotation, and one scale fits all of its channels",
		Leaves: "norms of the stream have no weight, or the report says why; folded weights are f64 until they are stored"},
	{Name: "rotate-stream", quant: rotateStream,
		Doc:    "the residual stream is turned by a Hadamard matrix that only weights know of: outlier channels are spread before in_proj's codes are made",
		Leaves: "every writer and reader of the stream is rotated, or it is an error that names the op"},
	{Name: "smooth", quant: smooth, needsScales: true,
		Doc:    "outlier channels of what a norm gives go into the weights that read it, as SmoothQuant has it",
		Leaves: "norms of values that the scheme smooths have a weight again, which divides channels"},
	{Name: "sort-channels", quant: sortChannels, needsScales: true, Lossy: true,
		Doc:    "heads and channels of Mamba-2 in an order in which those of like size are neighbours, for scales by groups of them",
		Leaves: "channels of a layer are in the order of Scales.Orders"},
	{Name: "rotate-hadamard", quant: rotateHadamard,
		Doc:    "what out_proj reads is turned while running, and out_proj takes it back: no outlier channel of the scan decides the scale of all",
		Leaves: "a value of the role ssm.y is rotated, its size unchanged"},
	{Name: "quantize", quant: quantize, needsScales: true, Lossy: true,
		Doc:    "codes of 8 and 4 bits where the scheme says so: quantize behind what makes a value, products of codes, one multiplication (or fma) behind each",
		Leaves: "no linear or convolution reads f32 where the scheme has codes on both sides, or the report says why"},
	{Name: "write-fma", run: writeFMA,
		Doc:    "a product that is only added to something becomes one fma: one rounding, written, so that every target and the evaluator do the same",
		Leaves: "no addition reads a product that nothing else reads, unless the product has a role"},
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
	{"quantize-params", "fold-constants", "A = -exp(A_log) is computed from what the codes of A_log stand for"},
	{"fold-constants", "split-bias", "a bias is a weight"},
	{"fold-constants", "fold-norm", "each part of in_proj is a weight of its own, and gets its own codes"},
	{"canonicalize", "split-bias", "it would put the bias back"},
	{"canonicalize", "fold-norm", "the bias of a linear is in it, where a layer norm's is added"},
	{"remove-dead", "fold-norm", "a reader that nobody needs might not be linear"},
	{"split-bias", "quantize", "the value that gets the scale is the one that calibration saw"},
	{"fold-norm", "rotate-stream", "a norm with a weight does not commute with a rotation"},
	{"rotate-stream", "rotate-hadamard", "out_proj is turned on both sides, one after the other"},
	{"rotate-stream", "smooth", "a norm with a weight does not commute with a rotation"},
	{"smooth", "quantize", "the scale is that of the smoothed value"},
	{"split-bias", "sort-channels", "the bias of dt is put in order where it is added"},
	{"sort-channels", "rotate-hadamard", "columns of out_proj are in the order of channels until they are mixed"},
	{"rotate-stream", "quantize", "codes are of the rotated values and weights"},
	{"rotate-hadamard", "quantize", "the scale is that of the rotated value, and the division by the root is joined with it"},
	{"quantize", "write-fma", "the product with the scales takes the residual as its sum"},
	{"quantize", "fuse-scan", "the scan reads codes where the scheme says so"},
	{"quantize", "fuse-contract", "making codes is part of the epilogue"},
	{"canonicalize", "write-fma", "a bias that can go into its linear is no addition any more"},
	{"share-common", "write-fma", "a product that was computed twice has one use each, and would be computed twice for good"},
	{"remove-dead", "write-fma", "a use that nobody needs would keep a product from being taken"},
	{"write-fma", "fuse-scan", "the scan's accumulator ends in the fma with D and u, and the matcher sees the op that the kernel emits"},
	{"write-fma", "fuse-contract", "epilogues are made of the ops that kernels emit"},
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
