package loader

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxListed is how many problems an error spells out; the rest are counted.
const maxListed = 20

// Problem is one thing that is wrong with a checkpoint.
type Problem struct {
	Where string // the file, and the tensor or key in it: model/config.json: "hidden_size"
	What  string // what is wrong there
	Fix   string // what the user can do; may be empty
}

// String is the problem on one line, and its fix on the next.
func (p Problem) String() string {
	s := p.What
	if p.Where != "" {
		s = p.Where + ": " + p.What
	}
	if p.Fix != "" {
		s += "\n  fix: " + p.Fix
	}
	return s
}

// Problems collects what is wrong, so that a user learns all of it at once. The zero value is ready for use.
type Problems struct {
	listed []Problem // the first maxListed
	total  int
}

// Add records a problem. One that is listed already, word for word, is not recorded again: two readers may ask for the same key.
func (p *Problems) Add(where, what, fix string) {
	problem := Problem{Where: where, What: what, Fix: fix}
	for _, known := range p.listed {
		if known == problem {
			return
		}
	}
	p.total++
	if len(p.listed) < maxListed {
		p.listed = append(p.listed, problem)
	}
}

// AddError records what err says; if err is an *Error, each of its problems.
func (p *Problems) AddError(err error) {
	if err == nil {
		return
	}
	var list *Error
	if !errors.As(err, &list) {
		p.Add("", err.Error(), "")
		return
	}
	for _, problem := range list.Problems {
		p.Add(problem.Where, problem.What, problem.Fix)
	}
	p.total += list.Total - len(list.Problems)
}

// Len is the number of problems so far.
func (p *Problems) Len() int { return p.total }

// Err is nil if there are no problems, else an *Error that lists them.
func (p *Problems) Err() error {
	if p.total == 0 {
		return nil
	}
	return &Error{Problems: append([]Problem(nil), p.listed...), Total: p.total}
}

// Error is one or more problems as an error.
type Error struct {
	Problems []Problem // the first ones, in the order in which they were found
	Total    int       // all of them
}

// Error lists the problems, one a line, each followed by its fix. Neighbours with the same fix share one line of it.
func (e *Error) Error() string {
	var lines []string
	for i, p := range e.Problems {
		if i+1 < len(e.Problems) && e.Problems[i+1].Fix == p.Fix {
			p.Fix = ""
		}
		lines = append(lines, p.String())
	}
	switch more := e.Total - len(e.Problems); {
	case more == 1:
		lines = append(lines, "and 1 more problem")
	case more > 1:
		lines = append(lines, fmt.Sprintf("and %d more problems", more))
	}
	return strings.Join(lines, "\n")
}

// problem is an error of one problem.
func problem(where, what, fix string) error {
	return &Error{Problems: []Problem{{Where: where, What: what, Fix: fix}}, Total: 1}
}

// quote quotes a name from a file for a message. A hostile name can be a hundred megabytes long; a message shows its beginning.
func quote(name string) string {
	const longest = 120
	if len(name) > longest {
		return strconv.Quote(name[:longest]) + fmt.Sprintf("... (%d bytes)", len(name))
	}
	return strconv.Quote(name)
}

// excerpt is raw text from a file for a message, cut, and quoted if it would not stay on the line.
func excerpt(raw []byte) string {
	const longest = 40
	tail := ""
	if len(raw) > longest {
		raw, tail = raw[:longest], "..."
	}
	for _, r := range string(raw) {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.Quote(string(raw)) + tail
		}
	}
	return string(raw) + tail
}
