// Package runtime opens a compiled model (package artifact) and runs it: no cgo, no framework, no copy of the weights.
//
//	model, err := runtime.Open("out", runtime.Options{})
//	defer model.Close()
//	slot, err := model.NewSlot()                      // the state of one sequence
//	text, err := model.Generate(ctx, slot, ids, runtime.Generation{Tokens: 100}, emit)
//
// Open maps the weights and loads model.so; both cost a few milliseconds, since pages come when they are used. What the object code works on lies
// outside of Go's heap, so that the collector neither scans nor moves it.
//
// A Run takes tokens of any number of sequences, of any lengths, and gives the logits that were asked for. It cuts them into steps that the code can take
// (cut.go says how, and why the cuts do not change a bit). A Slot is the whole memory of a sequence: it is saved, loaded, forked and
// rolled back by copying bytes (slot.go, statefile.go).
//
// An artefact for CPUs runs on worker threads, one for a GPU on the GPU: engine.go is what both have in common, cpu.go (code.go, context.go, workers.go) and
// gpu*.go are the two. docs/ptx.md has a section on the second, which calls the driver by package runtime/cuda.
//
// Worker threads live in the object code: each is an operating system's thread that waits in model_serve for the next step, spinning a little and then
// asleep, and Go is not concerned (workers.go). One Model runs one step at a time; its methods may be called from several goroutines.
//
// On top of that: generate.go and sample.go make text, perplexity.go and verify.go compare, saturation.go counts, bench.go, profile.go and trace.go measure.
// measure.go and gpu_measure.go have the yardsticks: what this machine can read from memory and multiply at best.
package runtime
