// Command ssmc compiles long-sequence models to object code and runs them. Each command is a file: flags in, calls out; what the commands do is in the
// packages that they call. Results go to stdout, progress to stderr and only to a terminal, errors to stderr as "ssmc: what, where" and "fix: what to do".
//
// Exit codes: 0 fine; 1 something is wrong with the input; 2 the command line is; 3 a check fell short.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ssmc/ssmc/internal/spell"
	"github.com/ssmc/ssmc/loader"
)

// commands is the whole command line. Help is made of it.
var commands = [...]struct {
	name, args, doc string
	make            func() *command
}{
	{"compile", "MODEL -o DIR", "checkpoint to object code, weights, header and manifest", compileCommand},
	{"calibrate", "MODEL --text F -o FILE", "statistics of the float model that scales are made of", calibrateCommand},
	{"run", "DIR [PROMPT]", "generate text, or tensors in and tensors out (--input)", runCommand},
	{"verify", "DIR", "checksums, and a comparison with a reference file", verifyCommand},
	{"eval", "DIR --text F", "perplexity of a text, and the distance from the float model (--against)", evalCommand},
	{"search", "percentile|mixed MODEL", "a better scheme, as a file", searchCommand},
	{"bench", "DIR", "decode and prefill, with the share of the machine's bandwidth and peak", benchCommand},
	{"inspect", "MODEL|DIR", "tensors, sizes, target, what would be compiled", inspectCommand},
	{"opt", "FILE.txt", "run passes on graph text (for tests and bug reports)", optCommand},
	{"version", "", "versions of ssmc, of its file formats, and of the tools that it finds", versionCommand},
}

// command is one invocation: its flags in groups, and what it does with the arguments.
type command struct {
	about    string // what it does, in a paragraph
	groups   []*group
	examples []string
	run      func(ctx context.Context, t *terminal, args []string) error
}

// usageError is a mistake in the command line: exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errShort is a check that fell short: exit code 3. What it was has been printed.
var errShort = errors.New("the check fell short")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, newTerminal(os.Stdout, os.Stderr), os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs a command line and gives the exit code.
func execute(ctx context.Context, t *terminal, args []string) int {
	err := dispatch(ctx, t, args)
	t.endStage()
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errShort):
		return 3
	case errors.As(err, &usage):
		report(t.stderr, err)
		return 2
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(t.stderr, "ssmc: interrupted")
		return 1
	}
	report(t.stderr, err)
	return 1
}

func dispatch(ctx context.Context, t *terminal, args []string) error {
	if len(args) == 0 {
		return usagef("no command\n  fix: see ssmc help")
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "--help":
		if len(rest) == 0 {
			_, err := io.WriteString(t.stdout, helpText())
			return err
		}
		name, rest = rest[0], []string{"--help"}
	case "--version":
		name = "version"
	}
	var names []string
	for _, c := range commands {
		if c.name == name {
			return c.make().invoke(ctx, t, "ssmc "+strings.TrimSpace(c.name+" "+c.args), rest)
		}
		names = append(names, c.name)
	}
	fix := "see ssmc help"
	if near := spell.Nearest(name, names); near != "" {
		fix = "did you mean ssmc " + near + "?"
	}
	return usagef("%.80q is no command\n  fix: %s", name, fix)
}

// report prints an error. Each problem of a list gets a line of its own with the prefix, each fix stands under its problem.
func report(w io.Writer, err error) {
	text := err.Error()
	var list *loader.Error
	if errors.As(err, &list) { // says itself where each problem is
		text = list.Error()
	}
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, " ") {
			line = "ssmc: " + line
		}
		fmt.Fprintln(w, line)
	}
}

func helpText() string {
	var b strings.Builder
	b.WriteString("ssmc compiles long-sequence models (Mamba, Mamba-2, Falcon-Mamba) to object code, and runs them.\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  ssmc %-9s %-22s %s\n", c.name, c.args, c.doc)
	}
	b.WriteString(`
  ssmc help COMMAND says more about one. Commands that print a table take --json.
  Exit codes: 0 fine, 1 wrong input, 2 wrong usage, 3 a check fell short.

  Try: ssmc compile ./mamba-130m -o out && ssmc run out "Once upon a time"
`)
	return b.String()
}
