package quant

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many problems of a scheme are spelled out; the rest are counted.
const maxProblems = 20

// place is a line of a scheme file.
type place struct {
	file string
	line int
}

// schemeProblems collects what is wrong with a scheme, so that a user learns all of it at once.
type schemeProblems struct {
	places map[string]place // of entries: where "mine: values.ssm.u" stands
	found  []schemeProblem
}

type schemeProblem struct {
	at   place
	text string
}

// add takes a problem of a place, which may be unknown; once, however many layers meet it.
func (p *schemeProblems) add(at place, text string) {
	if problem := (schemeProblem{at, text}); !slices.Contains(p.found, problem) {
		p.found = append(p.found, problem)
	}
}

// entry takes a problem with an entry.
func (p *schemeProblems) entry(entry, what string) { p.add(p.places[entry], entry+": "+what) }

// err lists the problems in the order of the file.
func (p *schemeProblems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	slices.SortStableFunc(p.found, func(a, b schemeProblem) int {
		return cmp.Or(cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.text, b.text))
	})
	var lines []string
	for _, problem := range p.found[:min(len(p.found), maxProblems)] {
		line := problem.text
		if problem.at.file != "" {
			line = fmt.Sprintf("%s:%d: %s", problem.at.file, problem.at.line, line)
		}
		lines = append(lines, line)
	}
	if more := len(p.found) - maxProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(lines, "\n"))
}
