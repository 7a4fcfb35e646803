package tokenizer

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalForm is one of the four Unicode normal forms.
//
// Package norm makes text stream-safe on the way: behind 30 combining marks it puts U+034F, which no other library does. Text with long runs of marks is therefore
// normalized by the definition, step by step.
func normalForm(form norm.Form) normalizer {
	return mapped(func(text string) string {
		if form.QuickSpanString(text) == len(text) {
			return text
		}
		if !hasLongRun(form, text) {
			return form.String(text)
		}
		return normalizeSlowly(form, text)
	})
}

// hasLongRun reports runs of characters that stick to the one before them and might come near the limit of 30; one of them decomposes into three at most.
func hasLongRun(form norm.Form, text string) bool {
	run := 0
	for i, r := range text {
		if r < 0x300 || form.PropertiesString(text[i:]).BoundaryBefore() {
			run = 0
		} else if run++; run >= 8 {
			return true
		}
	}
	return false
}

type mark struct {
	r   rune
	ccc uint8
}

func normalizeSlowly(form norm.Form, text string) string {
	decompose := norm.NFD
	if form == norm.NFKC || form == norm.NFKD {
		decompose = norm.NFKD
	}
	var all []mark
	for _, r := range text {
		for _, d := range decompose.String(string(r)) {
			all = append(all, mark{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
	}
	for i := 0; i < len(all); {
		end := i + 1
		if all[i].ccc > 0 {
			for end < len(all) && all[end].ccc > 0 {
				end++
			}
			slices.SortStableFunc(all[i:end], func(a, b mark) int { return int(a.ccc) - int(b.ccc) })
		}
		i = end
	}
	if form == norm.NFC || form == norm.NFKC {
		all = compose(all)
	}
	out := make([]byte, 0, len(text))
	for _, m := range all {
		out = utf8.AppendRune(out, m.r)
	}
	return string(out)
}

// compose joins each starter with the marks that are not blocked from it (Unicode, definition D117).
func compose(all []mark) []mark {
	out := all[:0]
	starter := -1
	for _, m := range all {
		if starter >= 0 {
			last := out[len(out)-1]
			adjacent := len(out)-1 == starter
			if adjacent || last.ccc != 0 && last.ccc < m.ccc {
				if c, ok := composePair(out[starter].r, m.r); ok {
					out[starter].r = c
					continue
				}
			}
		}
		out = append(out, m)
		if m.ccc == 0 {
			starter = len(out) - 1
		}
	}
	return out
}

func composePair(a, b rune) (rune, bool) {
	joined := norm.NFC.String(string([]rune{a, b}))
	c, size := utf8.DecodeRuneInString(joined)
	return c, size == len(joined)
}
