package main

import (
	"cmp"
	"context"
	"fmt"
	goruntime "runtime"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/amd64"
	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/runtime/cuda"
)

// versions is the JSON of a version.
type versions struct {
	Ssmc        string       `json:"ssmc"`
	Manifest    int          `json:"manifest"`
	ABI         int          `json:"abi"`
	Go          string       `json:"go"`
	Native      string       `json:"native"`       // the best CPU level of this machine
	NativeBytes string       `json:"native_bytes"` // and for products of bytes
	Tools       string       `json:"tools"`
	GPUs        []gpuVersion `json:"gpus"`             // those that the driver finds
	NoGPU       string       `json:"no_gpu,omitempty"` // why there is none
}

// gpuVersion is a GPU of this machine.
type gpuVersion struct {
	Name   string `json:"name"`
	Memory int64  `json:"memory_bytes"`
	Target string `json:"target"` // what to compile for; empty: it runs nothing of ours
}

// findGPUs asks the driver.
func (v *versions) findGPUs() {
	v.GPUs = []gpuVersion{}
	d, err := cuda.Load("")
	var list []cuda.Info
	if err == nil {
		list, err = d.Devices()
	}
	if err != nil {
		v.NoGPU, _, _ = strings.Cut(err.Error(), "\n")
	}
	for _, i := range list {
		g := gpuVersion{Name: i.Name, Memory: i.Memory}
		if target := i.Target(); target != "" {
			g.Target = ptx.Prefix + target
		}
		v.GPUs = append(v.GPUs, g)
	}
}

// cpu is what this machine runs of code in floating point, and of code with 8 bits where that is more.
func (v *versions) cpu() string {
	if v.NativeBytes == v.Native {
		return v.Native
	}
	return v.Native + ", with 8 bits " + v.NativeBytes
}

func versionCommand() *command {
	c := &command{about: "Prints versions: what to give with a report of a problem.", examples: []string{"ssmc version", "ssmc version --json"}}
	asJSON := c.jsonFlag(c.flags("output"))
	c.run = func(_ context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 0, 0, "nothing"); err != nil {
			return err
		}
		v := versions{Ssmc: compile.Version, Manifest: artifact.Version, ABI: artifact.ABIVersion, Go: goruntime.Version()}
		var err error
		if v.Native, _, err = amd64.Host(); err != nil {
			v.Native = err.Error()
		}
		if v.NativeBytes, _, err = amd64.ByteHost(); err != nil {
			v.NativeBytes = v.Native
		}
		v.Tools = "none"
		if tools, err := llvm.Find(0); err == nil {
			v.Tools = tools.String()
		}
		v.findGPUs()
		if *asJSON {
			return printJSON(t, v)
		}
		rows := [][]string{{"ssmc", v.Ssmc}, {"go", v.Go}, {"this CPU", v.cpu()}, {"tools", v.Tools}}
		for i, g := range v.GPUs {
			rows = append(rows, []string{fmt.Sprintf("GPU %d", i), fmt.Sprintf("%s, %s, compile for %s", g.Name, size(g.Memory), cmp.Or(g.Target, "none of its targets"))})
		}
		if v.NoGPU != "" {
			rows = append(rows, []string{"GPU", v.NoGPU})
		}
		return t.table(rows)
	}
	return c
}
