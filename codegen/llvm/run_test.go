package llvm

import (
	"context"
	"os/exec"
	"strings"
	"testing"
)

func TestRunBoundsOutput(t *testing.T) {
	b := &bounded{max: 10}
	cmd := exec.CommandContext(context.Background(), "sh", "-c", "while echo 0123456789; do :; done")
	cmd.Stdout = b
	if err := cmd.Run(); err == nil {
		t.Error("a program that prints without end came to a good end")
	}
	if !b.over || b.buf.Len() > b.max {
		t.Errorf("over %v, %d bytes kept", b.over, b.buf.Len())
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "p"},
		{[]string{"-mattr=+avx2", "-o", "-"}, "p -mattr=+avx2 -o -"},
		{[]string{"a b", "", "it's"}, `p 'a b' '' 'it'\''s'`},
	} {
		if got := commandLine("p", c.args); got != c.want {
			t.Errorf("commandLine(%q) = %s, want %s", c.args, got, c.want)
		}
	}
}

func TestToolErrorShortensLog(t *testing.T) {
	e := &ToolError{Tool: "llc 14.0.6", Command: "llc", Log: strings.Repeat("line\n", 100), Err: context.Canceled}
	if n := strings.Count(e.Error(), "\n"); n != maxLogLines+2 {
		t.Errorf("%d lines:\n%v", n, e)
	}
}
