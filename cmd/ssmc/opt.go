package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/passes"
)

// graphLimit bounds what is read of a graph's text. That of a model with 64 layers has 200 KB.
const graphLimit = 64 << 20

func optCommand() *command {
	c := &command{
		about: `Reads the text of a graph, as --dump-after writes it, runs passes on it, and prints the graph.`,
		examples: []string{
			"ssmc opt 04-remove-dead.txt --passes fuse-scan",
			"ssmc opt repro.txt --passes fuse-scan --check",
			"ssmc opt graph.txt --explain",
		},
	}
	var o passes.Options
	g := c.flags("what")
	names := g.StringSlice("passes", nil, "`names` of the passes, in their order; default: all")
	explain := g.String("explain", "", "print what a `pass` did, in place of the graph; without a name all of them")
	g.Lookup("explain").NoOptDefVal = "all"
	g.BoolVar(&o.Check, "check", false, "evaluate before and after each pass and compare")
	g.StringVar(&o.DumpAfter, "dump-after", "", "write the graph after a `pass` (or all) to files")
	g.StringVar(&o.DumpDir, "dump-dir", ".", "`folder` of these files")
	c.run = func(_ context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "FILE.txt"); err != nil {
			return err
		}
		o.Passes, o.Command = *names, "ssmc opt "+args[0]
		for _, name := range o.Passes {
			if _, known := passes.Lookup(name); !known {
				return usagef("--passes: there is no pass %.40q\n  fix: use one of %s", name, strings.Join(passes.Names(), ", "))
			}
		}
		return opt(t, args[0], o, *explain)
	}
	return c
}

func opt(t *terminal, path string, o passes.Options, explain string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, graphLimit))
	if err != nil {
		return err
	}
	m, err := ir.Parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r, err := passes.Run(m, o)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if explain != "" {
		return r.Explain(t.stdout, strings.TrimPrefix(explain, "all"))
	}
	_, err = io.WriteString(t.stdout, ir.Print(m))
	return err
}
