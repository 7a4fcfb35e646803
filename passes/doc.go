// Package passes turns a graph as a model family wrote it into a graph whose ops lie in groups, each of which one kernel can compute.
//
// A pass is one file, named for what it does; pipeline.go lists all of them in the order in which they run, and beside it why that order.
// The runner (Run) verifies the graph before the first pass and after each, times, dumps and reports. A pass says what it did (Fired) and
// what kept it from doing more (Skip, in words); `--explain` prints that and the tests pin it. A pass returns an error only for a graph
// that it cannot accept, never for one that it cannot improve.
//
// With a quantization scheme (Options.Scheme) some of them make the graph ready for codes: norms are folded and values rotated, in float64 and
// when a weight is first read. Points then says what calibration must look at in that graph, NewScales makes scales of what it saw, and a second
// run with Options.Scales goes on from the float graph as the family built it and gives values and weights their codes. quantize_plan.go decides
// what becomes codes, for both.
//
// What comes out:
//
//	map       elementwise work over rows around at most one reduction of a row (a norm), or one gather, one convolution, ...
//	contract  one linear layer, and behind it what can be done to its result where it is made: bias, convolution, activation, residual
//	scan      one selective scan with the making of its operands, its skip and its gate
//
// A group has one value that later groups read (its exit) and, where it sees sequences, next states. So groups never depend on each other
// in a circle, and their order in Func.Ops is an order in which they can be computed. group.go (Anchor, Inputs, Outputs) and match_scan.go
// (MatchScan) read groups for the kernel scheduler.
//
// Values stay the same: with Options.Check (SSMC_CHECK=1 on the command line, always in tests) the runner evaluates the graph before
// and after each pass in float64, once as it is and once with independent ops shuffled, and names the pass that changed a number.
package passes
