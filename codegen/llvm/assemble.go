package llvm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// opaqueFrom is the first version that gets opaque pointers. 15 and 16 still
// read typed ones (tried), but translate them on a path that few others use.
const opaqueFrom = 15

// Options says for which CPU llc selects instructions.
type Options struct {
	CPU      string // -mcpu, such as "x86-64-v3"; empty is llc's default
	Features string // -mattr, such as "+avx512vnni"
	// KeepInput is a folder in which the input of a failed run is left, so that
	// the failure can be reproduced. Empty: it is not kept.
	KeepInput string
}

// Assemble turns the text of an IR module into an ELF object.
func (t *Tools) Assemble(ctx context.Context, ir []byte, o Options) ([]byte, error) {
	obj, err := t.llc(ctx, ir, "obj", o)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(obj, []byte("\x7fELF")) {
		return nil, fmt.Errorf("llc %s made no ELF object (%d bytes); the module's target triple must be one of Linux", t.LLCRelease, len(obj))
	}
	return obj, nil
}

// Asm turns the text of an IR module into assembly, for people to read.
func (t *Tools) Asm(ctx context.Context, ir []byte, o Options) ([]byte, error) {
	return t.llc(ctx, ir, "asm", o)
}

func (t *Tools) llc(ctx context.Context, ir []byte, filetype string, o Options) ([]byte, error) {
	if t.LLCVersion >= opaqueFrom {
		ir = OpaquePointers(ir)
	}
	// The order of instructions is the templates': chains of dependent operations stand side by side, so that the scheduler of a core sees several. llc's own
	// scheduler pulls them apart to save registers, and spills more in the end. Its combiner adds in another order to make chains shorter, and spills, too.
	args := []string{"-O2", "-filetype=" + filetype, "-relocation-model=pic", "-enable-misched=false", "-x86-machine-combiner=false"}
	if o.CPU != "" {
		args = append(args, "-mcpu="+o.CPU)
	}
	if o.Features != "" {
		args = append(args, "-mattr="+o.Features)
	}
	args = append(args, "-o", "-", "-") // pipes: no name can get into the object
	out, log, err := run(ctx, "", ir, t.LLC, args...)
	if err == nil {
		return out, nil
	}
	e := &ToolError{Tool: "llc " + t.LLCRelease, Command: commandLine(t.LLC, args), Log: log, Err: err}
	if o.KeepInput != "" && ctx.Err() == nil {
		e.keep(o.KeepInput, ir)
	}
	return nil, e
}

// ToolError is the failure of an outside program, with what is needed to see
// it again.
type ToolError struct {
	Tool    string // name and version
	Command string // the command line
	Log     string // all that it wrote to standard error
	Input   string // the file with its standard input, or empty
	Err     error  // exit status, or why it could not run
}

// maxLogLines is how much of a program's log an error message shows; llc can
// print a stack trace of a hundred lines.
const maxLogLines = 12

func (e *ToolError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s failed: %v", e.Tool, e.Err)
	lines := strings.Split(strings.TrimSpace(e.Log), "\n")
	for i, line := range lines {
		if i == maxLogLines {
			fmt.Fprintf(&b, "\n  ... %d more lines", len(lines)-i)
			break
		}
		if line != "" {
			b.WriteString("\n  " + line)
		}
	}
	fmt.Fprintf(&b, "\n  command: %s", e.Command)
	if e.Input != "" {
		fmt.Fprintf(&b, " < %s", e.Input)
	}
	return b.String()
}

// Unwrap gives the exit status, or the context's error.
func (e *ToolError) Unwrap() error { return e.Err }

// keep saves the input under a name made of its checksum, since several modules
// may fail at once. That it could not be saved must not hide the failure.
func (e *ToolError) keep(dir string, input []byte) {
	sum := sha256.Sum256(input)
	path := filepath.Join(dir, fmt.Sprintf("llc-failed-%x.ll", sum[:6]))
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		err = os.WriteFile(path, input, 0o666)
	}
	if err != nil {
		e.Log += fmt.Sprintf("\n(the input could not be kept: %v)", err)
		return
	}
	e.Input = path
}

// commandLine joins a command for a shell.
func commandLine(path string, args []string) string {
	words := append([]string{path}, args...)
	for i, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$&;|<>()*?[]#~`!{}") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
