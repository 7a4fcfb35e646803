package emu

import (
	"fmt"
	"strings"
)

// Fault is an error of a running kernel: what a thread did, on which line.
type Fault struct {
	Module string
	Line   int
	Source string // the line of PTX
	Kernel string
	Block  [3]int
	Thread [3]int
	Msg    string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s:%d: %s: kernel %s, block %s thread %s: %s",
		f.Module, f.Line, f.Source, f.Kernel, dims(f.Block), dims(f.Thread), f.Msg)
}

// dims writes the coordinates of a block or thread.
func dims(x [3]int) string { return fmt.Sprintf("%d,%d,%d", x[0], x[1], x[2]) }

// coords gives the coordinates of element i of a box.
func coords(i int, box [3]int) [3]int {
	return [3]int{i % box[0], i / box[0] % box[1], i / box[0] / box[1]}
}

func (l *launch) fault(w *warp, line int32, lane int, msg string) error {
	return &Fault{Module: l.m.Name, Line: int(line), Source: strings.TrimSpace(l.m.source(line)), Kernel: l.kernel.name,
		Block: w.b.at, Thread: coords(w.thread(lane), l.block), Msg: msg}
}
