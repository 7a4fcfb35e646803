// Package emulator is a CUDA driver without a GPU: its devices run PTX by package codegen/ptx/emu, and their memory is this process's.
//
//	model, err := runtime.Open("out", runtime.Options{Driver: emulator.New(emulator.Device{Target: "sm_80"})})
//
// It is for tiny models, where no GPU is: it checks every access of every thread, and runs a few million instructions a second. All results are to the bit those of a
// device.
//
// Queued work is done in its order, and not before somebody asks for an event behind it: then all of it, before the answer. So a program that changes pinned memory, or reads it, before it
// has waited gets wrong numbers here always, and not only sometimes.
//
// It is stricter than a driver where a driver may or may not notice: every call needs the context current on its thread, memory is filled with a pattern when it is reserved,
// copies and launches must lie in one allocation, and a launch must be cooperative and fit.
package emulator
