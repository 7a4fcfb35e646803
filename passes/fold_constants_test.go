package passes

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/ir"
)

// weightNamed finds a weight's value.
func weightNamed(t *testing.T, f *ir.Func, name string) *ir.Weight {
	t.Helper()
	for _, v := range f.Weights {
		if v.Name == name {
			return v.Weight
		}
	}
	t.Fatalf("no weight %%%s", name)
	return nil
}

const foldGraph = `module "test" {
  weight %w: bf16[4, 2]
  weight %A_log: bf16[2]
  func step(%x: f32[T, 2]) -> (f32[T, 2], f32[T, 2]) {
    %rows = slice %w axis=0 lo=1 hi=3 : bf16[2, 2]
    %e = exp %A_log : f32[2]
    %A = neg %e : f32[2]
    %y = linear %x %rows : f32[T, 2]
    %z = mul %x %A : f32[T, 2]
    return %y %z
  }
}
`

// The pass reads no data; a slice is the same memory, arithmetic is done once, in float64, when asked for.
func TestFoldingIsLazy(t *testing.T) {
	raw := []byte{0, 0x3f, 0x80, 0x3f, 0, 0x40, 0x40, 0x40, 0x80, 0x40, 0xa0, 0x40, 0xc0, 0x40, 0xe0, 0x40}
	reads := 0
	m := parse(t, foldGraph)
	weightNamed(t, m.Func, "w").Bytes = func() ([]byte, error) { reads++; return raw, nil }
	weightNamed(t, m.Func, "A_log").Bytes = func() ([]byte, error) { reads++; return raw[:4], nil }
	t.Setenv("SSMC_CHECK", "0")
	if _, err := Run(m, Options{Passes: []string{"fold-constants", "remove-dead"}}); err != nil {
		t.Fatal(err)
	}
	if reads != 0 {
		t.Fatalf("the pass read weights %d times", reads)
	}
	rows := weightNamed(t, m.Func, "rows")
	got, err := rows.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if rows.DType != ir.BF16 || len(got) != 8 || &got[0] != &raw[4] || cap(got) != 8 {
		t.Errorf("rows are %s, %d bytes of capacity %d; want 8 bytes of bf16 in the memory of w", rows.DType, len(got), cap(got))
	}
	reads = 0
	var first []float64
	for range 2 {
		x, err := ir.LoadWeight[float64](weightNamed(t, m.Func, "A"))
		if err != nil {
			t.Fatal(err)
		}
		first = x.Data
	}
	want := []float64{float64(float32(-math.Exp(0.5))), float64(float32(-math.Exp(1)))}
	if diff := cmp.Diff(want, first); diff != "" || reads != 1 {
		t.Errorf("A was computed with %d reads, want 1: %s", reads, diff)
	}
}

// A weight that cannot be read, or is shorter than it says, is an error where it is asked for, with its name.
func TestFoldingErrors(t *testing.T) {
	t.Setenv("SSMC_CHECK", "0")
	gone := errors.New("file is gone")
	for _, data := range []func() ([]byte, error){
		func() ([]byte, error) { return nil, gone },
		func() ([]byte, error) { return make([]byte, 3), nil },
	} {
		m := parse(t, foldGraph)
		weightNamed(t, m.Func, "w").Bytes = data
		weightNamed(t, m.Func, "A_log").Bytes = data
		if _, err := Run(m, Options{Passes: []string{"fold-constants"}}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"rows", "A"} {
			if _, err := weightNamed(t, m.Func, name).Bytes(); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	}
}
