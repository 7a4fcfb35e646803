// Package calibrate runs a compiled float model over text and keeps statistics of every value that a quantization scheme may store as codes.
//
//	watch.go    Prepare makes the float graph: rotated as a scheme says, its values kept in memory behind each step
//	data.go     windows of token ids, from a text or from ids
//	run.go      the run itself: windows in, quant.Stats out
//	grams.go    second moments for GPTQ, summed when they are asked for
//	identity.go which model, text and rotation a calibration is of
//
// A calibration holds statistics of all values that any scheme could ask for, so that every scheme with the same rotations is made of it without
// running the model again. Its size, and the memory that a run takes, do not depend on the number of samples.
//
// The same model, text and rotations give the same bytes, with any number of threads and after any number of interruptions: each tensor has one
// goroutine that sees its samples in order, and what is written in between is a calibration of the samples so far.
package calibrate
