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

// nearest is the candidate that differs from name in the fewest letters, if it is near; else "".
func nearest(name string, candidates []string) string {
	best, found := len(name)/2+1, ""
	for _, c := range candidates {
		if isPattern(c) {
			continue
		}
		if d := distance(name, c, best); d < best {
			best, found = d, c
		}
	}
	return found
}

// distance is the number of letters to change, add or drop; limit or more where it is not less.
func distance(a, b string, limit int) int {
	if abs := len(a) - len(b); max(abs, -abs) >= limit || len(a) > 100 {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
