package spmdtest

import (
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Scaled runs kernels that differ in constants alone, which a backend may make one of (spmd.Merge), but for the last, where two of the constants are the same.
func Scaled(t testing.TB, target spmd.Target) *Bed {
	d := New(t, target)
	lanes := int64(target.Lanes)
	for i, c := range [][3]float32{{2, 0.5, 3}, {5, 0.25, 3}, {7, -1.5, 3}, {4, 4, 3}} {
		d.Kernel([]string{"a", "b", "c", "d"}[i], One, func(k *Body) {
			x, y := k.Input(spmd.F32, Edges(spmd.F32)), k.Output(spmd.F32, 64)
			v := k.Mul(k.LoadV(x, nil, 0), k.F(c[0]))
			k.StoreV(y, nil, 0, k.Max(k.FMA(v, k.F(c[1]), k.F(c[2])), k.F(c[0])))
			k.StoreV(y, nil, lanes, k.Min(v, k.F(c[2])))
		})
	}
	return d.Done()
}
