package ptx

import (
	"bytes"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// scaled makes kernels that differ in constants alone, but for the last, where two of them are the same one.
func scaled(t testing.TB, target spmd.Target) *spmdtest.Bed {
	d := spmdtest.New(t, target)
	for i, c := range [][3]float32{{2, 0.5, 3}, {5, 0.25, 3}, {7, -1.5, 3}, {4, 4, 3}} {
		d.Kernel([]string{"a", "b", "c", "d"}[i], spmdtest.One, func(k *spmdtest.Body) {
			x, y := k.Input(spmd.F32, spmdtest.Edges(spmd.F32)), k.Output(spmd.F32, 2*warp)
			v := k.Mul(k.LoadV(x, nil, 0), k.F(c[0]))
			k.StoreV(y, nil, 0, k.Max(k.FMA(v, k.F(c[1]), k.F(c[2])), k.F(c[0])))
			k.StoreV(y, nil, warp, k.Min(v, k.F(c[2])))
		})
	}
	return d.Done()
}

func TestMerge(t *testing.T) {
	checkBed(t, scaled, shape{1, warp})
	p := scaled(t, gpuTarget(t, 1)).Program
	m := merge(p)
	if len(m.Kernels) != 2 || len(m.varies) != 2 {
		t.Errorf("%d kernels with %d constants that vary; want 2 and 2", len(m.Kernels), len(m.varies))
	}
	for i, want := range []int{4, 4, 4, 2} {
		if got := len(m.Phases[i].Launches[0].Args); got != want {
			t.Errorf("launch %d has %d arguments, want %d", i, got, want)
		}
		if got := len(p.Phases[i].Launches[0].Args); got != 2 {
			t.Errorf("the program itself was changed: launch %d has %d arguments", i, got)
		}
	}
	text, err := Emit("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(".func ")); n != 2 {
		t.Errorf("%d functions", n)
	}
}
