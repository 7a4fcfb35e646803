// Package cuda is what a model needs of NVIDIA's driver: the driver API, called without cgo and without the CUDA toolkit.
//
//	d, err := cuda.Load("")                          // libcuda.so.1, or another that has the same functions
//	gpus, err := d.Devices()                         // what this machine has, and what each can do
//	c, err := d.NewContext(gpus[0], time.Minute)     // a device in use
//	err = c.Do(func() error { ... c.Alloc ... c.LoadModule ... c.Wait ... })
//
// # A table of functions
//
// Driver is a struct of Go functions with the names and the arguments of the C ones. Load fills it from the library (library.go); package cuda/emulator fills it with
// an emulator of PTX, so that everything above the table runs, and is tested, on machines without a GPU. A test that wants an error puts a function
// of its own into the table.
//
// # Threads
//
// The driver has a current context for each thread of the operating system, and goroutines move between threads. So all work on a device happens inside of
// Context.Do: it ties the goroutine to its thread, makes the context current there, and only then calls. That costs one short call each time. (One thread
// that owns the context and is sent the work would spare that call and cost two wake-ups: about 10 microseconds of a step that may take 100.) A Context is for
// one goroutine at a time; runtime.Model has a lock for that.
//
// # Nothing hangs
//
// The calls that are made while a model runs only queue work: copies between device and pinned memory, launches, events. Waiting is asking an event
// again and again, with a time limit (wait.go). A device that does not come back in time, or that reports an error after which NVIDIA's manual
// leaves nothing but ending the process, makes the context lost: every later Do gives the error that was the reason, and Close gives nothing back, because
// the driver would wait for the device to free its memory.
package cuda
