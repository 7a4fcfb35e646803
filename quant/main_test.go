package quant

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/internal/goldentest"
	"github.com/ssmc/ssmc/loader"
)

func TestMain(m *testing.M) {
	goldentest.Parse()
	os.Exit(m.Run())
}

// reference is one file of reference arrays.
type reference struct {
	t    testing.TB
	file *loader.File
}

func openReference(t testing.TB, name string) reference {
	t.Helper()
	f, err := loader.OpenFile(filepath.Join("testdata", "reference", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return reference{t, f}
}

func (r reference) tensor(name string) loader.Tensor {
	r.t.Helper()
	x, ok := r.file.Tensor(name)
	if !ok {
		r.t.Fatalf("%s has no tensor %q", r.file.Path, name)
	}
	return x
}

func (r reference) shape(name string) []int { r.t.Helper(); return r.tensor(name).Shape }

func (r reference) f32(name string) []float32 {
	r.t.Helper()
	v, err := r.tensor(name).Float32()
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r reference) f64(name string) []float64 {
	r.t.Helper()
	v, err := r.tensor(name).Float64()
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r reference) ints(name string) []int64 {
	r.t.Helper()
	v, err := r.tensor(name).Int64()
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r reference) i8(name string) []int8 {
	r.t.Helper()
	return narrow[int8](r.ints(name))
}

func (r reference) i32(name string) []int32 {
	r.t.Helper()
	return narrow[int32](r.ints(name))
}

func narrow[T int8 | int32](v []int64) []T {
	n := make([]T, len(v))
	for i, x := range v {
		n[i] = T(x)
	}
	return n
}

// sameBits compares float32 arrays to the bit.
func sameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v (%#08x), want %v (%#08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (- want, + got):\n%.2000s", what, diff)
	}
}

// apply maps a function over a slice.
func apply[A, B any](x []A, f func(A) B) []B {
	y := make([]B, len(x))
	for i, v := range x {
		y[i] = f(v)
	}
	return y
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func normal32(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func wide(x []float32) []float64 { return apply(x, func(v float32) float64 { return float64(v) }) }
