package main

import (
	"errors"
	"strings"
	"time"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/runtime/cuda"
	"github.com/ssmc/ssmc/runtime/cuda/emulator"
)

// emulated is the --device that is no GPU.
const emulated = "emulator"

// machineOptions say what a model runs on. Which of them count depends on what it is compiled for.
type machineOptions struct {
	threads int
	level   string
	device  string
	limit   time.Duration
}

// machineFlags are those of every command that runs a model.
func machineFlags(c *command, o *machineOptions) {
	g := c.flags("machine")
	g.IntVar(&o.threads, "threads", 0, "worker `threads`; 0: as many as there are cores")
	g.StringVar(&o.level, "level", "", "CPU `level` of the code; default: the best that this CPU has")
	g.StringVar(&o.device, "device", "", "`number` of the GPU, or "+emulated+" (no GPU, slow: for tiny models); default: the GPU with the most free memory")
	g.DurationVar(&o.limit, "step-limit", cuda.DefaultLimit, "`time` after which a GPU that has not ended a step is given up")
}

// aheadUsage is what --ahead says.
const aheadUsage = "`steps` that are queued before what they chose is looked at; 0: 8 on a GPU, 1 on a CPU"

// checkAhead says what is wrong with --ahead.
func checkAhead(n int) error {
	if n < 0 || n > runtime.MostAhead {
		return usagef("--ahead %d must be from 0 to %d", n, runtime.MostAhead)
	}
	return nil
}

// openModel opens the artefact that a command is about. Wrong values of the flags are mistakes of usage, and so are flags for the other kind of machine.
func openModel(dir string, o machineOptions) (*runtime.Model, error) {
	m, err := openBeside(dir, o)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Device == "" && o.device != "":
		err = usagef("--device %s: %s is compiled for %s, not for a GPU\n  fix: leave it away, or compile with --target ptx:sm_80 (ssmc help compile)", o.device, dir, m.Manifest.Target.Name)
	case m.Device != "" && (o.threads != 0 || o.level != ""):
		err = usagef("--threads and --level: %s is compiled for a GPU, %s\n  fix: leave them away", dir, m.Level)
	default:
		return m, nil
	}
	return nil, errors.Join(err, m.Close())
}

// openBeside opens an artefact that another is compared with: it may be for another machine, and takes of the flags what is for it.
func openBeside(dir string, o machineOptions) (*runtime.Model, error) {
	if o.threads < 0 || o.threads > 1024 {
		return nil, usagef("--threads %d must be from 1 to 1024", o.threads)
	}
	if o.limit <= 0 {
		return nil, usagef("--step-limit %v must be more than nothing", o.limit)
	}
	options := runtime.Options{Threads: o.threads, Level: o.level, Device: o.device, StepLimit: o.limit}
	if o.device == emulated {
		manifest, err := artifact.Read(dir)
		if err != nil {
			return nil, err
		}
		options.Device = ""
		options.Driver = emulator.New(emulator.Device{Target: strings.TrimPrefix(manifest.Target.Name, "ptx:")})
	}
	return runtime.Open(dir, options)
}
