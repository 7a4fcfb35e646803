package main

import (
	"context"
	goruntime "runtime"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/amd64"
	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/compile"
)

// versions is the JSON of a version.
type versions struct {
	Ssmc     string `json:"ssmc"`
	Manifest int    `json:"manifest"`
	ABI      int    `json:"abi"`
	Go       string `json:"go"`
	Native   string `json:"native"` // the best CPU level of this machine
	Tools    string `json:"tools"`
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
		v.Tools = "none"
		if tools, err := llvm.Find(0); err == nil {
			v.Tools = tools.String()
		}
		if *asJSON {
			return printJSON(t, v)
		}
		return t.table([][]string{{"ssmc", v.Ssmc}, {"go", v.Go}, {"this CPU", v.Native}, {"tools", v.Tools}})
	}
	return c
}
