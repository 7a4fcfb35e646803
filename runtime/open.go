package runtime

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// Options of Open. The zero value is what most want.
type Options struct {
	// Of an artefact for CPUs.
	Threads int    // worker threads; 0: as many as the process may use at once
	Level   string // a CPU level of the object code, "x86-64-v3"; empty: the best that this CPU has

	// Of an artefact for a GPU.
	Driver    *cuda.Driver  // nil: the one of this machine, cuda.Load
	Device    string        // number of the GPU; empty: of those that can run the code the one with the most free memory
	StepLimit time.Duration // a GPU that needs more for a step is given up as lost; 0: cuda.DefaultLimit

	flush bool // tests: memory ends where the next page must not be touched
}

// maxThreads is more than any machine of today has; it bounds what a typing error can reserve.
const maxThreads = 1024

// Model is an open artefact.
type Model struct {
	Manifest *artifact.Manifest
	Dir      string
	Level    string // the CPU level that runs; on a GPU what the code is for, "ptx:sm_80"
	Threads  int    // 0 on a GPU
	Device   string // the GPU's name; empty on a CPU

	mu      sync.Mutex // one step at a time
	engine  engine
	slots   slotTable
	tracing bool
	steps   []Step // that were traced
	clamps  saturation
	closed  bool
}

// Open loads the artefact in dir. It does not compute the checksum of the weights: see artifact.Manifest.VerifyFiles.
func Open(dir string, o Options) (*Model, error) {
	manifest, err := artifact.Read(dir)
	if err != nil {
		return nil, err
	}
	m := &Model{Manifest: manifest, Dir: dir}
	if manifest.Target.GPU != nil {
		err = m.openGPU(o)
	} else {
		err = m.openCPU(o)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Model) openCPU(o Options) error {
	m.Threads = o.Threads
	if o.Threads == 0 {
		m.Threads = goruntime.GOMAXPROCS(0)
	}
	if m.Threads < 1 || m.Threads > maxThreads {
		return fmt.Errorf("%d threads\n  fix: give a number from 1 to %d", o.Threads, maxThreads)
	}
	c, level, err := openCPU(m.Dir, m.Manifest, m.Threads, o)
	if err != nil {
		return err
	}
	m.engine, m.Level = c, level
	return nil
}

func (m *Model) openGPU(o Options) error {
	g, err := openGPU(m.Dir, m.Manifest, o)
	if err != nil {
		return err
	}
	m.engine, m.Level, m.Device = g, m.Manifest.Target.Name, g.c.Name
	return nil
}

// Machine says what runs the model.
func (m *Model) Machine() string {
	if m.Device == "" {
		return fmt.Sprintf("%d threads at %s", m.Threads, m.Level)
	}
	return fmt.Sprintf("%s with code for %s", m.Device, m.Level)
}

// Close ends the worker threads and gives everything back. Slots of the model must not be used afterwards.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return m.engine.close()
}

// errClosed is what a closed model answers.
var errClosed = errors.New("the model is closed")
