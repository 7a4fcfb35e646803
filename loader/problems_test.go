package loader

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	var none Problems
	if none.Err() != nil || none.Len() != 0 {
		t.Errorf("no problems: %v", none.Err())
	}
	var p Problems
	p.Add("a", "is wrong", "mend it")
	p.Add("a", "is wrong", "mend it")
	p.Add("", "everything is wrong", "")
	p.AddError(nil)
	p.AddError(errors.New("read failed"))
	if got, want := message(p.Err()), "a: is wrong\n  fix: mend it\neverything is wrong\nread failed"; got != want || p.Len() != 3 {
		t.Errorf("%d problems: %q, want %q", p.Len(), got, want)
	}
	var many Problems
	many.AddError(fmt.Errorf("opening: %w", p.Err()))
	for i := range 18 {
		many.Add("b", fmt.Sprint(i), "mend it")
	}
	if got := message(many.Err()); many.Len() != 21 || !strings.HasSuffix(got, "b: 16\n  fix: mend it\nand 1 more problem") {
		t.Errorf("%d problems: %q", many.Len(), got)
	}
	var all Problems
	all.AddError(many.Err())
	all.Add("c", "too", "")
	if got := message(all.Err()); all.Len() != 22 || !strings.HasSuffix(got, "and 2 more problems") {
		t.Errorf("%d problems: %q", all.Len(), got)
	}
}
