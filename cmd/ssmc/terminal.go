package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// terminal is where a command writes.
type terminal struct {
	stdout, stderr io.Writer
	interactive    bool // stderr is a terminal: progress is shown
	stageName      string
	bar            *progressbar.ProgressBar
}

func newTerminal(stdout, stderr *os.File) *terminal {
	return &terminal{stdout: stdout, stderr: stderr, interactive: term.IsTerminal(int(stderr.Fd()))}
}

// stage shows what is being done and, where there is a measure, how much of it and how long it will take.
func (t *terminal) stage(name string, done, total int64) {
	if !t.interactive {
		return
	}
	if t.bar == nil || name != t.stageName {
		t.endStage()
		limit := total
		if limit <= 0 {
			limit = -1 // a spinner
		}
		t.stageName = name
		t.bar = progressbar.NewOptions64(limit, progressbar.OptionSetWriter(t.stderr), progressbar.OptionSetDescription(name),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(30), progressbar.OptionSetRenderBlankState(true), progressbar.OptionUseANSICodes(true))
	}
	_ = t.bar.Set64(done) // progress that cannot be shown stops nothing
}

// endStage clears the line.
func (t *terminal) endStage() {
	if t.bar != nil {
		_ = t.bar.Finish()
		_ = t.bar.Clear()
		t.bar = nil
	}
}

// note is a line for people, on a terminal only.
func (t *terminal) note(format string, args ...any) {
	t.endStage()
	if t.interactive {
		fmt.Fprintf(t.stderr, format+"\n", args...)
	}
}

// warn is a line that everybody gets.
func (t *terminal) warn(text string) {
	t.endStage()
	fmt.Fprintln(t.stderr, "ssmc: warning: "+text)
}

// printJSON prints a value, indented.
func printJSON[T any](t *terminal, v T) error {
	t.endStage()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.stdout, "%s\n", text)
	return err
}

// table prints rows of cells in columns.
func (t *terminal) table(rows [][]string) error {
	t.endStage()
	return writeTable(t.stdout, rows)
}

func writeTable(to io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// size prints a number of bytes for people.
func size(n int64) string {
	switch x := float64(n); {
	case n < 1e3:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f KB", x/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", x/1e6)
	default:
		return fmt.Sprintf("%.2f GB", x/1e9)
	}
}
