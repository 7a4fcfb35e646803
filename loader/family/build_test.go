package family

import (
	"fmt"
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
)

func TestTry(t *testing.T) {
	for _, d := range []string{"mamba-tiny", "mamba2-groups"} {
		c, err := loader.Open("../../golden/testdata/" + d)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Build(c)
		if err != nil {
			t.Fatal(err)
		}
		text := ir.Print(m)
		fmt.Println(text[:9000])
		p, err := ir.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if ir.Print(p) != text {
			t.Fatal("differs")
		}
		if err := ir.Verify(p); err != nil {
			t.Fatal(err)
		}
	}
}
