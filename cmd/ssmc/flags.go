package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// group is some flags under a title.
type group struct {
	title string
	*pflag.FlagSet
}

// flags adds a group.
func (c *command) flags(title string) *group {
	g := &group{title, pflag.NewFlagSet(title, pflag.ContinueOnError)}
	g.SortFlags = false
	c.groups = append(c.groups, g)
	return g
}

// jsonFlag is the flag of all commands that print a table.
func (c *command) jsonFlag(g *group) *bool {
	return g.Bool("json", false, "print JSON")
}

// invoke parses the flags and runs the command, or prints its help.
func (c *command) invoke(ctx context.Context, t *terminal, usage string, args []string) error {
	all := pflag.NewFlagSet(usage, pflag.ContinueOnError)
	all.SetOutput(io.Discard)
	all.Usage = func() {}
	for _, g := range c.groups {
		all.AddFlagSet(g.FlagSet)
	}
	err := all.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		_, err := io.WriteString(t.stdout, c.help(usage))
		return err
	}
	if err != nil {
		return usagef("%w\n  fix: see %s --help", err, strings.Join(strings.Fields(usage)[:2], " "))
	}
	return c.run(ctx, t, all.Args())
}

func (c *command) help(usage string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\n%s\n", usage, c.about)
	for _, g := range c.groups {
		fmt.Fprintf(&b, "\n%s:\n%s", g.title, g.FlagUsages())
	}
	if len(c.examples) > 0 {
		b.WriteString("\nexamples:\n")
		for _, e := range c.examples {
			b.WriteString("  " + e + "\n")
		}
	}
	return b.String()
}

// wantArgs checks the number of arguments; names says what they are.
func wantArgs(args []string, least, most int, names string) error {
	switch {
	case len(args) < least:
		return usagef("%s is missing", names)
	case len(args) > most:
		return usagef("%.80q is one argument too many: want %s\n  fix: put a prompt of several words in quotes", args[most], names)
	}
	return nil
}
