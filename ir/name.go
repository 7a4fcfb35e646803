package ir

import (
	"strconv"
	"strings"
)

// A value's name is letters, digits and "_.-/", and groups of those in balanced brackets, in which ":" and "," may occur too:
// layers.0.in_proj[0:1536], exp(A_log).

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/"

// nameLen is the length of the longest name at the start of s.
func nameLen(s string) int {
	var open []byte // closing brackets that are awaited
	end := 0        // length of the longest balanced start
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '[':
			open = append(open, ']')
		case ch == '(':
			open = append(open, ')')
		case ch == ']' || ch == ')':
			if len(open) == 0 || open[len(open)-1] != ch {
				return end
			}
			open = open[:len(open)-1]
		case len(open) > 0 && (ch == ':' || ch == ','):
		case strings.IndexByte(nameChars, ch) < 0:
			return end
		}
		if len(open) == 0 {
			end = i + 1
		}
	}
	return end
}

// ValidName says whether the text form can write and read the name.
func ValidName(name string) bool { return name != "" && nameLen(name) == len(name) }

// CleanName makes a valid name of any text: what a name cannot hold becomes "_".
func CleanName(name string) string {
	if ValidName(name) {
		return name
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(nameChars, r) {
			return r
		}
		return '_'
	}, name)
	if name == "" {
		return "_"
	}
	return name
}

// Names hands out names that are unique in a function.
type Names struct{ used map[string]int }

// Names collects the names in use.
func (f *Func) Names() *Names {
	n := &Names{used: map[string]int{}}
	for v := range f.Values() {
		n.used[v.Name]++
	}
	return n
}

// Unique returns base, or base.2, base.3, ... if that is taken, and takes it.
func (n *Names) Unique(base string) string {
	base = CleanName(base)
	name := base
	for i := max(2, n.used[base]+1); n.used[name] > 0; i++ {
		name = base + "." + strconv.Itoa(i)
		n.used[base] = i
	}
	n.used[name]++
	return name
}

// Free gives a name back, for a value that is about to be removed or renamed.
func (n *Names) Free(name string) { delete(n.used, name) }
