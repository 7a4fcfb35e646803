package ptx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Assembler is a ptxas that was found. It is not needed to compile a model: the driver has one of its own. It checks, and says what registers
// a kernel takes.
type Assembler struct {
	Path    string
	Release string // "12.9"
}

// EnvAssembler names the variable that says where ptxas is.
const EnvAssembler = "SSMC_PTXAS"

// FindAssembler looks for ptxas: SSMC_PTXAS, then the PATH, then where scripts/setup-ptxas.sh puts it, below the working directory or one above it.
func FindAssembler() (*Assembler, error) {
	path, err := findAssembler()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w\n%s", path, err, out)
	}
	a := &Assembler{Path: path, Release: "unknown"}
	if m := regexp.MustCompile(`release ([0-9.]+)`).FindSubmatch(out); m != nil {
		a.Release = string(m[1])
	}
	return a, nil
}

func findAssembler() (string, error) {
	if path := os.Getenv(EnvAssembler); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w", EnvAssembler, err)
		}
		return path, nil
	}
	if path, err := exec.LookPath("ptxas"); err == nil {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "build", "ptxas", "ptxas")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("ptxas is not there\n  fix: scripts/setup-ptxas.sh fetches it (120 MB), or set " + EnvAssembler)
		}
		dir = up
	}
}

// Function is what ptxas says about a function: bytes of stack, and of registers that it had to put there.
type Function struct {
	Name                string
	Stack               int
	Stores, Loads       int // spilled
	Registers, Barriers int // of the entry, with all that it calls; 0 for others
}

// Report is what ptxas says about a module.
type Report struct {
	Functions []Function
	Seconds   float64
	Warnings  []string
}

// Entry is the function that is launched.
func (r *Report) Entry() Function {
	for _, f := range r.Functions {
		if f.Registers > 0 {
			return f
		}
	}
	return Function{}
}

// Spills lists the functions that put registers on the stack.
func (r *Report) Spills() (list []string) {
	for _, f := range r.Functions {
		if f.Stores > 0 || f.Loads > 0 {
			list = append(list, fmt.Sprintf("%s: %d bytes stored, %d loaded", f.Name, f.Stores, f.Loads))
		}
	}
	return list
}

// Check assembles a module for a target ("ptx:sm_80") at -O3 and throws the result away. Where ptxas refuses it, the error has its words and the lines
// of PTX that they are about.
func (a *Assembler) Check(ctx context.Context, text []byte, target string) (*Report, error) {
	g, err := find(target)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ssmc-ptxas-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	in := filepath.Join(dir, "model.ptx")
	if err := os.WriteFile(in, text, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, a.Path, "-arch="+g.name, "-O3", "-v", in, "-o", filepath.Join(dir, "model.cubin"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, withLines(out.String(), text))
	}
	r := parseReport(out.String())
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

var lineNumber = regexp.MustCompile(`line (\d+)`)

// withLines puts the lines of PTX behind the messages about them.
func withLines(messages string, text []byte) string {
	lines := strings.Split(string(text), "\n")
	var b strings.Builder
	const most = 20
	for i, msg := range strings.Split(strings.TrimSpace(messages), "\n") {
		if i == most {
			b.WriteString("...\n")
			break
		}
		b.WriteString(msg + "\n")
		if m := lineNumber.FindStringSubmatch(msg); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil && n >= 1 && n <= len(lines) {
				b.WriteString("    " + strings.TrimSpace(lines[n-1]) + "\n")
			}
		}
	}
	return b.String()
}

var (
	aboutFunction = regexp.MustCompile(`(?:Function properties for|Compiling entry function) '?([A-Za-z0-9_$]+)'?`)
	aboutStack    = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	aboutUse      = regexp.MustCompile(`Used (\d+) registers(?:, used (\d+) barriers)?`)
)

// parseReport reads what ptxas -v prints.
func parseReport(text string) *Report {
	r := &Report{}
	name := ""
	function := func() *Function {
		for i := range r.Functions {
			if r.Functions[i].Name == name {
				return &r.Functions[i]
			}
		}
		r.Functions = append(r.Functions, Function{Name: name})
		return &r.Functions[len(r.Functions)-1]
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // "" is 0; the pattern has digits only
		return n
	}
	for _, l := range strings.Split(text, "\n") {
		if m := aboutFunction.FindStringSubmatch(l); m != nil {
			name = m[1]
		}
		if m := aboutStack.FindStringSubmatch(l); m != nil {
			f := function()
			f.Stack, f.Stores, f.Loads = number(m[1]), number(m[2]), number(m[3])
		}
		if m := aboutUse.FindStringSubmatch(l); m != nil {
			f := function()
			f.Registers, f.Barriers = number(m[1]), number(m[2])
		}
		if strings.Contains(l, "warning") || strings.Contains(l, "Performance Loss") { // the latter is about products that wait for each other
			r.Warnings = append(r.Warnings, strings.TrimSpace(l))
		}
	}
	return r
}
