// Package emulator is a CUDA driver without a GPU: its devices run PTX by package codegen/ptx/emu, and their memory is this process's.
//
//	model, err := runtime.Open("out", runtime.Options{Driver: emulator.New(emulator.Device{Target: "sm_80"})})
//
// It is for tiny models, where no GPU is: it checks every access of every thread, and runs a few million instructions a second. What it does it does at once, so
// that an event that was recorded has been; all results are to the bit those of a device.
//
// It is stricter than a driver where a driver may or may not notice: every call needs the context current on its thread, memory is filled with a pattern when it is reserved,
// copies and launches must lie in one allocation, and a launch must be cooperative and fit.
package emulator
